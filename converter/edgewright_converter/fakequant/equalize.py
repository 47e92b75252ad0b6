"""Channels of one size, which let a convolution do with one scale for all of them. NumPy alone.

Between two layers with at most a ReLU there, what comes in channel i may be divided by any s > 0 in the first and
multiplied by it in the second: relu(x / s) · s = relu(x). With s = sqrt(r1 / r2), of the largest weights of the
channel in either, both have the same range afterwards (Nagel et al. 2019, "Data-free quantization through weight
equalization and bias correction").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .grids import NARROW, Array

_ROUNDS, _SETTLED = 30, 1e-3  # a chain is gone through until no channel changes by more than this part
_MOST = 1e3  # that a channel grows or shrinks by: one that is hardly used has hardly a size


@dataclass
class Layer:
    """weights: float32; bias: (channels,) float32, zeros without one; outputs, inputs: the axes of the weights'
    channels, the same one in a depthwise convolution."""

    weights: Array
    bias: Array
    outputs: int
    inputs: int

    @property
    def narrow(self) -> bool:
        """Whether one scale may do for it, see grids.channels_share."""
        return self.weights.size < NARROW * len(self.bias)

    def multiply(self, axis: int, factors: Array) -> None:
        """factors: (channels,), along this axis."""
        shape = [1] * self.weights.ndim
        shape[axis] = -1
        self.weights = (self.weights * factors.reshape(shape)).astype(np.float32)


def equalize(layers: Sequence[Layer], links: Sequence[tuple[int, int]]) -> list[Array]:
    """Change the layers, which compute the same afterwards. links: (number of the one before, of the one behind).

    Nothing is done between two layers that have scales by channel in any case. No bias becomes larger than the largest
    is, or a channel that is nearly constant would widen the range of what the layer gives. Returns by how much each
    link's channels were divided, (channels,) float32.
    """
    helped = [layers[first].narrow or layers[second].narrow for first, second in links]
    whole = [np.ones_like(layers[first].bias) for first, _ in links]
    least = [_least(layers[first].bias) for first, _ in links]
    for _ in range(_ROUNDS):
        moved = 0.0
        for number, (first, second) in enumerate(links):
            if not helped[number]:
                continue
            before, behind = layers[first], layers[second]
            sizes = _sizes(before.weights, before.outputs), _sizes(behind.weights, behind.inputs)
            used = (sizes[0] > 0) & (sizes[1] > 0)
            wanted = np.sqrt(np.divide(*sizes, out=np.ones_like(sizes[0]), where=used))
            factors = np.clip(whole[number] * wanted, least[number], _MOST) / whole[number]
            before.multiply(before.outputs, 1 / factors)
            behind.multiply(behind.inputs, factors)
            before.bias = (before.bias / factors).astype(np.float32)
            whole[number] = (whole[number] * factors).astype(np.float32)
            moved = max(moved, float(np.abs(factors - 1).max()))
        if moved < _SETTLED:
            break
    return whole


def _least(bias: Array) -> Array:
    """What a channel may be divided by at the least."""
    size = np.abs(bias)
    largest = float(size.max(initial=0))
    part = size / largest if largest > 0 else np.zeros_like(size)
    return np.asarray(np.clip(part, 1 / _MOST, 1.0), np.float32)


def _sizes(weights: Array, axis: int) -> Array:
    """max |w| of each channel."""
    others = tuple(number for number in range(weights.ndim) if number != axis % weights.ndim)
    return np.asarray(np.abs(weights).max(axis=others, initial=0))
