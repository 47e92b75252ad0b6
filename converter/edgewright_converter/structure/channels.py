"""Which channels of a network hang together: NumPy and a union-find, no TensorFlow.

Each index along an axis of a tensor that could be cut out (a unit of a dense layer, a filter, a head …) is a channel, a
whole number. A tensor's ``Axes`` say for each of its axes which channel each index is, or None where nothing can be
cut. Layers that add, multiply or share tie channels together; a channel whose number is fixed from outside, or that an
unknown layer sees, is pinned with the reason. Channels that are tied live or go together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data import Array

Axis = Array | None
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Space:
    """One set of channels as a layer made it. kind: what they are there, such as "units"; first: the first channel."""

    layer: str
    kind: str
    first: int
    count: int


@dataclass
class Channels:
    """All channels of one model."""

    spaces: list[Space] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)  # of what is pinned, by channel
    _parents: list[int] = field(default_factory=list)

    def new(self, layer: str, kind: str, count: int) -> Array:
        """count fresh channels, (count,) int64."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        self.spaces.append(Space(layer, kind, first, count))
        return np.arange(first, first + count)

    def root(self, channel: int) -> int:
        """The one that stands for all that are tied to it."""
        path = []
        while self._parents[channel] != channel:
            path.append(channel)
            channel = self._parents[channel]
        for passed in path:
            self._parents[passed] = channel
        return channel

    def roots(self, axis: Array) -> Array:
        return np.array([self.root(int(channel)) for channel in axis], np.int64)

    def tie(self, first: Axis, second: Axis, reason: str) -> Axis:
        """Tie index by index; gives the axis of the result. What meets an axis of fixed size (None) is pinned."""
        if first is None or second is None:
            for axis in (first, second):
                self.pin(axis, reason)
            return None
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            self._parents[self.root(a)] = self.root(b)
        return second

    def pin(self, axis: Axis, reason: str) -> None:
        """None of these may go."""
        if axis is not None:
            self.reasons.update(dict.fromkeys(axis.tolist(), reason))

    def pinned(self) -> dict[int, str]:
        """Reasons by root."""
        return {self.root(channel): reason for channel, reason in self.reasons.items()}

    def reshape(self, axes: Axes, shape: Sequence[int], new: Sequence[int], reason: str) -> Axes:
        """The axes after a reshape. shape, new: sizes without open ones, equal products.

        Where an axis is split, the leading part stays free and the rest of each part is tied to it: heads, not their
        units. Where two free axes are merged, the second is pinned.
        """
        found: list[Axis] = [None] * len(new)
        free = [index for index, axis in enumerate(axes) if axis is not None]
        for index in free[1:]:
            self.pin(axes[index], reason)
        if not free:
            return tuple(found)
        axis = axes[free[0]]
        assert axis is not None
        inside = axis.reshape([-1 if index == free[0] else 1 for index in range(len(shape))])
        full = np.broadcast_to(inside, shape).reshape(new)
        varying = [index for index, size in enumerate(new) if size > 1 and (full != full.take([0], index)).any()]
        if not varying:
            self.pin(axis, reason)
            return tuple(found)
        along = varying[0]
        rows = np.moveaxis(full, along, 0).reshape(new[along], -1)
        for column in rows.T[1:] if len(varying) > 1 else ():
            self.tie(column, rows[:, 0], reason)
        found[along] = np.ascontiguousarray(rows[:, 0])
        return tuple(found)


def einsum_axes(equation: str, operands: Sequence[Axes], channels: Channels) -> Axes:
    """The result's axes of an einsum without ellipsis: the same letter is the same channel."""
    left, _, right = equation.replace(" ", "").partition("->")
    letters: dict[str, Axis] = {}
    for term, axes in zip(left.split(","), operands, strict=True):
        for letter, axis in zip(term, axes, strict=True):
            letters[letter] = (
                channels.tie(letters[letter], axis, "is multiplied by something of fixed size")
                if letter in letters
                else axis
            )
    return tuple(letters[letter] for letter in right)
