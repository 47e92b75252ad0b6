"""The layers of a model by name; which of them get grids, which need none, and which are left alone and why."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from ..errors import ModelError
from . import attention, layers, normalization, recurrent
from .grids import one_scale
from .layers import Call
from .points import Kernel, Places

# What these give lies on the grid of what they take.
_PASSIVE = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout"),
    *(
        "GaussianNoise",
        "ActivityRegularization",
        "Flatten",
        "Reshape",
        "Permute",
        "RepeatVector",
        "Masking",
        "Identity",
    ),
    *("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D", "InputLayer"),
    *("UpSampling1D", "UpSampling2D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D"),
    *("AveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "RandomFlip", "RandomRotation", "RandomZoom"),
)
_PASSIVE_OPS = (
    *("Reshape", "Transpose", "GetItem", "ExpandDims", "Squeeze", "Repeat", "BroadcastTo", "Flip", "Take", "Cast"),
    *("Split", "Pad", "Max", "Roll", "Copy", "StopGradient", "Unstack", "Ravel", "SwapAxes", "Moveaxis"),
)
_ACTIVE = (
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot", "GlobalAveragePooling1D"),
    *(
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "UnitNormalization",
    ),
    *("GroupNormalization", "Rescaling", "Normalization", "Resizing"),
)
_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax")
_OPS_WITH_FIXED_GRID = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@dataclass(frozen=True)
class Named:
    """One layer, or one of keras.ops in a functional model. kind: its class."""

    name: str
    layer: Any

    @property
    def kind(self) -> str:
        return type(self.layer).__name__


def named_layers(model: Any) -> list[Named]:
    """Every layer once, in order, named by its way through the layers around it, e.g. "block/attention/query"."""
    found: list[Named] = []
    seen: set[int] = set()
    names: set[str] = set()

    def visit(layer: Any, prefix: str) -> None:
        for child in _children(layer):
            if id(child) in seen:
                continue
            seen.add(id(child))
            name = unique = f"{prefix}{child.name}"
            number = 1
            while unique in names:
                number += 1
                unique = f"{name}_{number}"
            names.add(unique)
            found.append(Named(unique, child))
            visit(child, f"{unique}/")

    visit(model, "")
    return found


def _children(layer: Any) -> Iterator[Any]:
    functional = getattr(layer, "_functional", None) or layer
    yield from getattr(functional, "_operations", None) or getattr(layer, "_layers", None) or ()


def matching(names: list[str], patterns: tuple[str, ...]) -> set[str]:
    """The names that a pattern fits, with all inside of them. Raises ModelError for a pattern that fits none."""
    found: set[str] = set()
    for pattern in patterns:
        fits = {n for n in names if any(fnmatch.fnmatchcase(part, pattern) for part in _prefixes(n))}
        if not fits:
            raise ModelError(f"No layer is named {pattern!r}: the model has {', '.join(names[:40])}.")
        found |= fits
    return found


def _prefixes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))] + parts[-1:]


def replacement(places: Places, named: Named) -> tuple[str, Call] | str | None:
    """(attribute, what stands in for it); a sentence why the layer is left alone; None where it needs nothing."""
    import keras

    layer, name, kind = named.layer, named.name, named.kind
    if isinstance(layer, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        return "_compute_attention", attention.attention(places, layer, name)
    if isinstance(layer, keras.layers.Embedding):
        return ("call", layers.embedding(places, layer, name)) if places.kernels_of(name) else None
    if "Separable" in kind and places.kernels_of(name):
        return "call", layers.separable(places, layer, name)
    if places.kernels_of(name) and not isinstance(layer, keras.layers.RNN):
        return "call", layers.dense(places, layer, name)
    if isinstance(layer, keras.layers.RNN):
        return ("call", recurrent.recurrent(places, layer, name)) if places.kernels_of(name) else None
    if kind in recurrent.CELLS:
        return "call", recurrent.CELLS[kind](places, layer, name)
    if isinstance(layer, keras.layers.BatchNormalization):
        return "call", layers.batch_normalization(places, layer, name)
    if isinstance(layer, keras.layers.LayerNormalization | keras.layers.RMSNormalization):
        return "call", normalization.normalization(places, layer, name)
    if not isinstance(layer, keras.layers.Layer):
        return _operation(places, named)
    if kind in _ACTIVATIONS:
        return "call", layers.activation(places, layer, name)
    if kind in _ACTIVE:
        return "call", layers.plain(places, layer, name)
    if list(_children(layer)):  # a model, a wrapper, a layer of the user's own around others
        return None
    if kind in _PASSIVE or not layer._trainable_variables:
        return "call", layers.passive(places, layer, name)
    return f"{kind} has weights of its own, and how it computes is not known here: build it of Keras' layers"


def _operation(places: Places, named: Named) -> tuple[str, Call]:
    if named.kind in _PASSIVE_OPS:
        return "call", layers.passive(places, named.layer, named.name)
    if named.kind in ("Relu", "Relu6", *_OPS_WITH_FIXED_GRID):
        return "call", layers.operation(places, named.layer, named.name, _OPS_WITH_FIXED_GRID.get(named.kind))
    return "call", layers.plain(places, named.layer, named.name)


def add_kernels(places: Places, named: Named, bits: int, per_tensor: bool) -> None:
    """Note which variables of a layer are quantized. per_tensor: one scale for each dense kernel, be it
    wide or narrow."""
    import keras

    layer = named.layer
    found: list[tuple[Any, tuple[int, ...]]] = []
    if isinstance(layer, keras.layers.RNN):
        for cell in getattr(layer.cell, "cells", None) or [layer.cell]:
            if type(cell).__name__ in recurrent.CELLS:
                found += [(cell.kernel, (0,)), (cell.recurrent_kernel, (0,))]
    elif isinstance(layer, keras.layers.Layer):
        found = layers.kernels_of_layer(layer)
    dense = isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense | keras.layers.RNN)
    for variable, reduced in found:
        shape = variable.shape
        columns = prod(shape[axis] for axis in reduced)
        whole = dense and (per_tensor or one_scale(prod(shape) // columns, columns, bits))
        axes = tuple(range(len(shape))) if whole else reduced
        bias = layer.bias if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense) else None
        places.kernels.append(Kernel(named.name, variable, axes, bits, bias=bias))
