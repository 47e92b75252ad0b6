"""The places of one model where numbers are put on a grid, and the switch that says whether they are."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import grids
from .observers import make_observer

# Outputs whose grid TensorFlow Lite's kernels fix, in the steps of 8 bits; with 16 bits it is [-1, 1).
FIXED = {"softmax": (0.0, 255 / 256), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}


@dataclass(eq=False)
class Kernel:
    """A variable that is quantized. reduced: axes that share a scale; clip: tf.Variable, the fraction of max |w|; bias:
    the variable that is added to the product, None without."""

    layer: str
    variable: Any
    reduced: tuple[int, ...]
    bits: int
    clip: Any = 1.0
    bias: Any = None


class Point:
    """One place. low, high: tf.Variables, constants for the graph; fixed: a grid that is not measured.

    table: what comes here was taken from a table of quantized weights, and is on the table's own grid.
    """

    def __init__(
        self, places: "Places", layer: str, role: str, bits: int, fixed: str | None, table: Kernel | None
    ) -> None:
        import tensorflow as tf

        self.places, self.layer, self.role, self.fixed, self.table = places, layer, role, fixed, table
        self.bits = bits
        low, high = FIXED[fixed] if fixed else (0.0, 1.0)
        if fixed and self.bits == 16:
            low, high = -1.0, 32767 / 32768
        self.low = tf.Variable(low, trainable=False, dtype="float32", name=f"{layer}/{role}/low")
        self.high = tf.Variable(high, trainable=False, dtype="float32", name=f"{layer}/{role}/high")

    def __call__(self, x: Any) -> Any:
        import tensorflow as tf

        if not x.dtype.is_floating:
            return x
        places, result = self.places, x
        on_table = self.table is not None and not places.snapped  # whose weights are rounded already
        exact = self in places.exact or on_table
        if self.bits and places.quantizes(self.layer, "activations") and not exact:
            rounded = tf.quantization.fake_quant_with_min_max_vars(
                tf.cast(x, "float32"), self.low, self.high, num_bits=self.bits
            )
            result = tf.cast(rounded, x.dtype)
        if places.tap is not None:
            places.tap(self, x, result)
        if places.discovering:
            places.rounded[id(result)] = self, result
        return result

    def product(self, x: Any, left: "Point | None", right: "Point | None", dense: bool) -> Any:
        """Round a product of two activations, as the int8 kernel of BATCH_MATMUL does, on every engine: in two steps,
        first to 2^-n of a step of the result, n being the exponent of its multiplier. So numbers that lie half of that
        below the middle of two steps are rounded away from zero; upwards if it becomes ``dense`` layers. left, right:
        where the factors were rounded, None where they were not; the converter takes the addition out again
        (markers.py)."""
        import tensorflow as tf

        if left is None or right is None or self.bits != 8 or not self.places.quantizes(self.layer, "activations"):
            return self(x)
        full, step = tf.cast(x, "float32"), self.step
        exponent = tf.floor(tf.math.log(left.step * right.step / step) / np.log(2))
        nudge = tf.stop_gradient((1.0 if dense else tf.sign(full)) * tf.pow(2.0, exponent) * step)
        return tf.cast(self(tf.add(full, nudge, name=ROUNDED_TWICE)), x.dtype)

    @property
    def step(self) -> Any:
        """Of its grid, a scalar tensor."""
        return (self.high - self.low) / (2**self.bits - 1)

    def set(self, low: float, high: float) -> None:
        self.low.assign(low)
        self.high.assign(high)


ROUNDED_TWICE = "rounded_twice"  # the name of an addition that the converter leaves out
Tap = Callable[[Point, Any, Any], None]


@dataclass
class Places:
    """All places of one model, by layer.

    normalization_bits: the least of what normalizations give; dense_products: whether large products of two activations
    become dense layers. floats: layers that compute in floats all the same; ends: those of them whose results become
    integers. on: whether numbers are rounded; only: in this layer alone; part:
    "weights" or "activations" alone; snapped: the weights lie on their grids already. tap: called with each point and
    its numbers, before and after rounding, in eager mode. deferred: layers whose output the one that follows rounds.
    exact: points that round nothing.
    """

    activation_bits: int
    normalization_bits: int
    dense_products: bool = False
    floats: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    on: bool = False
    only: str | None = None
    snapped: bool = False
    part: str | None = None
    tap: Tap | None = None
    points: dict[str, list[Point]] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)
    deferred: set[str] = field(default_factory=set)
    exact: set[Point] = field(default_factory=set)
    folded: dict[str, str] = field(default_factory=dict)  # BatchNormalization → the layer it is folded into
    calls: Counter[str] = field(default_factory=Counter)
    origins: dict[int, tuple[str, Any]] = field(default_factory=dict)  # id of a tensor → who made it, while discovering
    rounded: dict[int, tuple[Point, Any]] = field(default_factory=dict)  # id of a tensor → where it was rounded
    inputs: dict[str, set[Point | None]] = field(default_factory=dict)  # layer → where its first input was rounded
    readers: Counter[Point] = field(default_factory=Counter)  # how many layers take what is rounded there
    consumed: Counter[int] = field(default_factory=Counter)
    followers: list[tuple[str, str, int]] = field(default_factory=list)
    discovering: bool = False

    def kernels_of(self, layer: str) -> list[Kernel]:
        return [kernel for kernel in self.kernels if kernel.layer == layer]

    def point(
        self, layer: str, role: str, fixed: str | None = None, table: Kernel | None = None, bits: int | None = None
    ) -> Point:
        point = Point(self, layer, role, self.bits_of(layer, role) if bits is None else bits, fixed, table)
        self.points.setdefault(layer, []).append(point)
        return point

    def bits_of(self, layer: str, role: str) -> int:
        """Of the numbers there, 0 where they are floats."""
        inside = layer in self.floats and not (role == "output" and layer in self.ends)
        return 0 if inside else self.activation_bits

    def output_of(self, layer: str) -> Point | None:
        """Where what a layer gives is rounded, None where that is nowhere."""
        found = [point for point in self.points.get(layer, []) if point.role == "output"]
        return found[-1] if found else None

    def quantizes(self, layer: str, part: str) -> bool:
        return self.on and self.only in (None, layer) and self.part in (None, part)

    def weight(self, kernel: Kernel) -> Any:
        """The rounded weights, through which gradients pass as if they were not rounded (straight-through)."""
        import tensorflow as tf

        weights = tf.convert_to_tensor(kernel.variable.value)
        if not self.quantizes(kernel.layer, "weights") or self.snapped:
            return weights
        full = tf.cast(weights, "float32")
        limit = grids.top(kernel.bits)
        largest = tf.reduce_max(tf.abs(full), axis=kernel.reduced, keepdims=True) * kernel.clip
        scale = tf.where(largest > 0, largest, 1.0) / limit
        rounded = tf.clip_by_value(tf.round(full / scale), -limit, limit) * scale
        return tf.cast(full + tf.stop_gradient(rounded - full), weights.dtype)

    def constant(self, layer: str, vector: Any) -> Any:
        """A vector that an operator reads beside an activation: on 256 steps over its own range, as the converter puts
        it there, where activations are integers of 8 bits; gradients pass. float32."""
        import tensorflow as tf

        values = tf.cast(vector, "float32")
        if self.bits_of(layer, "constant") != 8 or not self.quantizes(layer, "weights"):
            return values
        low, high = (tf.stop_gradient(end(values)) for end in (tf.reduce_min, tf.reduce_max))
        rounded = tf.quantization.fake_quant_with_min_max_vars(values, tf.minimum(low, 0.0), tf.maximum(high, 1e-6))
        return values + tf.stop_gradient(rounded - values)

    def entered(self, layer: str, *inputs: Any) -> None:
        """Told by every layer's call; which layers follow which is found out by the identity of tensors."""
        if self.discovering:
            self.calls[layer] += 1
            self.inputs.setdefault(layer, set()).add(self.rounded.get(id(inputs[0]), (None,))[0])
            self.consumed.update(id(x) for x in inputs)

    def made(self, layer: str, output: Any) -> None:
        """This layer computed a linear function, which the next may be fused with."""
        if self.discovering:
            self.origins[id(output)] = layer, output

    def origin(self, layer: str, x: Any) -> str | None:
        """Who made x, where that was a linear layer; noted as a pair."""
        if not self.discovering or id(x) not in self.origins:
            return None
        source = self.origins[id(x)][0]
        self.followers.append((layer, source, id(x)))
        return source

    @contextmanager
    def tapped(self, tap: Tap) -> Iterator[None]:
        self.tap = tap
        try:
            yield
        finally:
            self.tap = None

    @contextmanager
    def unrounded(self, points: Iterable[Point]) -> Iterator[None]:
        """What comes to these points inside of this block passes as it is."""
        self.exact.update(points)
        try:
            yield
        finally:
            self.exact.clear()

    @contextmanager
    def switched(self, on: bool, only: str | None = None, part: str | None = None) -> Iterator[None]:
        before = self.on, self.only, self.part
        self.on, self.only, self.part = on, only, part
        try:
            yield
        finally:
            self.on, self.only, self.part = before

    def calibrate(self, runs: Iterable[Callable[[], Any]], observer: str) -> None:
        """Measure every range, before rounding there. runs: each feeds one batch through the model in eager mode.

        What an observer sees of a batch is all that comes to a point in it, be it in the steps of an RNN, the calls of
        a shared layer, or the scores of an attention with and without its mask: one grid has to hold them all.
        """
        observers: dict[int, tuple[Point, Any]] = {}
        seen: dict[int, list[Any]] = {}

        def see(point: Point, x: Any, _: Any) -> None:
            if point.fixed is None and point.table is None:
                observers.setdefault(id(point), (point, make_observer(observer, point.bits or 8)))
                seen.setdefault(id(point), []).append(np.asarray(x, np.float32).ravel())

        with self.tapped(see):
            for run in runs:
                seen.clear()
                run()
                for key, parts in seen.items():
                    observers[key][1].see(np.concatenate(parts))
        for point, seeing in observers.values():
            point.set(*seeing.range())

    def snap(self) -> None:
        """Put the weights onto their grids for good, and the points of tables onto those of their tables."""
        for kernel in self.kernels:
            weights = np.asarray(kernel.variable.numpy(), np.float32)
            scale = grids.weight_scale(weights, kernel.reduced, kernel.bits, np.asarray(kernel.clip))
            kernel.variable.assign(grids.snap(weights, scale, kernel.bits))
        for points in self.points.values():
            for point in points:
                if point.table is not None:
                    largest = float(np.abs(point.table.variable.numpy()).max()) or 1.0
                    # 127 steps, or the next multiple of a coarser grid's: 126 for 7.
                    steps = 127 // grids.top(point.table.bits) * grids.top(point.table.bits)
                    step = largest / steps
                    point.set(-128 * step, 127 * step)
        for kernel in self.kernels:
            self._snap_bias(kernel)
        self.snapped = True

    def _snap_bias(self, kernel: Kernel) -> None:
        """An integer kernel adds the bias in steps of the product: of the input's grid times the weights'."""
        sources = self.inputs.get(kernel.layer, set())
        source = next(iter(sources)) if len(sources) == 1 else None
        if kernel.bias is None or source is None or source.bits != 8 or kernel.layer in self.folded.values():
            return
        weights = np.asarray(kernel.variable.numpy(), np.float32)
        step = grids.weight_scale(weights, kernel.reduced, kernel.bits).squeeze(kernel.reduced)
        if step.shape in ((), kernel.bias.shape):
            step = step * np.float32(source.step)
            kernel.bias.assign(np.round(kernel.bias.numpy() / step) * step)
