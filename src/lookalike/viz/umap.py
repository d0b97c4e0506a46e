"""UMAP, for those who have it: neighbours stay together better than on a plane of PCA."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lookalike._typing import Array
from lookalike.errors import MissingExtraError
from lookalike.viz.layout import principal_plane

__all__ = ["Method", "umap_places"]

Method = Literal["pca", "umap"]


def umap_places(x: Any, seed: int = 0) -> Array:
    """Places of vectors (n, d) in the plane, shape (n, 2); fewer than four are placed by PCA.

    Raises
    ------
    MissingExtraError
        Without umap-learn.
    """
    try:
        import umap
    except ImportError:
        raise MissingExtraError('a layout by UMAP needs umap-learn; pip install "lookalike[viz]"') from None
    if len(x) < 4:
        return principal_plane(x).place(x)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fixed seed takes one thread, which it says
        made = umap.UMAP(
            n_neighbors=min(15, len(x) - 1), metric="cosine", random_state=seed, init="random"
        ).fit_transform(x)
    return np.asarray(made, np.float64)
