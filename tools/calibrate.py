"""Measure the cosines from which a model's similarity and its words are made.

    python tools/calibrate.py                    the default model on the starter pictures
    python tools/calibrate.py --folder PICTURES  on other pictures, in labelled folders

Measured are the cosine of every two pictures from different folders, which show different things (random pairs), and
the cosine of each picture and a copy of it that was spoilt. A word is said from the cosine on

    same picture    that 19 of 20 lightly changed copies reach (compressed to 75 and 30, cropped to 90 %, mirrored)
    very alike      that one random pair in 10,000 reaches
    related         that one random pair in 100 reaches
    weak            below

Where fewer than ten pairs show a quantile, it is extrapolated: the logarithm of the tail's share is fitted by a
straight line in the cosine. Similarity is linear in between. It is 0 up to the lower quarter of random pairs, and 100
from 0.9995 on: to there, storing vectors in float16 and decoding with another JPEG library can bring the cosine of a
picture with itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.data.datasets import starter_folder
from lookalike.data.walk import Found, label_of, walk
from lookalike.features.calibration import LIGHT, knots, pairs_of_different_folders, tail_quantile
from lookalike.features.embedder import Embedded, Embedder
from lookalike.features.images import SUFFIXES, open_picture
from lookalike.features.models import DEFAULT_MODEL, WORDS, ModelCard, get_model, word
from lookalike.features.spoil import SPOILERS

Floats = NDArray[np.float64]

MAX_PICTURES = 4000


def describe(name: str, cosines: Floats, card: ModelCard, extra: str = "") -> str:
    """One row of the table."""
    low, median, high = np.quantile(cosines, (0.05, 0.5, 0.95))
    words = [word(s) for s in card.similarity(cosines)]
    shares = (f"{words.count(w) / len(words):>7.2%}" for _, w in WORDS)
    return f"| {name:<20} | {low:.3f} | {median:.3f} | {high:.3f} | {' | '.join(shares)} |{extra}"


def spoilt(pictures: list[Path], vectors: Floats, embedder: Embedder) -> Iterator[tuple[str, Floats, float]]:
    """For each way to spoil: its name, the cosines of pictures and copies, the share of copies that find theirs."""
    for name, spoil in SPOILERS.items():
        copies = np.stack([embedder.embed([spoil(open_picture(path))])[0] for path in pictures]).astype(np.float64)
        own = np.einsum("ij,ij->i", copies, vectors)
        yield name, own, float(np.mean(own >= (copies @ vectors.T).max(axis=1) - 1e-6))


def read(folder: Path, embedder: Embedder) -> tuple[list[Path], Floats, list[str]]:
    """The pictures of a folder, a random choice where they are many; their vectors and labels."""
    found = [entry.path for entry in walk(folder, SUFFIXES) if isinstance(entry, Found)]
    if len(found) > MAX_PICTURES:
        chosen = np.random.default_rng(0).choice(len(found), MAX_PICTURES, replace=False)
        found = [found[i] for i in sorted(chosen)]
    embedded = [(path, result.vector) for path, result in embedder.stream(found) if isinstance(result, Embedded)]
    pictures = [path for path, _ in embedded]
    return (
        pictures,
        np.stack([vector for _, vector in embedded]).astype(np.float64),
        [label_of(p, folder) for p in pictures],
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the cosines from which similarity is made.")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--folder", type=Path, help="labelled folders of pictures (default: the starter pictures)")
    options = parser.parse_args(arguments)
    card = get_model(options.model)
    embedder = Embedder(card)
    pictures, vectors, labels = read(options.folder or starter_folder(), embedder)
    random_pairs, same_folder = pairs_of_different_folders(vectors, labels)
    print(f"{card.title}, {len(pictures)} pictures, {len(random_pairs):,} random pairs\n")
    shares = {
        "half": 0.5,
        "1 in 10": 0.1,
        "1 in 100": 1e-2,
        "1 in 1,000": 1e-3,
        "1 in 10,000": 1e-4,
        "1 in 100,000": 1e-5,
    }
    print(f"| random pairs | {' | '.join(shares)} | most alike |\n|---{'|---' * (len(shares) + 1)}|")
    tails = [f"{tail_quantile(random_pairs, share):.3f}" for share in shares.values()]
    print(f"| reach a cosine of | {' | '.join(tails)} | {random_pairs[-1]:.3f} |\n")
    print(f"| cosine of | 5 % | median | 95 % | {' | '.join(w for _, w in WORDS)} | finds its picture first |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(describe("different folders", random_pairs, card, " |"))
    print(describe("same folder", same_folder, card, " |"))
    light = []
    for name, cosines, found_first in spoilt(pictures, vectors, embedder):
        print(describe(name, cosines, card, f" {found_first:.3f} |"), flush=True)
        light += [cosines] if name in LIGHT else []
    print(f"\nknots: {knots(random_pairs, np.concatenate(light))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
