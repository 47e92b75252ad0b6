"""What flows into the layers: the second moments of their inputs, measured on training samples."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from ..data import Array
from ..passes.base import Context

_SAMPLES, _BATCH = 512, 64
_RARE = 0.05  # of the mean row: what a row weighs that no sample looks up


def moments(model: Any, context: Context) -> dict[int, Array]:
    """By the layer's id: (in, in) of a Dense, of the projections of attention with a 1 for the bias, of an RNN's
    kernel; (rows,) how often an Embedding's rows are looked up. {} without samples.
    """
    import keras
    import tensorflow as tf

    found: dict[int, Array] = {}
    samples = context.train.take(_SAMPLES, context.seed)
    if not len(samples):
        return found

    def watched(layer: Any, measure: Callable[[Array], Array]) -> Callable[..., Any]:
        call = layer.call

        def wrapper(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            moment = measure(np.asarray(inputs))
            found[id(layer)] = found.get(id(layer), 0.0) + moment
            return call(inputs, *args, **kwargs)

        return wrapper

    with ExitStack() as stack:

        def watch(layer: Any, measure: Callable[[Array], Array]) -> None:
            stack.enter_context(patch.object(layer, "call", watched(layer, measure)))

        for layer in model._flatten_layers():
            if type(layer) is keras.layers.Embedding:
                watch(layer, partial(_lookups, layer.input_dim))
            elif type(layer) is keras.layers.Dense or isinstance(layer, keras.layers.RNN):
                watch(layer, _second_moment)
            elif type(layer) is keras.layers.MultiHeadAttention:
                for part in (layer._query_dense, layer._key_dense, layer._value_dense):
                    watch(part, _with_one if layer._use_bias else _second_moment)
        for start in range(0, len(samples), _BATCH):
            model(context.interface.pack([tf.constant(x[start : start + _BATCH]) for x in samples.x]), training=False)
    return {key: value if value.ndim == 2 else value / value.mean() + _RARE for key, value in found.items()}


def _lookups(rows: int, ids: Array) -> Array:
    counts: Array = np.bincount(ids.astype(np.int64).ravel(), minlength=rows)
    return counts


def _second_moment(x: Array) -> Array:
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    product: Array = flat.T @ flat
    return product


def _with_one(x: Array) -> Array:
    return _second_moment(np.concatenate([x, np.ones_like(x[..., :1])], -1))
