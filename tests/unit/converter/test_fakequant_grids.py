"""The maths of grids and observers, without TensorFlow."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgewright_converter.fakequant import grids
from edgewright_converter.fakequant.observers import OBSERVERS, make_observer

FINITE = st.floats(-1e4, 1e4, width=32)
WEIGHTS = arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=6), elements=FINITE)


@given(WEIGHTS, st.sampled_from([4, 8]), st.booleans())
@example(np.full((1, 1), 1e-45, np.float32), 8, True)
def test_snapped_weights_are_found_again_by_a_quantizer_that_knows_the_largest_alone(
    weights: np.ndarray, bits: int, per_channel: bool
) -> None:
    """The contract with whoever stores them: max |w| is at the end of the grid, and the integers come back."""
    reduced = tuple(range(weights.ndim - 1)) if per_channel else tuple(range(weights.ndim))
    scale = grids.weight_scale(weights, reduced, bits)
    integers = np.round(weights / scale)
    snapped = grids.snap(weights, scale, bits)
    again = grids.weight_scale(snapped, reduced, bits)
    assert np.abs(integers).max() <= grids.top(bits)
    assert (np.round(snapped / again) == np.clip(integers, -grids.top(bits), grids.top(bits))).all()
    assert (np.abs(snapped - weights) <= scale / 2 * 1.001).all()
    np.testing.assert_allclose(grids.snap(snapped, again, bits), snapped, rtol=1e-6)


@given(arrays(np.float32, (20, 3), elements=st.floats(-10, 10, width=32)), st.sampled_from([4, 8]))
def test_a_clip_never_makes_it_worse_and_still_ends_on_the_grid(weights: np.ndarray, bits: int) -> None:
    clip = grids.best_clip(weights, (0,), bits)
    assert clip.shape == (1, 3)
    assert ((clip >= 0.4) & (clip <= 1)).all()

    def error(scale: np.ndarray) -> np.ndarray:
        return ((weights - grids.snap(weights, scale, bits)) ** 2).sum(0)

    scale = grids.weight_scale(weights, (0,), bits, clip)
    assert (error(scale) <= error(grids.weight_scale(weights, (0,), bits)) * 1.001 + 1e-9).all()
    integers = np.round(grids.snap(weights, scale, bits) / scale)
    assert (np.abs(integers).max(0)[np.abs(weights).max(0) > 1e-6] == grids.top(bits)).all()


def test_a_clip_helps_where_one_weight_is_far_out() -> None:
    weights = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    weights[0, 0] = 3
    clip = grids.best_clip(weights, (0,), 4).ravel()
    assert clip[0] < 0.7
    assert clip[1] > 0.9


@given(FINITE, FINITE, st.sampled_from([4, 8, 16]))
def test_every_range_holds_zero_exactly(a: float, b: float, bits: int) -> None:
    low, high = grids.fit_range(min(a, b), max(a, b), bits)
    assert low <= 0 <= high
    assert low < high
    assert grids.fake_quantize(np.zeros(1), low, high, bits)[0] == 0
    if bits == 16:
        assert low == pytest.approx(-high * 32768 / 32767)


@given(arrays(np.float32, 50, elements=FINITE), st.sampled_from([8, 16]))
def test_rounding_moves_by_half_a_step_at_most_and_only_once(x: np.ndarray, bits: int) -> None:
    low, high = grids.fit_range(float(x.min()), float(x.max()), bits)
    rounded = grids.fake_quantize(x, low, high, bits)
    step = (high - low) / (2**bits - 1)
    assert np.abs(rounded - x).max() <= step * 1.01 + 1e-6  # half a step, and half for the zero's own rounding
    np.testing.assert_allclose(grids.fake_quantize(rounded, low, high, bits), rounded, atol=step * 1e-3)


@pytest.mark.parametrize(
    ("equation", "reduced"),
    [("abc,cd->abd", (0,)), ("abc,cde->abde", (0,)), ("abde,dec->abc", (0, 1)), ("...x,xy->...y", (0,))],
)
def test_channels_of_an_einsum_are_the_axes_it_does_not_sum(equation: str, reduced: tuple[int, ...]) -> None:
    assert grids.einsum_reduced(equation) == reduced


def test_sqnr_in_decibels() -> None:
    signal = np.random.default_rng(0).normal(0, 1, 10000)
    assert grids.sqnr_db(signal, signal * 1.1) == pytest.approx(20)
    assert grids.sqnr_db(signal, signal) == float("inf")
    eight = grids.fake_quantize(signal, float(signal.min()), float(signal.max()), 8)
    assert grids.sqnr_db(signal, eight) == pytest.approx(20 * np.log10(np.sqrt(12) * 255 / np.ptp(signal)), abs=0.3)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_observers_find_the_range_of_ordinary_numbers(kind: str) -> None:
    observer, rng = make_observer(kind, 8), np.random.default_rng(1)
    for _ in range(20):
        observer.see(rng.uniform(-1, 3, (16, 100)))
    low, high = observer.range()
    assert low == pytest.approx(-1, abs=0.1)
    assert high == pytest.approx(3, abs=0.15)


def test_observers_differ_in_what_they_make_of_an_outlier() -> None:
    found = {}
    for kind in OBSERVERS:
        observer, rng = make_observer(kind, 4), np.random.default_rng(2)
        for batch in range(20):
            x = rng.normal(0, 1, 5000)
            if batch == 10:
                x[0] = 100
            observer.see(x)
        found[kind] = observer.range()[1]
    assert 5 < found["moving-average"] < 50
    assert found["percentile"] < 6
    assert found["mse"] < 50


@pytest.mark.parametrize("kind", OBSERVERS)
def test_nothing_but_zeros_has_a_range_too(kind: str) -> None:
    observer = make_observer(kind, 8)
    assert observer.range()[0] < observer.range()[1] or observer.range() == (0.0, 1e-6)
    observer.see(np.zeros((3, 3)))
    low, high = observer.range()
    assert low <= 0 < high
