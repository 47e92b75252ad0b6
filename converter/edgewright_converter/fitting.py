"""Makes the user's samples fit the model's inputs and outputs, or says which of them does not and why."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

from .data import Array, Dataset

PROBE_SAMPLES = 16
CALIBRATION_SAMPLES = 200  # more moves no scale by more than a few percent, and each costs an interpreted run
_PLAIN_IDS = 2  # integers of unknown meaning are often masks: 0 and 1 fit those


@dataclass(frozen=True)
class InputSpec:
    """One input of the model. shape: with the batch; ids: its values are rows of an embedding of that many, or None."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    ids: int | None = None


@dataclass(frozen=True)
class Fitted:
    """Samples in the model's order of inputs, each (samples, *shape without batch) in the input's dtype.

    calibration: what scales are measured on, () without data; probes: what Keras and the flatbuffer are compared on.
    test, truth: for the accuracy, () and None without labels or where the model has no classes.
    """

    calibration: tuple[Array, ...]
    probes: tuple[Array, ...]
    test: tuple[Array, ...] = ()
    truth: Array | None = None


def fit(data: Dataset, inputs: tuple[InputSpec, ...], classes: int | None, seed: int) -> Fitted:
    """Check the samples against the model and choose from them. classes: size of the only output's last axis, or None.

    Raises InputError with a sentence that names the array.
    """
    train, test = fit_inputs(data.x_train, inputs, "x_train"), fit_inputs(data.x_test, inputs, "x_test")
    fit_labels(data.y_train, len(train[0]) if train else 0, classes, "y_train")
    truth = fit_labels(data.y_test, len(test[0]) if test else 0, classes, "y_test")
    rng = np.random.default_rng(seed)
    if not train and not test:
        return Fitted((), _random_samples(inputs, rng))
    batch = inputs[0].shape[0]
    return Fitted(
        calibration=_choose(train or test, CALIBRATION_SAMPLES, batch, rng),
        probes=_choose(test or train, PROBE_SAMPLES, batch, rng),
        test=test if truth is not None else (),
        truth=truth,
    )


def _choose(arrays: tuple[Array, ...], count: int, batch: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """A random choice, at least one whole batch; too few samples are repeated to fill it."""
    size = len(arrays[0])
    chosen = rng.permutation(size)[: max(count, batch)]
    if size < batch:
        chosen = np.resize(chosen, batch)
    return tuple(array[chosen] for array in arrays)


def _random_samples(inputs: tuple[InputSpec, ...], rng: np.random.Generator) -> tuple[Array, ...]:
    count = max(PROBE_SAMPLES, inputs[0].shape[0])
    samples = []
    for spec in inputs:
        shape = (count, *spec.shape[1:])
        if spec.ids is not None or spec.dtype != "float32":
            values: Array = rng.integers(0, spec.ids or _PLAIN_IDS, shape)
        else:
            values = rng.standard_normal(shape)
        samples.append(values.astype(spec.dtype))
    return tuple(samples)


def fit_inputs(arrays: dict[str, Array], inputs: tuple[InputSpec, ...], part: str) -> tuple[Array, ...]:
    """In the order and dtypes of the inputs; () where there are none. Raises InputError. part: e.g. "x_train"."""
    if not arrays:
        return ()
    names = [spec.name for spec in inputs]
    if set(arrays) == {""} and len(inputs) == 1:
        arrays = {names[0]: arrays[""]}
    if set(arrays) != set(names):
        given = ", ".join(sorted(f"{part}.{name}" if name else part for name in arrays))
        wanted = ", ".join(f"{part}.{name}" for name in names)
        raise InputError(f"The data has {given}, but the model's inputs are {', '.join(names)}: expected {wanted}.")
    fitted = tuple(_fit_input(arrays[spec.name], spec, f"{part}.{spec.name}") for spec in inputs)
    counts = {len(array) for array in fitted}
    if len(counts) > 1:
        raise InputError(
            f"The arrays of {part} have {sorted(counts)} samples: expected the same number for each input."
        )
    return fitted


def _fit_input(array: Array, spec: InputSpec, what: str) -> Array:
    if array.size == 0:
        raise InputError(f"{what} is empty: expected at least one sample.")
    if array.shape[1:] != spec.shape[1:]:
        raise InputError(
            f"{what} has samples of shape {array.shape[1:]}: the model's input {spec.name} takes {spec.shape[1:]}."
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} is of dtype {array.dtype}: the model's input {spec.name} takes {spec.dtype}.")
    if array.dtype.kind == "f":
        if spec.dtype != "float32":
            meaning = "token ids" if spec.ids is not None else spec.dtype
            raise InputError(
                f"{what} is of dtype {array.dtype}, but the model's input {spec.name} takes {meaning}: "
                f"expected whole numbers, e.g. {what}.astype('int32')."
            )
        if not np.isfinite(array).all():
            raise InputError(f"{what} holds NaN or infinity: expected finite numbers, so drop or repair those samples.")
    elif spec.dtype in ("int8", "uint8", "int16", "int32", "int64") and array.dtype.kind != "b":
        limits = np.iinfo(spec.dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise InputError(f"{what} holds numbers beyond {spec.dtype}, which the model's input {spec.name} takes.")
    if spec.ids is not None and (array.min() < 0 or array.max() >= spec.ids):
        wrong = array.min() if array.min() < 0 else array.max()
        raise InputError(f"{what} holds the token id {wrong}: the model's embedding has ids 0 to {spec.ids - 1}.")
    return array.astype(spec.dtype)


def fit_labels(y: Array | None, samples: int, classes: int | None, what: str) -> Array | None:
    """Whole numbers (samples, …) from labels or one-hot rows; None where y is no class, for then nothing can be scored.

    Raises InputError where the number of labels is wrong or one is not in 0 … classes - 1.
    """
    if y is None:
        return None
    if len(y) != samples:
        raise InputError(f"{what} has {len(y)} labels for {samples} samples: expected one for each.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError(f"{what} holds NaN or infinity: expected a label for each sample.")
    if classes is None or (y.dtype.kind == "f" and (y != np.round(y)).any()):
        return None
    if classes > 2 and y.ndim > 1 and y.shape[-1] == classes and (y.sum(axis=-1) == 1).all():
        y = y.argmax(axis=-1)
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    if classes == 1 and not np.isin(y, (0, 1)).all():  # a single number that counts something
        return None
    count = max(classes, 2)
    if y.min() < 0 or y.max() >= count:
        wrong: Any = y.min() if y.min() < 0 else y.max()
        raise InputError(f"{what} holds the label {wrong}: the model's output has classes 0 to {count - 1}.")
    return y.astype(np.int64)


def fit_heads(
    heads: dict[str, Array], samples: int, outputs: tuple[str, ...], widths: tuple[int | None, ...]
) -> tuple[tuple[Array, Array | None], ...]:
    """The labels of each output, and the same as whole numbers, in their order; () without any. Raises InputError."""
    if not heads:
        return ()
    if set(heads) != set(outputs):
        given, wanted = (", ".join(f"y_train.{name}" for name in names) for names in (sorted(heads), outputs))
        raise InputError(f"The data has {given}, but the model's outputs are {', '.join(outputs)}: expected {wanted}.")
    pairs = zip(outputs, widths, strict=True)
    return tuple((heads[name], fit_labels(heads[name], samples, width, f"y_train.{name}")) for name, width in pairs)


def predicted(outputs: Array) -> Array:
    """The class of each row of (samples, …, classes): the largest; for a single probability whether it passes 0.5."""
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] > 0.5).astype(np.int64)
    classes: Array = outputs.argmax(axis=-1)
    return classes
