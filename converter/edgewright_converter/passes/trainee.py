"""The model that `model.fit` is called on: a second one around the same layers, so that the first stays as it is.

It also mends what Keras 3 does to a tf.distribute strategy of several workers: it averages a batch of integers over
them, and figures without an axis along their first.
"""

from typing import Any


def trainee_of(model: Any) -> Any:
    """The model itself where it has a train_step of its own."""
    import keras
    import tensorflow as tf

    if type(model).train_step is not keras.Model.train_step:
        return model
    several = isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def reducible(figures: Any) -> Any:
        return {name: tf.reshape(figure, (1,)) for name, figure in figures.items()} if several else figures

    class Trainee(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.inner(inputs, training=training)

        def train_step(self, data: Any) -> Any:
            return reducible(super().train_step(data))

        def test_step(self, data: Any) -> Any:
            return reducible(super().test_step(data))

        def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
            """Done before ``fit``: Keras' own also takes a batch away from the training."""

    return Trainee()
