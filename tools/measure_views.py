"""Does it pay to ask with several views of the query: mirrored, cropped?

python tools/measure_views.py [--in COLLECTION] [--queries N] [--duplicates N]

The vectors of the views are averaged, and compared with the stored ones, which are of the whole pictures. Measured
leave-one-out over the folders of the collection that have five pictures or more, and for copies spoilt in twenty ways.
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageOps

from lookalike._typing import Array, FloatArray
from lookalike.cli.opening import open_collection
from lookalike.errors import ImageError
from lookalike.features.embedder import Embedder
from lookalike.features.images import open_picture
from lookalike.features.spoil import SPOILERS
from lookalike.quality.labelled import labelled_pictures

SIDE = 512
CORNERS = ((0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (0.2, 0.2))


def crop(picture: Image.Image, left: float, top: float, share: float = 0.8) -> Image.Image:
    width, height = picture.size
    corner = int(left * width), int(top * height)
    return picture.crop((*corner, corner[0] + max(int(share * width), 1), corner[1] + max(int(share * height), 1)))


def views(picture: Image.Image) -> list[Image.Image]:
    """The picture, its mirror image, its middle, its corners."""
    return [picture, ImageOps.mirror(picture), crop(picture, 0.1, 0.1), *(crop(picture, *at) for at in CORNERS)]


CHOICES = {
    "the picture": [0],
    "and mirrored": [0, 1],
    "and its middle": [0, 2],
    "and both": [0, 1, 2],
    "and its corners": [0, 3, 4, 5, 6],
    "and all": list(range(7)),
}


def unit(x: Array) -> Array:
    scaled: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return scaled


def precision(scores: Array, right: Array) -> tuple[float, float]:
    """P@1 and average precision of one ranking."""
    hits = right[np.argsort(-scores, kind="stable")]
    ranks = np.flatnonzero(hits) + 1
    return float(hits[0]), float((np.arange(1, len(ranks) + 1) / ranks).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in", dest="into")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--duplicates", type=int, default=20)
    args = parser.parse_args()
    with open_collection(args.into) as collection, collection.view() as (connection, snapshot):
        pictures = labelled_pictures(connection, snapshot.store, "folders", 5)
        base: FloatArray = snapshot.store[pictures.features]
        embedder = Embedder(collection.model)
    folders = np.unique([str(path.parent) for path in pictures.paths], return_inverse=True)[1]
    rng = np.random.default_rng(0)
    asked = rng.permutation(len(base))[: args.queries]
    answers: dict[str, list[tuple[float, float]]] = {name: [] for name in CHOICES}
    found: dict[str, list[bool]] = {name: [] for name in CHOICES}
    for number, at in enumerate(asked):
        try:
            picture = open_picture(pictures.paths[at], max_side=SIDE)
            vectors = embedder.embed(views(picture))
        except ImageError:
            continue
        others = np.arange(len(base)) != at
        for name, chosen in CHOICES.items():
            scores = base @ unit(vectors[chosen].mean(axis=0))
            answers[name].append(precision(scores[others], folders[others] == folders[at]))
        if number < args.duplicates:
            for spoil in SPOILERS.values():
                vectors = embedder.embed(views(spoil(picture)))
                for name, chosen in CHOICES.items():
                    found[name].append(bool(np.argmax(base @ vectors[chosen].mean(axis=0)) == at))
    print(f"{'':16}  P@1    mAP    spoilt copies found ({len(found['the picture'])})")
    for name in CHOICES:
        first, mean = np.mean(answers[name], axis=0)
        print(f"{name:16}  {first:.3f}  {mean:.3f}  {np.mean(found[name]):.3f}")


if __name__ == "__main__":
    main()
