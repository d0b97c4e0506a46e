"""`lookalike models adapt`: make a collection's answers fit the user's own pictures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.console import clean, emit, emit_json, say, table
from lookalike.cli.opening import In, Json, open_collection
from lookalike.cli.progress import ProgressDisplay
from lookalike.errors import CollectionError, InputError

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.features.transforms import Transform
    from lookalike.quality.adaptation import Adaptation, Gain

__all__ = ["adapt"]


def adapt(
    labels: Annotated[
        str | None, typer.Option(metavar="folders|FILE", help="Labels to learn from; by default the folders.")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="FILE", help="Groups of paths that belong together, separated by empty lines.")
    ] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Use the whitening that comes with the default model; needs no labels.")
    ] = False,
    pca: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Reduce to N principal components; needs no labels.")
    ] = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="With --pca: scale all directions to the same variance.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Remove the transform.")] = False,
    into: In = None,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=2, help="Leave out labels with fewer pictures.")
    ] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Improve a collection's search by a transform that is learnt from your folders or labels.

    The gain on held-out pictures is printed first; without a gain, nothing is applied. The pictures are not read again, and
    --undo removes the transform.
    """
    chosen = [labels is not None, groups is not None, shipped, pca is not None, undo]
    if sum(chosen) > 1:
        raise typer.BadParameter("--labels, --groups, --shipped, --pca and --undo exclude each other")
    if whiten and pca is None:
        raise typer.BadParameter("--whiten belongs to --pca")
    with open_collection(into) as collection:
        if undo:
            _undo(collection, json)
        elif shipped or pca is not None:
            made = _shipped(collection) if pca is None else collection.fit_transform(pca, whiten=whiten)
            _apply(collection, made, {"kind": made.kind}, yes, json)
        else:
            _adapt(collection, _what(labels, groups), at_least, yes, json)


def _what(labels: str | None, groups: str | None) -> Any:
    from lookalike.quality.adaptation import read_groups

    return (labels or "folders") if groups is None else read_groups(groups)


def _undo(collection: Collection, json: bool) -> None:
    before = collection.status()["transform"]
    if before is None:
        say(f"{collection.name}: there is no transform to remove")
    else:
        collection.set_transform(None)
        say(f"{collection.name}: removed {before['kind']}")
    if json:
        emit_json({"undone": before})


def _shipped(collection: Collection) -> Transform:
    from lookalike.features.transforms import shipped_transform

    return shipped_transform(collection.model)


def _adapt(collection: Collection, labels: Any, at_least: int, yes: bool, json: bool) -> None:
    with ProgressDisplay() as display:
        learnt = collection.adapt(labels, at_least=at_least, progress=display)
    facts = {"kind": learnt.transform.kind, "helps": learnt.helps} | learnt.transform.about
    if not json:
        _print(learnt)
    if not learnt.helps:
        if json:
            emit_json(facts | {"applied": False})
        raise CollectionError(
            f"{collection.name} is unchanged: on held-out pictures mAP changes by {learnt.pictures.difference:+.3f}, "
            f"no more than chance explains (±{2 * learnt.pictures.error:.3f})"
        )
    _apply(collection, learnt.transform, facts, yes, json)


def _apply(collection: Collection, made: Transform, facts: dict[str, Any], yes: bool, json: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"this would apply {made.kind} to {collection.name}; add --yes to confirm")
        typer.confirm(f"search {clean(collection.name)} this way from now on?", abort=True, err=True)
    collection.set_transform(made)
    if json:
        emit_json(facts | {"applied": True})
    say(f"{collection.name}: {made.kind} is applied; `lookalike models adapt --undo` removes it")


def _print(learnt: Adaptation) -> None:
    rows: list[tuple[str, ...]] = [("", "mAP", "P@1", "")]
    gains: tuple[tuple[str, Gain | None], ...] = (
        ("on held-out pictures", learnt.pictures),
        ("on held-out labels", learnt.labels),
    )
    for name, gain in gains:
        if gain is not None:
            rows.append(
                (
                    name,
                    f"{gain.map_before:.3f} → {gain.map_after:.3f}",
                    f"{gain.p_at_1_before:.3f} → {gain.p_at_1_after:.3f}",
                    f"±{2 * gain.error:.3f}, {gain.queries:,} asked",
                )
            )
    of = learnt.transform.about["learnt_from"]
    emit(f"{learnt.transform.kind}, learnt from {of['pictures']:,} pictures with {of['labels']:,} labels")
    table(rows)
