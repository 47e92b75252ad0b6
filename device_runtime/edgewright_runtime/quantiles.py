"""What samples say about a percentile, and when there are too few of them to say anything.

Both rest on order statistics: of n independent samples, how many lie below the true q-quantile is binomial (n, q). So
the interval between two of the sorted samples holds that quantile with a probability that can be computed, whatever
the distribution (Hahn and Meeker, Statistical Intervals, 1991, 5.2). Runs that follow each other are not quite
independent: the intervals are those of a quiet board.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log
from typing import NamedTuple, Optional

CONFIDENCE = 0.95
# MLPerf Inference: the 90th percentile, told with 99 % confidence from 64 samples on (loadgen/early_stopping.cc).
SINGLE_STREAM_PERCENT, SINGLE_STREAM_CONFIDENCE, SINGLE_STREAM_SAMPLES = 90, 0.99, 64


class Interval(NamedTuple):
    """Between these two the true value lies, in the unit of the samples."""

    low: float
    high: float


def percentile(samples: Sequence[int], percent: float) -> int:
    """By nearest rank: the smallest sample that at least ``percent`` of them do not exceed. 0 < percent <= 100."""
    rank = -(-len(samples) * percent // 100)  # rounded up
    return sorted(samples)[max(0, int(rank) - 1)]


def percentile_interval(samples: Sequence[int], percent: float, confidence: float = CONFIDENCE) -> Optional[Interval]:
    """Two of the samples, between which the true percentile lies with at least this confidence.

    None where there are too few: 6 for the median, 36 for p90, 72 for p95, 368 for p99 (at 95 %).
    """
    ranks = _ranks(len(samples), percent, confidence)
    if ranks is None:
        return None
    ordered = sorted(samples)
    return Interval(ordered[ranks[0] - 1], ordered[ranks[1] - 1])


def single_stream(samples: Sequence[int]) -> Optional[int]:
    """MLPerf's single-stream latency: its early-stopping estimate of the 90th percentile, which the true one exceeds
    with a probability of at most 1 %. None from fewer than 64 samples.
    """
    over = _most_below(len(samples), 1 - SINGLE_STREAM_PERCENT / 100, 1 - SINGLE_STREAM_CONFIDENCE)
    return sorted(samples)[len(samples) - over] if over >= 1 else None


@lru_cache(maxsize=256)
def _ranks(count: int, percent: float, confidence: float) -> Optional[tuple[int, int]]:
    """The ranks, from 1, of the interval's ends; as many chances on either side."""
    tail = (1 - confidence) / 2
    low = _most_below(count, percent / 100, tail) + 1
    high = count - _most_below(count, 1 - percent / 100, tail)
    return (low, high) if low >= 1 and high <= count else None


def _most_below(count: int, chance: float, limit: float) -> int:
    """The largest k for which P(B <= k) < limit, B binomial (count, chance); -1 where there is none."""
    total = 0.0
    for k in range(count + 1):
        total += exp(
            lgamma(count + 1) - lgamma(k + 1) - lgamma(count - k + 1) + k * log(chance) + (count - k) * log(1 - chance)
        )
        if total >= limit:
            return k - 1
    return count
