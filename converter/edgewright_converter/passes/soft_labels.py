"""What a teacher answered, as a student's loss wants it: probabilities at a temperature, or the k largest of them.

A table of soft labels is one float32 array, so that it can stand in for y in any training:

full     (samples, …, 1 + classes)    the hard label or -1, then the probability of each class
top-k    (samples, …, 1 + 2 k)        the hard label or -1, k classes, their probabilities; what is left is the others'

At temperature T the probabilities are softmax(logits / T) (Hinton et al. 2015); the logits of a teacher that gives
probabilities are their logarithms, since a softmax forgets a constant.
"""

from typing import Any

import numpy as np

from ..data import Array
from .base import are_probabilities

_SMALLEST = 1e-7  # Keras' own floor of a probability
NO_LABEL = -1.0


def as_logits(outputs: Array) -> Array:
    """outputs: (…, classes) probabilities or logits, one column for two classes; gives (…, 2 or classes) logits."""
    probabilities = are_probabilities(outputs)
    if outputs.shape[-1] > 1:
        return np.log(np.maximum(outputs, _SMALLEST)) if probabilities else outputs
    if probabilities:
        outputs = np.clip(outputs, _SMALLEST, 1 - _SMALLEST)
        outputs = np.log(outputs) - np.log1p(-outputs)
    return np.concatenate([np.zeros_like(outputs), outputs], -1)


def soften(logits: Array, temperature: float) -> Array:
    """softmax(logits / temperature), float32."""
    scaled = logits.astype(np.float32) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(-1, keepdims=True)
    return scaled


def table(soft: Array, hard: Array | None, top_k: int = 0) -> Array:
    """soft: (samples, …, classes) probabilities; hard: (samples, …) labels or None; top_k: 0 keeps all classes."""
    first = np.full(soft.shape[:-1], NO_LABEL, np.float32) if hard is None else hard.astype(np.float32)
    if not top_k or top_k >= soft.shape[-1]:
        return np.concatenate([first[..., None], soft.astype(np.float32)], -1)
    largest = np.argpartition(soft, -top_k, -1)[..., -top_k:]
    kept = np.take_along_axis(soft, largest, -1)
    return np.concatenate([first[..., None], largest.astype(np.float32), kept.astype(np.float32)], -1)


def log_softmax(outputs: Any, probabilities: bool, temperature: float = 1.0) -> Any:
    """outputs: a float32 tensor (…, classes), one column for two classes, of probabilities or logits; gives the
    logarithms (…, 2 or classes) of the probabilities at that temperature."""
    import tensorflow as tf

    if outputs.shape[-1] == 1:
        if probabilities:
            outputs = tf.clip_by_value(outputs, _SMALLEST, 1 - _SMALLEST)
            outputs = tf.math.log(outputs) - tf.math.log1p(-outputs)
        outputs = tf.concat([tf.zeros_like(outputs), outputs], -1)
    elif probabilities:
        outputs = tf.math.log(tf.maximum(outputs, _SMALLEST))
    return tf.nn.log_softmax(outputs / temperature)


def loss(classes: int, temperature: float, hard_weight: float, top_k: int, probabilities: bool) -> Any:
    """A Keras loss of (table, student's outputs): (1 - w) T² KL(teacher || student) + w cross-entropy with the label.

    classes: the student's, 1 for a single probability; probabilities: whether it gives those or logits. The T² keeps
    the two parts in proportion. Rows without a label have the first part alone, at full weight.
    """
    import tensorflow as tf

    full = not top_k or top_k >= max(classes, 2)

    def distance(targets: Any, log_q: Any) -> Any:
        if full:
            p = targets
            q = log_q
        else:
            ids, kept = tf.cast(targets[..., :top_k], tf.int32), targets[..., top_k:]
            chosen = tf.gather(log_q, ids, batch_dims=len(log_q.shape) - 1)
            others = tf.maximum(1.0 - tf.reduce_sum(tf.exp(chosen), -1, keepdims=True), _SMALLEST)
            rest = tf.maximum(1.0 - tf.reduce_sum(kept, -1, keepdims=True), 0.0)
            p = tf.concat([kept, rest], -1)
            q = tf.concat([chosen, tf.math.log(others)], -1)
        return tf.reduce_sum(p * (tf.math.log(tf.maximum(p, _SMALLEST)) - q), -1)

    def distill(truth: Any, outputs: Any) -> Any:
        outputs = tf.cast(outputs, tf.float32)
        label, targets = truth[..., 0], truth[..., 1:]
        labelled = tf.cast(label >= 0, tf.float32) * hard_weight
        soft = temperature**2 * distance(targets, log_softmax(outputs, probabilities, temperature))
        log_q = log_softmax(outputs, probabilities)
        right = tf.cast(tf.maximum(label, 0.0), tf.int32)
        hard = -tf.gather(log_q, right, batch_dims=len(log_q.shape) - 1)
        return (1 - labelled) * soft + labelled * hard

    return distill
