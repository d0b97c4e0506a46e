"""How well words find pictures: each folder's name is searched for, and the pictures of folders of that name should come first.

    python tools/measure_words.py                          on the starter pictures, which are indexed for it
    python tools/measure_words.py --in COLLECTION          on a collection whose folders are labels

Folders whose names the model has no label for are passed over and counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lookalike.collection import Collection, home
from lookalike.data import starter_folder
from lookalike.errors import InputError

AT_LEAST = 5  # pictures of a folder's name
K = 10


def names_of(label: str) -> set[str]:
    """What the folders of a label are called."""
    return {part.replace("_", " ").replace("-", " ").lower() for part in label.split("/")}


def measure(collection: Collection, labels: Mapping[int, str]) -> tuple[list[tuple[str, int, float, float]], int]:
    """(name, pictures, precision at 10, average precision) for each name that means something, and how many do not."""
    carrying: dict[str, set[int]] = {}
    for number, label in labels.items():
        for name in names_of(label):
            carrying.setdefault(name, set()).add(number)
    rows, unknown = [], 0
    for name, wanted in sorted(carrying.items()):
        if not name or len(wanted) < AT_LEAST or len(wanted) == len(labels):
            continue
        try:
            found = collection.search_text(name, k=len(labels)).hits
        except InputError:
            unknown += 1
            continue
        right = np.array([hit.id in wanted for hit in found])
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        rows.append((name, len(wanted), float(right[:K].mean()), float((precision * right).sum() / len(wanted))))
    return rows, unknown


def report(collection: Collection) -> None:
    pictures = {entry.id: entry.label for entry in collection.entries(0, len(collection))}
    rows, unknown = measure(collection, pictures)
    print(f"{'folder':20} {'pictures':>8} {'P@10':>6} {'AP':>6} {'chance':>7}")
    for name, count, precision, average in rows:
        print(f"{name:20} {count:8,} {precision:6.2f} {average:6.3f} {count / len(pictures):7.3f}")
    means = np.mean([row[2:] for row in rows], axis=0)
    chance = np.mean([row[1] for row in rows]) / len(pictures)
    print(f"{f'mean of {len(rows)}':20} {'':8} {means[0]:6.2f} {means[1]:6.3f} {chance:7.3f}")
    print(f"{unknown} other names have no label")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure how well words find pictures.")
    parser.add_argument("--in", dest="collection", help="a collection; without it, the starter pictures")
    options = parser.parse_args(arguments)
    if options.collection is not None:
        with Collection.open(home.resolve(options.collection)) as collection:
            report(collection)
        return 0
    with tempfile.TemporaryDirectory() as folder, Collection.create(Path(folder, "starter")) as collection:
        collection.add(starter_folder())
        report(collection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
