"""What each Keras layer and operation does to the channels that flow through it: one rule per kind, one table.

A rule is given the axes of what comes in; it records which channels each axis of each weight stands for, ties and pins
what must stay together, says how the layer's configuration follows from the numbers that are kept, and gives the axes
of what goes out. What has no rule pins what it sees, and is told with its reason.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Array
from .channels import Axes, Axis, Channels
from .graph import functional, walk

# fmt: off
_ELEMENTWISE = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh",
    "hard_tanh", "tanh_shrink", "silu", "hard_silu", "softplus", "softsign", "soft_shrink", "hard_shrink",
    "sparse_plus", "squareplus", "exponential", "linear", "mish", "threshold",
]
# fmt: on
Count = Callable[[Axis], int]  # how many of these channels are kept
Edit = Callable[[dict[str, Any], Count], dict[str, Any]]


@dataclass(frozen=True)
class Traced:
    """Stands for a tensor. shape: with the batch, None where open; axes: one for each."""

    shape: tuple[int | None, ...]
    axes: Axes


@dataclass
class Trace:
    """weights: by the variable's id, the channels of its axes; edits: by the layer's id, its new configuration;
    scales: by the variable's id, a factor that depends on what is kept; produced: by the layer's id, its output's axes.
    """

    channels: Channels = field(default_factory=Channels)
    weights: dict[int, tuple[Any, Axes]] = field(default_factory=dict)
    edits: dict[int, Edit] = field(default_factory=dict)
    scales: dict[int, Callable[[Count], float]] = field(default_factory=dict)
    produced: dict[int, tuple[Any, Axes]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    _fresh: dict[tuple[int, str], Array] = field(default_factory=dict)

    def fresh(self, layer: Any, kind: str, count: int, part: str = "") -> Array:
        """New channels of that layer; the same ones at each further call of a shared layer."""
        key = (id(layer), kind + part)
        if key not in self._fresh:
            name = f"{layer.name}/{part}" if part else layer.name
            self._fresh[key] = self.channels.new(name, kind, count)
        return self._fresh[key]

    def fixed(self, size: int | None) -> Axis:
        """Pinned channels for an axis of that size, so that it can stand beside free ones; None where it is open."""
        if size is None:
            return None
        axis = self.channels.new("", "fixed", size)
        self.channels.pin(axis, "is of fixed size")
        return axis

    def weight(self, variable: Any, *axes: Axis) -> None:
        """Say what the axes of a weight stand for. A layer that is called twice ties what it sees."""
        if variable is None:
            return
        if id(variable) in self.weights:
            before = self.weights[id(variable)][1]
            axes = tuple(self.tie(a, b, variable.path) for a, b in zip(before, axes, strict=True))
        self.weights[id(variable)] = (variable, tuple(axes))

    def tie(self, first: Axis, second: Axis, layer: str) -> Axis:
        return self.channels.tie(first, second, f"meets something of fixed size in {layer}")

    def pin(self, value: Any, reason: str) -> None:
        for axis in value.axes if isinstance(value, Traced) else (value,):
            self.channels.pin(axis, reason)


def trace(model: Any, use: str) -> Trace:
    """Raises ModelError for a subclassed model. Inputs and outputs of the model are pinned."""
    found = Trace()

    def visit(operation: Any, args: Any, kwargs: Any, outputs: list[Any]) -> list[Any]:
        results = rule_for(operation)(found, operation, _arguments(operation, args, kwargs), outputs)
        results = results if isinstance(results, list) else [results]
        traced = [Traced(tuple(t.shape), axes) for t, axes in zip(outputs, results, strict=True)]
        found.produced.setdefault(id(operation), (operation, traced[0].axes))
        return traced

    graph = functional(model, use)
    for output in walk(graph, [Traced(tuple(t.shape), (None,) * len(t.shape)) for t in graph.inputs], visit):
        found.pin(output, "is an output of the model")
    return found


def rule_for(operation: Any) -> Callable[..., Any]:
    """By the name of its class, where that is Keras' own: a layer of the user's own may do anything."""
    kind = type(operation)
    from . import layer_rules, operation_rules

    if kind.__module__.startswith("keras.src.layers."):
        return layer_rules.RULES.get(kind.__name__, unknown)
    return operation_rules.RULES.get(kind.__name__, unknown) if kind.__module__.startswith("keras.src.") else unknown


def _arguments(operation: Any, args: Any, kwargs: Any) -> list[Any]:
    """Everything that is given, in the order of the call's own parameters, and the rest by name at the end."""
    try:
        bound = inspect.signature(operation.call).bind(*args, **kwargs)
    except TypeError:
        return [*args, *kwargs.values()]
    bound.apply_defaults()
    return list(bound.arguments.values())


def unknown(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> list[Axes]:
    import keras

    reason = f"goes into {operation.name} ({type(operation).__name__}), whose channels edgewright does not know"
    for value in keras.tree.flatten(args):
        if isinstance(value, Traced):  # and not a number or a flag that the layer is called with
            trace.pin(value, reason)
    if getattr(operation, "variables", None):
        trace.unknown[operation.name] = f"edgewright does not know the channels of a {type(operation).__name__}"
    return [(None,) * len(tensor.shape) for tensor in outputs]


def check_activation(trace: Trace, layer: Any, axis: Axis) -> None:
    """A softmax over units lets none of them go."""
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name not in _ELEMENTWISE:
        trace.pin(axis, f"goes through the activation {name} of {layer.name}")


def has_plain_weights(trace: Trace, layer: Any) -> bool:
    """Quantized and low-rank weights have shapes of their own."""
    if not layer.built or getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        trace.unknown[layer.name] = "its weights are quantized, or have adapters: merge those first"
        return False
    return True


def broadcast(trace: Trace, values: list[Any], rank: int, where: str) -> Axes:
    """The axes of an elementwise operation on tensors, arrays and numbers."""
    found: list[Axis] = [None] * rank
    met = [False] * rank
    for value in values:
        shape = tuple(getattr(value, "shape", ()))
        axes = value.axes if isinstance(value, Traced) else (None,) * len(shape)
        for size, axis, index in zip(shape, axes, range(rank - len(shape), rank), strict=True):
            if size == 1:
                continue
            found[index] = trace.tie(found[index], axis, where) if met[index] else axis
            met[index] = True
    return tuple(found)


def sizes(count: Count, template: list[int], axes: Axes) -> list[int]:
    """A shape with its labelled axes at their new sizes; −1 stays."""
    return [size if axis is None or size == -1 else count(axis) for size, axis in zip(template, axes, strict=True)]


def normal(axis: int, rank: int) -> int:
    return axis % rank if rank else 0


def tiled(axis: Axis, times: int) -> Axis:
    return None if axis is None else np.tile(axis, times)


def repeated(axis: Axis, times: int) -> Axis:
    return None if axis is None else np.repeat(axis, times)


def root_ratio(axis: Axis) -> Callable[[Count], float]:
    """√(kept / before): what a query has to be multiplied by so that fewer units do not change attention's scale."""
    return lambda count: 1.0 if axis is None else math.sqrt(count(axis) / len(axis))
