"""Searching with words: by the vector of the text where the model has a text tower, else by the labels of its classifier."""

from __future__ import annotations

import dataclasses
import functools
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import unit_rows
from lookalike.collection import entries as listing
from lookalike.collection.models import check_embeds
from lookalike.collection.records import TextAnswer
from lookalike.collection.snapshot import Snapshot
from lookalike.errors import ModelError
from lookalike.features.classifier import Classifier, load_classifier
from lookalike.features.models import ModelCard
from lookalike.features.words import Understood, load_vocabulary

if TYPE_CHECKING:
    from lookalike.features.text import TextEmbedder

__all__ = ["LABEL_WORDS", "embed_text", "is_words", "label_word", "search_labels"]

# From which probability on, in percent, a word is said; docs/text.md has how often each was right.
LABEL_WORDS = ((75.0, "sure"), (10.0, "perhaps"), (0.0, "hardly"))

BLOCK = 4096  # pictures whose probabilities are held at once: 16 MB


def is_words(text: str) -> bool:
    """Whether a query that names no file was meant as words, and is not a file's name with a mistake in it.

    Examples
    --------
    >>> is_words("red bicycle"), is_words("holiday.jpg"), is_words("./x"), is_words("https://a.b/c")
    (True, False, False, False)
    """
    is_path = re.search(r"[/\\\0\ud800-\udfff]|^[.~]|^[A-Za-z]:|\.\w{1,5}$|^id:\d+$", text) is not None
    return not is_path and re.search(r"\w", text) is not None


def label_word(probability: float) -> str:
    """The word for a probability.

    Examples
    --------
    >>> label_word(0.8), label_word(0.01)
    ('sure', 'hardly')
    """
    return next(name for least, name in LABEL_WORDS if 100 * probability >= least)


def embed_text(card: ModelCard, text: str) -> FloatArray | None:
    """The unit vector of a text, shape (d,); None where the model has no text tower."""
    if card.text is None:
        return None
    check_embeds(card)
    vector: FloatArray = _text_embedder(card).embed([text])[0]
    return vector


@functools.lru_cache(maxsize=2)
def _text_embedder(card: ModelCard) -> TextEmbedder:
    from lookalike.features.text import TextEmbedder

    return TextEmbedder(card)


def search_labels(
    view: Callable[[], AbstractContextManager[tuple[sqlite3.Connection, Snapshot]]],
    text: str,
    k: int,
    allow: Array | None,
) -> TextAnswer:
    """The pictures that most probably show what a text means, best first.

    The probability of a concept is the sum of those of its classes; of several concepts, the geometric mean, so that a picture
    needs a little of each.

    Parameters
    ----------
    view : callable
        Gives a connection and a snapshot of the same instant.
    text : str
    k : int
    allow : ids or boolean mask indexed by id, or None
    """
    start = time.perf_counter()
    words = load_vocabulary()
    with view() as (connection, snapshot):
        classifier = _classifier(snapshot.card)
        understood = words.understand(text)
        read = time.perf_counter()
        scores = _scores(connection, snapshot, classifier, understood)
        found, scores = snapshot.best(scores, k, snapshot.select(allow))
        hits = [
            dataclasses.replace(hit, similarity=100 * p, cosine=p, distance=1 - p, word=label_word(p))
            for hit, p in zip(listing.hits(connection, snapshot.card, found, 1 - scores), scores.tolist(), strict=True)
        ]
    numbers = sorted({number for concept in understood.concepts for number in concept.classes})
    return TextAnswer(
        hits,
        tuple(words.names[number] for number in numbers),
        tuple(concept.said for concept in understood.concepts),
        understood.left_out,
        {"embed": (read - start) * 1e3, "search": (time.perf_counter() - read) * 1e3},
    )


def _classifier(card: ModelCard) -> Classifier:
    """The classifier of a collection's model, if it is the one installed and has one."""
    classifier = None
    if card.file is not None:
        check_embeds(card)
        classifier = load_classifier(card)
    if classifier is None:
        raise ModelError(f"this collection's model {card.name!r} knows pictures only, no words; search with a picture")
    return classifier


def _scores(
    connection: sqlite3.Connection, snapshot: Snapshot, classifier: Classifier, understood: Understood
) -> FloatArray:
    """A probability for each of the snapshot's features, float64."""
    rows = connection.execute("SELECT id, norm FROM features ORDER BY id")
    known = np.fromiter(rows, dtype=[("id", np.int64), ("norm", np.float32)])
    scores = np.zeros(len(snapshot.features))
    for at in range(0, len(scores), BLOCK):
        features = snapshot.features[at : at + BLOCK]
        norms = known["norm"][np.searchsorted(known["id"], features)]
        unit = unit_rows(
            snapshot.store.raw(features).astype(np.float32)
        )  # as the model made them, whatever is searched
        probabilities = classifier.probabilities(unit, norms)
        parts = [
            probabilities[:, list(concept.classes)].sum(axis=1, dtype=np.float64) for concept in understood.concepts
        ]
        scores[at : at + BLOCK] = np.exp(np.mean(np.log(np.maximum(parts, 1e-300)), axis=0))
    return np.clip(np.nan_to_num(scores), 0.0, 1.0)  # a damaged row is like nothing
