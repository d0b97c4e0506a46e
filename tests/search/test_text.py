"""Searching with words: labels with the default model, a text tower with a model that has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools import measure_words

from lookalike.collection import Collection
from lookalike.errors import InputError, ModelError
from lookalike.features.classifier import load_classifier
from lookalike.features.fetching import fetch_model
from lookalike.features.models import DEFAULT_MODEL, MODELS
from lookalike.features.words import load_vocabulary
from lookalike.search.parts import is_words
from lookalike.search.words import label_word
from tests.features.test_fetching import card as towers_card
from tests.features.test_fetching import host as hub  # noqa: F401  # a fixture
from tests.filehost import FileHost

RETRIEVER, TABBY, BICYCLE = 207, 281, 671


def features_of(*classes: int, strength: float = 60.0) -> np.ndarray:
    """Features that the default model's classifier takes for these classes, and no others, in equal parts."""
    head = load_classifier(MODELS[DEFAULT_MODEL])
    assert head is not None
    wanted = head.weights[list(classes)].mean(axis=0) - head.weights.mean(axis=0)
    return wanted / np.linalg.norm(wanted) * strength


@pytest.fixture
def animals(tmp_path: Path) -> Iterator[Collection]:
    """Vectors of a dog, a cat, both, a bicycle, the dog again under another name, and noise."""
    noise = np.random.default_rng(0).standard_normal((30, 1280))
    rows = [
        features_of(RETRIEVER),
        features_of(TABBY),
        features_of(RETRIEVER, TABBY),
        features_of(BICYCLE),
        features_of(RETRIEVER),
    ]
    names = ["dog.jpg", "cat.jpg", "both.jpg", "bicycle.jpg", "dog again.jpg"]
    paths = [f"/p/{name}" for name in [*names, *map(str, range(30))]]
    with Collection.create(tmp_path / "a.lookalike") as made:
        made.add_vectors(np.concatenate([np.stack(rows), noise]), paths, model=DEFAULT_MODEL)
        yield made


def names(answer_hits: list) -> list[str]:
    return [hit.path.name for hit in answer_hits]


def test_a_kind_finds_its_labels_and_says_which(animals: Collection) -> None:
    answer = animals.search_text("dogs", k=3)
    assert set(names(answer.hits)) == {"dog.jpg", "dog again.jpg", "both.jpg"}
    assert answer.hits[0].word == "sure"
    assert len(answer.labels) == 118
    assert "golden retriever" in answer.labels
    assert answer.explain().startswith(
        "a label search, as this model knows 1,000 labels and no other words: 'dogs' matches"
    )
    assert "and 113 more" in answer.explain()
    assert set(answer.timing_ms) == {"embed", "search"}


def test_similarity_is_the_probability(animals: Collection) -> None:
    hits = animals.search_text("golden retriever", k=100).hits
    assert len(hits) == len(animals)
    head = load_classifier(MODELS[DEFAULT_MODEL])
    assert head is not None
    logits = head.weights @ features_of(RETRIEVER) + head.bias
    wanted = float(np.exp(logits - logits.max())[RETRIEVER] / np.exp(logits - logits.max()).sum())
    best = hits[0]
    assert best.similarity == pytest.approx(100 * wanted, rel=1e-3)
    for hit in hits:
        assert hit.similarity == 100 * hit.cosine
        assert hit.distance == pytest.approx(1 - hit.cosine)
        assert hit.word == label_word(hit.cosine)
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)


def test_of_two_things_a_picture_must_show_both(animals: Collection) -> None:
    assert names(animals.search_text("a tabby and a golden retriever", k=1).hits) == ["both.jpg"]


def test_words_without_a_label_are_named(animals: Collection) -> None:
    answer = animals.search_text("red bicycle", k=1)
    assert names(answer.hits) == ["bicycle.jpg"]
    assert (answer.matched, answer.left_out) == (("bicycle",), ("red",))
    assert answer.explain().endswith("not used, as no label has that name: red")


