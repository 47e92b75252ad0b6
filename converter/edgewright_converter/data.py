"""The user's samples: an .npz, a table of texts, a function in a file, or a dict of arrays, all as one Dataset.

Keys of an .npz or a dict: x_train, y_train, x_test, y_test, and x_unlabelled for distill; with several inputs
x_train.<input name>, or a dict of them; with several outputs y_train.<output name>. A function returns such a dict, or
tf.data pipelines as model.fit takes them (batches of x, or of (x, y)): one, or {"train": …, "test": …}. Without labels
the samples serve for calibration alone.
"""

import difflib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from .function import call_function, is_function
from .table import TABLE_SUFFIXES, read_table

PIPELINE_SAMPLES = 4096  # the most that is taken from a training pipeline, which may be endless
_PARTS = ("x_train", "y_train", "x_test", "y_test", "x_unlabelled")

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Dataset:
    """x_*: input name → (samples, *shape); the name "" stands for a model's only input. y_*: (samples, …) or None.

    heads: the training labels of a model with several outputs, by the name of each. pipeline: the tf.data pipeline that
    x_train and its labels are the beginning of, where the user gave one with labels. x_unlabelled: more samples, of
    which no one says what they are.
    """

    x_train: dict[str, Array] = field(default_factory=dict)
    y_train: Array | None = None
    x_test: dict[str, Array] = field(default_factory=dict)
    y_test: Array | None = None
    heads: dict[str, Array] = field(default_factory=dict)
    pipeline: Any = None
    x_unlabelled: dict[str, Array] = field(default_factory=dict)


def load_data(source: Any, tokenizer: Tokenizer | None, labels: list[str] | None) -> Dataset:
    """Read the samples. source: a path, "file.py:function", a mapping, a pipeline, a Dataset, or None.

    Raises InputError with a sentence where it is missing, damaged, or not of a known kind.
    """
    if source is None:
        return Dataset()
    if isinstance(source, Dataset):
        return source
    if isinstance(source, str | Path):
        if is_function(source):
            return load_data(call_function(str(source)), tokenizer, labels)
        path = Path(source)
        if not path.is_file():
            raise InputError(
                f"Data file {path} does not exist: expected .npz, {', '.join(TABLE_SUFFIXES)} or file.py:function."
            )
        if path.suffix in TABLE_SUFFIXES:
            source = read_table(path)
        elif path.suffix == ".npz":
            source = _read_npz(path)
        else:
            raise InputError(
                f"Data file {path} is of no known kind: expected .npz, {', '.join(TABLE_SUFFIXES)} or file.py:function."
            )
    return replace(from_mapping(_unroll_pipelines(source), tokenizer, labels), pipeline=_training_pipeline(source))


def from_mapping(source: Any, tokenizer: Tokenizer | None = None, labels: list[str] | None = None) -> Dataset:
    """A dict of arrays as a Dataset; sentences become token ids, names of labels become their numbers."""
    if not isinstance(source, Mapping):
        raise InputError(
            f"The data is a {type(source).__name__}: expected a dict with x_train, y_train, x_test, y_test."
        )
    parts: dict[str, Any] = {"x_train": {}, "x_test": {}, "x_unlabelled": {}, "heads": {}}
    for key, value in source.items():
        part, _, name = str(key).partition(".")
        if part not in _PARTS:
            near = difflib.get_close_matches(part, _PARTS, n=1)
            raise InputError(
                f"The data has an unknown key {str(key)!r}: "
                + (
                    f"did you mean {near[0]!r}?"
                    if near
                    else "expected x_train, y_train, x_test, y_test, x_unlabelled, x_train.<input>, y_train.<output>."
                )
            )
        if part == "y_train" and (name or isinstance(value, Mapping)):
            of_each = value if isinstance(value, Mapping) else {name: value}
            parts["heads"].update({str(head): _labels(y, None, f"{part}.{head}") for head, y in of_each.items()})
        elif part == "y_test" and (name or isinstance(value, Mapping)):
            raise InputError(f"{key} is of one of several outputs, which are trained on, not scored: leave it out.")
        elif part.startswith("y"):
            parts[part] = _labels(value, labels, key)
        elif isinstance(value, Mapping):
            parts[part].update(
                {str(inner): _samples(entry, tokenizer, f"{key}.{inner}") for inner, entry in value.items()}
            )
        else:
            parts[part][name] = _samples(value, tokenizer, key)
    if not parts["x_train"] and not parts["x_test"]:
        raise InputError("The data has no samples: expected x_train, or x_train.<input name> for each input.")
    return Dataset(**parts)


