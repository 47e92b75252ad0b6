"""Is one model faster than another? A ratio, an interval, and "no difference seen" where there is none.

Single runs are no independent samples: they share their process, whose place in memory makes all of them faster or
slower, and the moment, in which the machine does other work or does not. So the unit is a pair of fresh processes, one
of each model, that took turns block by block: the median over the turns of log(median latency of the one / of the
other). Which of the two came first is drawn by lot in each pair, so where the models are alike, positive and negative
are equally likely whatever else the machine did: the assumption of Wilcoxon's signed-rank test. The ratio is the
Hodges-Lehmann estimate, the interval the exact one that belongs to that test (Hollander, Wolfe and Chicken,
Nonparametric Statistical Methods, 3rd edition, 3.2 and 3.3). Results that were not measured in turns are compared by
the medians of their processes, with the two-sample counterpart, Mann and Whitney's (4.2 and 4.3): there the machine
must have been equally quiet both times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb, exp, log
from statistics import median

from edgewright_runtime.quantiles import Interval, percentile
from edgewright_runtime.result import BenchResult

CONFIDENCE = 0.99  # of each pair: a difference is claimed once in a hundred where there is none
SMALLEST = 0.005  # on a quiet board intervals are narrower than what anyone would act on, or another build would keep


@dataclass(frozen=True)
class Comparison:
    """How many times as long ``second`` takes as ``first``. interval: None where there are too few processes for one;
    units: how many pairs of processes, or processes on the smaller side; paired: whether they took turns."""

    first: BenchResult
    second: BenchResult
    ratio: float
    interval: Interval | None
    units: int
    paired: bool

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 1, and the ratio is not within half a percent of it."""
        if self.interval is None or self.interval.low <= 1 <= self.interval.high:
            return False
        return abs(log(self.ratio)) > log(1 + SMALLEST)

    @property
    def verdict(self) -> str:
        if self.interval is None:
            return "too few processes to say: use --launches 10"
        if not self.differs:
            return "no difference seen"
        return "slower" if self.ratio > 1 else "faster"


def compare(first: BenchResult, second: BenchResult) -> Comparison:
    """Of the median latencies."""
    ours, theirs = _block_medians(first), _block_medians(second)
    paired = first.session == second.session and {*ours} == {*theirs}
    if paired:
        logs = [median(log(b / a) for a, b in zip(ours[launch], theirs[launch], strict=True)) for launch in ours]
        ratio, interval = signed_rank(logs)
        units = len(logs)
    else:
        a, b = ([log(median(blocks)) for blocks in each.values()] for each in (ours, theirs))
        ratio, interval = rank_sum(a, b)
        units = min(len(a), len(b))
    bounds = None if interval is None else Interval(exp(interval.low), exp(interval.high))
    return Comparison(first, second, exp(ratio), bounds, units, paired)


def pairs(results: Sequence[BenchResult]) -> list[Comparison]:
    """Every two results that were measured in turns."""
    return [compare(a, b) for a, b in combinations(results, 2) if a.session == b.session]


def _block_medians(result: BenchResult) -> dict[int, list[int]]:
    """By launch, in the order of the turns."""
    found: dict[int, list[int]] = {}
    start = 0
    for block in result.blocks:
        runs = result.latency_ns[start : start + block["runs"]]
        found.setdefault(block["launch"], []).append(percentile(runs, 50))
        start += block["runs"]
    return found


def signed_rank(differences: Sequence[float]) -> tuple[float, Interval | None]:
    """The centre of symmetrically spread differences: its Hodges-Lehmann estimate, and an exact interval; None from
    fewer than 8."""
    count = len(differences)
    walsh = sorted((differences[i] + differences[j]) / 2 for i in range(count) for j in range(i, count))
    drop = _dropped(_signed_rank_counts(count), 2.0**count)
    return median(walsh), Interval(walsh[drop - 1], walsh[-drop]) if drop else None


def rank_sum(first: Sequence[float], second: Sequence[float]) -> tuple[float, Interval | None]:
    """How far ``second`` lies above ``first``: estimate and exact interval; None from fewer than 5 each."""
    shifts = sorted(b - a for a in first for b in second)
    drop = _dropped(_rank_sum_counts(len(first), len(second)), comb(len(first) + len(second), len(first)))
    return median(shifts), Interval(shifts[drop - 1], shifts[-drop]) if drop else None


def _dropped(counts: Sequence[int], total: float) -> int:
    """Which of the sorted values, from either end, bounds the interval: the largest k with P(statistic < k) within half
    of what the confidence leaves; 0 where there is none."""
    below = 0
    for value, count in enumerate(counts):
        below += count
        if below / total > (1 - CONFIDENCE) / 2:
            return value
    return 0


@cache
def _signed_rank_counts(count: int) -> list[int]:
    """In how many of the 2^count sign patterns the positive ranks add up to 0, 1, 2, …"""
    counts = [1]
    for rank in range(1, count + 1):
        longer = counts + [0] * rank
        for value, ways in enumerate(counts):
            longer[value + rank] += ways
        counts = longer
    return counts


@cache
def _rank_sum_counts(first: int, second: int) -> list[int]:
    """In how many orders of both samples together 0, 1, 2, … pairs stand the wrong way round: the coefficients of the
    Gaussian binomial."""
    counts = [1] + [0] * (first * second)
    for index in range(1, first + 1):
        for value in range(first * second, second + index - 1, -1):  # times 1 - q^(second + index)
            counts[value] -= counts[value - second - index]
        for value in range(index, first * second + 1):  # divided by 1 - q^index
            counts[value] += counts[value - index]
    return counts
