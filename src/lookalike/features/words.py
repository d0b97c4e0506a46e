"""Words for the 1,000 classes of ImageNet: which classes somebody means.

The table ``imagenet_words.tsv`` (made by tools/build_imagenet_words.py) has the classes' names and what they are kinds of, from
WordNet: so "dog" means 118 classes, none of which is called so.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources

from lookalike.errors import InputError

__all__ = ["Concept", "Understood", "Vocabulary", "load_vocabulary"]

CLASSES = 1000
LONGEST = 6  # words of a name, "yellow lady's slipper" and longer
MAX_TEXT = 1000
MAX_CONCEPTS = 8
_ENDINGS = (
    ("ies", "y"),
    ("men", "man"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("s", ""),
)
_SMALL = frozenset(
    {
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "my",
        "of",
        "on",
        "or",
        "some",
        "the",
        "this",
        "to",
        "with",
    }
)


@dataclass(frozen=True, slots=True)
class Concept:
    """A part of what was said, and the classes it means, ascending."""

    said: str
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Understood:
    """What was said, as far as the classes have words for it.

    Attributes
    ----------
    concepts : tuple of Concept
        At least one.
    left_out : tuple of str
        Words that no class is called by; words as small as "the" do not count.
    """

    concepts: tuple[Concept, ...]
    left_out: tuple[str, ...]


class Vocabulary:
    """Names of the classes and of their kinds.

    Parameters
    ----------
    lines : iterable of str
        Of the table: number, names, and numbers of what it is a kind of, between tabs.

    Examples
    --------
    >>> words = load_vocabulary()
    >>> [words.names[c] for c in words.understand("red bicycles").concepts[0].classes]
    ['bicycle-built-for-two', 'mountain bike']
    """

    def __init__(self, lines: Iterable[str]) -> None:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
        parents = {number: above.split() for number, _, above in rows}
        holds: dict[str, set[int]] = {number: set() for number in parents}
        for place, (number, _, _) in enumerate(rows[:CLASSES]):
            for noun in _upwards(number, parents):
                holds[noun].add(place)
        self.names = tuple(names.partition(";")[0] for _, names, _ in rows[:CLASSES])
        self._classes: dict[str, set[int]] = {}
        self._last: dict[str, set[int]] = {}
        for place, (number, names, _) in enumerate(rows):
            for name in names.split(";"):
                words = _words(name)
                self._classes.setdefault(" ".join(words), set()).update(holds[number])
                if place < CLASSES:
                    self._last.setdefault(words[-1], set()).update(holds[number])

    def understand(self, text: str) -> Understood:
        """Which classes a text means.

        From the left, the longest name counts: "mountain bike" is one thing and not two. Where no word is a name, one that
        ends a name will do: "shepherd" means the German shepherd and others.

        Raises
        ------
        InputError
            If there is nothing in it that a class is called by; the message says what comes near.
        """
        words = _words(text)
        if not words or len(text) > MAX_TEXT:
            raise InputError(f"words: expected 1 to {MAX_TEXT:,} characters with a word in them, got {text[:80]!r}")
        concepts, left_out = self._read(words)
        if not concepts:
            found = [(word, next(filter(None, map(self._last.get, _forms([word]))), None)) for word in left_out]
            concepts = [Concept(word, tuple(sorted(classes))) for word, classes in found if classes]
            left_out = [word for word, classes in found if not classes]
        if not concepts:
            raise InputError(
                f"none of the model's {len(self.names):,} labels is called {text!r}; {self._hint(left_out)}"
            )
        return Understood(tuple(concepts[:MAX_CONCEPTS]), tuple(left_out))

    def _read(self, words: list[str]) -> tuple[list[Concept], list[str]]:
        concepts: list[Concept] = []
        left_out = []
        at = 0
        while at < len(words):
            for length in range(min(LONGEST, len(words) - at), 0, -1):
                part = words[at : at + length]
                classes = next(filter(None, map(self._classes.get, _forms(part))), None)
                if classes and (length > 1 or part[0] not in _SMALL):
                    concept = Concept(" ".join(part), tuple(sorted(classes)))
                    concepts += [concept] if concept not in concepts else []
                    break
            else:
                length = 1
                left_out += [words[at]] if words[at] not in _SMALL else []
            at += length
        return concepts, left_out

    def _hint(self, words: list[str]) -> str:
        near = [name for word in words for name in difflib.get_close_matches(word, self._classes, n=3, cutoff=0.75)]
        if near:
            return f"near it are: {', '.join(dict.fromkeys(near))}"
        return "it has labels for animals, plants, food, vehicles, furniture, tools, clothes, buildings and landscapes"


@functools.cache
def load_vocabulary() -> Vocabulary:
    """The vocabulary in the package."""
    text = resources.files("lookalike.features").joinpath("imagenet_words.tsv").read_text("utf-8")
    return Vocabulary(text.splitlines())


def _upwards(number: str, parents: dict[str, list[str]]) -> set[str]:
    """A noun and all that it is a kind of."""
    found: set[str] = set()
    left = [number]
    while left:
        noun = left.pop()
        if noun not in found:
            found.add(noun)
            left.extend(parents[noun])
    return found


def _words(text: str) -> list[str]:
    """Words in lower case, without accents, apostrophes and hyphens."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    return re.findall(r"\w+", re.sub(r"['’]", "", plain))


def _forms(words: list[str]) -> Iterator[str]:
    """What a name may look like that is said so: as it is, in the singular, written as one word."""
    *before, last = words
    for form in (last, *(last.removesuffix(end) + new for end, new in _ENDINGS if last.endswith(end))):
        yield " ".join([*before, form])
        if before:
            yield "".join([*before, form])
