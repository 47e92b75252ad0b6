"""edgewright: Keras models onto a Raspberry Pi or a Coral, small, fast and proven on the device.

import edgewright

conversion = edgewright.convert("model.keras", data="my_data.py:load", recipe="int8")
with edgewright.connect("kitchen") as kitchen:
    edgewright.flash(conversion.path, kitchen)
    results = edgewright.bench(conversion.path, kitchen)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgewright_runtime import __version__ as __version__

# These two share their names with their modules, so they are bound here for good: loading a submodule later would
# otherwise put the module in the function's place.
from .bench import bench
from .flash import flash

if TYPE_CHECKING:
    from edgewright_converter.pipeline import convert
    from edgewright_converter.recipe import Recipe
    from edgewright_runtime.bundle import Bundle
    from edgewright_runtime.result import BenchResult

    from .devices import Device
    from .remote import connect

__all__ = ["BenchResult", "Bundle", "Device", "Recipe", "bench", "connect", "convert", "flash"]

_LAZY = {
    "BenchResult": "edgewright_runtime.result",
    "Bundle": "edgewright_runtime.bundle",
    "Device": "edgewright.devices",
    "Recipe": "edgewright_converter.recipe",
    "connect": "edgewright.remote",
    "convert": "edgewright_converter.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edgewright' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
