"""What stands for a vector: its pieces, the codebooks, the table of a search, and the errors that codes make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.viz.layout import (
    codebook_maps,
    error_bars,
)
from lookalike.viz.report import View

if TYPE_CHECKING:
    from lookalike.explain.explanation import Explanation

from lookalike.viz.drawn import drawn, marks, numbers, signed, worst

__all__ = ["codebooks_view", "detail_document", "errors_view", "pieces_view", "table_view"]

DETAILED = 24  # vectors that are told in full


def detail_document(told: Explanation) -> dict[str, Any]:
    """The vectors that the views of codes can show in full: kept, final and missed ones."""
    first = dict.fromkeys([*told.final_ids.tolist(), *told.exact_ids.tolist(), *told.trace.ids.tolist()])
    at = {number: place for place, number in enumerate(told.detailed.tolist())}
    ids = [number for number in first if number in at][:DETAILED]
    rows = np.array([at[number] for number in ids], np.int64)
    place = {number: i for i, number in enumerate(told.scope.ids.tolist())}
    where = np.array([place[number] for number in ids], np.int64)
    missed = set(marks(told)["missed"])
    return {
        "ids": ids,
        "missed": [number in missed for number in ids],
        "codes": told.codes[rows].tolist(),
        "residuals": numbers(told.residuals[rows], 4),
        "decoded": numbers(told.index.pq.decode(told.codes[rows]), 4) if len(rows) else [],
        "list_terms": numbers(told.list_terms[rows]),
        "biases": numbers(told.biases[rows]),
        "exact": numbers(told.scope.exact[where]),
        "estimated": numbers(told.scope.estimated[where]),
    }


def pieces_view(told: Explanation) -> View:
    index = told.index
    each = index.m * np.dtype(told.codes.dtype).itemsize
    data = {"m": index.m, "dsub": index.dsub, "ksub": index.ksub, "bytes": each}
    d = index.m * index.dsub
    sentence = (
        f"A stored vector less the centroid of its cell, {d:,} numbers, is cut into {index.m} pieces, one per row. "
        "Each piece is replaced by the nearest "
        f"of {index.ksub} centroids that were learnt for its place, so that {4 * d:,} bytes become {each}. On the "
        "right is what that loses."
    )
    return View("pieces", "pieces", "A vector, cut into pieces", sentence, data)


def codebooks_view(told: Explanation) -> View:
    index, detail = told.index, detail_document(told)
    at = {number: place for place, number in enumerate(told.detailed.tolist())}
    rows = np.array([at[number] for number in detail["ids"]], np.int64)
    pieces = told.residuals[rows].reshape(len(rows), index.m, index.dsub)
    codebooks, placed, shares = codebook_maps(index.pq_centroids, pieces)
    data = {
        "m": index.m,
        "codebooks": numbers(codebooks, 3),
        "pieces": numbers(placed, 3),
        "shares": numbers(shares, 3),
    }
    sentence = (
        f"Each square is one piece's codebook: its {index.ksub} centroids on their plane of largest variance "
        f"({100 * float(np.mean(shares)):.0f} % of it on "
        "average). Orange marks the centroid that stands for the chosen picture's piece; the large map colours "
        "each centroid by what it adds to the "
        "distance from the query. The nearest centroid can look far, because the plane leaves dimensions out."
    )
    return View("codebooks", "codebooks", "The codebooks", sentence, data)


def table_view(told: Explanation) -> View:
    index = told.index
    how = {
        "l2": "the distance is that of the cell's centroid, plus the stored bias, plus the values on the path",
        "ip": "the product is that with the cell's centroid, plus the values on the path",
        "cosine": "the distance is 1, less the product with the cell's centroid, less the values on the path",
    }[told.trace.metric]
    sentence = (
        f"One table serves the whole search: row j holds what each of the {index.ksub} centroids of piece j would "
        "contribute. A code picks one value a "
        f"row; below, {how}. So a distance costs {index.m} look-ups and additions instead of "
        f"{index.m * index.dsub:,} multiplications."
    )
    return View("table", "table", "The look-up table, and the sum", sentence)


def errors_view(told: Explanation) -> View:
    chosen, said = drawn(told)
    ids = np.concatenate([cell.ids for cell in told.trace.probed])
    place = {number: i for i, number in enumerate(told.scope.ids.tolist())}
    rows = np.array([place[number] for number in ids.tolist()], np.int64)
    exact, estimated = told.scope.exact[rows], told.scope.estimated[rows]
    off = estimated.astype(np.float64) - exact
    data = {
        "ids": ids[chosen].tolist(),
        "exact": numbers(exact[chosen]),
        "estimated": numbers(estimated[chosen]),
        "bars": error_bars(exact, estimated),
        "worst": worst(told),
        "kth": float(told.exact_distances[-1]),
        **marks(told),
    }
    error = (
        f" Over all, estimates are off by {signed(off.mean())} ± {off.std():.4f} (mean and standard deviation)."
        if len(off)
        else ""
    )
    sentence = (
        "Right of the dashed diagonal an estimate is too small, left of it too large. What lies below the orange "
        "line was kept by its code; what lies left of the "
        f"dark line is a true neighbour. The two disagree where codes are too coarse.{error} {said}"
    )
    return View("errors", "errors", "Estimated against true distances", sentence, data)
