"""A target in a file: what `edgewright device probe NAME -o board.toml` writes and `--target board.toml` reads."""

import json
import tomllib
from pathlib import Path
from typing import Any

from edgewright_runtime.disk import replacing
from edgewright_runtime.errors import InputError, storage_errors
from edgewright_runtime.manifest import NAME

from .errors import RecipeError
from .targets import FACTS, RUNTIMES, Target, version_key

_HEADER = "# A target of edgewright: give this file to --target.\n"
_TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(FACTS, (str, "a string")),
    **dict.fromkeys(("memory_mb", "storage_mb"), (int, "a whole number")),
    "edgetpu": (bool, "true or false"),
    "cpu_features": (list, "a list of strings"),
}


def read_profile(path: str | Path) -> Target:
    """Raises InputError where the file cannot be read, RecipeError where it is no profile."""
    try:
        document = tomllib.loads(Path(path).read_bytes().decode())
    except OSError as error:
        raise InputError(f"The target's profile {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}.") from error
    sources = document.pop("sources", {})
    name = document.pop("name", Path(path).stem)
    for key, value in document.items():
        _check(path, key, value)
    for key in ("engine", "machine"):
        if key not in document:
            raise RecipeError(f"{path}: {key} is missing: write the profile with `edgewright device probe NAME -o`.")
    if not isinstance(name, str) or not NAME.match(name):
        raise RecipeError(f"{path}: name must be up to 64 letters, digits, '.', '_', '-', not {name!r}.")
    if document["engine"] not in RUNTIMES:
        raise RecipeError(f"{path}: engine must be one of {', '.join(RUNTIMES)}, not {document['engine']!r}.")
    if not isinstance(sources, dict) or not all(isinstance(value, str) for value in sources.values()):
        raise RecipeError(f"{path}: sources must be a [sources] table of strings.")
    document.setdefault("runtime", RUNTIMES[document["engine"]])
    document["cpu_features"] = tuple(document.get("cpu_features", ()))
    return Target(name=name, sources=dict(sources), **document)


def write_profile(target: Target, path: Path) -> None:
    """Raises StorageError where the file cannot be written."""
    with storage_errors(f"write {path}"), replacing(path) as out:
        out.write(format_profile(target).encode())


def format_profile(target: Target) -> str:
    """TOML. What is unknown is left out."""
    lines = [f"name = {_toml(target.name)}"]
    for key in FACTS:
        value = getattr(target, key)
        if value not in (None, ()):
            lines.append(f"{key} = {_toml(value)}")
    sources = [f"{key} = {_toml(value)}" for key, value in target.sources.items()]
    return _HEADER + "\n".join([*lines, "", "[sources]", *sources]) + "\n"


def _check(path: str | Path, key: str, value: Any) -> None:
    if key not in _TYPES:
        raise RecipeError(f"{path}: unknown key {key!r}: known are name, {', '.join(FACTS)} and [sources].")
    kind, words = _TYPES[key]
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is list:
        fits = fits and all(isinstance(entry, str) for entry in value)
    if not fits or (kind is int and value < 1):
        raise RecipeError(f"{path}: {key} must be {words}, not {value!r}.")
    if key in ("runtime", "python", "glibc"):
        try:
            version_key(value)
        except ValueError:
            raise RecipeError(f"{path}: {key} must be a version like 2.14, not {value!r}.") from None


def _toml(value: Any) -> str:
    # A JSON string, list or boolean of plain text is the same in TOML.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
