"""Searching with words: by the vector of the text where the model has a text tower, else by the labels of its classifier."""

from __future__ import annotations

import functools
import sqlite3
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import ArrayLike, FloatArray, IdArray
from lookalike._validate import unit_rows
from lookalike.collection.catalog import entries as listing
from lookalike.collection.models import check_embeds
from lookalike.collection.records import TextAnswer
from lookalike.collection.snapshot import Snapshot
from lookalike.errors import InputError, ModelError
from lookalike.features.classifier import Classifier, load_classifier
from lookalike.features.models import ModelCard
from lookalike.features.words import Understood, load_vocabulary
from lookalike.search.find import FOLD_FACTOR, SHOWN, Found, folded_ids, optional_allow
from lookalike.search.query import Query

if TYPE_CHECKING:
    from lookalike.collection.stored import StoredCollection
    from lookalike.features.text import TextEmbedder

__all__ = ["LABEL_WORDS", "embed_text", "label_word", "pictures_of", "search_labels"]

# From which probability on, in percent, a word is said; docs/text.md has how often each was right.
LABEL_WORDS = ((75.0, "sure"), (10.0, "perhaps"), (0.0, "hardly"))

BLOCK = 4096  # pictures whose probabilities are held at once: 16 MB


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


def search_labels(query: Query, collection: StoredCollection, allow: IdArray | None) -> tuple[list[Found], TextAnswer]:
    """The pictures that most probably show what the words mean, and how these were read."""
    if query.words is None or query.parts or query.like or query.dislike:
        raise InputError(
            "this collection's model matches words to labels, which do not mix with pictures; search with words alone, "
            "or with pictures alone"
        )
    count = query.k * (FOLD_FACTOR if query.fold else 1)
    while True:
        answer = pictures_of(collection, query.words, count, allow)
        hits = [hit for hit in answer.hits if hit.similarity >= query.at_least]
        groups = [[at] for at in range(len(hits))]
        if query.fold:
            groups = folded_ids(collection, np.array([hit.id for hit in hits], np.int64), query.k)
        if len(groups) >= query.k or len(hits) < count:
            break
        count *= FOLD_FACTOR**2  # each time all pictures are ranked anew: in few steps
    groups = [group[: 1 + SHOWN] for group in groups]
    known = collection.several([hit.id for hit in hits])
    each = [Found(hit, entry) for hit, entry in zip(hits, known, strict=True)]
    found = [replace(each[first], same=tuple(each[at] for at in same)) for first, *same in groups[: query.k]]
    return found, answer


def pictures_of(collection: StoredCollection, text: str, k: int, allow: ArrayLike | None) -> TextAnswer:
    """The pictures that most probably show what a text means, best first.

    The probability of a concept is the sum of those of its classes; of several concepts, the geometric mean, so that a picture
    needs a little of each.

    Parameters
    ----------
    collection : StoredCollection
    text : str
    k : int
    allow : ids or boolean mask indexed by id, or None
    """
    allowed, start = optional_allow(allow), time.perf_counter()
    words = load_vocabulary()
    with collection.view() as (connection, snapshot):
        classifier = _classifier(snapshot.card)
        understood = words.understand(text)
        read = time.perf_counter()
        scores = _scores(connection, snapshot, classifier, understood)
        found, scores = snapshot.best(scores, k, snapshot.select(allowed))
        hits = [
            replace(hit, similarity=100 * p, cosine=p, distance=1 - p, word=label_word(p))
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
