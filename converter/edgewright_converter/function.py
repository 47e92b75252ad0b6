"""``file.py:function``: the user's own code as a way in for models and data."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError


def is_function(source: object) -> bool:
    """Whether this names a function in a file, as in ``my_data.py:load``."""
    path, colon, name = str(source).rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def call_function(source: str) -> Any:
    """Import the file, with its folder on the path as when Python runs it, and call the function without arguments.

    Raises InputError where the file or the function is missing. What the user's code raises passes through.
    """
    file, _, name = source.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise InputError(f"File {file} does not exist: expected a Python file with a function {name}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"File {file} cannot be imported: expected Python code.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"File {file} has no function {name}: expected one that takes no arguments.")
    return function()
