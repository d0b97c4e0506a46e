"""A whole query taken apart, and why a picture is a result of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.errors import InputError
from lookalike.explain.reasons import reasons
from lookalike.search import Query, Reader, resolve
from lookalike.search.run import compares_with_all
from lookalike.viz.explain import query_page, take_apart
from tests.collection.fake import FakeEmbedder, picture, pictures


@pytest.fixture
def indexed(collection: Collection) -> Collection:
    """6,000 vectors, and an index over them."""
    x = np.random.default_rng(0).normal(size=(6000, 16))
    collection.add_vectors(x, [f"/none/{number}.jpg" for number in range(len(x))])
    assert collection.status()["index"] == "ivfpq"
    return collection


def test_a_picture_at_an_address_is_fetched_once(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures(folder, 3)[0].read_bytes()
    collection.add(folder)
    asked: list[str] = []
    monkeypatch.setattr(resolve, "fetch", lambda url: asked.append(url) or data)
    _, shown = take_apart(Query("https://a.example/b.jpg"), collection)
    assert (len(asked), shown["query"]) == (1, data)


def test_the_page_says_when_the_results_beside_it_were_compared_with_everything(indexed: Collection) -> None:
    said = "The results beside this were found by comparing with everything"
    assert said in query_page(Query(3, k=2000), indexed).html
    assert said not in query_page(Query(3, k=5), indexed).html
    told, shown = take_apart(Query(3, k=2000), indexed, most=50)
    assert compares_with_all(Query(3, k=2000), indexed)
    assert len(told.final_ids) <= 50
    assert shown["notes"][-1] == "Of 2000 results the first 50 are shown."
    assert not any("beside" in note for note in shown["notes"])  # nothing stands beside the file that a command writes


def test_a_picture_whose_file_is_gone_keeps_its_name(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    first = pictures(folder, 3)[0]
    collection.add(folder)
    number = collection.find(first)
    first.unlink()
    _, shown = take_apart(Query(number), collection)
    assert (shown["name"], shown["query"]) == (first.name, None)


def test_what_holds_nothing_is_refused_before_anything_is_read(collection: Collection) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        take_apart(Query("/no/such/file.jpg"), collection)


def test_ranks_are_places_among_the_results(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    """Of equal copies those that are there come first, in the results and in what is said of them."""
    data = picture(folder / "a.jpg", 1).read_bytes()
    (folder / "b.jpg").write_bytes(data)
    picture(folder / "c.jpg", 2)
    collection.add(folder)
    (folder / "a.jpg").unlink()
    query = Query(str(folder / "c.jpg"))
    hits = collection.search(query)
    assert [hit.path.name for hit in hits] == ["c.jpg", "b.jpg", "a.jpg"]
    ranks = [reasons(Reader(), query, hit.id, collection)["rank"] for hit in hits]
    assert ranks == [1, 2, 3]
