"""The engines, in the order in which "auto" tries them."""

from pathlib import Path
from typing import Any, Optional, Union

from ..errors import EngineError, InputError
from . import litert, tflite
from .base import Array, Engine, decisive_line
from .interpreter import InterpreterEngine

__all__ = [
    "EDGETPU",
    "ENGINES",
    "Array",
    "Engine",
    "decisive_line",
    "import_engine",
    "installed_engines",
    "open_engine",
]

MAX_THREADS = 256
ENGINES = {engine.NAME: engine for engine in (litert, tflite)}
EDGETPU = "edgetpu"  # for compiled flatbuffers only, so "auto" leaves it to those who know which variants there are


def open_engine(model: Union[bytes, str, Path], name: str = "auto", threads: int = 1) -> Engine:
    """Load a flatbuffer, given as its bytes or its path.

    Raises InputError for an unknown engine, a missing file or a bad number of threads, EngineError where the engine is
    not installed or cannot load the model.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"An engine runs on 1 to {MAX_THREADS} threads, not {threads}.")
    if name.partition(":")[0] == EDGETPU:
        from .edgetpu import open_edgetpu

        return open_edgetpu(model, name, threads)
    name, interpreter_class = import_engine(name)
    return InterpreterEngine(name, ENGINES[name].DISTRIBUTION, interpreter_class, model, threads)


def import_engine(name: str = "auto") -> tuple[str, Any]:
    """The engine's name and its interpreter class. Raises InputError, EngineError as ``open_engine``."""
    if name.partition(":")[0] == EDGETPU:
        from .edgetpu import import_interpreter

        return name, import_interpreter()[1].Interpreter
    if name != "auto" and name not in ENGINES:
        raise InputError(f"There is no engine {name}: choose auto, {', '.join(ENGINES)} or {EDGETPU}.")
    problems = []
    for candidate in ENGINES if name == "auto" else [name]:
        try:
            return candidate, ENGINES[candidate].interpreter_class()
        except (ImportError, OSError) as error:  # OSError: a shared library that this system is too old for
            problems.append(f"{candidate}: {decisive_line(error)}")
    if name == "auto":
        raise EngineError(
            f"No engine can be imported here ({'; '.join(problems)}): run `edgewright device setup` for this device."
        )
    installed = [f"{other} {version}" for other, version in installed_engines().items() if version is not None]
    raise EngineError(
        f"The engine {name} cannot be imported here ({problems[0]}), installed: {', '.join(installed) or 'none'}. "
        f"Choose another engine or run `edgewright device setup --engine {name}`."
    )


def installed_engines() -> dict[str, Optional[str]]:
    """The version of each engine's package, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, Optional[str]] = {}
    for name, engine in ENGINES.items():
        try:
            versions[name] = version(engine.DISTRIBUTION)
        except PackageNotFoundError:
            versions[name] = None
    return versions
