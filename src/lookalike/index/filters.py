"""Which ids a search may find: a mask over ids, or sorted ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike._validate import check_allow

__all__ = ["as_allow", "is_permitted", "prepared_filter"]

NO_MASK, NO_IDS = np.empty(0, np.bool_), np.empty(0, np.int64)
DENSE = 16  # times as many numbers as ids, up to which a filter becomes a mask


def prepared_filter(allow: Any, deny: Any, below: int, all_ids: Any) -> Array | None:
    """What may be found as a boolean mask over ids or a sorted array of distinct ids; None lets everything pass.

    Parameters
    ----------
    allow, deny : ids or mask, or None
        What may be found, and what of that may not.
    below : int
        No id that is stored is as large.
    all_ids : callable
        Gives the ids that are stored; called only where there is no shorter way.
    """
    allowed = None
    if allow is not None:
        array = check_allow(allow, below)
        allowed = np.require(array, np.bool_, ["C", "A", "W"]) if array.dtype == np.bool_ else np.unique(array)
    if deny is None:
        return allowed
    denied = check_allow(deny, below, "deny")
    if denied.dtype == np.bool_:
        denied = np.flatnonzero(denied)
    denied = denied[(denied >= 0) & (denied < below)]
    if allowed is None:
        ids: IdArray = np.arange(0)
        if below > DENSE * (1 << 16):
            ids = all_ids()
        if below <= max(DENSE * (1 << 16), DENSE * len(ids)):
            allowed = np.ones(below, np.bool_)
        else:
            return np.setdiff1d(ids, denied)
    if allowed.dtype == np.bool_:
        mask = allowed.copy()
        mask[denied[denied < len(mask)]] = False
        return mask
    return np.setdiff1d(allowed, denied)


def is_permitted(permitted: Array, ids: IdArray) -> Array:
    """Whether a prepared filter lets each of `ids` pass."""
    if permitted.dtype == np.bool_:
        inside = (ids >= 0) & (ids < len(permitted))
        return inside & permitted[np.where(inside, ids, 0)] if len(permitted) else np.zeros(len(ids), np.bool_)
    at = np.minimum(np.searchsorted(permitted, ids), max(len(permitted) - 1, 0))
    return permitted[at] == ids if len(permitted) else np.zeros(len(ids), np.bool_)


def as_allow(permitted: Array | None) -> tuple[Array, Array]:
    """A prepared filter as kernels take it (`kernels.layout.Allow`)."""
    if permitted is None:
        return NO_MASK, NO_IDS
    return (permitted, NO_IDS) if permitted.dtype == np.bool_ else (NO_MASK, permitted)
