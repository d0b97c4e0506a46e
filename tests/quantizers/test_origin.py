"""The middle of points far from the origin."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.quantizers.origin import far_origin, without_outliers


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 1000])
def test_points_far_out_are_moved_and_others_are_not(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    assert far_origin(x) is None or n == 1
    middle = far_origin(x + 1000)
    assert middle is not None
    np.testing.assert_allclose(middle, 1000, atol=4)


@pytest.mark.parametrize("shape", [(50, 7), (50, 1), (1, 7)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_points_stay_as_they_are(shape: tuple[int, int], order: str) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32), order=order)  # type: ignore[call-overload]
    before = x.copy()
    far_origin(x)
    without_outliers(x)
    np.testing.assert_array_equal(x, before)
