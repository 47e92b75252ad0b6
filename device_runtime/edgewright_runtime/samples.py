"""What a bench feeds to a model: its golden samples, a user's data, or numbers drawn by chance."""

from pathlib import Path
from typing import Optional

import numpy as np

from .border import to_border
from .bundle import Bundle
from .engines import Array
from .errors import InputError
from .limits import INPUTS

COUNT = 64  # different samples are enough for the caches to see variety, and few enough to stay small


def input_samples(
    bundle: Bundle, kind: str = "golden", seed: int = 0, data: Optional[Path] = None
) -> list[list[Array]]:
    """One list of input arrays, as the model takes them, for each sample.

    golden: those of the bundle. random: evenly spread over the range that the golden samples span; token ids over the
    tokenizer's whole vocabulary. data: the first samples of a data set. Raises InputError.
    """
    if kind == "golden":
        inputs, _ = bundle.golden()
        return [[array[index] for array in inputs] for index in range(len(inputs[0]))]
    if kind == "random":
        return _random(bundle, np.random.default_rng(seed))
    if kind == "data" and data is not None:
        return _from_data(bundle, data)
    raise InputError(f"A bench has the inputs {', '.join(INPUTS)}, not {kind}; for data give a data set too.")


def _random(bundle: Bundle, rng: "np.random.Generator") -> list[list[Array]]:
    golden, _ = bundle.golden()
    tokenizer = bundle.tokenizer()
    ranges = []
    for array in golden:
        low, high = array.min(), array.max()
        if tokenizer is not None and array.dtype.kind in "iu" and len(golden) == 1:
            low, high = 0, tokenizer.size - 1
        ranges.append((low, high))
    return [[_draw(rng, array[0], low, high) for array, (low, high) in zip(golden, ranges)] for _ in range(COUNT)]


def _draw(rng: "np.random.Generator", like: Array, low: float, high: float) -> Array:
    if like.dtype.kind == "f":
        return np.asarray(rng.uniform(low, high, like.shape), like.dtype)
    if like.dtype.kind == "b":
        return np.asarray(rng.random(like.shape) < 0.5)
    return np.asarray(rng.integers(int(low), int(high), like.shape, like.dtype, endpoint=True))


def _from_data(bundle: Bundle, path: Path) -> list[list[Array]]:
    from .dataset import load_dataset

    inputs, specs = load_dataset(path, bundle).inputs, bundle.manifest.variant().inputs
    batch, count = specs[0].shape[0], len(inputs[0])
    samples = []
    for start in range(0, min(count, COUNT * batch), batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)  # the last batch repeats the last sample
        samples.append([to_border(array[rows], spec) for array, spec in zip(inputs, specs)])
    return samples
