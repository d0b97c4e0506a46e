"""What the QUERYs of `lookalike search` mean: pictures, words, or both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.cli.console import say
from lookalike.errors import InputError, LookalikeError

if TYPE_CHECKING:
    from lookalike.collection import Collection, Hit

__all__ = ["Asked", "ask"]


class Asked(NamedTuple):
    """What a search found; `labels` are those that words were matched to, empty for pictures."""

    hits: list[Hit]
    timing: dict[str, float]
    labels: tuple[str, ...]


def ask(collection: Collection, queries: Sequence[str], k: int, exact: bool) -> Asked:
    """One search with all the queries together. A query that names no file and looks like none is words.

    How words were read goes to stderr, so that the results stay the same kind of thing whatever was asked.
    """
    for query in queries:
        if query.startswith("-") and not Path(query).exists() and collection.find(query) is None:
            raise InputError(
                f"{query}: what follows -- are QUERYs, and no file is called so; put options before the --"
            )
    words = [query for query in queries if _is_words(collection, query)]
    if not words:
        return Asked(*collection.search_timed(queries[0] if len(queries) == 1 else list(queries), k, exact=exact), ())
    text = " ".join(words)
    try:
        if len(words) < len(queries):
            return Asked(*collection.search_timed(_mixed(collection, queries, words), k, exact=exact), ())
        answer = collection.search_text(text, k, exact=exact)
    except LookalikeError as error:
        what = "a folder, not a picture" if Path(text).is_dir() else "there is no such file"
        raise type(error)(f"{text}: {what}, and {error}") from None
    if explanation := answer.explain():
        say(explanation)
    return Asked(answer.hits, answer.timing_ms, answer.labels)


def _is_words(collection: Collection, query: str) -> bool:
    from lookalike.collection.text import is_words

    return is_words(query) and not Path(query).is_file() and collection.find(query) is None


def _mixed(collection: Collection, queries: Sequence[str], words: Sequence[str]) -> list[Any]:
    """Pictures as they are, and all the words as one vector."""
    vector = collection.text_vector(" ".join(words))
    if vector is None:
        raise InputError(
            f"this collection's model {collection.model.name!r} cannot mix words and pictures; search with one or the other"
        )
    return [vector, *(query for query in queries if query not in words)]
