"""Which classes words mean."""

from __future__ import annotations

import pytest

from lookalike.errors import InputError
from lookalike.features.words import Vocabulary, load_vocabulary

WORDS = load_vocabulary()


def meant(text: str) -> set[str]:
    return {WORDS.names[number] for concept in WORDS.understand(text).concepts for number in concept.classes}


def test_the_table_has_the_classes_of_imagenet_in_their_order() -> None:
    assert len(WORDS.names) == 1000
    assert (WORDS.names[0], WORDS.names[281], WORDS.names[999]) == ("tench", "tabby", "toilet tissue")


@pytest.mark.parametrize(
    ("text", "some", "count"),
    [
        ("dog", {"Chihuahua", "German shepherd"}, 118),
        ("bicycle", {"mountain bike", "bicycle-built-for-two"}, 2),
        ("Mountain-Bikes", {"mountain bike"}, 1),
        ("sail boat", {"catamaran", "trimaran"}, 2),
        ("crane", {"crane"}, 1),
        ("mice", {"mouse"}, 1),
        ("butterflies", {"monarch"}, 6),
        ("foxes", {"red fox"}, 4),
        ("yellow lady's slipper", {"yellow lady's slipper"}, 1),
        ("piñata", set(), 0),
        ("shepherd", {"German shepherd"}, 1),
        ("geese and wolves", {"goose", "timber wolf"}, 5),
    ],
)
def test_names_kinds_and_plurals_are_understood(text: str, some: set[str], count: int) -> None:
    if not count:
        with pytest.raises(InputError):
            WORDS.understand(text)
        return
    assert some <= meant(text)
    assert len(meant(text)) == count


def test_words_with_two_meanings_mean_both() -> None:
    (crane,) = WORDS.understand("crane").concepts
    assert crane.classes == (134, 517)  # the bird and the machine


def test_what_no_label_is_called_by_is_left_out_and_small_words_are_nothing() -> None:
    understood = WORDS.understand("the red bicycle on a rainy day")
    assert [concept.said for concept in understood.concepts] == ["bicycle"]
    assert understood.left_out == ("red", "rainy", "day")


def test_the_longest_name_counts() -> None:
    assert meant("red fox") == {"red fox"}
    assert [concept.said for concept in WORDS.understand("red fox, goldfish, red fox").concepts] == [
        "red fox",
        "goldfish",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("buiclding", "near it are: building"),
        ("sunset", "it has labels for animals"),
        ("the", "animals"),
    ],
)
def test_unknown_words_name_near_labels(text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"none of the model's 1,000 labels is called '{text}'; .*{words}"):
        WORDS.understand(text)


@pytest.mark.parametrize("text", ["", "!?", "a" * 1001, "dog " * 300])
def test_what_is_no_text(text: str) -> None:
    with pytest.raises(InputError, match="expected 1 to 1,000 characters"):
        WORDS.understand(text)


def test_kinds_of_kinds_hold_and_nothing_is_counted_twice() -> None:
    rows = [f"n{i}\tthing {i}\tk{i % 2}" for i in range(1000)]
    small = Vocabulary(["# head", *rows, "k0\teven\tall", "k1\todd;uneven\tall", "all\tnumber;*numbers\t"])
    assert len(small.understand("numbers").concepts[0].classes) == 1000
    assert small.understand("uneven").concepts[0].classes == tuple(range(1, 1000, 2))