def _samples(value: Any, tokenizer: Tokenizer | None, key: str) -> Array:
    array = _array(value, key)
    if array.dtype.kind in "UST":
        if tokenizer is None:
            raise InputError(
                f"{key} holds texts, which need a tokenizer: give one (--tokenizer FILE.json), or token ids."
            )
        return np.stack([tokenizer.encode(str(text)) for text in array.ravel()]) if array.size else array
    return array


def _labels(value: Any, labels: list[str] | None, key: str) -> Array | None:
    if value is None:
        return None
    array = _array(value, key)
    if array.dtype.kind not in "UST":
        return array
    numbers = {name: index for index, name in enumerate(labels or ())}
    unknown = sorted(set(array.ravel().tolist()) - set(numbers))
    if unknown:
        expected = f"one of the {len(numbers)} labels" if labels else "the list of labels (--labels FILE)"
        raise InputError(f"{key} holds the label {unknown[0]!r}: expected {expected}.")
    return np.array([numbers[name] for name in array.ravel().tolist()], np.int64).reshape(array.shape)


def _array(value: Any, key: str) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{key} is not an array: {str(error).splitlines()[0]}.") from error
    if array.dtype == object and all(isinstance(item, str) for item in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind not in "biufUST" or array.ndim == 0:
        raise InputError(
            f"{key} is of dtype {array.dtype} and shape {array.shape}: expected an array of numbers or texts."
        )
    return array


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"Data file {path} is no readable .npz of plain arrays ({error}): save it again with numpy.savez."
        ) from error


def _training_pipeline(source: Any) -> Any:
    pipeline = source.get("train") if isinstance(source, Mapping) else source
    batch = getattr(pipeline, "element_spec", None)
    return pipeline if isinstance(batch, tuple) and len(batch) > 1 else None


def _unroll_pipelines(source: Any) -> Any:
    """tf.data pipelines as arrays. Anything else is given back as it is."""
    if hasattr(source, "as_numpy_iterator"):
        source = {"train": source}
    if not isinstance(source, Mapping) or not any(hasattr(value, "as_numpy_iterator") for value in source.values()):
        return source
    found: dict[str, Any] = {}
    for key, pipeline in source.items():
        if key not in ("train", "test") or not hasattr(pipeline, "as_numpy_iterator"):
            raise InputError(f"The data has an unknown entry {key!r}: expected the pipelines 'train' and 'test' alone.")
        found.update(_unroll(pipeline, key))
    return found


def _unroll(pipeline: Any, part: str) -> dict[str, Any]:
    batches: list[Any] = []
    count = 0
    for batch in pipeline.as_numpy_iterator():
        batches.append(batch)
        first = batch[0] if isinstance(batch, tuple) else batch
        count += len(next(iter(first.values())) if isinstance(first, Mapping) else first)
        if part == "train" and count >= PIPELINE_SAMPLES:
            break
    if not batches:
        raise InputError(f"The pipeline {part!r} gives no batch: expected at least one.")
    pairs = [batch if isinstance(batch, tuple) else (batch, None) for batch in batches]
    first = pairs[0][0]
    if isinstance(first, Mapping):
        x: Any = {name: np.concatenate([pair[0][name] for pair in pairs]) for name in first}
    else:
        x = np.concatenate([pair[0] for pair in pairs])
    # Of several outputs, the pipeline itself is trained on.
    y = np.concatenate([pair[1] for pair in pairs]) if isinstance(pairs[0][1], np.ndarray) else None
    return {f"x_{part}": x, f"y_{part}": y}
