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
        str | None, typer.Option(metavar="folders|FILE", help="What belongs together; without it, folders.")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(metavar="FILE", help="Groups of paths that belong together, an empty line between.")
    ] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="The whitening that comes with the default model; needs no labels.")
    ] = False,
    pca: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Principal components, N of them; needs no labels.")
    ] = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="With --pca: every direction as long as the others.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take off whatever was put on.")] = False,
    into: In = None,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=2, help="Leave out labels with fewer pictures.")
    ] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Learn from your folders what makes your pictures alike, and search that way from now on.

    What it gains on pictures that it did not learn from is printed first; where it gains nothing, it is refused. The pictures
    are not read again, and --undo takes it off.
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
        say(f"{collection.name}: there is nothing to take off")
    else:
        collection.set_transform(None)
        say(f"{collection.name}: took off {before['kind']}")
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
            f"{collection.name} stays as it is: on held-out pictures mAP changes by {learnt.pictures.difference:+.3f}, "
            f"no more than chance explains (±{2 * learnt.pictures.error:.3f})"
        )
    _apply(collection, learnt.transform, facts, yes, json)


def _apply(collection: Collection, made: Transform, facts: dict[str, Any], yes: bool, json: bool) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"{made.kind} would be put on {collection.name}; say --yes where nobody can be asked")
        typer.confirm(f"search {clean(collection.name)} this way from now on?", abort=True, err=True)
    collection.set_transform(made)
    if json:
        emit_json(facts | {"applied": True})
    say(f"{collection.name}: {made.kind} is on; lookalike models adapt --undo takes it off")


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
