"""The model that `model.fit` is called on: a second one around the same layers, so that the first stays as it is.

It also mends what Keras 3 does to a tf.distribute strategy of several workers: it averages a batch of integers over
them, and figures without an axis along their first.
"""

from typing import Any

from .teacher import Teacher


def has_own_steps(model: Any) -> bool:
    """Whether the model says itself what a step of its training is."""
    import keras

    return type(model).train_step is not keras.Model.train_step


def trainee_of(model: Any, teacher: Teacher | None = None) -> Any:
    """The model itself where it has a train_step of its own. teacher: whose answers it learns."""
    import keras
    import tensorflow as tf

    if has_own_steps(model):
        return model
    several = isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def reducible(figures: Any) -> Any:
        return {name: tf.reshape(figure, (1,)) for name, figure in figures.items()} if several else figures

    class Trainee(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def call(self, inputs: Any, training: bool = False) -> Any:
            # A teacher has answered as in inference; dropout would keep the two apart for good.
            outputs = self.inner(inputs, training=training and teacher is None)
            several = keras.tree.flatten(outputs)
            return several if len(several) > 1 else outputs  # which Keras knows by their order alone

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            if teacher is None:
                return super().compute_loss(x, y, y_pred, sample_weight, training)
            apart = teacher.distance(x, y_pred, sample_weight)
            if teacher.alone:
                return apart
            labelled = super().compute_loss(x, y, y_pred, sample_weight, training)
            return teacher.share * apart + (1 - teacher.share) * labelled

        def train_step(self, data: Any) -> Any:
            return reducible(super().train_step(data))

        def test_step(self, data: Any) -> Any:
            return reducible(super().test_step(data))

        def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
            """Done before ``fit``: Keras' own also takes a batch away from the training."""

    return Trainee()
