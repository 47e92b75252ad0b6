"""A user's data on the device: an .npz to measure a model's answers with."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Callable, Optional

import numpy as np

from .border import from_border, load_arrays, to_border
from .bundle import Bundle
from .engines import Array, Engine
from .errors import InputError
from .manifest import TensorSpec
from .pooling import pool
from .predict import load_samples
from .result import Score


@dataclass(frozen=True)
class Dataset:
    """inputs: for each of the model's, (rows, *tensor shape without the batch); labels: (n, …) integers, or None.
    windows: how many rows each of the n samples has, None where each has one; pooling: how their answers become one.
    """

    inputs: list[Array]
    labels: Optional[Array]
    windows: Optional[list[int]] = None
    pooling: Optional[str] = None


def load_dataset(path: Path, bundle: Bundle) -> Dataset:
    """Arrays ``x.<input name>`` (n, *shape without the batch) or texts as in ``predict``, and labels ``y`` (n, …).

    Raises InputError where they do not fit the bundle's model.
    """
    arrays = load_arrays(path)
    specs = bundle.manifest.variant().inputs
    windows, pooling = None, None
    if "text" in arrays:
        inputs, windows, pooling = load_samples(path, bundle)
    else:
        missing = [f"x.{spec.name}" for spec in specs if f"x.{spec.name}" not in arrays]
        if missing:
            raise InputError(f"{path} lacks {', '.join(missing)}: it holds {', '.join(sorted(arrays)) or 'nothing'}.")
        inputs = [arrays[f"x.{spec.name}"] for spec in specs]
    labels = arrays.get("y")
    lengths = {len(array) if array.ndim else 0 for array in inputs} if windows is None else {len(windows)}
    if labels is not None:
        lengths.add(len(labels) if labels.ndim else 0)
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"{path} holds arrays of {sorted(lengths)} samples: give all the same number, one at least.")
    for array, spec in zip(inputs, specs):
        if array.shape[1:] != spec.shape[1:]:
            raise InputError(f"x.{spec.name} has samples of shape {array.shape[1:]}, the model takes {spec.shape[1:]}.")
    if labels is not None and labels.dtype.kind not in "iu":
        raise InputError(f"The labels y in {path} are {labels.dtype.name}: give whole numbers.")
    return Dataset(inputs, labels, windows, pooling)


def score(engine: Engine, data: Dataset, progress: Optional[Callable[[int, int], None]] = None) -> Score:
    """Accuracy: the share of labels that are the index of the largest output (of one output per sample: above 0.5).

    progress: called with samples done and in all. Raises InputError where labels and outputs do not fit.
    """
    if data.labels is None or len(engine.outputs) != 1 or len(engine.outputs[0].shape) < 2:
        raise InputError("Scoring needs labels y, and a model with exactly one output, (batch, …, classes).")
    spec, batch, count = engine.outputs[0], engine.inputs[0].shape[0], len(data.inputs[0])
    _check_labels(data.labels, spec)
    started, found = perf_counter(), []
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)  # the last batch repeats the last sample
        inputs = [to_border(array[rows], spec) for array, spec in zip(data.inputs, engine.inputs)]
        answers = from_border(engine.invoke(inputs)[0], spec)[: count - start]
        found.append(answers if data.windows is not None else _classes(answers))
        if progress is not None:
            progress(min(start + batch, count), count)
    classes = np.concatenate(found)
    if data.windows is not None:
        classes = _classes(pool(classes, data.windows, data.pooling))
    right = int((classes == data.labels).sum())
    return Score("accuracy", right / data.labels.size, int(data.labels.size), perf_counter() - started)


def _classes(output: Array) -> Array:
    """(batch, …, classes) → (batch, …)"""
    if output.shape[-1] == 1:
        return (output[..., 0] > 0.5).astype(np.int64)
    return np.asarray(output.argmax(-1))


def _check_labels(labels: Array, spec: TensorSpec) -> None:
    if labels.shape[1:] != spec.shape[1:-1]:
        raise InputError(f"A sample's label y has shape {labels.shape[1:]}, the model answers {spec.shape[1:-1]}.")
    classes = max(2, spec.shape[-1])
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"The labels y reach from {labels.min()} to {labels.max()}, the model knows 0 to {classes - 1}."
        )
