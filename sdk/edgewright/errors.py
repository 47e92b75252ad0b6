"""Every error that edgewright raises on purpose, and the exit code of each branch.

EdgewrightError               1   a defect of ours when raised bare
├── InputError                3   a file, an array or an option that the user gave
├── RecipeError               4   unknown key, wrong type or impossible order in a recipe
├── ConversionError           5   a step of the conversion failed
│   └── ModelError            5   the Keras model cannot be read, or cannot be converted as it is
├── BundleError               6   damaged, incomplete, or made by a newer edgewright
├── EngineError               7   not installed, cannot load this model, failed while invoking
├── DeviceError               8   unknown, not set up, or without what edgewright needs
│   └── TransportError        8   the way to the device broke or took too long
 ├── CheckError                9   the golden samples, a budget, the doctor's check or a gate's limit do not hold
└── StorageError             10   read-only or full disk, missing permission

Exit code 2 is a usage error, 130 is Ctrl-C.
"""

from typing import TYPE_CHECKING, Any

from edgewright_runtime.errors import (
    BundleError,
    CheckError,
    EdgewrightError,
    EngineError,
    InputError,
    StorageError,
)

if TYPE_CHECKING:
    from edgewright_converter.errors import ConversionError, ModelError, RecipeError

__all__ = [
    "BundleError",
    "CheckError",
    "ConversionError",
    "DeviceError",
    "EdgewrightError",
    "EngineError",
    "InputError",
    "ModelError",
    "RecipeError",
    "StorageError",
    "TransportError",
]


class DeviceError(EdgewrightError):
    """A device is unknown, not set up, or lacks what edgewright needs."""

    exit_code = 8


class TransportError(DeviceError):
    """The way to the device broke or took too long."""


def __getattr__(name: str) -> Any:
    """The converter's own branches, when they are asked for: its package takes 0.2 s that flashing has no use for."""
    if name not in ("ConversionError", "ModelError", "RecipeError"):
        raise AttributeError(f"module 'edgewright.errors' has no attribute {name!r}")
    from edgewright_converter import errors

    return getattr(errors, name)
