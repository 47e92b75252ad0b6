"""Which loss a model is trained with, and its labels in the form that this loss takes."""

from typing import Any

import numpy as np

from ..data import Array
from ..errors import ModelError
from .base import Context, are_probabilities

_NO_LABELS = "The data has no y_train, and training needs labels: give some."


def loss_of(model: Any, context: Context) -> Any:
    """The loss that the model was compiled with; else cross-entropy for classes, from probabilities or logits as the
    model gives them, and the squared error for numbers. Raises ModelError without labels."""
    own = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    return own or _default(model, context)


def _default(model: Any, context: Context) -> Any:
    import keras

    samples = context.train.take(64, context.seed)
    if samples.y is None:
        raise ModelError(_NO_LABELS)
    if samples.classes is None:
        return keras.losses.MeanSquaredError()
    outputs = context.ask(model, samples.x)
    logits = not are_probabilities(outputs)
    if outputs.shape[-1] == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def labels_for(loss: Any, y: Array | None, classes: Array | None) -> Array:
    """Labels as the loss takes them: whole numbers or one-hot rows. loss: Keras' name or object; y: (samples, …) as the
    user gave them; classes: the same as whole numbers, None where they are no classes. Raises ModelError without y."""
    if y is None:
        raise ModelError(_NO_LABELS)
    name = (loss if isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)).lower().replace("_", "")
    if classes is None:
        return y
    if "sparse" in name:
        return classes
    if "categorical" in name and y.shape == classes.shape:
        return np.eye(int(classes.max()) + 1, dtype=np.float32)[classes]
    return y.astype(np.float32) if "binary" in name else y
