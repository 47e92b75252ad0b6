from typing import Any

import numpy as np
import pytest

from edgewright_converter.data import Dataset, from_mapping
from edgewright_converter.fitting import CALIBRATION_SAMPLES, PROBE_SAMPLES, Fitted, InputSpec, fit, predicted
from edgewright_runtime.errors import InputError

TOKENS = InputSpec("tokens", (1, 4), "int32", ids=10)
EXTRA = InputSpec("extra", (1, 2), "float32")


def fitted(data: dict[str, Any], *inputs: InputSpec, classes: int | None = 3, seed: int = 0) -> Fitted:
    return fit(from_mapping(data), inputs or (TOKENS,), classes, seed)


def ids(count: int = 300) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 10, (count, 4))


def test_chooses_calibration_and_probes_by_the_seed() -> None:
    data = {"x_train": ids(), "x_test": ids(50)[::-1], "y_test": np.arange(50) % 3}
    first, again, other = (fitted(data, seed=seed) for seed in (5, 5, 6))
    assert first.calibration[0].shape == (CALIBRATION_SAMPLES, 4)
    assert first.probes[0].shape == (PROBE_SAMPLES, 4)
    assert first.calibration[0].dtype == first.test[0].dtype == np.int32
    assert (first.calibration[0] == again.calibration[0]).all()
    assert (first.calibration[0] != other.calibration[0]).any()
    assert len(first.test[0]) == 50
    assert first.truth is not None


def test_without_data_samples_are_drawn_within_the_embedding() -> None:
    mask = InputSpec("mask", (2, 4), "int32")
    tokens, masks, floats = fit(Dataset(), (TOKENS, mask, EXTRA), 3, 0).probes
    assert (tokens >= 0).all()
    assert (tokens < 10).all()
    assert set(np.unique(masks)) == {0, 1}
    assert floats.dtype == np.float32
    assert len(tokens) == len(masks) == len(floats)


def test_several_inputs_come_in_the_models_order() -> None:
    data = {"x_train.extra": np.zeros((7, 2)), "x_train.tokens": ids(7)}
    result = fitted(data, TOKENS, EXTRA)
    assert [x.shape for x in result.calibration] == [(7, 4), (7, 2)]
    assert result.calibration[1].dtype == np.float32


def test_fewer_samples_than_a_batch_are_repeated() -> None:
    result = fitted({"x_train": ids(3)}, InputSpec("tokens", (8, 4), "int32", ids=10))
    assert result.calibration[0].shape == (8, 4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"x_train": np.zeros((0, 4), int)}, "x_train.tokens is empty"),
        ({"x_train": np.zeros((5, 3), int)}, r"shape \(3,\): the model's input tokens takes \(4,\)"),
        ({"x_train": np.zeros(5, int)}, r"shape \(\)"),
        ({"x_train": np.zeros((5, 4))}, "takes token ids: expected whole numbers"),
        ({"x_train": np.full((5, 4), 10)}, "token id 10: the model's embedding has ids 0 to 9"),
        ({"x_train": np.full((5, 4), -1)}, "token id -1"),
        ({"x_train": np.full((5, 4), 2**40)}, "beyond int32"),
        ({"x_train.other": ids()}, "the data has x_train.other, but the model's inputs are tokens"),
        ({"x_train": ids(), "y_train": np.zeros(299, int)}, "y_train has 299 labels for 300 samples"),
        ({"x_train": ids(), "y_train": np.full(300, 3)}, "label 3: the model's output has classes 0 to 2"),
        ({"x_train": ids(), "y_train": np.full(300, -1)}, "label -1"),
        ({"x_train": ids(), "y_train": np.full(300, np.nan)}, "y_train holds NaN"),
        ({"x_train": ids(), "y_test": np.zeros(3, int)}, "y_test has 3 labels for 0 samples"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=f"(?i){says}"):
        fitted(data)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(wrong: float) -> None:
    x = np.zeros((5, 2))
    x[3, 1] = wrong
    with pytest.raises(InputError, match=r"x_train\.extra holds NaN or infinity"):
        fitted({"x_train": x}, EXTRA)


def test_arrays_of_different_length() -> None:
    with pytest.raises(InputError, match=r"\[5, 7\] samples"):
        fitted({"x_train.tokens": ids(5), "x_train.extra": np.zeros((7, 2))}, TOKENS, EXTRA)


def test_labels_in_every_form() -> None:
    one_hot = np.eye(3)[[2, 0, 1]]
    for y in (np.array([2, 0, 1]), np.array([2.0, 0.0, 1.0]), one_hot, np.array([[2], [0], [1]])):
        truth = fitted({"x_test": ids(3), "y_test": y}).truth
        assert truth is not None
        assert truth.tolist() == [2, 0, 1]


def test_numbers_that_are_no_classes_are_not_scored() -> None:
    result = fitted({"x_test": ids(3), "y_test": np.array([0.5, 1.25, 7.0])}, classes=1)
    assert result.truth is None
    assert result.test == ()
    assert fitted({"x_test": ids(3), "y_test": np.zeros(3, int)}, classes=None).truth is None
    assert fitted({"x_test": ids(3), "y_test": np.array([0, 1, 7])}, classes=1).truth is None  # how many there are


def test_predicted_class() -> None:
    assert predicted(np.array([[0.1, 0.9], [0.8, 0.2]])).tolist() == [1, 0]
    assert predicted(np.array([[0.4], [0.6]])).tolist() == [0, 1]
