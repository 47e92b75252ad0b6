"""Texts of like length side by side: what the shorter ones of a batch are padded with costs as much as they do."""

from contextlib import nullcontext
from typing import Any

import numpy as np

from ...data import Array
from ...structure.graph import functional

_POOL = 16  # batches that are sorted together: enough to be alike, few enough that chance still mixes them


def alike(order: Array, lengths: Array, batch: int, rng: np.random.Generator) -> Array:
    """The rows of an epoch in another order, such that each batch's are about as long; their batches come by chance.

    order: (n,) rows, by chance; lengths: of each row's text, by row. Returns (n,); a last batch of less stays the last.
    """
    pools = [order[start : start + _POOL * batch] for start in range(0, len(order), _POOL * batch)]
    found = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    whole = len(found) - len(found) % batch
    mixed = rng.permutation(found[:whole].reshape(-1, batch)).reshape(-1)
    return np.concatenate([mixed, found[whole:]])


def any_length(model: Any) -> Any:
    """The same layers, with the same weights, as a model of texts up to the model's own length."""
    import keras

    graph, strategy = functional(model, "train"), model.distribute_strategy
    with strategy.scope() if strategy is not None else nullcontext():
        inputs = [
            keras.Input((None, *tensor.shape[2:]), dtype=tensor.dtype, name=tensor._keras_history.operation.name)
            for tensor in graph.inputs
        ]
        outputs = graph._run_through_graph(inputs, operation_fn=lambda operation: operation)
        return keras.Model(keras.tree.pack_sequence_as(graph._inputs_struct, inputs), outputs, name=model.name)
