@pytest.mark.parametrize("shape", [(50, 7), (50, 1), (1, 7)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_points_stay_as_they_are(shape: tuple[int, int], order: str) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32), order=order)  # type: ignore[call-overload]
    before = x.copy()
    far_origin(x)
    without_outliers(x)
    np.testing.assert_array_equal(x, before)
