"""Grids of integers: where numbers are put, and how far they move. NumPy alone.

Weights: symmetric, one scale per output channel (or per tensor), integers from -(2^(b-1) - 1) to 2^(b-1) - 1.
Activations: real = scale · (integer - zero point), 2^b integers, one of which is exactly 0 (TensorFlow Lite 8-bit
quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NARROWEST = 1e-6  # of a range: a tensor of zeros needs some grid too
_MANY_ROWS, NARROW = 512, 192  # of 8-bit numbers; where 12 bytes are more than a sixteenth of the row
_MOST_LOST_DB = {8: 6.0, 4: 3.0}  # by one scale for all channels of a convolution: a bit, half a bit
_SMALLEST = 1e-30  # of max |w|: below it no float32 step can be divided by, and the weights are as good as zero


def weight_scale(weights: Array, reduced: tuple[int, ...], bits: int, clip: Array | float = 1.0) -> Array:
    """The step of each channel's grid. reduced: axes that share a scale, which stay as size 1; clip: of max |w|."""
    largest = np.abs(weights).max(axis=reduced, keepdims=True) * clip
    return np.asarray(np.where(largest > _SMALLEST, largest, 1.0) / top(bits), np.float32)


def top(bits: int) -> int:
    """The largest integer of a symmetric grid: 127, 7."""
    return int(2 ** (bits - 1) - 1)


def one_scale(rows: int, columns: int, bits: int) -> bool:
    """Whether a dense layer of so many outputs and inputs has one scale for all, as an exit to thousands of words.

    A row's own scale takes 12 bytes in the file, 8 of them for a zero point that is always 0. What that is worth in
    accuracy it costs in bytes where rows are many and narrow; with 4 bits no single scale would do.
    """
    return bits == 8 and rows >= _MANY_ROWS and columns < NARROW


def channels_share(weights: Array, reduced: tuple[int, ...], bits: int) -> bool:
    """Whether all channels of a convolution have one scale. reduced: the axes that are not those of its channels.

    A channel's own scale takes 8 bytes in the file, 4 of them for the bias, which has one too. One for all does where
    a channel has few weights and the channels are about as large as each other, by themselves or because `equalize`
    has made them so. Each channel counts the same, be it large or small. Weights on a grid already keep theirs.
    """
    if prod(weights.shape[axis] for axis in reduced) >= NARROW:
        return False
    size = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=reduced, keepdims=True))
    size[size == 0] = 1

    def kept(axes: tuple[int, ...]) -> float:
        return sqnr_db(weights / size, snap(weights, weight_scale(weights, axes, bits), bits) / size)

    return kept(tuple(range(weights.ndim))) >= kept(reduced) - _MOST_LOST_DB[bits]


def snap(weights: Array, scale: Array, bits: int) -> Array:
    """The nearest points of the grid, float32."""
    limit = top(bits)
    return (np.clip(np.round(weights / scale), -limit, limit) * scale).astype(np.float32)


def best_clip(weights: Array, reduced: tuple[int, ...], bits: int, lowest: float = 0.4) -> Array:
    """The fraction of max |w|, by channel, at which the grid ends with the least squared error; 1 where nothing is won.
    lowest: the smallest that is tried.

    With few bits the ends of a bell curve are worth giving up for a finer grid (Banner et al. 2019).
    """
    best = np.ones_like(weight_scale(weights, reduced, bits))
    least = np.full_like(best, np.inf)
    for clip in np.linspace(1.0, lowest, 25, dtype=np.float32):
        snapped = snap(weights, weight_scale(weights, reduced, bits, clip), bits)
        error = ((weights - snapped) ** 2).sum(axis=reduced, keepdims=True)
        better = error < least * (1 - 1e-6)
        best, least = np.where(better, clip, best), np.where(better, error, least)
    return best.astype(np.float32)


def einsum_reduced(equation: str) -> tuple[int, ...]:
    """Axes of the second operand that "abc,cd->abd" sums over; the others are output channels."""
    ends, _, output = equation.replace(" ", "").replace("...", "").partition("->")
    kernel = ends.split(",")[1]
    return tuple(axis for axis, letter in enumerate(kernel) if letter not in output)


def fit_range(low: float, high: float, bits: int) -> tuple[float, float]:
    """A range that holds 0 and is not empty; symmetric with 16 bits, as the int16 kernels have no zero point."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < _NARROWEST:
        high = low + _NARROWEST
    if bits == 16:
        largest = max(-low, high * 32768 / 32767)
        low, high = -largest, largest * 32767 / 32768
    return low, high


def fake_quantize(x: Array, low: float, high: float, bits: int) -> Array:
    """Round x to the 2^bits points from low to high, moved so that 0 is one of them.

    As tf.quantization.fake_quant_with_min_max_vars.
    """
    steps = 2**bits - 1
    scale = (high - low) / steps
    zero = np.clip(np.round(-low / scale), 0, steps)
    return np.asarray((np.clip(np.round(x / scale) + zero, 0, steps) - zero) * scale, np.float32)


def sqnr_db(signal: Array, found: Array) -> float:
    """10 · log10(signal² / error²) in dB; infinite where nothing differs."""
    signal, found = signal.astype(np.float64), found.astype(np.float64)
    error = float(((signal - found) ** 2).sum())
    power = float((signal**2).sum())
    if error == 0:
        return float("inf")
    return 10 * float(np.log10(power / error)) if power > 0 else float("-inf")
