"""Constants in 8 or 4 bits: symmetric grids, by tensor or by channel.

scale = max|w| / limit, limit 127 (8 bits) or 7 (4 bits); integers = round(w / scale). The lowest integer, -128 or -8,
is left out, as LiteRT's specification of int8 weights asks. A grid may be told to end earlier than at max|w|, where the
squared error is least. Weights that lie on such a grid already, because a training has put them there, come out as
the same integers.
"""

import numpy as np

from ..fakequant.grids import best_clip, channels_share, one_scale
from .graph import Array, Grid, Tensor

_ON_GRID = 1e-3  # of a step: float32 rounds by less, and no untrained tensor lies that close everywhere
LIMITS = {8: 127, 4: 7}


def symmetric_scale(values: Array, bits: int, axis: int | None) -> Array:
    """values: any float. Returns (1,) float32, or one scale for each index of the axis; never 0."""
    magnitude = np.abs(values.astype(np.float32))
    top = magnitude.max(initial=0) if axis is None else magnitude.max(_others(values, axis), initial=0)
    scale = np.atleast_1d(np.asarray(top, np.float32) / np.float32(LIMITS[bits]))
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    return scale


def to_integers(values: Array, scale: Array, bits: int, axis: int | None) -> Array:
    """int8 numbers within ±limit, of the same shape."""
    shape = [1] * values.ndim
    if axis is not None:
        shape[axis] = -1
    steps = np.rint(values.astype(np.float64) / scale.astype(np.float64).reshape(shape))
    return np.clip(steps, -LIMITS[bits], LIMITS[bits]).astype(np.int8)


def quantized(tensor: Tensor, bits: int, axis: int | None, nearest: float = 1.0) -> Tensor:
    """The constant in fewer bits. axis: each of its indices has a scale of its own; None: one scale for all. nearest:
    the least fraction of max|w| at which a grid for all may end, 1 for none but the largest number itself.
    """
    assert tensor.data is not None
    scale = symmetric_scale(tensor.data, bits, axis)
    whole = symmetric_scale(tensor.data, bits, None)
    settled = lies_on(tensor.data, whole)
    if axis is not None and settled:
        scale = np.repeat(whole, len(scale))  # a training has settled one scale for all
    if axis is None and nearest < 1 and not settled:
        scale = scale * best_clip(tensor.data, tuple(range(tensor.data.ndim)), bits, nearest).reshape(1)
    grid = Grid(scale, np.zeros(len(scale), np.int64), axis or 0)
    return Tensor.constant(
        tensor.name, to_integers(tensor.data, scale, bits, axis), "int4" if bits == 4 else "int8", grid
    )


def dense_axis(weights: Tensor, bits: int) -> int | None:
    """Along which axis a dense layer's weights, (out, in), have scales: 0, or None for one scale. What a training has
    settled counts; else their number does."""
    assert weights.data is not None
    if lies_on(weights.data, symmetric_scale(weights.data, bits, None)):
        return None
    rows, columns = weights.data.shape
    if not one_scale(rows, columns, bits):
        return 0
    return 0 if lies_on(weights.data, symmetric_scale(weights.data, bits, 0)[:, None]) else None


def channel_axis(weights: Tensor, axis: int, bits: int) -> int | None:
    """Along which axis a convolution's weights have scales: that of its channels, or None for one scale. With 4 bits
    one scale does for weights that a training has put there, not for others."""
    assert weights.data is not None
    if bits == 4 and not lies_on(weights.data, symmetric_scale(weights.data, bits, None)):
        return axis
    return None if channels_share(weights.data, _others(weights.data, axis), bits) else axis


def lies_on(values: Array, scale: Array) -> bool:
    steps = values.astype(np.float64) / scale.astype(np.float64)
    return bool(np.abs(steps - np.rint(steps)).max(initial=0) < _ON_GRID)


def restored(tensor: Tensor) -> Array:
    """The real numbers that a quantized constant stands for, float32 of its shape."""
    assert tensor.data is not None
    assert tensor.grid is not None
    shape = [1] * tensor.data.ndim
    if len(tensor.grid.scale) > 1:
        shape[tensor.grid.axis] = -1
    values = tensor.data.astype(np.float32) - tensor.grid.zero.astype(np.float32).reshape(shape)
    restored: Array = values * tensor.grid.scale.reshape(shape)
    return restored


def _others(values: Array, axis: int) -> tuple[int, ...]:
    return tuple(number for number in range(values.ndim) if number != axis % values.ndim)
