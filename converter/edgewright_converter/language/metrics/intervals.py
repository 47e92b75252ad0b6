"""Confidence intervals of a figure that was measured on a sample of texts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ...data import Array

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Measure:
    """A figure and the interval that holds the true one with the confidence asked for (95 % by default)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def proportion(hits: int, trials: int, confidence: float = CONFIDENCE) -> Measure:
    """A share with Wilson's score interval (1927), which stays honest at 0 and 1, where a bootstrap has no width.

    Raises ValueError without trials.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Measure(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def bootstrap(
    statistic: Callable[[Array], float],
    samples: int,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Measure:
    """Percentile bootstrap (Efron 1979). statistic: of the rows (indices, (samples,) int64) that were drawn."""
    if samples < 1:
        raise ValueError("there is no sample to draw from")
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, samples, samples)) for _ in range(resamples)])
    return spread(statistic(np.arange(samples)), drawn, confidence)


def spread(value: float, drawn: Array, confidence: float = CONFIDENCE) -> Measure:
    """The interval from what the resamples gave; NaN among them (a figure that they leave undefined) does not count."""
    tail = (1 - confidence) / 2
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, (tail, 1 - tail)) if drawn.size else (value, value)
    return Measure(float(value), float(min(low, value)), float(max(high, value)))
