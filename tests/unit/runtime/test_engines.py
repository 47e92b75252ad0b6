"""What every engine must do, run against each that is installed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from unit.models import FlatbufferBuilder, lstm_model, tiny_model, tiny_text_model

from edgewright_runtime.engines import ENGINES, Engine, installed_engines, open_engine
from edgewright_runtime.errors import EngineError, InputError
from edgewright_runtime.manifest import TensorSpec

INSTALLED = {name for name, version in installed_engines().items() if version is not None}


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in INSTALLED:
        pytest.skip(f"the engine {request.param} is not installed")
    return str(request.param)


def _sum_and_difference(signature: str | None) -> bytes:
    """Two inputs and two outputs whose order is neither that of their names nor that of their indices."""
    graph = FlatbufferBuilder()
    total, right = graph.tensor("t_total", (1, 2)), graph.tensor("t_right", (1, 2))
    left, difference = graph.tensor("t_left", (1, 2)), graph.tensor("t_difference", (1, 2))
    graph.operator("ADD", 1, [left, right], total, "AddOptions")
    graph.operator("SUB", 1, [left, right], difference, "SubOptions")
    return graph.build({"z": left, "a": right}, {"sum": total, "difference": difference}, signature)


def test_a_model_answers(name: str) -> None:
    with open_engine(tiny_model(), name) as engine:
        assert (engine.name, engine.version) == (name, installed_engines()[name])
        assert engine.inputs == (TensorSpec("x", (1, 4), "float32"),)
        assert engine.outputs == (TensorSpec("probabilities", (1, 3), "float32"),)
        (answer,) = engine.invoke([np.array([[0, 2, 0, 0]], np.float32)])
    logits = np.array([0, 6, 0])
    np.testing.assert_allclose(answer, [np.exp(logits) / np.exp(logits).sum()], rtol=1e-5)


def test_the_order_is_the_models_and_the_names_are_the_signatures(name: str) -> None:
    left, right = np.array([[1, 2]], np.float32), np.array([[10, 20]], np.float32)
    for signature, inputs, outputs in (
        ("serve", ["z", "a"], ["sum", "difference"]),
        (None, ["t_left", "t_right"], ["t_total", "t_difference"]),
    ):
        with open_engine(_sum_and_difference(signature), name) as engine:
            assert [tensor.name for tensor in engine.inputs] == inputs
            assert [tensor.name for tensor in engine.outputs] == outputs
            total, difference = engine.invoke([left, right])
        assert total.tolist() == [[11, 22]]
        assert difference.tolist() == [[-9, -18]]


@pytest.mark.parametrize("stored", [False, True])
def test_a_state_that_outlasts_a_run_begins_at_zero_each_time(name: str, stored: bool, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(lstm_model())
    sequence = np.array([[[1, 2], [3, -1], [0.5, 0]]], np.float32)
    with open_engine(tmp_path / "model.tflite" if stored else lstm_model(), name) as engine:
        first, again = engine.invoke([sequence])[0], engine.invoke([sequence])[0]
    assert np.abs(first[0, -1]).min() > 0.1  # what the next run would begin with
    np.testing.assert_array_equal(first, again)


def test_a_quantized_border_is_described(name: str) -> None:
    with open_engine(tiny_model("int8"), name) as engine:
        (spec,) = engine.inputs
        assert (spec.dtype, spec.zero_point) == ("int8", -3)
        assert spec.scale == pytest.approx(0.05)
        (answer,) = engine.invoke([np.array([[-3, 37, -3, -3]], np.int8)])
        assert (answer.dtype, int(answer.argmax())) == (np.int8, 1)


def test_answers_are_copies(name: str) -> None:
    with open_engine(tiny_text_model(), name) as engine:
        (first,) = engine.invoke([np.full((1, 8), 3, np.int32)])
        before = first.copy()
        engine.invoke([np.full((1, 8), 4, np.int32)])
        np.testing.assert_array_equal(first, before)


def test_a_path_and_threads(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_model())
    with open_engine(path, name, threads=2) as one, open_engine(str(path), name) as other:
        sample = [np.ones((1, 4), np.float32)]
        np.testing.assert_allclose(one.invoke(sample)[0], other.invoke(sample)[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], r"1 inputs \(tokens\), 0 arrays"),
        ([np.zeros((1, 8), np.int32)] * 2, "2 arrays"),
        ([np.zeros((1, 8))], "Input tokens is float64 of shape"),
        ([np.zeros((1, 7), np.int32)], r"shape \(1, 7\), the model expects int32 of shape \(1, 8\)"),
        ([np.zeros((1, 8), ">i4")], "Input tokens"),
        ([[[0] * 8]], "Input tokens is a list"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, arrays: list[np.ndarray], message: str) -> None:  # type: ignore[type-arg]
    with open_engine(tiny_text_model(), name) as engine, pytest.raises(InputError, match=message):
        engine.invoke(arrays)


def test_a_closed_engine_says_so(name: str) -> None:
    engine: Engine = open_engine(tiny_model(), name)
    engine.close()
    sample = [np.zeros((1, 4), np.float32)]
    for use in (lambda: engine.invoke(sample), engine.run, engine.fetch):
        with pytest.raises(EngineError, match="closed"):
            use()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: tiny_model(dense_version=99), EngineError, r"FULLY_CONNECTED.*'99'.*--target"),
        (lambda: b"hello, world", InputError, "no TFLite flatbuffer"),
        (lambda: b"", InputError, "no TFLite flatbuffer"),
        (lambda: __file__, InputError, r"test_engines\.py is no TFLite flatbuffer"),
        (lambda: "absent.tflite", InputError, "Cannot read the model at absent"),
    ],
)
def test_a_model_that_cannot_be_loaded(
    name: str, model: Callable[[], bytes], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_engine(model(), name)
    assert "\n" not in str(caught.value)


def test_a_model_that_fails_while_it_runs(name: str) -> None:
    with open_engine(tiny_text_model(), name) as engine, pytest.raises(EngineError, match="failed while running"):
        engine.invoke([np.full((1, 8), 1000, np.int32)])  # an embedding of 11 rows


def test_an_engine_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no engine tpu: choose auto, litert, tflite or edgetpu"):
        open_engine(tiny_model(), "tpu")
    for absent in set(ENGINES) - INSTALLED:
        with pytest.raises(
            EngineError, match=f"{absent} cannot be imported.*installed: .*device setup --engine {absent}"
        ):
            open_engine(tiny_model(), absent)


@pytest.mark.parametrize("threads", [0, -1, 10**12])
def test_a_number_of_threads_that_makes_no_sense(threads: int) -> None:
    with pytest.raises(InputError, match="1 to 256 threads"):
        open_engine(tiny_model(), threads=threads)
