"""The loop that learns: batches, the loss, the optimizer, and what of them is in a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import FormatError, InputError, TrainingError
from lookalike.training.checkpoints import Progressed
from lookalike.training.labelled import Split
from lookalike.training.pictures import Pictures

if TYPE_CHECKING:
    from lookalike.training.modules import Extractor

__all__ = ["TRAINS", "Learner", "freeze"]

TRAINS = ("head", "last-blocks", "all")
_BACKBONE, _PROXIES = 0.1, 10.0  # of the learning rate of the head
_DECAY, _WARM_UP, _LONGEST = 1e-4, 0.1, 10.0
_LAST = 0.25  # of the groups in which timm counts a network's layers


def freeze(network: Extractor, train: str, d: int) -> None:
    """Let only a part learn: a linear head behind the network, the last quarter of its blocks, or all of it."""
    import timm

    for parameter in network.parameters():
        parameter.requires_grad = False
    if train == "head" and network.head is None:
        network.put_head(d, d)
    if network.head is not None:
        network.head.requires_grad_(True)
    if train == "all":
        network.backbone.requires_grad_(True)
    elif train == "last-blocks":
        matcher = getattr(network.backbone, "group_matcher", None)
        if matcher is None:
            raise InputError("train: timm does not say what the blocks of this network are; choose head or all")
        groups = timm.models.group_parameters(network.backbone, matcher(coarse=True))
        last = sorted(groups)[-max(round(_LAST * len(groups)), 1) :]
        named = dict(network.backbone.named_parameters())
        for number in last:
            for name in groups[number]:
                named[name].requires_grad = True


@dataclass(slots=True)
class Plan:
    """How to learn."""

    train: str
    augment: str
    batch: int
    lr: float
    epochs: int
    seed: int


class Learner:
    """A network, its loss and its optimizer, on a device.

    Parameters
    ----------
    network : Extractor
        With `freeze` done.
    loss : module
    plan : Plan
    split : Split
    pictures : Pictures
    vectors : ndarray of float32, shape (n, d), optional
        What the network's head is given for each picture, where pictures are not changed and the rest of the network is not
        either: then it need not run again.
    """

    def __init__(
        self, network: Extractor, loss: Any, plan: Plan, split: Split, pictures: Pictures, device: Any,
        vectors: FloatArray | None = None,
    ) -> None:  # fmt: skip
        import torch

        self.network, self.loss, self.plan, self.split, self.pictures, self.device = (
            network.to(device), loss.to(device), plan, split, pictures, device,
        )  # fmt: skip
        self.vectors = None if vectors is None else torch.from_numpy(vectors).to(device)
        self.named = {name: x for name, x in network.named_parameters() if x.requires_grad}
        self.best: dict[str, Any] = {}
        head = [x for name, x in self.named.items() if name.startswith("head.")]
        backbone = [x for name, x in self.named.items() if not name.startswith("head.")]
        groups = [(head, 1.0, _DECAY), (backbone, _BACKBONE, _DECAY), (list(loss.parameters()), _PROXIES, 0.0)]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "lr": plan.lr * factor, "start": plan.lr * factor, "weight_decay": decay}
                for parameters, factor, decay in groups
                if parameters
            ]
        )
        self.targets = torch.zeros((len(split.names), len(split.groups.names)))
        for row, numbers in enumerate(split.groups.of):
            self.targets[row, list(numbers)] = 1
        self.targets = self.targets.to(device)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.split.learnt) / self.plan.batch)

    def epoch(self, state: Progressed, tell: Callable[[int], None], keep: Callable[[], None], every: float) -> float:
        """Go through the rest of an epoch; the mean loss. `keep` is called every so many seconds, between two batches."""
        import torch

        order = np.random.default_rng((self.plan.seed, 1 + state.epoch)).permutation(self.split.learnt)
        batches = [order[at : at + self.plan.batch] for at in range(0, len(order), self.plan.batch)][state.step :]
        kept = time.monotonic()
        self.network.train()
        for rows, pixels in zip(batches, self._pixels(batches, 1 + state.epoch), strict=True):
            self._set_rate(state.epoch * self.steps + state.step)
            own = torch.from_numpy(rows).to(self.device)
            loss = self.loss(self._forward(own, pixels), self.targets[own])
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss became {value} in epoch {state.epoch + 1}; try a smaller --lr than {self.plan.lr}"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(self.named.values()), _LONGEST)
            self.optimizer.step()
            state.step += 1
            state.loss += value
            tell(min(state.step * self.plan.batch, len(order)))
            if time.monotonic() - kept > every and state.step < self.steps:
                keep()
                kept = time.monotonic()
        return state.loss / max(self.steps, 1)

    def _pixels(self, batches: list[Array], epoch: int) -> Iterator[Any]:
        if self.vectors is not None:
            yield from (None for _ in batches)
            return
        names = [[self.split.names[row] for row in rows.tolist()] for rows in batches]
        yield from self.pictures.changed(names, self.plan.augment, epoch)

    def _forward(self, rows: Any, pixels: Any) -> Any:
        import torch

        if self.vectors is not None:
            return self.network.behind(self.vectors[rows])
        moved = torch.from_numpy(pixels).to(self.device)
        if self.plan.train != "head":
            return self.network(moved)
        with torch.no_grad():
            x = self.network.features(moved)
        return self.network.behind(x)

    def _set_rate(self, step: int) -> None:
        """Linearly up in the first tenth, then down along a half cosine."""
        total = max(self.plan.epochs * self.steps, 1)
        warm = max(round(_WARM_UP * total), 1)
        past = (step - warm) / max(total - warm, 1)
        factor = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * min(past, 1)))
        for part in self.optimizer.param_groups:
            part["lr"] = part["start"] * factor

    def keep_best(self) -> None:
        """Remember the weights as they are."""
        self.best = {name: x.detach().cpu().clone() for name, x in self.named.items()}

    def use_best(self) -> None:
        """Put the remembered weights back."""
        import torch

        with torch.no_grad():
            for name, x in self.best.items():
                self.named[name].copy_(x)

    def tensors(self) -> dict[str, Array]:
        """All that a checkpoint needs."""
        found = {f"now.{name}": x for name, x in self.named.items()}
        found |= {f"best.{name}": x for name, x in self.best.items()}
        found |= {f"loss.{name}": x for name, x in self.loss.named_parameters()}
        for number, values in self.optimizer.state_dict()["state"].items():
            found |= {f"adam.{number}.{name}": x for name, x in values.items()}
        return {name: np.ascontiguousarray(x.detach().cpu().numpy()) for name, x in found.items()}

    def restore(self, tensors: dict[str, Array]) -> None:
        """Go back to where a checkpoint was written.

        Raises
        ------
        FormatError
            If it is another network's.
        """
        import torch

        parts: dict[str, dict[str, Any]] = {"now": {}, "best": {}, "loss": {}, "adam": {}}
        for name, x in tensors.items():
            kind, _, rest = name.partition(".")
            parts.setdefault(kind, {})[rest] = torch.from_numpy(x)
        wanted = {"now": self.named, "loss": dict(self.loss.named_parameters())}
        for kind, own in wanted.items():
            if {n: tuple(x.shape) for n, x in own.items()} != {n: tuple(x.shape) for n, x in parts[kind].items()}:
                raise FormatError("the checkpoint is of another network; begin anew without --resume, with --replace")
            with torch.no_grad():
                for name, x in own.items():
                    x.copy_(parts[kind][name])
        self.best = parts["best"]
        state: dict[int, dict[str, Any]] = {}
        for name, x in parts["adam"].items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = x
        now = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": state, "param_groups": now["param_groups"]})
