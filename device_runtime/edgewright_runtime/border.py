"""Between what a user gives or reads and a model's own borders, which may be quantized."""

from pathlib import Path

import numpy as np

from .engines import Array
from .errors import InputError
from .manifest import TensorSpec


def load_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an .npz. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}: check the path.") from error
    except Exception as error:  # numpy lets through whatever its parser of headers meets, down to tokenize.TokenError
        raise InputError(f"{path} is no .npz of plain arrays ({error}): write it with numpy.savez.") from error


def to_border(array: Array, spec: TensorSpec) -> Array:
    """``array`` as the input ``spec`` takes it: (its shape) in its dtype, real numbers quantized where it is.

    The batch may be left out where it is 1. Raises InputError where a value or the shape does not fit.
    """
    if spec.shape[:1] == (1,) and array.shape == spec.shape[1:]:
        array = array[np.newaxis]
    if array.shape != spec.shape:
        raise InputError(f"Input {spec.name} has shape {array.shape}, the model expects {spec.shape}.")
    if array.dtype == spec.dtype:
        return array
    if spec.scale is not None and array.dtype.kind == "f":
        return quantize(array, spec)
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise InputError(f"Input {spec.name} is {array.dtype.name}, the model expects {spec.dtype}: convert it.")
    with np.errstate(over="ignore"):
        cast = array.astype(spec.dtype)
    if array.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise InputError(f"Input {spec.name} holds numbers outside the range of {spec.dtype}, which the model expects.")
    return cast


def quantize(array: Array, spec: TensorSpec) -> Array:
    """Real numbers to the integers of ``spec``, rounded and clipped to their range. Raises InputError for NaN."""
    if np.isnan(array).any():
        raise InputError(f"Input {spec.name} holds NaN: give it numbers.")
    limits = np.iinfo(spec.dtype)
    stored = np.round(array / np.float64(spec.scale or 1)) + (spec.zero_point or 0)
    return np.clip(stored, limits.min, limits.max).astype(spec.dtype)


def from_border(array: Array, spec: TensorSpec) -> Array:
    """Real numbers from what the model stores: float32 where it is quantized, otherwise the array itself."""
    if spec.scale is None or array.dtype.kind == "f":
        return array
    return (np.float32(spec.scale) * (array.astype(np.float32) - np.float32(spec.zero_point or 0))).astype(np.float32)
