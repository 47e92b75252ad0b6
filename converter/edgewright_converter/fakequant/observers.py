"""From the numbers seen at a place to the range of its grid. NumPy alone.

moving-average   each batch's smallest and largest number, averaged: one outlier moves it little
percentile       all but the outermost 0.01 % on either side
mse              where the squared error of rounding and clipping is least
"""

from typing import Protocol

import numpy as np

from .grids import Array, fake_quantize, fit_range

OBSERVERS = ("moving-average", "percentile", "mse")
_MOMENTUM = 0.8
_OUTERMOST = 0.01  # per cent
_KEPT = 16384  # numbers of each batch
_FRACTIONS = np.linspace(1.0, 0.2, 41)


class Observer(Protocol):
    """Sees batch after batch; then says the range, which holds 0."""

    def see(self, x: Array) -> None: ...

    def range(self) -> tuple[float, float]: ...


def make_observer(kind: str, bits: int) -> Observer:
    """kind: one of OBSERVERS; bits: of the grid."""
    if kind == "moving-average":
        return MovingAverage(bits)
    return Percentile(bits) if kind == "percentile" else LeastError(bits)


class MovingAverage:
    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._ends: tuple[float, float] | None = None

    def see(self, x: Array) -> None:
        low, high = float(x.min()), float(x.max())
        if self._ends is not None:
            low = _MOMENTUM * self._ends[0] + (1 - _MOMENTUM) * low
            high = _MOMENTUM * self._ends[1] + (1 - _MOMENTUM) * high
        self._ends = low, high

    def range(self) -> tuple[float, float]:
        return fit_range(*(self._ends or (0.0, 0.0)), self._bits)


class _Sample:
    """Keeps a random part of what it sees."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._rng = np.random.default_rng(0)
        self._parts: list[Array] = []

    def see(self, x: Array) -> None:
        flat = np.asarray(x, np.float32).ravel()
        self._parts.append(flat if len(flat) <= _KEPT else self._rng.choice(flat, _KEPT, replace=False))

    @property
    def _numbers(self) -> Array:
        return np.concatenate(self._parts) if self._parts else np.zeros(1, np.float32)


class Percentile(_Sample):
    def range(self) -> tuple[float, float]:
        low, high = np.percentile(self._numbers, [_OUTERMOST, 100 - _OUTERMOST])
        return fit_range(float(low), float(high), self._bits)


class LeastError(_Sample):
    def range(self) -> tuple[float, float]:
        numbers = self._numbers
        low, high = fit_range(float(numbers.min()), float(numbers.max()), self._bits)
        ends = [fit_range(low * fraction, high * fraction, self._bits) for fraction in _FRACTIONS]
        errors = [float(((numbers - fake_quantize(numbers, *end, self._bits)) ** 2).sum()) for end in ends]
        return ends[int(np.argmin(errors))]
