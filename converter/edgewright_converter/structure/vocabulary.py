"""Rows of an embedding that no training sample looks up.

The model goes on taking the same ids. Those without a row of their own share one, the mean of the rows that went, which
is what an untrained row is on average: where they are the last ids, min(id, last) leads there; else a table of int32,
if that is smaller than what it saves. The first four ids always stay: padding, unknown, begin and end in any tokenizer.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from ..data import Array
from ..passes.base import Context

_SPECIAL, _BATCH, _INT32 = 4, 512, 4
_BYTES = {"float32": 4, "float16": 2}  # of a weight; 1 in the integer modes


def unused_rows(model: Any, context: Context) -> tuple[dict[Any, Array], dict[str, str]]:
    """Embedding → ids that go, ascending, and by layer why others stay. Looks at every training sample."""
    import keras
    import tensorflow as tf

    layers = [layer for layer in model._flatten_layers() if type(layer) is keras.layers.Embedding]
    seen = {id(layer): np.zeros(layer.input_dim, bool) for layer in layers}

    def watched(layer: Any) -> Callable[..., Any]:
        call = layer.call

        def wrapper(inputs: Any) -> Any:
            seen[id(layer)][np.unique(inputs.numpy()).astype(np.int64)] = True
            return call(inputs)

        return wrapper

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(patch.object(layer, "call", watched(layer)))
        for start in range(0, len(context.train), _BATCH):
            part = [tf.constant(x[start : start + _BATCH]) for x in context.train.x]
            model(context.interface.pack(part), training=False)
    rows, reasons = {}, {}
    for layer in layers:
        seen[id(layer)][:_SPECIAL] = True
        gone = np.flatnonzero(~seen[id(layer)])
        saved = (len(gone) - 1) * layer.output_dim * _BYTES.get(context.quantize.mode, 1)
        table = 0 if is_tail(gone, layer.input_dim) else layer.input_dim * _INT32
        if saved > table:
            rows[layer] = gone
        elif len(gone):
            reasons[f"{layer.name} rows"] = (
                f"{len(gone)} of its {layer.input_dim} rows are never looked up, {saved:,} bytes, "
                f"and the table that leads around them takes {table:,}"
            )
    return rows, reasons


def is_tail(gone: Array, count: int) -> bool:
    return len(gone) > 0 and int(gone[0]) == count - len(gone)


def kept_rows(table: Array, gone: Array) -> Array:
    """The rows that stay, and the mean of the others as the last."""
    return np.concatenate([np.delete(table, gone, 0), table[gone].mean(0, keepdims=True)]).astype(table.dtype)


def new_ids(count: int, gone: Array) -> Array:
    """(count,) int32: where each old id is now."""
    ids = np.full(count, count - len(gone), np.int32)
    ids[np.delete(np.arange(count), gone)] = np.arange(count - len(gone))
    return ids


def fewer_rows(layer: Any, count: int, gone: Array) -> Callable[[Any], Any]:
    """The layer behind what leads old ids to its rows."""
    from keras import ops

    if is_tail(gone, count):
        return lambda ids: layer(ops.minimum(ids, int(gone[0])))
    table = new_ids(count, gone)
    return lambda ids: layer(ops.take(table, ids, axis=0))
