"""`lookalike models export` and `finetune`: networks of PyTorch as models of lookalike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.console import count, emit, emit_json, say, table
from lookalike.cli.opening import Json
from lookalike.cli.progress import ProgressDisplay, TransferDisplay

if TYPE_CHECKING:
    from lookalike.quality.adaptation import Gain
    from lookalike.training import Finetuned

__all__ = ["export", "finetune"]

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The model's name in lookalike.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write the ONNX file to this path.")]
Weights = Annotated[
    str,
    typer.Option(metavar="WHICH", help="pretrained, random, or a safetensors file; by default the network's own."),
]
Size = Annotated[
    int,
    typer.Option(
        "--size", metavar="PIXELS", min=0, max=4096, help="Side of the input pictures; by default the network's."
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an existing model of that name.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of all random numbers.")]


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="timm/NAME, or a model that `models list` can export.")],
    pooling: Annotated[
        str, typer.Option(metavar="HOW", help="avg, max, gem or cls; by default the network's own.")
    ] = "",
    size: Size = 0,
    weights: Weights = "",
    name: Name = "",
    out: Out = None,
    seed: Seed = 0,
    replace: Replace = False,
) -> None:
    """Export a network of timm as an ONNX model; prints its name.

    Its vectors are compared with PyTorch's on pictures before it is kept. Needs pip install "lookalike[train]".
    """
    from lookalike.training import export_model

    with TransferDisplay(model) as display:
        card = export_model(
            model, pooling=pooling, size=size, weights=weights, name=name, out=out, replacing=replace, seed=seed,
            progress=display, say=say,
        )  # fmt: skip
    say(f"{card.name} is ready: {card.d} numbers a picture, {card.licence or 'licence unknown'}, SHA-256 {card.sha256}")
    say(f"try: lookalike index FOLDER --model {card.name} --in NEW")
    emit(card.name)


def finetune(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of pictures, with subfolders or a labels.tsv as labels.")
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="lite0, timm/NAME, or a model that you exported or fine-tuned.")
    ] = "lite0",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Number of passes over the pictures.")] = 10,
    train: Annotated[str, typer.Option(metavar="WHAT", help="What to train: head, last-blocks or all.")] = "head",
    loss: Annotated[str, typer.Option(metavar="WHICH", help="softmax, or metric (Proxy Anchor).")] = "softmax",
    augment: Annotated[str, typer.Option(metavar="HOW", help="Augmentation: none, classic or modern.")] = "modern",
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in a batch.")] = 32,
    lr: Annotated[
        float, typer.Option(metavar="RATE", help="Learning rate of the head; others are derived from it.")
    ] = 1e-3,
    patience: Annotated[int, typer.Option(metavar="N", min=1, help="Stop after N epochs without an improvement.")] = 5,
    hold_out: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of each label's pictures to hold out for measuring.")
    ] = 0.3,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=2, help="Leave out labels with fewer pictures.")
    ] = 2,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(metavar="WHICH", help="auto, cpu or cuda.")] = "auto",
    weights: Weights = "",
    size: Size = 0,
    name: Name = "",
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was interrupted.")] = False,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Fine-tune a model on your labelled pictures, and measure the gain on held-out ones; prints the new model's name.

    You can press Ctrl-C at any time: the same command with --resume continues. `lookalike models adapt` takes a second, needs
    no PyTorch, and is often as good: its gain is printed for comparison. Needs pip install "lookalike[train]".
    """
    from lookalike.training import Settings
    from lookalike.training import finetune as run

    settings = Settings(
        model=model, weights=weights, size=size, epochs=epochs, train=train, loss=loss, augment=augment, batch=batch,
        lr=lr, patience=patience, held=hold_out, at_least=at_least, seed=seed,
    )  # fmt: skip
    try:
        with ProgressDisplay() as display, TransferDisplay(model) as transfer:
            done = run(
                folder, settings, name=name, out=out, device=device, resume=resume, replacing=replace,
                progress=display, fetching=transfer, say=say,
            )  # fmt: skip
    except KeyboardInterrupt:
        say("what was learnt is kept; the same command with --resume goes on")
        raise
    _print(done, json)


def _print(done: Finetuned, json: bool) -> None:
    card = done.card
    if json:
        emit_json(_facts(done))
    else:
        of = done.pictures
        emit(
            f"{card.name}: learnt from {count(of['learnt'], 'picture')} with {count(of['labels'], 'label')}, "
            f"epoch {done.epoch} of {done.epochs}; {count(of['held'], 'picture')} held out"
        )
        rows: list[tuple[str, ...]] = [("on held-out pictures", "mAP", "P@1", "")]
        rows.append(_row("fine-tuned", done.after))
        if done.closed_form is not None:
            rows.append(_row("models adapt, a second", done.closed_form))
        table(rows)
    change = done.after
    if change.difference <= 0:
        say(f"it did not help: mAP changes by {change.difference:+.3f}; keep using the model that you had")
    elif not done.helps:
        chance = f"mAP changes by {change.difference:+.3f}, no more than chance explains (±{2 * change.error:.3f})"
        say(f"whether it helped is not certain: {chance}; more labelled pictures would tell")
    if done.closed_form is not None and done.closed_form.map_after > change.map_after:
        say("lookalike models adapt does better on these pictures, in a second")
    say(f"{card.name} is ready: lookalike index FOLDER --model {card.name} --in NEW")
    if not json:
        emit(card.name)


def _row(title: str, gain: Gain) -> tuple[str, ...]:
    return (
        title,
        f"{gain.map_before:.3f} → {gain.map_after:.3f}",
        f"{gain.p_at_1_before:.3f} → {gain.p_at_1_after:.3f}",
        f"±{2 * gain.error:.3f}, {gain.queries:,} asked",
    )


def _facts(done: Finetuned) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "model": done.card.name,
        "helps": done.helps,
        "fine_tuned": asdict(done.after),
        "adapt": None if done.closed_form is None else asdict(done.closed_form),
        "epoch": done.epoch,
        "history": done.history,
        "pictures": done.pictures,
    }
