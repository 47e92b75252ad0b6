"""Which loss a model is trained with, and its labels in the form that this loss takes.

A model with several outputs has a loss for each, in a list, and labels for each, in a tuple, in the outputs' order.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data import Array
from ..errors import ModelError
from ..interface import plain_name
from .base import Context, are_probabilities

_NO_LABELS = "The data has no y_train, and training needs labels: give some."


def loss_of(model: Any, context: Context) -> Any:
    """The loss that the model was compiled with; else cross-entropy for classes, from probabilities or logits as the
    model gives them, and the squared error for numbers. Raises ModelError without labels, and for several outputs
    without losses."""
    own = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    if len(context.outputs) < 2:
        return own or _default(model, context)
    if not own:
        raise ModelError(
            f"The model has the outputs {', '.join(context.outputs)} and was saved without a loss for them: "
            "compile it before it is saved."
        )
    return in_order(own, context.outputs) if isinstance(own, Mapping | list | tuple) else [own] * len(context.outputs)


def loss_weights_of(model: Any, context: Context) -> Any:
    """Of a model with several outputs: how much each loss counts, None for all alike."""
    own = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
    if len(context.outputs) < 2 or not isinstance(own, Mapping | list | tuple):
        return None
    return [1.0 if weight is None else weight for weight in in_order(own, context.outputs)]


def in_order(values: Any, outputs: tuple[str, ...]) -> list[Any]:
    """What there is for each output, given by their names, as Keras has them, or in their order; None where nothing."""
    if not isinstance(values, Mapping):
        return list(values)
    plain = {plain_name(name): value for name, value in values.items()}
    return [plain.get(name) for name in outputs]


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


def labels_for(loss: Any, context: Context) -> Array | tuple[Array, ...]:
    """The training labels as the loss takes them: whole numbers or one-hot rows. loss: Keras' name or object; a list of
    them where there are several outputs, for each of which there are labels then. Raises ModelError where there are
    none."""
    samples, outputs = context.train, context.outputs
    if len(outputs) > 1:
        if not samples.heads:
            wanted = " and ".join(f"y_train.{name}" for name in outputs)
            raise ModelError(f"The model has the outputs {', '.join(outputs)}, and each needs labels: give {wanted}.")
        parts = zip(loss, samples.heads, context.widths, strict=True)
        return tuple(_as_taken(one, y, classes, width) for one, (y, classes), width in parts)
    if samples.y is None:
        raise ModelError(_NO_LABELS)
    return _as_taken(loss, samples.y, samples.classes, context.widths[0])


def _as_taken(loss: Any, y: Array, classes: Array | None, width: int | None) -> Array:
    name = (loss if isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)).lower().replace("_", "")
    if classes is None or width is None:
        return y
    if "sparse" in name:
        return classes
    if "categorical" in name and y.shape == classes.shape:
        return np.eye(width, dtype=np.float32)[classes]
    return y.astype(np.float32) if "binary" in name else y
