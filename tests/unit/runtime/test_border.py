"""What a user gives becomes what a model takes, or a sentence."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_runtime.border import from_border, load_arrays, to_border
from edgewright_runtime.errors import InputError
from edgewright_runtime.manifest import TensorSpec

IDS = TensorSpec("tokens", (1, 2), "int32")
REAL = TensorSpec("x", (1, 2), "float32")
INT8 = TensorSpec("x", (1, 2), "int8", 0.5, -10)


def test_what_fits_is_not_copied() -> None:
    array = np.zeros((1, 2), np.int32)
    assert to_border(array, IDS) is array


@pytest.mark.parametrize(
    ("given", "spec", "expected"),
    [
        (np.array([[1, 2]]), IDS, [[1, 2]]),
        (np.array([1, 2]), IDS, [[1, 2]]),
        (np.array([[1.5, 2]]), REAL, [[1.5, 2]]),
        (np.array([[1, 2]], np.int8), REAL, [[1, 2]]),
        (np.array([[1.0, -1.2]]), INT8, [[-8, -12]]),
        (np.array([[1e9, -np.inf]]), INT8, [[127, -128]]),
        (np.array([[3, 4]], np.int8), INT8, [[3, 4]]),  # stored already
    ],
)
def test_what_can_be_converted(given: np.ndarray, spec: TensorSpec, expected: list[list[float]]) -> None:  # type: ignore[type-arg]
    converted = to_border(given, spec)
    assert (converted.shape, converted.dtype.name) == (spec.shape, spec.dtype)
    assert converted.tolist() == expected


@pytest.mark.parametrize(
    ("given", "spec", "message"),
    [
        (np.zeros((1, 2)), IDS, "tokens is float64, the model expects int32"),
        (np.zeros((2, 2), np.int32), IDS, r"shape \(2, 2\), the model expects \(1, 2\)"),
        (np.zeros((), np.int32), IDS, r"shape \(\)"),
        (np.array([[1, 2**40]]), IDS, "outside the range of int32"),
        (np.array([[-1, 2**40]], np.int64), TensorSpec("x", (1, 2), "int8", 1.0, 0), "outside the range of int8"),
        (np.array([["a", "b"]]), REAL, "x is str"),
        (np.array([[np.nan, 0]]), INT8, "NaN"),
    ],
)
def test_what_cannot_be_converted(given: np.ndarray, spec: TensorSpec, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=message):
        to_border(given, spec)


@given(value=st.floats(-50, 50), zero_point=st.integers(-28, 27))
def test_quantizing_and_back_is_off_by_half_a_step_at_most(value: float, zero_point: int) -> None:
    spec = TensorSpec("x", (1,), "int8", 0.5, zero_point)
    back = from_border(to_border(np.array([value]), spec), spec)
    assert back.dtype == np.float32
    assert abs(float(back[0]) - value) <= 0.25 + 1e-6


def test_real_outputs_are_left_alone() -> None:
    array = np.ones((1, 2), np.float32)
    assert from_border(array, REAL) is array


@pytest.mark.parametrize("content", [None, b"", b"no arrays", b"PK\3\4" + bytes(40), b"\x93NUMPY\1\0v\0{" + b" " * 200])
def test_a_file_without_arrays_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"data\.npz"):
        load_arrays(tmp_path / "data.npz")


def test_arrays_of_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="plain arrays"):
        load_arrays(tmp_path / "data.npz")


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"no \.npz"):
        load_arrays(tmp_path / "data.npy")