def test_filters_hold(animals: Collection) -> None:
    cat, dog = animals.find("/p/cat.jpg"), animals.find("/p/dog.jpg")
    assert cat is not None
    assert dog is not None
    assert [hit.id for hit in animals.search_text("dog", k=5, allow=[cat, dog]).hits] == [dog, cat]
    assert animals.search_text("dog", allow=[]).hits == []
    animals.remove("/p/dog.jpg")
    assert "dog.jpg" not in names(animals.search_text("dog", k=100).hits)


def test_ties_and_copies_come_by_id(tmp_path: Path, starter: Path) -> None:
    """Equal files share their features, so copies of a picture are as probable."""
    picture = starter / "drawings/hat/sombrero-dave-pena-01.jpg"
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(picture.read_bytes())
    (tmp_path / "c.jpg").write_bytes((starter / "photos/windmill/windmill-1.jpg").read_bytes())
    with Collection.create(tmp_path / "c.lookalike") as collection:
        collection.add([tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")])
        hits = collection.search_text("hat", k=2).hits
    assert names(hits) == ["a.jpg", "b.jpg"]
    assert hits[0].similarity == hits[1].similarity > 10


def test_an_empty_collection(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "a.lookalike") as collection:
        assert collection.search_text("dog").hits == []


def test_what_cannot_be_searched(animals: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the model's 1,000 labels is called 'sunset'"):
        animals.search_text("sunset")
    with pytest.raises(InputError, match="k"):
        animals.search_text("dog", k=0)
    with Collection.create(tmp_path / "mine.lookalike") as mine:
        mine.add_vectors(np.eye(3), ["a", "b", "c"], model="mine")
        with pytest.raises(ModelError, match="'mine' knows pictures only, no words"):
            mine.search_text("dog")


def test_the_measurement_counts_folders_of_that_name(animals: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_words, "AT_LEAST", 1)
    labels = dict.fromkeys(animals.ids().tolist(), "noise/of_nothing")
    for name, label in (("dog", "my/dogs"), ("dog again", "dogs"), ("cat", "my/Cat"), ("bicycle", "dogs")):
        number = animals.find(f"/p/{name}.jpg")
        assert number is not None
        labels[number] = label
    rows, unknown = measure_words.measure(animals, labels)
    assert unknown == 3  # my, noise, of nothing
    assert [(name, count) for name, count, _, _ in rows] == [("cat", 1), ("dogs", 3)]
    assert rows[0][2] == 0.1
    assert 0.66 < rows[1][3] < 1.0  # the bicycle is not among the first


def test_a_model_with_a_text_tower_reads_the_words_itself(
    hub: FileHost,  # noqa: F811
    tmp_path: Path,
) -> None:
    fetch_model("towers", known=towers_card(hub, tmp_path))
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with Collection.create(tmp_path / "t.lookalike", model="towers") as collection:
        collection.add([tmp_path / f"{number}.png" for number in range(4)])
        answer = collection.search_text("red bicycle", k=4)
        assert answer.labels == ()
        assert answer.explain() == ""
        vector = collection.text_vector("red bicycle")
        assert vector is not None
        assert answer.hits == collection.search(vector, k=4)
        assert len(collection.search([vector, tmp_path / "1.png"], k=4)) == 4


@pytest.mark.parametrize("text", ["red bicycle", "dog", "Äpfel", "a dog, a cat", "3 bears", "mr. bean"])
def test_words(text: str) -> None:
    assert is_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "holiday.jpg",
        "./x",
        "../dog",
        "~/dog",
        "a/b",
        "a\\b",
        "C:dog",
        ".hidden",
        "x.jpeg",
        "caf\udce9",
        "http://a",
        "",
        "?!",
        "dog.p",
    ],
)
def test_names_of_files(text: str) -> None:
    assert not is_words(text)


def test_the_vocabulary_fits_the_classifier() -> None:
    head = load_classifier(MODELS[DEFAULT_MODEL])
    assert head is not None
    assert len(load_vocabulary().names) == len(head.weights)
