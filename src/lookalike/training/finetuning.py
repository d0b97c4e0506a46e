"""Fine-tuning: a model that learns from labelled pictures, and an honest account of what that gained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._download import Progress as Transfer
from lookalike._typing import Array, FloatArray, PathLike
from lookalike._validate import check_count
from lookalike.collection.records import Pace, Progress
from lookalike.errors import DatasetError, InputError
from lookalike.features import store
from lookalike.features.cards import ModelCard
from lookalike.quality.adaptation import SURE, Gain
from lookalike.training.augment import AUGMENTS
from lookalike.training.building import build, dimension, save_weights
from lookalike.training.checkpoints import Progressed, Run
from lookalike.training.exporting import card_of, check_out, keep
from lookalike.training.graph import check_agreement, to_onnx
from lookalike.training.labelled import HELD, Split, read_folder, split
from lookalike.training.learning import TRAINS, Learner, Plan, freeze
from lookalike.training.measuring import Found, closed_form, embedded, found, gain
from lookalike.training.pictures import Pictures
from lookalike.training.requirements import choose_device, enough_memory, require
from lookalike.training.sources import Source, find_source

if TYPE_CHECKING:
    from lookalike.training.modules import Extractor

__all__ = ["Finetuned", "Settings", "finetune"]

CHECKPOINT_SECONDS = 60.0
_LOSSES = ("softmax", "metric")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to fine-tune; docs/training.md says what each does.

    Attributes
    ----------
    model, weights : str
    size : int
    epochs, batch, patience, at_least, seed : int
    train : {"head", "last-blocks", "all"}
    loss : {"softmax", "metric"}
    augment : {"none", "classic", "modern"}
    lr, held : float
    """

    model: str = "lite0"
    weights: str = ""
    size: int = 0
    epochs: int = 10
    train: str = "head"
    loss: str = "softmax"
    augment: str = "modern"
    batch: int = 32
    lr: float = 1e-3
    patience: int = 5
    held: float = HELD
    at_least: int = 2
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises
        ------
        InputError
        """
        for name, value, known in (
            ("train", self.train, TRAINS), ("loss", self.loss, _LOSSES), ("augment", self.augment, tuple(AUGMENTS)),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"{name}: expected {', '.join(known[:-1])} or {known[-1]}, got {value!r}")
        check_count(self.epochs, "epochs", high=100_000)
        check_count(self.batch, "batch", high=65_536)
        check_count(self.patience, "patience", high=100_000)
        check_count(self.at_least, "at least", low=2)
        if not 0 < self.lr < 10:
            raise InputError(f"lr: expected a number above 0 and below 10, for instance 0.001, got {self.lr}")
        if not 0.05 <= self.held <= 0.9:
            raise InputError(f"hold out: expected a share from 0.05 to 0.9, got {self.held}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, got {self.seed}")


@dataclass(frozen=True, slots=True, eq=False)
class Finetuned:
    """A model that learnt, and what it gained on held-out pictures by which nothing was chosen.

    Attributes
    ----------
    card : ModelCard
    after : Gain
        From before to after.
    closed_form : Gain or None
        From before to what `models adapt` would have reached with the same pictures, in a second.
    epoch, epochs : int
        The one that was best on the pictures that were watched, of how many.
    history : list of dict
    pictures : dict
        How many were learnt from, held back, left out and could not be read.
    """

    card: ModelCard
    after: Gain
    closed_form: Gain | None
    epoch: int
    epochs: int
    history: list[dict[str, Any]]
    pictures: dict[str, int]

    @property
    def helps(self) -> bool:
        """Whether mAP rises by more than chance explains."""
        return self.after.difference > SURE * self.after.error


def finetune(
    folder: PathLike,
    settings: Settings | None = None,
    *,
    name: str = "",
    out: PathLike | None = None,
    device: str = "auto",
    resume: bool = False,
    replacing: bool = False,
    progress: Callable[[Progress], None] | None = None,
    fetching: Transfer = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> Finetuned:
    """Let a model learn from a folder of labelled pictures.

    Parameters
    ----------
    folder : path
        Its folders are the labels, or its ``labels.tsv``.
    settings : Settings, optional
    name : str
        What the new model is called; the old one's name and the folder's, if empty.
    out : path, optional
        Where its ONNX file is written as well.
    device : {"auto", "cpu", "cuda"}
    resume : bool
        Whether to go on with a run that was interrupted.
    replacing : bool
        Whether a model, or an unfinished run, of that name may be replaced.
    progress, fetching, say : callable
        Called with how far it is, with bytes of fetched weights, and with what a person should know.

    Raises
    ------
    MissingExtraError
        Without PyTorch and timm.
    DatasetError
        If the pictures are too few or their labels do not match.
    InputError, ModelError, FetchError
        If the model cannot be had, or the settings make no sense.
    TrainingError
        If memory or disk do not suffice; a checkpoint stays for `resume`.
    """
    settings = settings or Settings()
    settings.check()
    root = Path(folder)
    labels, absent = read_folder(root)
    split(root, labels, settings.held, settings.seed, settings.at_least)  # refuses before anything large is loaded
    require("fine-tuning")
    chosen = choose_device(device)
    source = find_source(settings.model, size=settings.size, weights=settings.weights)
    called = name or f"{source.name}-{_plain(root)}"
    store.check_name(called, replacing or resume)
    check_out(out)
    if absent:
        say(f"labels.tsv names {absent:,} pictures that are not in {root}")
    with Run(called) as run, enough_memory(settings.batch):
        before = run.load()
        if before is not None and not resume:
            if not replacing:
                raise InputError(
                    f"{called}: there is an unfinished run, {before[0].epoch} epochs of {before[0].settings.get('epochs')} are "
                    "done; --resume goes on with it, --replace begins anew"
                )
            run.remove()
            before = None
        if before is None and resume:
            say(f"{called}: there is no unfinished run to go on with; this is the beginning")
        job = _Job(root, labels, settings, called, chosen, run, Pace(progress), say)
        return job.do(*build(source, settings.seed, fetching), before, out, replacing or resume)


@dataclass(slots=True)
class _Job:
    root: Path
    labels: dict[str, tuple[str, ...]]
    settings: Settings
    name: str
    device: Any
    run: Run
    pace: Pace
    say: Callable[[str], None]
    unreadable: dict[str, str] = field(default_factory=dict)

    def do(
        self, network: Extractor, source: Source, before: tuple[Progressed, dict[str, Array]] | None,
        out: PathLike | None, replacing: bool,
    ) -> Finetuned:  # fmt: skip
        network.to(self.device)
        with Pictures(self.root, source.size, self.settings.seed) as pictures:
            parts, vectors = self._look(network, pictures)
            learner = self._learner(network, parts, pictures, vectors)
            state = self._begun(before, learner, parts)
            old = found(vectors[parts.held], parts)
            other = closed_form(vectors, parts)
            if not state.history:
                state.history.append(_epoch(0, None, old))
            self._learn(learner, parts, pictures, state)
            learner.use_best()
            new = self._held_out(network, parts, pictures)
        card = self._finish(network, source, parts, state, gain(old.checked, new.checked), out, replacing)
        self.run.remove()
        return Finetuned(
            card,
            gain(old.checked, new.checked),
            None if other is None else gain(old.checked, other.checked),
            state.best,
            self.settings.epochs,
            state.history,
            self._counts(parts),
        )

    def _look(self, network: Extractor, pictures: Pictures) -> tuple[Split, FloatArray]:
        """Vectors of all pictures before learning; pictures that cannot be read are left out from here on."""
        parts = split(self.root, self.labels, self.settings.held, self.settings.seed, self.settings.at_least)
        total = len(parts.names)
        names, vectors, self.unreadable = embedded(
            network, pictures, parts.names, self.settings.batch, self.device,
            lambda done: self.pace.tell("looking", done, total, last=done == total),
        )  # fmt: skip
        for path, why in list(self.unreadable.items())[:5]:
            self.say(f"skipped {self.root / path}: {why}")
        if len(self.unreadable) > 5:
            self.say(f"skipped {len(self.unreadable) - 5:,} more that cannot be read")
        if self.unreadable:
            if not names:
                raise DatasetError(f"{self.root}: none of its {total:,} pictures can be read")
            labels = {path: own for path, own in self.labels.items() if path not in self.unreadable}
            again = split(self.root, labels, self.settings.held, self.settings.seed, self.settings.at_least)
            place = {path: row for row, path in enumerate(names)}
            parts, vectors = again, vectors[[place[path] for path in again.names]]
        return parts, vectors

    def _learner(self, network: Extractor, parts: Split, pictures: Pictures, vectors: FloatArray) -> Learner:
        import torch

        from lookalike.training.losses import LOSSES

        chosen = self.settings
        had_head = network.head is not None
        freeze(network, chosen.train, vectors.shape[1])
        means = np.stack([vectors[np.intersect1d(rows, parts.learnt)].mean(axis=0) for rows in parts.groups.members])
        loss = LOSSES[chosen.loss](torch.from_numpy(means))
        plan = Plan(chosen.train, chosen.augment, chosen.batch, chosen.lr, chosen.epochs, chosen.seed)
        fixed = chosen.train == "head" and chosen.augment == "none" and not had_head
        return Learner(network, loss, plan, parts, pictures, self.device, vectors if fixed else None)

    def _begun(self, before: tuple[Progressed, dict[str, Array]] | None, learner: Learner, parts: Split) -> Progressed:
        facts = asdict(self.settings) | {"pictures": parts.digest}
        if before is None:
            return Progressed(facts)
        state, tensors = before
        free = {"epochs", "patience"}
        for what, value in facts.items():
            if what not in free and state.settings.get(what) != value:
                was = state.settings.get(what)
                how = (
                    "the pictures or labels are others now"
                    if what == "pictures"
                    else f"{what} was {was!r}, now {value!r}"
                )
                raise InputError(f"{self.name}: the unfinished run was begun otherwise: {how}; --replace begins anew")
        learner.restore(tensors)
        self.say(
            f"going on after epoch {state.epoch} of {self.settings.epochs}"
            + (f", batch {state.step}" * bool(state.step))
        )
        state.settings = facts
        return state

    def _learn(self, learner: Learner, parts: Split, pictures: Pictures, state: Progressed) -> None:
        each, total = len(parts.learnt), len(parts.learnt) * self.settings.epochs
        if not state.epoch and not state.step:
            self.run.save(state, learner.tensors())  # finds out now whether there is room
        while state.epoch < self.settings.epochs and not self._is_over(state):
            past = state.epoch * each
            loss = learner.epoch(
                state,
                lambda done, past=past: self.pace.tell("learning", past + done, total),  # type: ignore[misc]
                lambda: self.run.save(state, learner.tensors()),
                CHECKPOINT_SECONDS,
            )
            vectors = self._held_out_vectors(learner.network, parts, pictures)
            state.epoch, state.step, state.loss = state.epoch + 1, 0, 0.0
            state.history.append(_epoch(state.epoch, loss, found(vectors, parts)))
            best = max(state.history[1:], key=lambda x: float(x["map"]))["epoch"]
            if best == state.epoch:
                state.best = state.epoch
                learner.keep_best()
            self.run.save(state, learner.tensors())
            self.say(_line(state.history[-1], self.settings.epochs, best == state.epoch))
        if state.epoch < self.settings.epochs:
            self.say(f"stopped early: no epoch since {state.best} was better")

    def _is_over(self, state: Progressed) -> bool:
        return bool(state.best) and state.epoch - state.best >= self.settings.patience

    def _held_out_vectors(self, network: Extractor, parts: Split, pictures: Pictures) -> FloatArray:
        names = [parts.names[row] for row in parts.held.tolist()]
        good, vectors, bad = embedded(network, pictures, names, self.settings.batch, self.device)
        if len(good) != len(names):
            path, why = next(iter(bad.items()))
            raise DatasetError(f"{self.root / path}: {why}; it could be read when the work began")
        return vectors

    def _held_out(self, network: Extractor, parts: Split, pictures: Pictures) -> Found:
        return found(self._held_out_vectors(network, parts, pictures), parts)

    def _finish(
        self, network: Extractor, source: Source, parts: Split, state: Progressed, change: Gain,
        out: PathLike | None, replacing: bool,
    ) -> ModelCard:  # fmt: skip
        self.say("writing the model as ONNX")
        data = to_onnx(network, source.size, self.name)
        check_agreement(data, network, source.size, self.name)
        chosen = self.settings
        how = f"{chosen.train}, {chosen.loss} loss, {chosen.augment} augmentation, epoch {state.best}"
        origin = (
            f"{source.source}; fine-tuned with lookalike on {len(parts.learnt):,} pictures with "
            f"{len(parts.groups.names):,} labels ({how}); mAP on held-out pictures {change.map_before:.3f} → {change.map_after:.3f}"
        )
        card = card_of(source, self.name, dimension(network, source.size), f"{source.title}, fine-tuned", origin[:2000])
        with tempfile.TemporaryDirectory() as folder:
            save_weights(Path(folder, "weights.safetensors"), network, source)
            return keep(card, data, Path(folder), out=out, replacing=replacing, say=self.say)

    def _counts(self, parts: Split) -> dict[str, int]:
        return {
            "learnt": len(parts.learnt),
            "held": len(parts.held),
            "labels": len(parts.groups.names),
            "left_out": parts.left_out,
            "unreadable": len(self.unreadable),
        }


def _epoch(number: int, loss: float | None, what: Found) -> dict[str, Any]:
    ap, first = what.watched_means()
    return {"epoch": number, "loss": loss, "map": round(ap, 6), "p_at_1": round(first, 6)}


def _line(facts: dict[str, Any], epochs: int, is_best: bool) -> str:
    return (
        f"epoch {facts['epoch']} of {epochs}: loss {facts['loss']:.3f}, on held-out pictures mAP {facts['map']:.3f}, "
        f"P@1 {facts['p_at_1']:.3f}{', the best so far' if is_best else ''}"
    )


def _plain(folder: Path) -> str:
    """A folder's name with only what a model's name can have."""
    name = "".join(x if x.isascii() and (x.isalnum() or x in "._+-") else "-" for x in folder.absolute().name)
    return name.strip("-")[:60] or "pictures"
