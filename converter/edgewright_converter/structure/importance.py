"""How much each channel matters: from weights, from gradients, or from what flows through it.

magnitude   sum of squares of all weights that belong to the channel
taylor      (gradient · weight)² of each weight's slice, summed over weights and batches of training data: the first
            order of the change in loss without it (Molchanov et al. 2019, Importance Estimation for Network Pruning)
activation  mean square of the channel's values over training data, times the sum of squares of the weights that read
            it: how much the next layer hears of it (Hu et al. 2016 count zeros; this is their idea for any activation)
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from ..data import Array
from ..passes.base import Context
from ..passes.losses import labels_for, loss_of, loss_weights_of
from .channels import Axes, Channels
from .tracing import Trace

IMPORTANCE = ("magnitude", "taylor", "activation")
_SAMPLES, _BATCH = 1024, 64


def slice_sums(values: Array, axes: Axes) -> Iterator[tuple[Array, Array]]:
    """values: elementwise → (channels, sum over all else) of each axis that has channels."""
    for index, axis in enumerate(axes):
        if axis is not None:
            others = tuple(i for i in range(values.ndim) if i != index)
            yield axis, values.sum(others)


def collect(scores: Array, channels: Channels, axis: Array, values: Array) -> None:
    """Add values to the scores of the channels' roots, in place."""
    np.add.at(scores, channels.roots(axis), values)


def importance(kind: str, model: Any, trace: Trace, context: Context) -> dict[int, float]:
    """Score of each channel's root; more matters more."""
    size = sum(space.count for space in trace.channels.spaces)
    scores = np.zeros(size)
    if kind == "magnitude":
        for variable, axes in trace.weights.values():
            for axis, sums in slice_sums(variable.numpy().astype(np.float64) ** 2, axes):
                collect(scores, trace.channels, axis, sums)
    elif kind == "taylor":
        _taylor(scores, model, trace, context)
    else:
        _activation(scores, model, trace, context)
    return {int(root): float(scores[root]) for root in range(size)}


def _taylor(scores: Array, model: Any, trace: Trace, context: Context) -> None:
    import keras
    import tensorflow as tf

    own = loss_of(model, context)
    labels = keras.tree.flatten(labels_for(own, context))
    losses = [keras.losses.get(loss) for loss in keras.tree.flatten(own)]
    counts = loss_weights_of(model, context) or [1.0] * len(losses)
    labelled = [(v, axes) for v, axes in trace.weights.values() if v.trainable]
    strategy = model.distribute_strategy or tf.distribute.get_strategy()
    # Of a variable that is mirrored, the tape sees the first copy alone.
    watched = [strategy.experimental_local_results(v.value)[0] for v, _ in labelled]
    rows = np.random.default_rng(context.seed).permutation(len(context.train))[:_SAMPLES]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def gradients(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            answers = keras.tree.flatten(model(context.interface.pack(list(x)), training=False))
            parts = zip(losses, counts, y, answers, strict=True)
            value = tf.add_n([count * _mean(loss, *pair) for loss, count, *pair in parts if loss])
        found = tape.gradient(value, watched)
        pairs = zip(found, labelled, strict=True)
        return [tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g) for g, (v, _) in pairs]

    weights = [v.numpy().astype(np.float64) for v, _ in labelled]
    for start in range(0, len(rows) - min(_BATCH, len(rows)) + 1, _BATCH):
        chosen = rows[start : start + _BATCH]
        x, y = (tuple(tf.constant(array[chosen]) for array in arrays) for arrays in (context.train.x, labels))
        found = gradients(x, y)
        for gradient, weight, (_, axes) in zip(found, weights, labelled, strict=True):
            for axis, sums in slice_sums(gradient.numpy() * weight, axes):
                collect(scores, trace.channels, axis, sums**2)


def _mean(loss: Any, truth: Any, answers: Any) -> Any:
    import tensorflow as tf

    if answers.shape[-1] == 1 and truth.shape.rank < answers.shape.rank:  # as `fit` does
        truth = truth[..., None]
    return tf.reduce_mean(loss(truth, answers))


def _activation(scores: Array, model: Any, trace: Trace, context: Context) -> None:
    flow = np.zeros_like(scores)

    def recorded(call: Callable[..., Any], axes: Axes) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            first = result[0] if isinstance(result, list | tuple) else result
            values = first.numpy().astype(np.float64) ** 2
            for axis, sums in slice_sums(values, axes):
                collect(flow, trace.channels, axis, sums * sums.size / values.size)
            return result

        return wrapper

    samples = context.train.take(_SAMPLES // 4, context.seed)
    with ExitStack() as stack:
        for layer, axes in trace.produced.values():
            if any(axis is not None for axis in axes) and getattr(layer, "variables", None):
                stack.enter_context(patch.object(layer, "call", recorded(layer.call, axes)))
        import tensorflow as tf

        for start in range(0, len(samples), _BATCH):
            model(context.interface.pack([tf.constant(x[start : start + _BATCH]) for x in samples.x]), training=False)
    for variable, axes in trace.weights.values():
        for axis, sums in slice_sums(variable.numpy().astype(np.float64) ** 2, axes):
            collect(scores, trace.channels, axis, sums)
    scores *= flow
