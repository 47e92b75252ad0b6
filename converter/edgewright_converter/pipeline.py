"""`convert`: the model, the data and the recipe in, a bundle out."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright_runtime.audio.features import Features
from edgewright_runtime.errors import InputError, StorageError
from edgewright_runtime.hashing import hash_file, sha256_hex
from edgewright_runtime.manifest import NAME, Manifest
from edgewright_runtime.task import OPTIONS, Task, make_task, parse_task
from edgewright_runtime.text import Tokenizer

from .edgetpu.compiler import PROGRAM, Compiled, available, compile_model, keeps_ends
from .errors import ConversionError
from .interface import Shapes
from .isolation import run_isolated
from .job import Finished, Prepared, Request, Steps
from .load import kind_of
from .outcome import Outcome
from .package import write_bundle
from .recipe import Recipe
from .targets import get_target

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Conversion:
    """path: of the bundle; difference: max |flatbuffer - Keras| / max(1, max |Keras|); seconds: by step.

    edgetpu: for a target with an Edge TPU, what its compiler made, or a sentence that says why there is no variant for
    it; None for other targets.
    """

    path: Path
    manifest: Manifest
    outcomes: list[Outcome]
    difference: float
    seconds: dict[str, float]
    edgetpu: Compiled | str | None = None


def convert(
    model: Any,
    *,
    data: Any = None,
    recipe: str | Path | Recipe = "float32",
    target: str | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    batch: int = 1,
    shapes: Shapes | None = None,
    labels: list[str] | str | Path | None = None,
    tokenizer: Tokenizer | str | Path | None = None,
    task: Task | str | Path | None = None,
    features: Features | str | Path | None = None,
    trust: bool = False,
    seed: int = 0,
    checkpoints: str | Path | None = None,
    timeout_s: float = 1800.0,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a Keras model and write a bundle.

    model: a .keras or .h5 file, a SavedModel folder, "file.py:function", or a live keras.Model.
    data: an .npz, .csv, .tsv or .jsonl file, "file.py:function", a dict of arrays or tf.data pipelines (see data.py).
    recipe: a built-in name, a TOML file or a Recipe. target: a board's name, the recipe's or "local" by default.
    output: default "<name>.ewb"; name: default from the model. batch, shapes: the sizes that the model leaves open,
    e.g. {"tokens": 24}. labels, tokenizer: what makes sentences and class names of numbers. task: what the
    model is for: a kind ("classify", "generate" …), a JSON file of kind and options, or a Task. features: how
    recordings become the model's input, a JSON file or Features. trust: run Lambda layers.
    checkpoints: a folder in which passes that train keep their state, so that the same call goes on where one ended.
    progress: called with the step's name and the share of the whole that is done, 0 to 1.

    Raises RecipeError, InputError, ConversionError, ModelError or StorageError; then nothing is left behind.
    """
    chosen = Recipe.load(recipe)
    board = get_target(target or chosen.target or "local")
    live = not isinstance(model, str | Path)
    if not live:
        kind_of(model)  # refuse what is no model before anything else
    if batch < 1:
        raise InputError(f"batch is {batch}: expected 1 or more.")
    if chosen.needs_data and data is None:
        trains = ", ".join(p.use for p in chosen.model_passes if p.needs_data)
        raise InputError(
            f"The recipe {chosen.name} {f'trains the model ({trains})' if trains else 'measures its scales on data'}, "
            "and none was given: give some (--data), or use dynamic-int8, which needs none."
        )
    name = _name(model, name)
    path = writable(Path(output if output is not None else f"{name}.ewb"))
    words = _read_tokenizer(tokenizer)
    request = Request(
        source=None if live else str(model),
        data=str(data) if isinstance(data, str | Path) else data,
        recipe=chosen,
        target=board,
        batch=batch,
        shapes=dict(shapes or {}),
        labels=_read_labels(labels),
        tokenizer=None if words is None else words.to_json(),
        task=_read_task(task),
        features=_read_features(features),
        trust=trust,
        seed=seed,
        checkpoints=None if checkpoints is None else str(Path(checkpoints).resolve()),
    )
    tell = progress or (lambda step, fraction: None)
    prepared = None
    seconds: dict[str, float] = {}
    if live:
        from .front import prepare

        _require_keras(model)
        steps = Steps(tell, tuple(p.use for p in chosen.model_passes))
        prepared = prepare(model, request, steps)
        seconds = steps.end()
        request = replace(request, data=None)  # the child has no use for it, and a pipeline cannot go there
    elif data is not None and not isinstance(data, str | Path):
        from .data import load_data

        dataset = load_data(data, words, list(request.labels) if request.labels else None)
        request = replace(request, data=replace(dataset, pipeline=None))  # which no other process can read
    finished: Finished = run_isolated(_convert_in_child, (request, prepared), timeout_s, tell)
    digest = sha256_hex(prepared.frozen.graph) if prepared is not None else hash_source(str(model))
    if board.edgetpu:
        tell("compile for the Edge TPU", 0.95)
    edgetpu = _for_edgetpu(finished.model) if board.edgetpu else None
    compiled = edgetpu if isinstance(edgetpu, Compiled) else None
    manifest = write_bundle(finished, request, name, digest, path, compiled)
    tell("done", 1.0)
    took = _add(seconds, finished.seconds)
    return Conversion(path, manifest, list(finished.outcomes), finished.difference, took, edgetpu)


