"""Fit the whitening that comes with the default model, and measure its map from cosine to similarity.

    python -m tools.fit_whitening COLLECTION OUT.safetensors [--pictures 480]

COLLECTION was indexed with the default model. Of so many of its pictures, twenty spoilt copies each are made
(`lookalike.features.spoil`). A picture and its copies are one label: directions in which they differ are made short, so
what is left tells pictures apart however they were spoilt. Of the result, the 256 directions are kept in which all pictures of
the collection differ most. Similarity is calibrated on the starter pictures as in tools/calibrate.py.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from tools.calibrate import read

from lookalike import Collection
from lookalike._typing import FloatArray
from lookalike.data.datasets import starter_folder
from lookalike.features.adapt import DIRECTIONS, all_together, within_scatter
from lookalike.features.calibration import LIGHT, knots, pairs_of_different_folders
from lookalike.features.embedder import Embedder
from lookalike.features.images import open_picture
from lookalike.features.metrics import group
from lookalike.features.models import Calibration, ModelCard
from lookalike.features.spoil import SPOILERS
from lookalike.features.transforms import Transform, save_transform
from lookalike.quality.evaluate import spoilt_vectors

AT_ONCE = 1000


def spoilt(collection: Collection, card: ModelCard, count: int) -> tuple[FloatArray, list[list[str]]]:
    """Vectors of random pictures and their copies, and the number of the picture of each."""
    ids = np.random.default_rng(0).permutation(collection.ids()).tolist()
    rows: list[FloatArray] = []
    labels: list[list[str]] = []
    for id in ids:
        if len(rows) == count:
            break
        copies = spoilt_vectors(card, collection.entry(id).path)
        if copies is not None:
            rows.append(np.concatenate([collection.vectors([id]), copies]))
            labels += [[str(id)]] * len(rows[-1])
            if len(rows) % 60 == 0:
                print(f"{len(rows)} of {count} pictures", file=sys.stderr, flush=True)
    return np.concatenate(rows), labels


def calibrated(transform: Transform, card: ModelCard) -> Transform:
    """With the knots that the starter pictures give."""
    embedder = Embedder(card)
    pictures, vectors, labels = read(starter_folder(), embedder)
    changed = transform.apply(vectors.astype(np.float32)).astype(np.float64)
    random_pairs, _ = pairs_of_different_folders(changed, labels)
    light = []
    for name in LIGHT:
        copies = np.concatenate([embedder.embed([SPOILERS[name](open_picture(path))]) for path in pictures])
        light.append(np.einsum("ij,ij->i", transform.apply(copies), changed))
    cosines, similarities = knots(random_pairs, np.concatenate(light))
    measured = "random pairs and spoilt copies of the starter pictures: python -m tools.fit_whitening"
    return replace(transform, calibration=Calibration(cosines, similarities, measured))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the whitening that comes with the default model.")
    parser.add_argument("collection")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=480)
    options = parser.parse_args(arguments)
    with Collection.open(options.collection) as collection:
        card, ids = collection.model, collection.ids().tolist()
        parts = [collection.vectors(ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE)]
        everything = np.concatenate(parts)
        copies, labels = spoilt(collection, card, options.pictures)
    overall = within_scatter(everything, all_together(len(everything)), np.arange(len(everything)))
    within = within_scatter(copies, group(labels), np.arange(len(copies)))
    fitted = replace(within, mean=overall.mean, total=overall.total)
    about = {"learnt_from": {"pictures": len(everything), "spoilt": options.pictures}}
    mean = fitted.mean.astype(np.float16).astype(np.float32)
    projection = fitted.whitening(d=DIRECTIONS).astype(np.float16).astype(np.float32)
    transform = Transform("shipped whitening", card.fingerprint, mean, projection, card.calibration, about=about)
    transform = calibrated(transform, card)
    sha256 = save_transform(transform, options.out, np.float16)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, SHA-256 {sha256}\n{transform.calibration}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
