"""Percentiles, their intervals, and MLPerf's estimate, against what they are defined as."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.quantiles import percentile, percentile_interval, single_stream


def test_percentiles_by_nearest_rank() -> None:
    samples = [50, 15, 40, 20, 35]
    assert [percentile(samples, percent) for percent in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert percentile([7], 99.9) == 7


@given(samples=st.lists(st.integers(0, 1000), min_size=1), percent=st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_sample_with_enough_at_or_below(samples: list[int], percent: float) -> None:
    found = percentile(samples, percent)
    at_or_below = [sample for sample in samples if sample <= found]
    below = [sample for sample in samples if sample < found]
    assert found in samples
    assert 100 * len(at_or_below) >= percent * len(samples) - 1e-6
    assert 100 * len(below) < percent * len(samples) + 1e-6


@pytest.mark.parametrize(("percent", "needed"), [(50, 6), (90, 36), (95, 72), (99, 368)])
def test_no_interval_from_fewer_samples_than_it_needs(percent: float, needed: int) -> None:
    assert percentile_interval(range(needed), percent) is not None
    assert percentile_interval(range(needed - 1), percent) is None
    assert percentile_interval([], percent) is None


@pytest.mark.parametrize(("count", "percent"), [(10, 50), (57, 50), (50, 90), (400, 99)])
def test_the_chance_that_the_true_value_lies_outside_is_what_was_promised(count: int, percent: float) -> None:
    interval = percentile_interval(range(1, count + 1), percent)  # each sample is its own rank
    assert interval is not None
    q, low, high = percent / 100, int(interval.low), int(interval.high)
    binomial = [comb(count, k) * q**k * (1 - q) ** (count - k) for k in range(count + 1)]
    assert sum(binomial[:low]) <= 0.025 < sum(binomial[: low + 1])
    assert sum(binomial[high:]) <= 0.025 < sum(binomial[high - 1 :])


def test_intervals_hold_the_true_median_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        interval = percentile_interval(rng.lognormal(0, 1, 60).tolist(), 50)
        assert interval is not None
        held += interval.low <= 1 <= interval.high
    assert 0.92 <= held / 400 <= 1


def _min_passing(over: int) -> int:
    """LoadGen's find_min_passing(t, 0.9, 0, 0.99): the fewest queries within the bound, beside ``over`` beyond it."""
    within = 0
    while True:
        count = within + over
        odds = sum(comb(count, k) * 0.1**k * 0.9 ** (count - k) for k in range(over + 1))
        if odds < 0.01:
            return within
        within += 1


@pytest.mark.parametrize("count", [64, 65, 103, 150, 500])
def test_the_single_stream_estimate_is_that_of_mlperf(count: int) -> None:
    over = 1
    while count >= _min_passing(over + 1) + over + 1:
        over += 1
    samples = list(range(count, 0, -1))
    assert single_stream(samples) == sorted(samples)[count - over]


def test_mlperf_asks_for_64_queries() -> None:
    assert _min_passing(1) + 1 == 64
    assert single_stream(range(63)) is None
    assert single_stream(range(64)) == 63