def _for_edgetpu(model: bytes) -> Compiled | str:
    """The same model compiled, or why there is none: the CPU's variant stands by itself."""
    if not available():
        return f"{PROGRAM} is not on PATH, so the bundle has no Edge TPU variant: see docs/coral.md."
    try:
        compiled = compile_model(model)
        if not keeps_ends(model, compiled.model):
            return f"{PROGRAM} changed the model's inputs or outputs, so the bundle has no Edge TPU variant."
        return compiled
    except ConversionError as error:
        return str(error)


def _convert_in_child(request: Request, prepared: Prepared | None, tell: Progress) -> Finished:
    steps = Steps(tell, tuple(p.use for p in request.recipe.model_passes))
    if prepared is None:
        from .front import prepare

        prepared = prepare(None, request, steps)
    from .back import finish

    return finish(prepared, request, steps)


def _add(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {step: first.get(step, 0.0) + second.get(step, 0.0) for step in {**first, **second} if step != "end"}


def _name(model: Any, name: str | None) -> str:
    if name is None:
        if isinstance(model, str | Path):
            text = str(model)
            text = text.rpartition(":")[2] if text.rpartition(":")[0].endswith(".py") else Path(text).stem
        else:
            text = str(getattr(model, "name", "model"))
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64] or "model"
    if not NAME.match(name):
        raise InputError(f"The name {name!r} is not usable: expected up to 64 letters, digits, '.', '_', '-'.")
    return name


def writable(path: Path) -> Path:
    """Refuse a hopeless output before minutes of work. Raises StorageError."""
    import os

    if path.is_dir():
        raise StorageError(f"Cannot write {path}: that path is a folder, not a file: choose another path.")
    if not path.parent.is_dir():
        raise StorageError(
            f"Cannot write {path}: folder {path.parent} does not exist: make it, or choose another path."
        )
    if not os.access(path.parent, os.W_OK):
        raise StorageError(
            f"Cannot write {path}: permission is denied: choose another folder or change its permissions."
        )
    return path


def _read_tokenizer(tokenizer: Tokenizer | str | Path | None) -> Tokenizer | None:
    if tokenizer is None or isinstance(tokenizer, Tokenizer):
        return tokenizer
    return Tokenizer.from_json(_read_file(Path(tokenizer), "tokenizer"))


def _read_task(task: Task | str | Path | None) -> Task | None:
    """A kind by name, or a file."""
    if task is None or isinstance(task, Task):
        return task
    if task in OPTIONS or not Path(task).exists():
        return make_task(str(task))
    return parse_task(_read_file(Path(task), "task"))


def _read_features(features: Features | str | Path | None) -> Features | None:
    if features is None or isinstance(features, Features):
        return features
    return Features.from_json(_read_file(Path(features), "features"))


def _read_labels(labels: list[str] | str | Path | None) -> tuple[str, ...] | None:
    """A list, or a file of them: a JSON list, or one a line."""
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        path = Path(labels)
        try:
            text = _read_file(path, "labels").decode("utf-8-sig")
            labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
        except ValueError as error:
            raise InputError(
                f"Labels file {path} cannot be read ({error}): expected one label a line, or a JSON list."
            ) from error
    if not labels or not all(isinstance(label, str) and label for label in labels):
        raise InputError("The labels are not a list of names: expected one non-empty text for each class.")
    if len(set(labels)) < len(labels):
        double = next(label for index, label in enumerate(labels) if label in labels[:index])
        raise InputError(f"The label {double!r} is listed twice: expected a different one for each class.")
    return tuple(labels)


def _read_file(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"The {what} file {path} cannot be read: {error.strerror}.") from error


def hash_source(source: str) -> str:
    """SHA-256 of the model's file; of a folder, over the names and hashes of all its files."""
    path = Path(source.rpartition(":")[0]) if kind_of(source) == "function" else Path(source)
    if path.is_file():
        return hash_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_hex("".join(f"{file.relative_to(path)}\0{hash_file(file)}\n" for file in files).encode())


def _require_keras(model: Any) -> None:
    import sys

    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        raise InputError(f"The model is a {type(model).__name__}: expected a path, file.py:function or a keras.Model.")
    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"Keras runs on {keras.config.backend()} here, tracing takes TensorFlow: save the model and give the file, "
            "or set KERAS_BACKEND=tensorflow."
        )
