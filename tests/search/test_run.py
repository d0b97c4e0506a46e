"""A query asked of a collection, from Python."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import Collection, CollectionError, IdError, ImageError, InputError, Part, Query, Region
from lookalike._typing import FloatArray
from lookalike.features.models import MODELS
from lookalike.search import search
from lookalike.search.resolve import Reader
from tests.collection.fake import FakeEmbedder, picture


@pytest.fixture
def filled(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> Collection:
    """Pictures 0 to 5 in two folders, a year apart each, and two copies of the first."""
    root = tmp_path / "pictures"
    for seed in range(6):
        path = picture(root / ("even", "odd")[seed % 2] / f"{seed}.jpg", seed)
        when = datetime(2018 + seed, 6, 1).timestamp()
        os.utime(path, (when, when))
    for name in ("copy.jpg", "another.jpg"):
        shutil.copy2(root / "even/0.jpg", root / name)
    collection.add(root)
    return collection


def file(collection: Collection, name: str) -> str:
    return str(next(entry.path for entry in collection.entries() if entry.path.name == name))


def names(collection: Collection, query: Query, **options: object) -> list[str]:
    return [hit.path.stem for hit in collection.search(query, **options)]  # type: ignore[arg-type]


def test_a_query_of_one_picture_finds_what_the_picture_finds(filled: Collection) -> None:
    for asked in (file(filled, "1.jpg"), 3, Path(file(filled, "2.jpg")).read_bytes()):
        query = Query(asked)
        assert filled.search(query) == filled.search(asked)
        assert filled.search(query, k=2, exact=True) == filled.search(asked, 2)
    both = [file(filled, "1.jpg"), file(filled, "2.jpg")]
    assert [hit.id for hit in filled.search(Query(both))] == [hit.id for hit in filled.search(both)]
    hits, timing = filled.search_timed(Query(both, k=3))
    assert len(hits) == 3
    assert set(timing) == {"embed", "search"}


def test_filters_and_allow_hold_together(filled: Collection) -> None:
    first = file(filled, "0.jpg")
    assert set(names(filled, Query(first, labels="odd"))) == {"1", "3", "5"}
    assert set(names(filled, Query(first, labels=["odd"], after="2020"))) == {"3", "5"}
    assert set(names(filled, Query(first, after="2019-06", before="2021"))) == {"1", "2", "3"}
    assert set(names(filled, Query(first, before="2019-05"))) == {"0", "copy", "another"}
    allowed = [filled.find(file(filled, name)) for name in ("2.jpg", "3.jpg")]
    assert names(filled, Query(first, labels="odd"), allow=allowed) == ["3"]
    mask = np.zeros(max(filled.ids()) + 1, np.bool_)
    mask[allowed] = True
    assert set(names(filled, Query(first), allow=mask)) == {"2", "3"}
    assert names(filled, Query(first, labels="odd"), allow=mask) == ["3"]


def test_copies_are_folded_under_their_hit(filled: Collection) -> None:
    first, *others = filled.search(Query(file(filled, "0.jpg"), fold=True))
    assert {hit.path.stem for hit in (first, *first.same)} == {"0", "copy", "another"}
    assert [copy["id"] for copy in first.to_json()["same"]] == [copy.id for copy in first.same]
    assert len(others) == 5
    assert not any(hit.same or "same" in hit.to_json() for hit in others)


def test_order_and_least_similarity(filled: Collection) -> None:
    query = Query(file(filled, "0.jpg"), labels=["even", "odd"])
    assert names(filled, query) != sorted(names(filled, query))
    ordered = Query(query.parts, labels=query.labels, sort="newest")
    assert names(filled, ordered) == ["5", "4", "3", "2", "1", "0"]
    assert names(filled, Query(query.parts, at_least=99, fold=True))[1:] == []


def test_what_is_not_liked_is_left_out_as_a_file_too(filled: Collection) -> None:
    first, second = file(filled, "1.jpg"), file(filled, "2.jpg")
    number = filled.find(second)
    by_file = filled.search(Query(first, like=[file(filled, "3.jpg")], dislike=second))
    by_id = filled.search(Query(first, like=[file(filled, "3.jpg")], dislike=number))
    assert by_file == by_id
    assert number not in {hit.id for hit in by_file}


def test_a_region_in_pixels_is_one_in_fractions(filled: Collection) -> None:
    path = file(filled, "4.jpg")  # 24 by 24
    with Image.open(path) as whole:
        cut = np.asarray(whole.convert("RGB").crop((12, 6, 24, 18)))
    expected = filled.search(np.ascontiguousarray(cut))
    for part in (Region(12, 6, 12, 12), Region(0.5, 0.25, 0.5, 0.5)):
        for given in (path, Path(path).read_bytes()):
            hits = filled.search(Query(Part.of(given, part)))
            assert {hit.id: hit.cosine for hit in hits} == pytest.approx({hit.id: hit.cosine for hit in expected})
    own = filled.search(Query(Part(id=filled.find(path), region=Region(12, 6, 12, 12))))
    assert filled.find(path) not in {hit.id for hit in own}


def test_an_exact_answer_says_what_the_index_missed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 32))[rng.integers(0, 60, 3000)] + rng.standard_normal((3000, 32))
    with Collection.create(tmp_path / "large") as large:
        large.add_vectors(x, [f"{at}.jpg" for at in range(3000)])
        missed = set()
        for number in range(1, 200, 10):
            query = Query(number, k=20)
            exact = query.ask(large, exact=True)
            quick = {hit.id for hit in query.ask(large).hits}
            assert set(exact.missed or ()) == {hit.id for hit in exact.hits} - quick
            missed |= set(exact.missed or ())
            plain = search(query, large, without_index=True)
            assert plain.missed is None
            assert plain.hits == exact.hits
        assert missed, "an index that misses nothing needs another test"


def test_words_go_with_what_the_model_knows(filled: Collection) -> None:
    answer = Query(words="dogs", labels="odd", k=2).ask(filled)
    assert len(answer.hits) == 2
    assert all(hit.label == "odd" for hit in answer.hits)
    assert "golden retriever" in answer.labels
    assert (answer.words or "").startswith("a label search")
    with pytest.raises(InputError, match="do not mix with pictures"):
        filled.search(Query(1, words="dogs"))
    assert not MODELS["efficientnet-lite0"].text


def test_what_cannot_be_searched_with(filled: Collection, tmp_path: Path) -> None:
    path, region = file(filled, "1.jpg"), "0,0,0.5,1"
    (tmp_path / "text.jpg").write_text("not a picture")
    for query, kind, says in (
        (Query(tmp_path / "no.jpg"), ImageError, "no.jpg: there is no such file"),
        (Query(Part.of(tmp_path / "no.jpg", region)), ImageError, "no.jpg: there is no such file"),
        (Query(Part.of(tmp_path, region)), ImageError, "a folder, expected a picture"),
        (Query(Part.of(tmp_path / "text.jpg", region)), ImageError, "text.jpg: "),
        (Query(Part.of(path, "0,0,25,10")), InputError, "reaches beyond the picture, which has 24 × 24 pixels"),
        (Query(9999), IdError, "9999"),
        (Query(Part(id=1, source="elsewhere")), InputError, "only a server"),
        (Query(Part(kept="0" * 32)), IdError, "only the server that made it"),
        (Query(1, like=2, dislike=2, k=3), None, ""),
    ):
        if kind is None:
            assert filled.search(query)
            continue
        with pytest.raises(kind, match=says):
            filled.search(query)
    own = Query(Part(id=1, source=filled.name))
    assert filled.search(own) == filled.search(1)


def test_a_vector_of_the_collection_that_was_there_before_is_not_searched_with(
    filled: Collection, tmp_path: Path
) -> None:
    """The collection is deleted and made again while the query is embedded, and may have another model now."""

    class Slow(Reader):
        def vector(self, query: Query, collection: Collection) -> FloatArray:
            made = super().vector(query, collection)
            shutil.rmtree(collection.path)
            with Collection.create(collection.path) as again:
                again.add(tmp_path / "pictures")
            return made

    with pytest.raises(CollectionError, match="made again meanwhile; search again"):
        search(Query(file(filled, "1.jpg")), filled, Slow())
    assert search(Query(file(filled, "1.jpg")), filled).found
