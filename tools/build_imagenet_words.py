"""Build the table of words for the 1,000 classes of ImageNet: their names, and what kinds of things they are.

    pip download --no-deps timm                                          a wheel; nothing of it is installed
    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python tools/build_imagenet_words.py --timm timm-*.whl --wordnet wordnet/usr/share/wordnet

writes src/lookalike/features/imagenet_words.tsv. The classes and their order come from timm (Apache-2.0), names and hypernyms from
WordNet 3.0. ImageNet's classes are WordNet's nouns: n01440764 is the noun at byte 1440764 of ``data.noun``.

A line is a noun: its number; its names with ``;`` between, plurals that no rule makes marked with ``*``; the numbers of what it
is a kind of. The first 1,000 lines are the classes in the order of the model's outputs. Nouns that hold for more than half of all
classes ("entity", "object") say nothing and are left out.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "src/lookalike/features/imagenet_words.tsv"
CLASSES = "timm/data/_info/imagenet_synsets.txt"
TOO_MANY = 500

HEAD = """\
The 1,000 classes of ImageNet and their hypernyms, made by tools/build_imagenet_words.py from timm (classes and their order;
Apache License 2.0) and from WordNet 3.0 (names, hypernyms, plurals), whose licence says:
"""


@dataclass(frozen=True)
class Noun:
    """A synset: its names, and the synsets that it is a kind or an instance of."""

    names: tuple[str, ...]
    parents: tuple[str, ...]


def read_nouns(text: str) -> tuple[str, dict[str, Noun]]:
    """The licence at the top of ``data.noun``, and its nouns by number (see wndb(5WN))."""
    licence: list[str] = []
    nouns = {}
    for line in text.splitlines():
        if line.startswith("  "):
            licence.append(line[2:].partition(" ")[2].rstrip() if line[2:3].isdigit() else line.strip())
            continue
        fields = line.partition(" | ")[0].split(" ")
        count = int(fields[3], 16)
        names = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(count))
        at = 5 + 2 * count
        pointers = [fields[at + 4 * i : at + 4 * i + 3] for i in range(int(fields[at - 1]))]
        parents = tuple(f"n{where}" for symbol, where, kind in pointers if symbol in ("@", "@i") and kind == "n")
        nouns[f"n{fields[0]}"] = Noun(names, parents)
    return "\n".join(licence).strip(), nouns


def with_hypernyms(classes: Sequence[str], nouns: Mapping[str, Noun]) -> dict[str, set[str]]:
    """Which classes each noun holds for, for all that hold for any; the classes first."""
    holds: dict[str, set[str]] = {number: {number} for number in classes}
    for number in classes:
        above = list(nouns[number].parents)
        while above:
            parent = above.pop()
            holds.setdefault(parent, set()).add(number)
            above.extend(nouns[parent].parents)
    return holds


def irregular(text: str) -> dict[str, list[str]]:
    """Plurals by singular, from ``noun.exc``."""
    plurals: dict[str, list[str]] = {}
    for line in text.splitlines():
        plural, *singulars = line.split()
        for singular in singulars:
            plurals.setdefault(singular, []).append(plural)
    return plurals


def table(classes: Sequence[str], nouns: Mapping[str, Noun], plurals: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of the table, without its head."""
    holds = with_hypernyms(classes, nouns)
    kept = [number for number, classes_of in holds.items() if len(classes_of) <= TOO_MANY]
    lines = []
    for number in kept:
        names = list(nouns[number].names)
        names += [f"*{plural}" for name in names for plural in plurals.get(name.lower(), ())]
        parents = [parent for parent in nouns[number].parents if parent in kept]
        lines.append(f"{number}\t{';'.join(names)}\t{' '.join(parents)}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the table of words for the classes of ImageNet.")
    parser.add_argument("--timm", type=Path, required=True, help="timm's wheel")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of data.noun")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    with zipfile.ZipFile(options.timm) as wheel:
        classes = wheel.read(CLASSES).decode().split()
    licence, nouns = read_nouns((options.wordnet / "data.noun").read_text("ascii"))
    lines = table(classes, nouns, irregular((options.wordnet / "noun.exc").read_text("ascii")))
    head = [f"# {line}".rstrip() for line in f"{HEAD}\n{licence}".splitlines()]
    options.out.write_text("\n".join([*head, *lines]) + "\n", "utf-8")
    print(
        f"{options.out}: {len(classes):,} classes, {len(lines) - len(classes):,} kinds, {options.out.stat().st_size:,} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
