"""The smaller model: every layer built again with the numbers that are kept, its weights cut to them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..data import Array
from .channels import Axis
from .graph import built_layers, fresh, rebuild
from .tracing import Trace
from .vocabulary import fewer_rows, kept_rows


def cut(model: Any, use: str, trace: Trace, gone: set[int], vocabulary: Mapping[Any, Array]) -> Any:
    """A model without these channels. gone: roots; vocabulary: Embedding → its rows that go.

    An ordinary Keras model with the same inputs and outputs, by name, shape and dtype.
    """
    channels = trace.channels

    def kept(axis: Array) -> Array:
        return np.array([index for index, channel in enumerate(axis.tolist()) if channels.root(channel) not in gone])

    def count(axis: Axis) -> int:
        assert axis is not None
        return len(kept(axis))

    rows = {id(layer): ids for layer, ids in vocabulary.items()}
    made: dict[int, Any] = {}

    def replace(operation: Any) -> Callable[..., Any]:
        edit = trace.edits.get(id(operation))
        config = operation.get_config() if edit is not None else {}
        changed = edit(config, count) if edit is not None else {}
        if id(operation) in rows:
            changed["input_dim"] = operation.input_dim - len(rows[id(operation)]) + 1
        made[id(operation)] = layer = fresh(operation, **changed)
        return fewer_rows(layer, operation.input_dim, rows[id(operation)]) if id(operation) in rows else layer

    smaller, _ = rebuild(model, use, replace)

    def fit(variable: Any) -> Array:
        value: Array = variable.numpy()
        for index, axis in enumerate(trace.weights.get(id(variable), (None, ()))[1]):
            if axis is not None:
                value = value.take(kept(axis), index)
        scale = trace.scales.get(id(variable))
        return value if scale is None else (value * scale(count)).astype(value.dtype)

    for layer in built_layers(model):
        for source, target in zip(layer.variables, made[id(layer)].variables, strict=True):
            value = fit(source)
            if id(layer) in rows and source is layer._embeddings:
                value = kept_rows(value, rows[id(layer)])
            target.assign(value)
    return smaller
