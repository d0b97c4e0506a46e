"""Learning a transform, putting it on and taking it off."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lookalike import Collection
from lookalike.collection.catalog.file import CATALOG
from lookalike.errors import CollectionError, DimensionError, InputError, ModelError, VersionError
from lookalike.explain.reasons import reasons
from lookalike.quality.adaptation import read_groups
from lookalike.search import Query, Reader

D, LABELS, EACH = 24, 8, 12


def _vectors(seed: int = 0, labels: int = LABELS, each: int = EACH) -> tuple[np.ndarray, list[str]]:
    """What tells labels apart is small, and in other directions than what is large and means nothing."""
    rng = np.random.default_rng(seed)
    centres = np.concatenate([rng.normal(0, 0.6, (labels, D // 2)), np.zeros((labels, D // 2))], axis=1)
    x = np.repeat(centres, each, axis=0)
    x[:, : D // 2] += rng.normal(0, 0.25, (len(x), D // 2))
    x[:, D // 2 :] += rng.normal(0, 1.2, (len(x), D // 2))
    return x, [f"label {at // each}" for at in range(len(x))]


@pytest.fixture
def mine(tmp_path: Path) -> Collection:
    x, labels = _vectors()
    collection = Collection.create(tmp_path / "mine.lookalike")
    collection.add_vectors(x, [f"{at}.jpg" for at in range(len(x))], labels, model="mine")
    return collection


def _version(collection: Collection) -> int:
    connection = sqlite3.connect(collection.path / CATALOG)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return int(version)


def test_what_is_learnt_helps_pictures_and_labels_that_were_not_learnt_from(mine: Collection) -> None:
    before = mine.evaluate()
    learnt = mine.adapt()
    assert learnt.helps
    assert learnt.pictures.queries == LABELS * EACH
    assert learnt.pictures.difference > 0.1
    assert learnt.labels is not None
    assert learnt.labels.difference > 0.05
    assert mine.evaluate() == before  # nothing was changed yet
    mine.set_transform(learnt.transform)
    after = mine.evaluate()
    assert after.transform == "within-class whitening"
    assert after.overall["transformed"]["map"] > before.overall["cosine"]["map"] + 0.1
    assert after.overall["cosine"] == before.overall["cosine"]
    assert after.labelled["label 3"]["map"] > before.labelled["label 3"]["map"]
    assert (before.transform, "transformed" in before.overall) == ("", False)


def test_a_transform_is_applied_to_stored_vectors_and_queries_and_comes_off_again(mine: Collection) -> None:
    x, _ = _vectors()
    before = [(hit.id, hit.cosine) for hit in mine.search(x[0], k=96)]
    transform = mine.adapt().transform
    mine.set_transform(transform)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    y = transform.apply(unit)
    found = mine.search(x[0], k=96)
    assert {hit.id: hit.cosine for hit in found} == pytest.approx(dict(enumerate((y @ y[0]).tolist(), 1)), abs=5e-3)
    assert [hit.id for hit in mine.search(1, k=95)] == [hit.id for hit in found if hit.id != 1]
    assert [hit.id for hit in mine.search([1, 2], k=3)] == [
        hit.id for hit in mine.search([x[0], x[1]], k=5) if hit.id > 2
    ][:3]
    again = mine.vectors([1])
    assert np.allclose(again, unit[:1], atol=2e-3)  # as the model made it: search transforms it
    assert mine.verify() == []
    assert mine.status()["transform"]["d"] == transform.d_out
    with Collection.open(mine.path) as other:
        assert [hit.id for hit in other.search(x[0], k=96)] == [hit.id for hit in found]
    files = len(list((mine.path / "features").iterdir()))
    mine.set_transform(None)
    assert [(hit.id, hit.cosine) for hit in mine.search(x[0], k=96)] == before
    assert mine.status()["transform"] is None
    assert len(list((mine.path / "features").iterdir())) == files - 1
    assert mine.verify() == []


def test_an_older_lookalike_must_not_search_transformed_vectors_as_plain_ones(
    mine: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.set_transform(mine.fit_transform(4))
    assert _version(mine) > 1
    monkeypatch.setattr("lookalike.collection.catalog.connecting.SCHEMA_VERSION", 1)
    with pytest.raises(VersionError, match="newer"):
        Collection.open(mine.path)


def test_a_collection_with_a_transform_grows_shrinks_and_is_compacted(mine: Collection) -> None:
    transform = mine.adapt().transform
    mine.set_transform(transform)
    x, labels = _vectors(seed=1)
    mine.add_vectors(x, [f"new{at}.jpg" for at in range(len(x))], labels, model="mine")
    mine.remove([f"{at}.jpg" for at in range(50)])
    mine.compact()
    assert mine.verify() == []
    hit = mine.search(x[5], k=1)[0]
    assert (hit.path.name, hit.similarity) == ("new5.jpg", pytest.approx(100, abs=0.5))
    mine.remove(mine.entries(limit=1)[0].path.parent)
    mine.add_vectors(np.eye(3), ["a.jpg", "b.jpg", "c.jpg"], model="another")
    assert mine.status()["transform"] is None  # it was fitted to vectors that are gone


def test_the_index_is_made_anew_from_transformed_vectors(tmp_path: Path) -> None:
    x, labels = _vectors(labels=24, each=100)
    with Collection.create(tmp_path / "large.lookalike") as collection:
        collection.add_vectors(x, [f"{at}.jpg" for at in range(len(x))], labels, model="mine")
        plain = collection.status()
        assert plain["index"] == "ivfpq"
        collection.set_transform(collection.fit_transform(8))
        status = collection.status()
        assert status["generation"] != plain["generation"]
        assert status["index"] == "ivfpq"
        assert status["recall_at_10"]["low"] >= 0.9
        exact = [hit.id for hit in collection.search(x[7], k=10, exact=True)]
        assert len(set(exact) & {hit.id for hit in collection.search(x[7], k=10)}) >= 8
        hits = collection.search(8, k=10, exact=True)
        for at in (0, 4):  # the reasons are of the transformed vectors, as the results are
            told = reasons(Reader(), Query(8), hits[at].id, collection)
            assert told["rank"] == at + 1
            for measured in (told, *told["parts"]):
                assert measured["cosine"] == pytest.approx(hits[at].cosine, abs=1e-5)
                assert measured["similarity"] == pytest.approx(hits[at].similarity, abs=0.1)
                assert measured["word"] == hits[at].word
            assert told["index"]["nlist"]
        collection.set_transform(None)
        assert collection.status()["spec"] == plain["spec"]


def test_similarity_still_says_what_it_said(mine: Collection) -> None:
    def share(least: float) -> float:
        hits = [hit for id in mine.ids().tolist()[::4] for hit in mine.search(id, k=95)]
        return sum(hit.similarity >= least for hit in hits) / len(hits)

    before = {least: share(least) for least in (20, 50)}
    mine.set_transform(mine.adapt().transform)
    assert {least: share(least) for least in (20, 50)} == pytest.approx(before, abs=0.06)
    x, _ = _vectors()
    assert mine.search(x[3], k=1)[0].similarity == pytest.approx(100, abs=0.5)


def test_noise_gains_nothing_and_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(5).standard_normal((60, D))
    with Collection.create(tmp_path / "noise.lookalike") as collection:
        collection.add_vectors(x, [f"{at}.jpg" for at in range(60)], [f"{at % 6}" for at in range(60)], model="mine")
        assert not collection.adapt().helps


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({f"{at}.jpg": ["one"] for at in range(40)}, "two or more"),
        ({"0.jpg": ["a"], "1.jpg": ["a"], "2.jpg": ["b"], "3.jpg": ["b"]}, "four pictures or more"),
        ({f"{at}.jpg": [str(at)] for at in range(40)}, "two or more"),
    ],
)
def test_too_little_to_learn_from(mine: Collection, labels: dict[str, list[str]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mine.adapt(labels)


def test_labels_of_two_kinds_are_checked_on_pictures_only(mine: Collection) -> None:
    labels = {f"{at}.jpg": ["a" if at < EACH else "b"] for at in range(2 * EACH)}
    assert mine.adapt(labels).labels is None


def test_a_transform_of_other_vectors_is_refused(mine: Collection, tmp_path: Path) -> None:
    transform = mine.fit_transform(4, whiten=True)
    with Collection.create(tmp_path / "other.lookalike") as other:
        other.add_vectors(np.eye(D)[:3], ["a.jpg", "b.jpg", "c.jpg"], model="other")
        with pytest.raises(ModelError, match="another model"):
            other.set_transform(transform)
        with pytest.raises(InputError, match="d: expected 1 to 24"):
            other.fit_transform(25)
    with pytest.raises(ModelError):
        mine.set_transform(type(transform)("", "", transform.mean, transform.projection, transform.calibration))
    assert issubclass(DimensionError, InputError)


def test_a_damaged_transform_is_named_and_can_be_taken_off(mine: Collection) -> None:
    mine.set_transform(mine.fit_transform(4))
    named = mine.status()["transform"]
    assert named["kind"] == "PCA to 4"
    newest = max((mine.path / "features").glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-3] ^= 0xFF
    newest.write_bytes(data)
    with Collection.open(mine.path) as again:
        assert any("takes the transform off" in problem for problem in again.verify())
        with pytest.raises(CollectionError, match="--undo"):
            again.search(1)
        again.set_transform(None)
        assert len(again.search(1)) == 10
        assert again.verify() == []


def test_a_copied_folder_takes_its_transform_along(mine: Collection, tmp_path: Path) -> None:
    mine.set_transform(mine.fit_transform(4))
    expected = [hit.id for hit in mine.search(1)]
    mine.close()
    shutil.copytree(mine.path, tmp_path / "copy")
    with Collection.open(tmp_path / "copy") as copied:
        assert [hit.id for hit in copied.search(1)] == expected


def test_groups_are_paths_with_empty_lines_between(tmp_path: Path, mine: Collection) -> None:
    file = tmp_path / "groups.txt"
    file.write_text("a b.jpg\r\nc.jpg\r\n\r\n\n  \nd.jpg\n", encoding="utf-8")
    assert read_groups(file) == {"a b.jpg": ("group 1",), "c.jpg": ("group 1",), "d.jpg": ("group 2",)}
    lines = [f"{at}.jpg" + ("\n" if at % EACH == EACH - 1 else "") for at in range(4 * EACH)]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert mine.adapt(read_groups(file)).helps
    for text, words in (("a.jpg\nb.jpg\n", "two or more groups"), ("a.jpg\n\na.jpg\n", "twice"), ("", "got 0")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_groups(file)
    with pytest.raises(InputError, match="No such file"):
        read_groups(tmp_path / "none")
