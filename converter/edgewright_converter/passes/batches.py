"""The batches of a training, epoch by epoch, in an order that follows from seed and epoch alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from .base import Context
from .losses import in_order, labels_for

if TYPE_CHECKING:
    from .training import TrainingOptions

_HELD_OUT = 0.1
_MANY = (Mapping, list, tuple)  # what labels of several outputs come in


@dataclass(frozen=True)
class Batches:
    """train: the epoch that comes next → a tf.data pipeline of what model.fit takes, from there on; held_out: the same
    for early stopping, or None; steps: batches in an epoch.
    """

    train: Callable[[int], Any]
    held_out: Any
    steps: int


def batches_of(context: Context, options: "TrainingOptions", loss: Any) -> Batches:
    """loss: whose form the labels have, or None for a training that needs none."""
    import keras
    import tensorflow as tf

    seed = options.seed or 0
    if context.pipeline is not None:
        count = int(context.pipeline.cardinality())
        if count == tf.data.UNKNOWN_CARDINALITY:
            count = sum(1 for _ in context.pipeline)
        steps = options.steps or (count if count > 0 else 200)
        pipeline = _labels_in_order(context)
        return Batches(lambda epoch: pipeline.repeat().skip(epoch * steps), None, steps)
    samples = context.train
    y = None if loss is None else labels_for(loss, context)
    rows = np.random.default_rng(seed).permutation(len(samples))
    held = rows[: int(len(rows) * _HELD_OUT)] if options.patience else rows[:0]
    rows = rows[len(held) :]
    batch = min(options.batch, len(rows))
    steps = options.steps or math.ceil(len(rows) / batch)

    def pick(chosen: Any) -> tuple[Any, ...]:
        # tf.data would make one tensor of a list.
        x = keras.tree.lists_to_tuples(
            context.interface.pack([tf.gather(tf.constant(array), chosen) for array in samples.x])
        )
        if y is None:
            return (x,)
        return x, tf.nest.map_structure(lambda labels: tf.gather(tf.constant(labels), chosen), y)

    def pipeline_of(epoch: int) -> Any:
        order = [rows[epoch_order(len(rows), steps * batch, seed, e)] for e in range(epoch, options.epochs)]
        chosen = np.concatenate([*order, rows[:0]])
        return tf.data.Dataset.from_tensor_slices(chosen).batch(batch, drop_remainder=True).map(pick).prefetch(2)

    held_out = tf.data.Dataset.from_tensor_slices(held).batch(batch).map(pick) if len(held) else None
    return Batches(pipeline_of, held_out, steps)


def _labels_in_order(context: Context) -> Any:
    """The user's pipeline; of a model with several outputs, with their labels in its order. Raises ModelError."""
    outputs = context.outputs
    if len(outputs) < 2:
        return context.pipeline
    labels = context.pipeline.element_spec[1]
    found = in_order(labels, outputs) if isinstance(labels, _MANY) else [labels]
    if len(found) != len(outputs) or any(each is None for each in found):
        names = ", ".join(outputs)
        raise ModelError(f"The pipeline needs labels for each of the outputs {names}: give them in a dict of that.")

    def ordered(x: Any, *rest: Any) -> Any:
        return x, *(tuple(in_order(each, outputs)) if isinstance(each, _MANY) else each for each in rest)

    return context.pipeline.map(ordered)


def epoch_order(samples: int, count: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(count,) int64: the samples of that epoch in their order, each once before any comes twice."""
    rng = np.random.default_rng((seed, epoch))
    rounds = [rng.permutation(samples) for _ in range(math.ceil(count / samples))]
    return np.concatenate([*rounds, np.zeros(0, np.int64)])[:count]
