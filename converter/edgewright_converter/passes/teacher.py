"""A model that learns what it answered before it was changed: it is its own teacher (self-distillation).

Labels would pull it to where a longer training had brought it, with the chance of a short one; its own answers pull it
back to what it was. The teacher is the graph of the untouched model, its variables made constants, and answers each
batch as it comes: nothing has to be kept, of thousands of classes neither, and a killed training finds it as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..data import Array
from ..errors import ModelError
from . import soft_labels
from .base import Context, are_probabilities


@dataclass(frozen=True)
class Teacher:
    """answer: x as model.fit takes it → a float32 tensor for each output; distances: a keras.losses.Loss for each.

    share: of the answers in the loss, above 0 and at most 1; the rest is the labels'.
    """

    answer: Callable[[Any], list[Any]]
    distances: tuple[Any, ...]
    share: float

    @property
    def alone(self) -> bool:
        """Whether labels have no part in the training."""
        return self.share == 1

    def distance(self, x: Any, outputs: Any, sample_weight: Any) -> Any:
        """A scalar: the mean distance of the outputs from the answers to x, over all outputs summed up."""
        import keras
        import tensorflow as tf

        found = keras.tree.flatten(outputs)
        weights = keras.tree.flatten(sample_weight)
        weights = weights if len(weights) == len(found) else weights[:1] * len(found)
        parts = zip(self.distances, self.answer(x), found, weights, strict=True)
        return tf.add_n([distance(answer, output, weight) for distance, answer, output, weight in parts])


def teacher_of(model: Any, context: Context, few: Any, share: float) -> Teacher:
    """The model as it is now. few: some samples as the model takes them. Raises ModelError for a pipeline that does not
    say the shapes of its batches.
    """
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    taken = _batch(context)

    def answer(*tensors: Any) -> list[Any]:
        outputs = model(keras.tree.pack_sequence_as(taken, tensors), training=False)
        return [tf.cast(output, "float32") for output in keras.tree.flatten(outputs)]

    traced = tf.function(answer, autograph=False).get_concrete_function(*keras.tree.flatten(taken))
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    answers = [tf.cast(output, "float32").numpy() for output in keras.tree.flatten(model(few, training=False))]
    labels = context.train
    told = labels.heads or ([(labels.y, labels.classes)] if len(answers) == 1 else [(None, None)] * len(answers))
    distances = tuple(
        distance_of(output, classes is not None, y is not None and classes is None)
        for output, (y, classes) in zip(answers, told, strict=True)
    )
    return Teacher(lambda x: frozen(*keras.tree.flatten(x)), distances, share)


def _batch(context: Context) -> Any:
    """The tf.TensorSpec of each tensor of a batch, as the model is given it in training."""
    import tensorflow as tf

    size = None if context.interface.batched else context.interface.inputs[0].shape[0]
    if context.pipeline is None:
        specs = [tf.TensorSpec((size, *x.shape[1:]), x.dtype) for x in context.train.x]
        return context.interface.pack(specs)
    known = context.pipeline.element_spec[0]
    if not all(isinstance(spec, tf.TensorSpec) and spec.shape.rank for spec in tf.nest.flatten(known)):
        raise ModelError(
            "The pipeline does not say the shapes of its batches: give them, as with the output_signature of "
            "tf.data.Dataset.from_generator."
        )
    return tf.nest.map_structure(lambda spec: tf.TensorSpec((size, *spec.shape[1:]), spec.dtype), known)


def distance_of(answers: Array, classes: bool = False, numbers: bool = False) -> Any:
    """A keras.losses.Loss of (answer, output), both (samples, …, classes): the divergence KL(answer || output) in nats
    where they are probabilities, or logits of ``classes``; else, or where they are just ``numbers``, the mean squared
    error.
    """
    import keras
    import tensorflow as tf

    probabilities = answers.ndim > 1 and not numbers and are_probabilities(answers)

    class Distance(keras.losses.Loss):  # type: ignore[misc]
        """Keras' own class heeds the weights and masks of samples, and the devices of a strategy."""

        def call(self, answer: Any, output: Any) -> Any:
            if not classes and not probabilities:
                return tf.reduce_mean(tf.math.squared_difference(answer, output), [-1] if output.shape.rank > 1 else [])
            p, q = (soft_labels.log_softmax(tensor, probabilities) for tensor in (answer, output))
            return tf.reduce_sum(tf.exp(p) * (p - q), -1)

    return Distance()
