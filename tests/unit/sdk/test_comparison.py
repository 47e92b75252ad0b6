"""Comparisons: exact intervals, seen differences, and none where there is none."""

from dataclasses import replace
from itertools import combinations, product
from math import exp

import numpy as np
import pytest
from unit.sdk.results import bench_result

from edgewright.comparison import (
    _rank_sum_counts,
    _signed_rank_counts,
    compare,
    pairs,
    rank_sum,
    signed_rank,
)
from edgewright.errors import CheckError, InputError
from edgewright.gate import changes, missing, require_no_failure
from edgewright.plots import pareto
from edgewright.steadiness import marks, require_steady, silent
from edgewright_runtime.result import BenchResult


def test_the_signed_rank_distribution_is_that_of_all_signs() -> None:
    sums = [
        sum(rank for rank, sign in zip(range(1, 7), signs, strict=True) if sign) for signs in product((0, 1), repeat=6)
    ]
    assert _signed_rank_counts(6) == [sums.count(value) for value in range(22)]


def test_the_rank_sum_distribution_is_that_of_all_orders() -> None:
    counts = [0] * 13
    for first in combinations(range(7), 3):
        counts[sum(1 for a in first for b in range(7) if b not in first and b < a)] += 1
    assert _rank_sum_counts(3, 4) == counts


def test_intervals_take_enough_processes() -> None:
    assert signed_rank([1.0] * 7)[1] is None
    assert signed_rank([1.0] * 8)[1] == (1, 1)
    assert rank_sum([1.0] * 4, [2.0] * 4)[1] is None
    assert rank_sum([1.0] * 5, [2.0] * 5) == (1, (1, 1))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Heavy tails, as on a machine with other work."""
    rng = np.random.default_rng(1)
    paired = unpaired = 0
    for _ in range(1000):
        estimate, interval = signed_rank((0.05 + 0.02 * rng.standard_t(2, 10)).tolist())
        assert interval is not None
        assert interval.low <= estimate <= interval.high
        paired += interval.low <= 0.05 <= interval.high
        _, shift = rank_sum(rng.standard_t(2, 10).tolist(), (1 + rng.standard_t(2, 10)).tolist())
        assert shift is not None
        unpaired += shift.low <= 1 <= shift.high
    assert paired >= 980
    assert unpaired >= 980


def _measured(factor: float, session: str = "one", seed: int = 1, noise: float = 0.03, **others: object) -> BenchResult:
    """Ten processes of twelve blocks each. What the machine does hits both models of a turn alike: the session's."""
    result = bench_result(session=session, launches=10, **others)  # type: ignore[arg-type]
    shared, own = np.random.default_rng(len(session)), np.random.default_rng(seed)
    blocks, latency = [], []
    for launch in range(10):
        place = own.normal(0, 0.01)
        for turn in range(12):
            level = 1e5 * factor * exp(place + own.normal(0, noise)) * shared.choice([1, 1.4])
            latency += [int(level * (1 + abs(jitter))) for jitter in own.normal(0, 0.01, 5)]
            blocks.append({"launch": launch, "round": turn, "runs": 5, "preempted": 0})
    return replace(result, latency_ns=latency, call_ns=latency, at_ns=[*range(len(latency))], blocks=blocks)


def test_a_difference_is_seen_through_what_the_machine_does() -> None:
    seen = sum(compare(_measured(1, seed=seed), _measured(1.05, seed=seed + 100)).differs for seed in range(20))
    claimed = sum(compare(_measured(1, seed=seed), _measured(1, seed=seed + 100)).differs for seed in range(60))
    assert seen >= 18
    assert claimed <= 3
    found = compare(_measured(1), _measured(1.05, seed=2))
    assert (found.paired, found.units, found.verdict) == (True, 10, "slower")
    assert found.ratio == pytest.approx(1.05, abs=0.02)
    assert compare(_measured(1.05), _measured(1, seed=2)).verdict == "faster"
    same = compare(_measured(1), _measured(1, seed=3))
    assert same.verdict == "no difference seen"
    slightly = [replace(result, session="one") for result in (_measured(1, noise=0), _measured(1.002, noise=0))]
    assert compare(*slightly).interval == pytest.approx((1.002, 1.002), abs=1e-4)
    assert not compare(*slightly).differs


def test_what_took_no_turns_is_compared_by_its_processes() -> None:
    found = compare(_measured(1), _measured(2, "another", seed=2))
    assert not found.paired
    assert found.differs
    few = compare(bench_result(), bench_result(session="another", p50_us=364))
    assert few.interval is None
    assert few.verdict.startswith("too few processes")
    assert few.ratio == pytest.approx(2, rel=0.02)
    three = [_measured(1), _measured(1, seed=2), _measured(1, "another")]
    assert [(pair.first, pair.second) for pair in pairs(three)] == [(three[0], three[1])]


