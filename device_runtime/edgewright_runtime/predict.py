"""What a model answers to many samples, raw: a host judges the answers, alike wherever they were computed.

Samples come as an .npz. Either x.<input name> (n, *shape without the batch), as the model takes them; or what this
device encodes itself, all of it in one row, and "ends" (n,) int64, where each sample ends: "text" (bytes,) uint8 is
UTF-8, and neither a NUL at a text's end nor broken UTF-8 is lost that way; "sound" (samples,) int16 is recordings.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from .border import from_border, load_arrays, to_border
from .bundle import Bundle
from .disk import replacing
from .engines import Array, Engine
from .errors import InputError
from .pooling import pool

Progress = Callable[[int, int], None]  # samples done, in all


class Samples(NamedTuple):
    """inputs: for each of the model's (rows, *shape without the batch). windows: how many rows each sample has, None
    where the inputs came as they are; pooling: of their answers, as ``pooling.pool`` takes it."""

    inputs: list[Array]
    windows: Optional[list[int]] = None
    pooling: Optional[str] = None


def predict(
    bundle: Bundle,
    samples: Path,
    answers: Path,
    engine: str = "auto",
    threads: int = 1,
    progress: Optional[Progress] = None,
) -> dict[str, Any]:
    """Answer a file of samples into a file of answers: returns the "engine" and the "count" of samples.

    Of models that generate or translate see generation/predict.py. Raises InputError, BundleError, EngineError,
    StorageError.
    """
    task = bundle.task()
    if task is not None and task.kind in ("generate", "translate"):
        from .generation.predict import predict_texts

        texts = pieces(load_arrays(samples), "text", samples)
        used, arrays = predict_texts(bundle, task, texts, engine, threads, progress)
        count = len(texts)
    else:
        from .model import load_model

        loaded = load_samples(samples, bundle)
        with load_model(bundle, engine, threads) as running:
            outputs = answer(running, loaded, progress)
            arrays = _answers(running, loaded, outputs)
            used, count = {"name": running.name, "version": running.version}, len(outputs[0])
    with replacing(answers) as out:
        np.savez_compressed(out, **arrays)
    return {"engine": used, "count": count}


def load_samples(path: Path, bundle: Bundle) -> Samples:
    """Read an .npz of samples, and encode what the model does not take as it is. Raises InputError where it does not
    fit."""
    arrays = load_arrays(path)
    specs = bundle.manifest.variant().inputs
    made = next((kind for kind in _ENCODERS if kind in arrays), None)
    if made is not None:
        return _ENCODERS[made](pieces(arrays, made, path), bundle)
    missing = [f"x.{spec.name}" for spec in specs if f"x.{spec.name}" not in arrays]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: it holds {', '.join(sorted(arrays)) or 'nothing'}.")
    inputs = [arrays[f"x.{spec.name}"] for spec in specs]
    lengths = {len(array) if array.ndim else 0 for array in inputs}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"{path} holds arrays of {sorted(lengths)} samples: give all the same number, one at least.")
    for array, spec in zip(inputs, specs):
        if array.shape[1:] != spec.shape[1:]:
            raise InputError(f"x.{spec.name} has samples of shape {array.shape[1:]}, the model takes {spec.shape[1:]}.")
    return Samples(inputs)


def answer(engine: Engine, samples: Samples, progress: Optional[Progress] = None) -> list[Array]:
    """For each output (n, *its shape without the batch), in real numbers. Raises InputError, EngineError."""
    batch, count = engine.inputs[0].shape[0], len(samples.inputs[0])
    found: list[list[Array]] = [[] for _ in engine.outputs]
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)  # the last batch repeats the last sample
        feeds = [to_border(array[rows], spec) for array, spec in zip(samples.inputs, engine.inputs)]
        for parts, output, spec in zip(found, engine.invoke(feeds), engine.outputs):
            if spec.shape[:1] != (batch,):
                raise InputError(f"The output {spec.name} is {spec.shape}, not one answer for each of {batch} samples.")
            parts.append(from_border(output, spec)[: count - start])
        if progress is not None:
            progress(min(start + batch, count), count)
    outputs = [np.concatenate(parts) for parts in found]
    if samples.windows is None:
        return outputs
    return [pool(output, samples.windows, samples.pooling) for output in outputs]


def _answers(engine: Engine, samples: Samples, outputs: list[Array]) -> dict[str, Any]:
    """y.<output name> (n, …), and where the inputs were made here x.<input name> (rows, …) and windows (n,): the host
    compares both."""
    arrays: dict[str, Any] = {f"y.{spec.name}": output for spec, output in zip(engine.outputs, outputs)}
    if samples.windows is not None:
        arrays["windows"] = np.array(samples.windows, np.int64)
        arrays.update({f"x.{spec.name}": array for spec, array in zip(engine.inputs, samples.inputs)})
    return arrays


def pack_pieces(kind: str, pieces: "list[Array]") -> dict[str, Array]:
    """The arrays that ``load_samples`` reads. kind: "text" of (bytes,) uint8, or "sound" of (samples,) int16."""
    return {kind: np.concatenate(pieces), "ends": np.cumsum([len(piece) for piece in pieces], dtype=np.int64)}


def pieces(arrays: dict[str, Array], kind: str, path: Path) -> list[Array]:
    """The samples in one row of (bytes,) uint8 or (samples,) int16. Raises InputError where the ends do not cut it."""
    row, ends = arrays.get(kind, np.zeros(0)), arrays.get("ends", np.zeros(0, np.int64))
    lengths = np.diff(ends, prepend=0) if ends.dtype == np.int64 and ends.ndim == 1 and len(ends) else np.array([-1])
    dtype = np.uint8 if kind == "text" else np.int16
    if row.dtype != dtype or row.ndim != 1 or (lengths < 0).any() or ends[-1] != len(row):
        raise InputError(f"{path} holds no {kind} that can be told apart: write it with edgewright evaluate.")
    return np.split(row, ends[:-1])


def _encode_texts(texts: list[Array], bundle: Bundle) -> Samples:
    tokenizer = bundle.tokenizer()
    if tokenizer is None:
        raise InputError(f"The model {bundle.manifest.name} takes no texts (no tokenizer): give x.<input name>.")
    rows = [tokenizer.windows(text.tobytes()) for text in texts]
    return Samples([np.concatenate(rows)], [len(row) for row in rows], tokenizer.pooling)


def _encode_sound(recordings: list[Array], bundle: Bundle) -> Samples:
    """The features of a clip of each."""
    from .audio.features import Extractor

    features = bundle.features()
    if features is None:
        raise InputError(f"The model {bundle.manifest.name} takes no recordings (no features): give x.<input name>.")
    extractor, shape = Extractor(features), bundle.manifest.variant().inputs[0].shape[1:]
    if shape not in (features.shape, (*features.shape, 1)):
        raise InputError(f"The model takes {shape}, its features are {features.shape}: convert it again.")
    clips = np.stack([extractor.clip(samples).reshape(shape) for samples in recordings])
    return Samples([clips], [1] * len(clips))


_ENCODERS = {"text": _encode_texts, "sound": _encode_sound}
