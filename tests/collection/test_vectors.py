"""Vectors that were made elsewhere, and the index that grows over them."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.index import build as indexing
from lookalike.errors import DimensionError, DTypeError, InputError, LookalikeWarning, ModelError
from tests.collection.fake import FakeEmbedder, picture, pictures

D = 32


def clusters(n: int, seed: int = 0) -> np.ndarray:
    """Vectors around a few hundred centres, which is how pictures lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((200, D))
    return (centres[rng.integers(0, 200, n)] + 0.4 * rng.standard_normal((n, D))).astype(np.float32)


def named(n: int, first: int = 0) -> list[str]:
    return [f"/vectors/{number:06d}.jpg" for number in range(first, first + n)]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Collection]:
    with Collection.create(tmp_path / "v") as made:
        yield made


def exact_ids(x: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (np.argsort(-(unit @ (query / np.linalg.norm(query))), kind="stable")[:k] + 1).tolist()


def test_vectors_are_found_with_paths_and_labels(empty: Collection) -> None:
    x = clusters(50)
    report = empty.add_vectors(x, paths=named(50), labels=["even", "odd"] * 25, model="mine")
    assert (report.new, report.changed) == (50, 0)
    assert empty.labels() == {"even": 25, "odd": 25}
    hits = empty.search(x[7] * 3, k=50)
    assert hits[0].path == Path("/vectors/000007.jpg")
    assert hits[0].label == "odd"
    assert hits[0].similarity == pytest.approx(100, abs=0.01)
    assert min(hit.similarity for hit in hits) == 0 <= max(0, *(hit.cosine for hit in hits))
    status = empty.status()
    assert (status["model"], status["d"], status["pictures"]) == ("mine", D, 50)
    assert empty.search("/vectors/000007.jpg", k=1) == hits[:1]


def test_paths_given_again_are_changed(empty: Collection) -> None:
    x = clusters(10)
    empty.add_vectors(x, named(10))
    report = empty.add_vectors(x[:1], named(1, first=5))
    assert (report.new, report.changed) == (0, 1)
    assert {hit.id for hit in empty.search(x[0], k=2)} == {1, 6}
    assert len(empty) == 10


def test_vectors_without_files_are_never_missing(empty: Collection) -> None:
    empty.add_vectors(clusters(10), named(10))
    with pytest.raises(ModelError, match="'mine'"):
        empty.add()
    assert len(empty) == 10


def test_models_do_not_mix(empty: Collection, embedder: FakeEmbedder, folder: Path) -> None:
    pictures(folder, 2)
    empty.add_vectors(clusters(5), named(5), model="mine")
    with pytest.raises(ModelError, match=r"'mine'.*'yours'"):
        empty.add_vectors(clusters(5), named(5), model="yours")
    with pytest.raises(ModelError, match="'mine'"):
        empty.add(folder)
    with pytest.raises(ModelError, match="'mine'"):
        empty.search(folder / "0000.jpg")
    with pytest.raises(DimensionError, match=rf"{D}.*{D + 1}"):
        empty.add_vectors(np.ones((1, D + 1)), named(1))
    assert len(empty) == 5


def test_pictures_and_vectors_of_the_same_model_live_together(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    pictures(folder, 3)
    collection.add(folder)
    with pytest.raises(ModelError):
        collection.add_vectors(np.ones((1, 1280)), ["/x.jpg"], model="mine")
    vector = embedder.embed([picture(folder.parent / "q.jpg", 44)])
    collection.add_vectors(vector, ["/x.jpg"], model="efficientnet-lite0")
    assert collection.search(folder.parent / "q.jpg", k=1)[0].path == Path("/x.jpg")
    assert collection.add(folder, prune=True).removed == 0


def test_empty_collection_can_change_its_model(empty: Collection) -> None:
    empty.add_vectors(clusters(5), named(5), model="mine")
    empty.remove("/vectors")
    empty.add_vectors(np.eye(3), named(3), model="yours")
    assert (empty.model.name, empty.model.d, len(empty)) == ("yours", 3, 3)
    assert empty.verify() == []
    assert empty.search(np.eye(3)[1], k=1)[0].path == Path("/vectors/000001.jpg")


@pytest.mark.parametrize(
    ("x", "paths", "labels", "error"),
    [
        (np.full((1, D), np.nan), ["/a"], None, InputError),
        (np.ones((2, D)), ["/a"], None, InputError),
        (np.ones((2, D)), "/a", None, InputError),
        (np.ones((2, D)), ["/a", "/a"], None, InputError),
        (np.ones((2, D)), ["/a", "/b"], ["x"], InputError),
        (np.ones((2, D)), ["/a", "/b"], "xy", InputError),
        (np.ones((1, 2, 3)), ["/a"], None, InputError),
        ([["x"]], ["/a"], None, DTypeError),
        (np.ones((1, D)), [""], None, InputError),
    ],
)
def test_bad_vectors_are_refused_and_nothing_is_stored(
    empty: Collection, x: object, paths: list[str], labels: list[str] | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        empty.add_vectors(x, paths, labels)  # type: ignore[arg-type]
    assert len(empty) == 0
    assert list((empty.path / "features").iterdir()) == []


@pytest.mark.parametrize("model", ["", "a\nb", "x" * 500, 5])
def test_bad_names_of_models(empty: Collection, model: object) -> None:
    with pytest.raises(ModelError):
        empty.add_vectors(np.eye(3), named(3), model=model)  # type: ignore[arg-type]


def test_vector_of_zeros_is_similar_to_nothing(empty: Collection) -> None:
    empty.add_vectors(np.vstack([np.zeros(D), clusters(3)]), named(4))
    hits = empty.search(clusters(1)[0], k=4)
    assert next(hit.cosine for hit in hits if hit.id == 1) == 0
    assert len(empty.search(1, k=4)) == 3
    assert len(empty.search(np.zeros(D), k=4)) == 4


# --- the index --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, np.ndarray]]:
    """A collection that has an index; tests leave it as it is."""
    x = clusters(2600)
    with Collection.create(tmp_path_factory.mktemp("large") / "v") as made:
        made.add_vectors(x, named(2600), labels=[f"label {n % 13}" for n in range(2600)])
        yield made, x


def test_from_2000_pictures_on_there_is_an_index(large: tuple[Collection, np.ndarray]) -> None:
    collection, _ = large
    status = collection.status()
    assert status["index"] == "ivfpq"
    assert status["spec"].startswith("IVF")
    recall = status["recall_at_10"]
    assert 0.95 <= recall["low"] <= recall["value"] <= recall["high"] <= 1
    assert (recall["k"], recall["n"]) == (10, 512)
    assert collection.verify() == []


def test_below_2000_search_is_exact(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "v") as made:
        made.add_vectors(clusters(1999), named(1999))
        assert made.status()["index"] == "flat"


def test_recall_of_foreign_queries(large: tuple[Collection, np.ndarray]) -> None:
    collection, x = large
    queries = clusters(60, seed=5)
    found = [{hit.id for hit in collection.search(query, k=10)} for query in queries]
    true = [set(exact_ids(x, query, 10)) for query in queries]
    assert sum(len(a & b) for a, b in zip(found, true, strict=True)) >= 0.9 * 600


def test_exact_search_misses_nothing(large: tuple[Collection, np.ndarray]) -> None:
    collection, x = large
    for query in clusters(10, seed=6):
        hits = collection.search(query, k=10, exact=True)
        assert [hit.id for hit in hits] == exact_ids(x, query, 10)
        assert all(a.distance <= b.distance for a, b in itertools.pairwise(hits))


@pytest.mark.parametrize("k", [1, 10, 300, 1500, 2600, 99_999])
def test_k_results_when_there_are_k(large: tuple[Collection, np.ndarray], k: int) -> None:
    collection, x = large
    hits = collection.search(x[3], k=k)
    assert len(hits) == min(k, 2600)
    assert hits[0].id == 4
    assert len({hit.id for hit in hits}) == len(hits)
    assert len(collection.search(4, k=k)) == min(k, 2599)


def test_filter_gives_k_results_of_the_label(large: tuple[Collection, np.ndarray]) -> None:
    collection, x = large
    for share in (1, 5):
        allowed = np.concatenate([collection.ids(label=f"label {n}") for n in range(share)])
        hits = collection.search(x[3], k=50, allow=allowed)
        assert len(hits) == 50
        assert {hit.id for hit in hits} <= set(allowed.tolist())
        truth = collection.search(x[3], k=50, allow=allowed, exact=True)
        assert len({hit.id for hit in hits} & {hit.id for hit in truth}) >= 45
    most = np.delete(collection.ids(), np.arange(0, 2600, 3))
    hits = collection.search(x[3], k=50, allow=most)
    assert len(hits) == 50 and {hit.id for hit in hits} <= set(most.tolist())


def test_distances_are_exact_whatever_found_them(large: tuple[Collection, np.ndarray]) -> None:
    collection, x = large
    by_index = {hit.id: hit.distance for hit in collection.search(x[9], k=10)}
    exactly = {hit.id: hit.distance for hit in collection.search(x[9], k=10, exact=True)}
    for entry in by_index.keys() & exactly.keys():
        assert by_index[entry] == pytest.approx(exactly[entry], abs=1e-6)


@pytest.fixture
def grown(empty: Collection) -> Collection:
    empty.add_vectors(clusters(2100), named(2100))
    return empty


def test_new_vectors_are_found_before_they_are_in_the_index(grown: Collection) -> None:
    before = grown.status()["generation"]
    x = clusters(20, seed=8)
    grown.add_vectors(x, named(20, first=5000))
    assert grown.status()["generation"] == before
    for row in range(20):
        assert grown.search(x[row], k=1)[0].id == 2101 + row
    assert len(grown.search(x[0], k=9999)) == 2120


def test_index_follows_growth(grown: Collection) -> None:
    generations = [grown.status()["generation"]]
    for step in range(2):
        x = clusters(1500, seed=20 + step)
        grown.add_vectors(x, named(1500, first=10_000 * (step + 1)))
        status = grown.status()
        generations.append(status["generation"])
        assert status["recall_at_10"]["low"] >= 0.95
        assert grown.search(x[700], k=1)[0].path.name == f"{10_000 * (step + 1) + 700:06d}.jpg"
    assert generations == sorted(set(generations))
    assert grown.verify() == []
    assert len(list((grown.path / "index").iterdir())) == 1


def test_removed_vectors_do_not_come_back(grown: Collection) -> None:
    x = clusters(2100)
    near = [hit.path for hit in grown.search(x[0], k=30)]
    assert grown.remove(near) == 30
    assert not {hit.path for hit in grown.search(x[0], k=100)} & set(near)
    assert len(grown.search(x[0], k=100)) == 100
    grown.compact()
    assert not {hit.path for hit in grown.search(x[0], k=100)} & set(near)
    assert grown.status()["index"] == "ivfpq"
    assert grown.verify() == []


def test_compacting_keeps_ids_and_gives_space_back(grown: Collection) -> None:
    grown.remove(named(900, first=1000))
    before = {entry.id: entry.path for entry in grown.entries(limit=9999)}
    size = sum(file.stat().st_size for file in (grown.path / "features").iterdir())
    with Collection.open(grown.path) as reader:
        vector = clusters(2100)[5]
        found = reader.search(vector, k=10)
        grown.compact()
        assert [hit.id for hit in reader.search(vector, k=10)] == [hit.id for hit in found]
    assert {entry.id: entry.path for entry in grown.entries(limit=9999)} == before
    assert sum(file.stat().st_size for file in (grown.path / "features").iterdir()) < 0.6 * size
    assert grown.status()["index"] == "flat"
    assert grown.verify() == []


def test_much_that_is_dead_is_compacted_by_itself(empty: Collection) -> None:
    empty.add_vectors(clusters(1800), named(1800))
    empty.remove(named(1200))
    assert empty.status()["segments"] == 1
    (file,) = (empty.path / "features").iterdir()
    assert file.stat().st_size < 700 * D * 2
    assert empty.verify() == []


@pytest.mark.parametrize("damage", ["flip", "cut", "deleted", "foreign"])
def test_damaged_index_falls_back_to_exact_and_is_made_anew(grown: Collection, damage: str) -> None:
    (file,) = (grown.path / "index").iterdir()
    data = bytearray(file.read_bytes())
    if damage == "deleted":
        file.unlink()
    else:
        data[len(data) // 2] ^= 0xFF
        file.write_bytes({"flip": bytes(data), "cut": bytes(data[:5000]), "foreign": b"hello"}[damage])
    x = clusters(2100)
    with Collection.open(grown.path) as damaged:
        (problem,) = damaged.verify()
        assert problem.startswith("index/")
        with pytest.warns(LookalikeWarning, match="search is exact"):
            hits = damaged.search(x[5], k=10)
        assert [hit.id for hit in hits] == exact_ids(x, x[5], 10)
        assert damaged.search(x[5], k=10) == hits
    grown.add_vectors(x[:1], named(1, first=7000))
    assert grown.verify() == []
    assert grown.status()["index"] == "ivfpq"


def test_interrupted_indexing_leaves_a_right_collection(empty: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    x = clusters(2100)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "_save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            empty.add_vectors(x, named(2100))
    with Collection.open(empty.path) as again:
        assert len(again) == 2100
        assert [hit.id for hit in again.search(x[5], k=10)] == exact_ids(x, x[5], 10)
        again.add_vectors(x[:1], named(1))
        assert again.status()["index"] == "ivfpq"


def test_vectors_no_index_is_right_for_stay_exact(empty: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "choose_nprobe", lambda *_: None)
    x = clusters(2100)
    empty.add_vectors(x, named(2100))
    status = empty.status()
    assert (status["index"], status["spec"], status["recall_at_10"]["value"]) == ("flat", "Flat", 1.0)
    assert [hit.id for hit in empty.search(x[5], k=10)] == exact_ids(x, x[5], 10)
    assert empty.verify() == []


def test_many_equal_vectors(empty: Collection) -> None:
    empty.add_vectors(np.repeat(clusters(300), 8, axis=0), named(2400))
    assert [hit.id for hit in empty.search(1, k=7)] == list(range(2, 9))
    assert len(empty.search(clusters(1)[0], k=2400)) == 2400


def test_small_segments_are_merged(empty: Collection) -> None:
    for step in range(20):
        empty.add_vectors(clusters(3, seed=step), named(3, first=3 * step))
    assert empty.status()["segments"] < 10
    assert empty.verify() == []
    for step in range(20):
        assert empty.search(clusters(3, seed=step)[1], k=1)[0].id == 3 * step + 2


def test_search_goes_on_while_generations_change(grown: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "FRESH_LEAST", 50)
    monkeypatch.setattr(indexing, "FRESH_SHARE", 0.0)
    stop = threading.Event()
    wrong: list[object] = []
    seen: set[int] = set()

    def search() -> None:
        query = clusters(2100)[0]
        with Collection.open(grown.path) as reader:
            while not stop.is_set():
                try:
                    hits = reader.search(query, k=20)
                    seen.add(reader.status()["generation"])
                except Exception as error:  # noqa: BLE001
                    wrong.append(error)
                    return
                if len(hits) != 20 or hits[0].id != 1:
                    wrong.append(hits)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        for step in range(4):
            grown.add_vectors(clusters(60, seed=step), named(60, first=10_000 * (step + 1)))
            grown.remove(named(30, first=10_000 * (step + 1)))
        grown.compact()
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(seen) > 1
    assert grown.verify() == []