def test_the_front_is_what_nothing_beats_in_all_three() -> None:
    small = bench_result("small", model_bytes=10, p50_us=50, accuracy=0.8)
    fast = bench_result("fast", model_bytes=20, p50_us=20, accuracy=0.7)
    beaten = bench_result("beaten", model_bytes=30, p50_us=60, accuracy=0.8)
    assert pareto([small, fast, beaten]) == [small, fast]
    assert pareto([small, replace(small)]) == [small, small]


STATE = {"governor": "ondemand", "temperature_c": 80.0, "throttled": [], "load_1min": 0.1}


@pytest.mark.parametrize(
    ("during", "mark"),
    [
        (
            [{**STATE, "freq_hz": 1_500_000_000}, {**STATE, "freq_hz": 600_000_000}],
            "the clock moved between 0.60 and 1.50 GHz",
        ),
        ([{**STATE, "throttled": ["throttled"]}], "the board reported throttled"),
        ([{**STATE, "throttled": ["under-voltage has occurred"]}], "the board reported under-voltage has occurred"),
        ([{**STATE, "throttle_count": 5}], None),
        ([{**STATE, "freq_hz": 1_500_000_000}, {**STATE, "freq_hz": 1_480_000_000}], None),
        ([{**STATE, "freq_hz": None, "throttled": None}], None),
        ([], None),
    ],
)
def test_a_board_that_was_not_steady_is_marked(during: list[dict[str, object]], mark: str | None) -> None:
    result = bench_result(during=[{"at_ns": 0, **state} for state in during])
    assert marks(result) == ([] if mark is None else [mark])
    assert not silent(result)  # the state afterwards tells of no throttling
    if mark is not None:
        with pytest.raises(CheckError, match=mark):
            require_steady([bench_result(), result])
    else:
        require_steady([result])


def test_what_had_happened_before_is_no_mark() -> None:
    old = bench_result(throttled=["under-voltage has occurred"])
    old.environment["before"]["throttled"] = ["under-voltage has occurred"]
    assert marks(old) == []
    counted = bench_result()
    counted.environment["before"]["throttle_count"], counted.environment["after"]["throttle_count"] = 17, 19
    assert marks(counted) == ["the processor throttled 2 times"]


def test_a_gate_fails_for_what_is_worse_than_allowed() -> None:
    old, new = _measured(1), _measured(1.2, "another", seed=2, accuracy=0.86, model_bytes=1_900_000)
    assert not any(change.fails for change in changes([old], [new]))
    found = changes([old], [new], fail_above=0.05, fail_accuracy_drop=0.01)
    assert [(change.quantity, change.fails) for change in found] == [
        ("p50 ns", True),
        ("model bytes", False),
        ("peak bytes", False),
        ("accuracy", True),
    ]
    assert [change.verdict for change in found[1:]] == ["larger", "equal", "worse"]
    with pytest.raises(CheckError, match=r"p50 ns \+\d\d\.\d%; .*accuracy -1\.7%"):
        require_no_failure(found)
    require_no_failure(changes([old], [new], fail_above=0.5, fail_accuracy_drop=0.02))
    require_no_failure(changes([new], [old], fail_above=0.0001))


def test_a_gate_doubts_what_the_machine_may_have_done() -> None:
    """6 % more, but processes that differ by 10 % among themselves."""
    old, new = _measured(1, noise=0.2), _measured(1.06, "another", seed=5, noise=0.2)
    (latency, *_) = changes([old], [new], fail_above=0.05)
    assert latency.verdict.startswith("no difference seen (")
    assert not latency.fails


def test_a_gate_compares_like_with_like() -> None:
    with pytest.raises(InputError, match="no model in common"):
        changes([bench_result(device="one")], [bench_result(device="two")])
    with pytest.raises(InputError, match="no model in common"):
        changes([bench_result()], [bench_result("other")])
    with pytest.raises(InputError, match="is in these results twice"):
        changes([bench_result()] * 2, [bench_result()])
    old = [bench_result(), bench_result("gone")]
    assert {change.model for change in changes(old, [bench_result()])} == {"intents-float32"}
    assert missing(old, [bench_result()]) == ["gone float32"]
    with pytest.raises(InputError, match="needs a score of every model"):
        changes([bench_result()], [bench_result(accuracy=None)], fail_accuracy_drop=0.01)
