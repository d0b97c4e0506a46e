"""What can be asked, and what comes back."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.collection import Collection
from lookalike.errors import (
    CollectionError,
    DimensionError,
    DTypeError,
    FetchError,
    IdError,
    ImageError,
    InputError,
)
from tests.collection.fake import FakeEmbedder, picture, pictures


@pytest.fixture
def filled(collection: Collection, folder: Path) -> Collection:
    pictures(folder, 20)
    collection.add(folder)
    return collection


def test_path_image_bytes_file_and_pixels_agree(filled: Collection, tmp_path: Path) -> None:
    query = picture(tmp_path / "query.jpg", 500)
    data = query.read_bytes()
    image = Image.open(query)
    expected = [(hit.id, round(hit.cosine, 4)) for hit in filled.search(query, k=5)]
    assert len(expected) == 5
    for same in (str(query), data, bytearray(data), io.BytesIO(data), image, np.asarray(image)):
        assert [(hit.id, round(hit.cosine, 4)) for hit in filled.search(same, k=5)] == expected


def test_results_are_those_of_a_full_comparison(filled: Collection, embedder: FakeEmbedder, tmp_path: Path) -> None:
    query = picture(tmp_path / "query.jpg", 500)
    vectors = embedder.embed([entry.path for entry in filled.entries()])
    cosines = vectors @ embedder.embed([query])[0]
    hits = filled.search(query, k=20)
    assert [hit.id for hit in hits] == (np.argsort(-cosines, kind="stable") + 1).tolist()
    assert np.allclose([hit.cosine for hit in hits], np.sort(cosines)[::-1], atol=1e-3)
    assert all(hit.distance == pytest.approx(1 - hit.cosine) for hit in hits)
    similarities = [hit.similarity for hit in hits]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 <= value <= 100 for value in similarities)
    assert {hit.word for hit in hits} <= {"same picture", "very alike", "related", "weak"}


def test_id_leaves_itself_out(filled: Collection) -> None:
    hits = filled.search(3, k=100)
    assert len(hits) == 19
    assert 3 not in {hit.id for hit in hits}
    assert filled.search(np.int64(3), k=100) == hits
    both = filled.search([3, 4], k=100)
    assert len(both) == 18
    assert filled.search(filled.entry(3).path, k=100)[0].id == 3


def test_stored_features_answer_for_unchanged_files(filled: Collection, embedder: FakeEmbedder, folder: Path) -> None:
    filled.search(folder / "0003.jpg")
    embedder.embed = lambda pictures: pytest.fail("embedded again")  # type: ignore[method-assign]
    assert filled.search(folder / "0003.jpg", k=1)[0].id == 4


def test_changed_file_is_asked_with_its_new_contents(filled: Collection, folder: Path) -> None:
    picture(folder / "0003.jpg", 7)
    assert filled.search(folder / "0003.jpg", k=1)[0].relative == "0007.jpg"


def test_several_queries_are_the_mean_of_their_unit_vectors(filled: Collection, embedder: FakeEmbedder) -> None:
    paths = [entry.path for entry in filled.entries(limit=3)]
    mean = embedder.embed(paths).mean(axis=0)
    expected = [hit.id for hit in filled.search(mean, k=8)]
    assert [hit.id for hit in filled.search(paths, k=8)] == expected
    assert [hit.id for hit in filled.search([paths[0], Image.open(paths[1]), paths[2].read_bytes()], k=8)] == expected


def test_vectors(filled: Collection, embedder: FakeEmbedder) -> None:
    vector = embedder.embed([filled.entry(5).path])[0]
    for same in (vector, vector * 1000, vector[None, :], vector.tolist(), vector.astype(np.float64)):
        assert filled.search(same, k=1)[0].id == 5
    with pytest.raises(DimensionError, match=r"1280.*3"):
        filled.search(np.ones(3))
    with pytest.raises(InputError, match="NaN"):
        filled.search(np.full(1280, np.nan))
    with pytest.raises(InputError):
        filled.search(np.full(1280, np.inf))


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_k_is_checked(filled: Collection, k: object) -> None:
    with pytest.raises(InputError, match="k: expected"):
        filled.search(1, k=k)  # type: ignore[arg-type]


def test_k_above_the_number_of_pictures_gives_all(filled: Collection) -> None:
    assert len(filled.search(filled.entry(1).path, k=1_000_000)) == 20


def test_allow_filters_inside_the_search(filled: Collection) -> None:
    wanted = [2, 9, 15]
    assert {hit.id for hit in filled.search(1, k=3, allow=wanted)} == set(wanted)
    mask = np.zeros(30, bool)
    mask[wanted] = True
    assert filled.search(1, k=3, allow=mask) == filled.search(1, k=3, allow=np.array(wanted))
    assert filled.search(1, k=5, allow=set(wanted)) == filled.search(1, k=3, allow=wanted)
    for same in (
        frozenset(wanted),
        dict.fromkeys(wanted).keys(),
        range(2, 16, 7),
        np.array([2, 9, 2**64 - 1], np.uint64),
    ):
        ids = [number for number in wanted if number in same]
        assert filled.search(1, k=5, allow=same) == filled.search(1, k=3, allow=ids)
    with pytest.raises(InputError, match="got generator"):
        filled.search(1, allow=(number for number in wanted))
    assert filled.search(1, k=5, allow=[]) == []
    assert filled.search(1, k=5, allow=[1]) == []
    assert filled.search(1, k=5, allow=[10**12]) == []
    with pytest.raises(DTypeError):
        filled.search(1, allow=["a"])
    with pytest.raises(InputError):
        filled.search(1, allow=[[1, 2]])


def test_bad_queries_each_have_a_clear_error(filled: Collection, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for query, error in [
        (tmp_path / "nowhere.jpg", ImageError),
        (tmp_path / "text.jpg", ImageError),
        (tmp_path, ImageError),
        (b"no picture", ImageError),
        (b"", ImageError),
        ("", InputError),
        ("a\0b", InputError),
        ([], InputError),
        ([[1, 2], [3]], InputError),
        (None, InputError),
        (True, InputError),
        (object(), InputError),
        ({"a": 1}, InputError),
        (0, IdError),
        (-1, IdError),
        (10**30, IdError),
        (np.zeros((4, 4, 3)), DTypeError),
        ("http://127.0.0.1/a.jpg", FetchError),
        ("HTTP://localhost:1/a.jpg", FetchError),
    ]:
        with pytest.raises(error) as caught:
            filled.search(query)
        assert "\n" not in str(caught.value), query


def test_url_is_fetched(filled: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture(tmp_path / "q.jpg", 7).read_bytes()
    asked: list[str] = []
    monkeypatch.setattr("lookalike._fetch.fetch", lambda url: asked.append(url) or data)
    assert filled.search("https://example.org/q.jpg", k=1)[0].relative == "0007.jpg"
    assert asked == ["https://example.org/q.jpg"]


def test_empty_collection_finds_nothing(collection: Collection, tmp_path: Path) -> None:
    assert collection.search(picture(tmp_path / "q.jpg", 1)) == []
    assert collection.search(np.ones(1280)) == []
    with pytest.raises(IdError):
        collection.search(1)


def test_equal_distances_are_ordered_by_id(collection: Collection, folder: Path) -> None:
    for name in "dbca":
        picture(folder / f"{name}.jpg", 1)
    picture(folder / "e.jpg", 2)
    collection.add(folder)
    hits = collection.search(folder / "a.jpg", k=5)
    assert [hit.id for hit in hits[:4]] == sorted(hit.id for hit in hits[:4])
    assert [len(collection.search(folder / "a.jpg", k=k)) for k in (1, 2, 3, 4, 5)] == [1, 2, 3, 4, 5]


def test_hit_as_json_has_exactly_the_contract(filled: Collection) -> None:
    hit = filled.search(1, k=1)[0]
    as_json = json.loads(json.dumps(hit.to_json()))
    assert as_json == {
        "path": str(hit.path),
        "similarity": hit.similarity,
        "cosine": hit.cosine,
        "distance": hit.distance,
        "id": hit.id,
    }
    assert Path(as_json["path"]).is_absolute()
    assert (hit.root / hit.relative) == hit.path


def test_timing_is_told(filled: Collection) -> None:
    hits, timing = filled.search_timed(1, k=2)
    assert hits == filled.search(1, k=2)
    assert set(timing) == {"embed", "search"}
    assert all(value >= 0 for value in timing.values())


def test_status_of_a_small_collection(filled: Collection) -> None:
    status = json.loads(json.dumps(filled.status()))
    assert status["pictures"] == 20
    assert (status["index"], status["spec"], status["model"]) == ("flat", "Flat", "efficientnet-lite0")
    assert status["recall_at_10"] == {"value": 1.0, "low": 1.0, "high": 1.0, "k": 10, "n": 20}
    assert status["skipped"] == []
    assert status["bytes"] > 0


def test_entries_are_paged(filled: Collection) -> None:
    assert [entry.id for entry in filled.entries(offset=5, limit=3)] == [6, 7, 8]
    assert filled.entries(offset=100) == []
    assert filled.entries(limit=0) == []
    entry = filled.entry(6)
    assert (entry.width, entry.height, entry.format) == (24, 24, "JPEG")
    assert entry.size == entry.path.stat().st_size
    assert entry.path in filled
    assert "elsewhere.jpg" not in filled
    with pytest.raises(IdError):
        filled.entry(999)
    with pytest.raises(InputError):
        filled.entries(offset=-1)


def test_remove(filled: Collection, folder: Path) -> None:
    assert filled.remove(folder / "0003.jpg") == 1
    assert filled.remove([folder / "0004.jpg", str(folder / "0005.jpg"), folder / "never.jpg"]) == 2
    assert len(filled) == 17
    assert not {4, 5, 6} & {hit.id for hit in filled.search(1, k=100)}
    with pytest.raises(IdError):
        filled.search(4)
    assert filled.add(folder).new == 3
    assert filled.remove(folder) == 20
    assert filled.search(np.ones(1280)) == []
    assert filled.add().indexed == 0


def test_removed_ids_are_never_used_again(filled: Collection, folder: Path) -> None:
    filled.remove(folder / "0019.jpg")
    filled.add(folder)
    assert filled.ids().tolist() == [*range(1, 20), 21]


def test_closed_collection_says_so(filled: Collection) -> None:
    filled.close()
    filled.close()
    for use in (lambda: filled.search(1), lambda: len(filled), filled.add, filled.status):
        with pytest.raises(CollectionError, match="closed"):
            use()


def test_threads_share_a_collection(filled: Collection) -> None:
    expected = {entry: filled.search(entry, k=5) for entry in range(1, 21)}
    wrong: list[object] = []

    def work(first: int) -> None:
        for step in range(40):
            entry = (first + step) % 20 + 1
            try:
                if filled.search(entry, k=5) != expected[entry]:
                    wrong.append(entry)
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
