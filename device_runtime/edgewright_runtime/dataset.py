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
from .result import Score


@dataclass(frozen=True)
class Dataset:
    """inputs: for each of the model's, (n, *tensor shape without the batch); labels: (n, …) integers, or None."""

    inputs: list[Array]
    labels: Optional[Array]


def load_dataset(path: Path, bundle: Bundle) -> Dataset:
    """Arrays ``x.<input name>`` (n, *shape without the batch) or sentences ``texts`` (n,), and labels ``y`` (n, …).

    Raises InputError where they do not fit the bundle's model.
    """
    arrays = load_arrays(path)
    specs = bundle.manifest.variant().inputs
    if "texts" in arrays:
        inputs = [_encode(arrays["texts"], bundle)]
    else:
        missing = [f"x.{spec.name}" for spec in specs if f"x.{spec.name}" not in arrays]
        if missing:
            raise InputError(f"{path} lacks {', '.join(missing)}: it holds {', '.join(sorted(arrays)) or 'nothing'}.")
        inputs = [arrays[f"x.{spec.name}"] for spec in specs]
    labels = arrays.get("y")
    lengths = {len(array) if array.ndim else 0 for array in ([*inputs] if labels is None else [*inputs, labels])}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"{path} holds arrays of {sorted(lengths)} samples: give all the same number, one at least.")
    for array, spec in zip(inputs, specs):
        if array.shape[1:] != spec.shape[1:]:
            raise InputError(f"x.{spec.name} has samples of shape {array.shape[1:]}, the model takes {spec.shape[1:]}.")
    if labels is not None and labels.dtype.kind not in "iu":
        raise InputError(f"The labels y in {path} are {labels.dtype.name}: give whole numbers.")
    return Dataset(inputs, labels)


def _encode(texts: Array, bundle: Bundle) -> Array:
    """(n,) str → (n, max_length) int32."""
    tokenizer = bundle.tokenizer()
    if tokenizer is None or texts.dtype.kind != "U" or texts.ndim != 1:
        raise InputError("Sentences (texts) are a row of strings for a bundle with a tokenizer: give x.<input name>.")
    return np.stack([tokenizer.encode(str(text)) for text in texts]) if len(texts) else np.zeros((0, 0), np.int32)


def score(engine: Engine, data: Dataset, progress: Optional[Callable[[int, int], None]] = None) -> Score:
    """Accuracy: the share of labels that are the index of the largest output (of one output per sample: above 0.5).

    progress: called with samples done and in all. Raises InputError where labels and outputs do not fit.
    """
    if data.labels is None or len(engine.outputs) != 1 or len(engine.outputs[0].shape) < 2:
        raise InputError("Scoring needs labels y, and a model with exactly one output, (batch, …, classes).")
    spec, batch, count = engine.outputs[0], engine.inputs[0].shape[0], len(data.labels)
    _check_labels(data.labels, spec)
    started, right = perf_counter(), 0
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)  # the last batch repeats the last sample
        inputs = [to_border(array[rows], spec) for array, spec in zip(data.inputs, engine.inputs)]
        answers = _classes(from_border(engine.invoke(inputs)[0], spec))[: count - start]
        right += int((answers == data.labels[start : start + batch]).sum())
        if progress is not None:
            progress(min(start + batch, count), count)
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
