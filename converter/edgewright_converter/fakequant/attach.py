"""Puts grids into a live model, finds out which layers integer kernels fuse, and takes all of it out again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..errors import ModelError
from ..outcome import Skipped
from . import grids, walk
from .channels import share_scales
from .layers import fold
from .points import Places, Point

_INTEGERS = 8  # bits of activations at which the lowering gives convolutions one scale


@dataclass(frozen=True)
class Settings:
    """weight_bits: 8 or 4; activation_bits: 8, 16, or 0 for none; leave: names or patterns of layers to leave float.

    per_tensor: one scale for each dense kernel, and by channel for each convolution, as an Edge TPU's compiler knows
    them. dense_products: whether the file multiplies large activations in dense layers. floats: layers that compute in
    floats all the same; ends: those of them whose results become integers.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    leave: tuple[str, ...] = ()
    per_tensor: bool = False
    dense_products: bool = False
    floats: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()


@dataclass
class Attached:
    """A model with grids. named: its layers; skipped: those left alone, with the reason; answers: the points that the
    model's outputs come from."""

    model: Any
    places: Places
    named: list[walk.Named]
    skipped: list[Skipped]
    replaced: list[tuple[Any, str]]
    restore: list[Callable[[], None]]
    answers: set[Point] = field(default_factory=set)

    def detach(self) -> None:
        """Give the layers their own computation back; the weights stay as they are."""
        for layer, attribute in self.replaced:
            layer.__dict__.pop(attribute, None)
        self.replaced.clear()
        while self.restore:
            self.restore.pop()()

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of each point, by "layer:role": all that a clone needs to be rounded in the same way."""
        return {key: (float(p.low.numpy()), float(p.high.numpy())) for key, p in self._by_key().items()}

    def set_ranges(self, ranges: dict[str, tuple[float, float]]) -> None:
        """Of another model of the same architecture. Raises ModelError where they are not its ranges."""
        points = self._by_key()
        if points.keys() != ranges.keys():
            raise ModelError(
                f"The ranges are another model's: {sorted(points.keys() ^ ranges.keys())[0]} is not in both."
            )
        for key, (low, high) in ranges.items():
            points[key].set(low, high)

    def _by_key(self) -> dict[str, Point]:
        return {f"{p.layer}:{p.role}": p for points in self.places.points.values() for p in points}


def attach(model: Any, sample: Any, settings: Settings) -> Attached:
    """Put grids into the model, in place; they round nothing until ``places.on`` is set and ranges are measured.

    sample: a batch as the model takes it, to find out which layer follows which. Raises ModelError where a pattern fits
    no layer, where no layer can be reached, and where one runs in code that cannot be looked into.
    """
    import keras

    model(sample, training=False)  # builds what is not built yet
    named = walk.named_layers(model)
    left = walk.matching([entry.name for entry in named], settings.leave)
    # The converter multiplies a normalization's gain into the dense layers that follow, unless its output has a grid.
    # Off the grid that they were trained on, 8-bit weights lose nothing, 4-bit weights do.
    normalized = 8 if settings.weight_bits < 8 else 0
    places = Places(
        settings.activation_bits, normalized, settings.dense_products, floats=settings.floats, ends=settings.ends
    )
    attached = Attached(model, places, named, [], [], [])
    chosen = [entry for entry in named if entry.name not in left]
    attached.skipped += [Skipped(entry.name, "left float, as the recipe says") for entry in named if entry.name in left]
    scope = model.distribute_strategy.scope() if model.distribute_strategy is not None else None
    if scope is not None:
        scope.__enter__()
    try:
        for entry in chosen:
            walk.add_kernels(places, entry, settings.weight_bits, settings.per_tensor)
        for entry in chosen:
            _replace(attached, entry)
        _round_inputs(attached, len(keras.tree.flatten(sample)))
    finally:
        if scope is not None:
            scope.__exit__(None, None, None)
    if not places.kernels:
        raise ModelError(
            f"Model {model.name} has no layer that can be quantized: its layers are "
            f"{', '.join(f'{entry.name} ({entry.kind})' for entry in named[:20])}, expected Keras' own."
        )
    try:
        _discover(attached, sample)
        _fuse(attached)
        if settings.activation_bits == _INTEGERS and not settings.per_tensor:
            share_scales(places, {entry.name: entry.layer for entry in named}, model, sample)
    except BaseException:
        attached.detach()
        raise
    if settings.weight_bits < 8:
        _clip(places)
    return attached


def _replace(attached: Attached, entry: walk.Named) -> None:
    found = walk.replacement(attached.places, entry)
    if isinstance(found, str):
        attached.skipped.append(Skipped(entry.name, found))
    elif found is not None:
        attribute, call = found
        _set(attached, entry.layer, attribute, call)
    if getattr(entry.layer, "use_cudnn", None) == "auto":  # cuDNN computes all steps at once, without our cell
        entry.layer.use_cudnn = False
        attached.restore.append(partial(setattr, entry.layer, "use_cudnn", "auto"))


def _set(attached: Attached, layer: Any, attribute: str, call: Any) -> None:
    object.__setattr__(layer, attribute, call)  # Keras would look into it for layers
    attached.replaced.append((layer, attribute))


def _round_inputs(attached: Attached, count: int) -> None:
    """A grid for each float input of the model; whole numbers pass through it."""
    import keras

    model = attached.model
    points = [attached.places.point(f"input {index + 1}", "output") for index in range(count)]

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = [keras.ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
        flat = [point(x) for point, x in zip(points, tensors, strict=True)]
        return type(model).call(model, keras.tree.pack_sequence_as(inputs, flat), *args, **kwargs)

    _set(attached, model, "call", call)


def _discover(attached: Attached, sample: Any) -> None:
    """Run once, eagerly, and see who calls whom."""
    import keras
    import tensorflow as tf

    places = attached.places
    hidden: list[str] = []

    def see(point: Point, x: Any, _: Any) -> None:
        if not hasattr(x, "numpy"):
            hidden.append(point.layer)

    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    places.discovering = True
    try:
        with places.tapped(see):
            outputs = keras.tree.flatten(attached.model(sample, training=False))
        attached.answers = {places.rounded[id(x)][0] for x in outputs if id(x) in places.rounded}
    finally:
        places.discovering = False
        tf.config.run_functions_eagerly(eager)
        for key, (point, _) in places.rounded.items():
            places.readers[point] += places.consumed[key]
        places.origins.clear()
        places.rounded.clear()
    if hidden:
        raise ModelError(
            f"Layer {hidden[0]} runs inside of code that cannot be looked into (a graph of its own): call it from the "
            "model's call directly, or leave it float (leave)."
        )
    called = set(places.calls)
    for kernel in places.kernels:
        if kernel.layer not in called and kernel.layer not in {entry.what for entry in attached.skipped}:
            attached.skipped.append(Skipped(kernel.layer, "it is not used in inference"))
    places.kernels = [kernel for kernel in places.kernels if kernel.layer in called]
    if not places.kernels:
        raise ModelError(
            f"No layer of {attached.model.name} was reached: it calls other objects than the layers it holds, such as "
            f"{attached.skipped[-1].what}; call those."
        )


def _fuse(attached: Attached) -> None:
    """Fold each BatchNormalization into the linear layer before it, and leave rounding to a ReLU that follows."""
    import keras

    places = attached.places
    by_name = {entry.name: entry.layer for entry in attached.named}
    for name, source, tensor in places.followers:
        alone = places.consumed[tensor] == 1 and places.calls[source] == 1 and places.calls[name] == 1
        layer = by_name[name]
        if not alone:
            continue
        if not isinstance(layer, keras.layers.BatchNormalization):
            if source in places.folded or not isinstance(by_name[source], keras.layers.BatchNormalization):
                places.deferred.add(source)
        elif (kernel := _foldable(places, layer, by_name[source], source)) is not None:
            fold(layer, by_name[source], kernel)
            if layer.scale:
                trainable = layer.gamma.trainable
                layer.gamma.trainable = False
                attached.restore.append(partial(setattr, layer.gamma, "trainable", trainable))
            places.folded[name] = source
            places.deferred.add(source)


def _foldable(places: Places, normalization: Any, layer: Any, source: str) -> Any:
    """The kernel that a BatchNormalization is folded into, or None."""
    import keras

    kernels = places.kernels_of(source)
    last = normalization.axis in (-1, normalization.input_spec.ndim - 1)
    if not kernels or not normalization.center or not last:
        return None
    if isinstance(layer, keras.layers.EinsumDense):
        ends, _, output = layer.equation.partition("->")
        if ends[-1] != output[-1]:
            return None
    return kernels[-1]


def _clip(places: Places) -> None:
    """Few bits: end each channel's grid where the error is least."""
    import tensorflow as tf

    for kernel in places.kernels:
        clip = grids.best_clip(np.asarray(kernel.variable.numpy(), np.float32), kernel.reduced, kernel.bits)
        kernel.clip = tf.Variable(clip, trainable=False, dtype="float32")


def feed(model: Any, batches: Sequence[Any]) -> list[Callable[[], Any]]:
    """For each batch what runs it through the model in eager mode."""
    return [partial(model, batch, training=False) for batch in batches]
