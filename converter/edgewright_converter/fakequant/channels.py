"""One scale for all channels of a convolution where that costs little, its channels being made equally large first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import grids
from .activation import name_of
from .equalize import Layer, equalize
from .points import Kernel, Places

_ALIKE = 1e-3  # of the largest answer: how far float32 may move it


@dataclass(frozen=True)
class _Link:
    """Two kernels with at most a ReLU between, and the variables that are added to what the first gives."""

    first: Kernel
    second: Kernel
    biases: tuple[Any, ...]


def share_scales(places: Places, named: Mapping[str, Any], model: Any, sample: Any) -> None:
    """Change the weights, not what the model computes, and how many scales they have. Layers are fused already.

    named: the layers by name. sample: a batch as the model takes it.
    """
    _equalize(places, named, model, sample)
    for kernel in places.kernels:
        if _is_convolution(named.get(kernel.layer)):
            weights = np.asarray(kernel.variable.numpy(), np.float32)
            if grids.channels_share(weights, kernel.reduced, kernel.bits):
                kernel.reduced = tuple(range(weights.ndim))


def _equalize(places: Places, named: Mapping[str, Any], model: Any, sample: Any) -> None:
    """Nothing is changed where a layer that tells us nothing reads what lies between two of ours, which is seen from
    other answers."""
    links = list(_links(places, named))
    if not links:
        return
    kernels = list({id(k): k for link in links for k in (link.first, link.second)}.values())
    numbers = {id(kernel): number for number, kernel in enumerate(kernels)}
    biases = {id(link.first): link.biases for link in links}
    layers = []
    for kernel in kernels:
        outputs, inputs = _axes(named[kernel.layer], kernel) or (0, 0)
        weights = np.asarray(kernel.variable.numpy(), np.float32)
        bias = np.zeros(weights.shape[outputs], np.float32)
        for variable in biases.get(id(kernel), ()):
            bias = bias + variable.numpy()
        layers.append(Layer(weights, bias, outputs, inputs))
    before = _answers(model, sample)
    divided = equalize(layers, [(numbers[id(link.first)], numbers[id(link.second)]) for link in links])
    changed = [(kernel.variable, layer.weights) for kernel, layer in zip(kernels, layers, strict=True)]
    changed += [(b, b.numpy() / s) for link, s in zip(links, divided, strict=True) for b in link.biases]
    kept = [(variable, variable.numpy()) for variable, _ in changed]
    _assign(changed)
    if not np.allclose(_answers(model, sample), before, rtol=0, atol=_ALIKE * float(np.abs(before).max(initial=0))):
        _assign(kept)


def _assign(values: list[tuple[Any, Any]]) -> None:
    for variable, value in values:
        variable.assign(value)


def _links(places: Places, named: Mapping[str, Any]) -> Iterator[_Link]:
    fused = {name: source for name, source, _ in places.followers if source in places.deferred}
    for name, points in places.inputs.items():
        kernels = [k for k in places.kernels_of(name) if _axes(named.get(name), k) is not None]
        if not kernels or len(kernels) < len(places.kernels_of(name)) or places.calls[name] > 1:
            continue
        if len(kernels) == 2:  # of a SeparableConv
            yield _Link(kernels[0], kernels[1], ())
        point = next(iter(points)) if len(points) == 1 else None
        if point is None or places.readers[point] != 1:
            continue
        source, biases = _source(places, named, fused, point.layer)
        before = places.kernels_of(source)
        if before and places.calls[source] == 1 and _axes(named[source], before[-1]) is not None:
            yield _Link(before[-1], kernels[0], biases)


def _source(places: Places, named: Mapping[str, Any], fused: Mapping[str, str], name: str) -> tuple[str, Any]:
    """The convolution that gives what is rounded in this layer, and its biases; "" where there is none or more than a
    ReLU between."""
    biases = []
    if _is_relu(named.get(name)):
        name = fused.get(name, "")
    if name in places.folded:
        biases.append(named[name].beta)
        name = places.folded[name]
    layer: Any = named.get(name)
    if not _is_convolution(layer) or name_of(layer.activation) not in ("linear", "relu"):
        return "", ()
    if layer.use_bias:
        biases.append(layer.bias)
    return name, tuple(biases)


def _is_relu(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind == "ReLU":
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return kind == "Relu" or (kind == "Activation" and name_of(layer.activation) == "relu")


def _is_convolution(layer: Any) -> bool:
    from keras.src.layers.convolutional.base_conv import BaseConv
    from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
    from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

    return isinstance(layer, BaseConv | BaseDepthwiseConv | BaseSeparableConv)


def _axes(layer: Any, kernel: Kernel) -> tuple[int, int] | None:
    """Of the channels that a convolution gives and takes, in its kernel: None with groups, or where one channel gives
    several."""
    if not _is_convolution(layer):
        return None
    rank, shape = len(kernel.variable.shape), kernel.variable.shape
    if len(kernel.reduced) == rank - 2:  # depthwise: (…, channels, multiplier)
        return (rank - 2, rank - 2) if shape[-1] == 1 else None
    return (rank - 1, rank - 2) if getattr(layer, "groups", 1) == 1 else None


def _answers(model: Any, sample: Any) -> Any:
    import keras

    found = keras.tree.flatten(model(sample, training=False))
    return np.concatenate([np.asarray(x, np.float32).ravel() for x in found])
