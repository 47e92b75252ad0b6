import zlib

import numpy as np
import pytest
from unit.models import FlatbufferBuilder, tiny_model, tiny_text_model

from edgewright_converter import check
from edgewright_converter.errors import ConversionError
from edgewright_converter.flatbuffer import read
from edgewright_runtime.border import from_border

X = np.random.default_rng(0).normal(0, 1, (5, 4)).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    """What ``tiny_model`` computes."""
    weights = np.array([[3, 0, 0, 1], [0, 3, 0, 1], [0, 0, 3, 1]], np.float32)
    e = np.exp(x @ weights.T)
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(("border", "limit"), [("float32", 1e-6), ("int8", 0.08)])
def test_difference_is_in_real_units_at_any_border(border: str, limit: float) -> None:
    with check.engine_for(tiny_model(border)) as engine:
        apart = check.difference(engine, ("x",), (X,), {"probabilities": softmax(X)})
        assert 0 < apart < limit
        shifted = check.difference(engine, ("x",), (X,), {"probabilities": softmax(X) - 0.1})
        assert shifted == pytest.approx(0.1, abs=limit)


def test_answers_that_have_nothing_to_do_with_keras_are_refused() -> None:
    with check.engine_for(tiny_model()) as engine, pytest.raises(ConversionError, match="little to do with Keras"):
        check.difference(engine, ("x",), (X,), {"probabilities": softmax(X)[:, ::-1]})


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nan_is_refused(wrong: float) -> None:
    reference = softmax(X)
    reference[1, 1] = wrong
    with check.engine_for(tiny_model()) as engine, pytest.raises(ConversionError, match="Keras itself answers NaN"):
        check.difference(engine, ("x",), (X,), {"probabilities": reference})


def test_accuracy_counts_right_answers() -> None:
    truth = softmax(X).argmax(-1)
    truth[0] = (truth[0] + 1) % 3
    with check.engine_for(tiny_model()) as engine:
        assert check.accuracy(engine, ("x",), (X,), truth, lambda fraction: None) == 0.8


def test_a_model_that_no_engine_loads_is_a_conversion_error() -> None:
    with pytest.raises(ConversionError, match="does not run"), check.engine_for(tiny_model(dense_version=99)):
        pass


def test_golden_samples_are_at_the_border_and_pass_their_own_tolerance() -> None:
    for border in ("float32", "int8"):
        model = tiny_model(border)
        with check.engine_for(model) as engine:
            golden = check.golden(model, engine, ("x",), (X,), border)
            assert golden.inputs[0].shape == (5, 1, 4)
            assert golden.inputs[0].dtype == border
            assert golden.outputs[0].shape == (5, 1, 3)
            (spec,) = engine.outputs
            real = from_border(golden.outputs[0], spec)[:, 0]
            limit = 0.08 if border == "int8" else golden.atol[0]
            assert np.abs(real - softmax(X)).max() < limit
            assert 0 < golden.atol[0] < real.std() / 4


def test_golden_samples_stay_small_and_are_at_least_two() -> None:
    model = tiny_text_model(tokens=100_000)
    tokens = np.zeros((16, 100_000), np.int32)
    with check.engine_for(model) as engine:
        golden = check.golden(model, engine, ("tokens",), (tokens,), "float32")
    assert golden.inputs[0].shape == (2, 1, 100_000)


def test_the_step_of_an_output_is_its_scale_or_that_from_before_it_was_dequantized() -> None:
    assert check.output_steps(read(tiny_model())) == {"probabilities": None}
    assert check.output_steps(read(tiny_model("int8"))) == {"probabilities": 1 / 256}
    graph = FlatbufferBuilder()
    x, y = graph.tensor("x", (1, 4), "int8", scale=0.5), graph.tensor("y", (1, 4))
    graph.operator("DEQUANTIZE", 2, [x], y)
    assert check.output_steps(read(graph.build({"x": x}, {"y": y}))) == {"y": 0.5}


def test_large_golden_floats_are_rounded_so_that_they_shrink_to_half() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 24, 72)).astype(np.float32)
    for step in (float(np.abs(noise).max()) / 127, 0.01):
        found = check._rounded(noise, step)
        assert found.dtype == np.float32
        assert np.abs(found - noise).max() <= step / 2
        assert len(zlib.compress(found.tobytes(), 9)) < found.nbytes / 2
    assert len(zlib.compress(noise.tobytes(), 9)) > 0.9 * noise.nbytes
    few, whole = noise[:1, :2], (100 * noise).astype(np.int32)
    assert check._rounded(few, 0.5) is few
    assert check._rounded(whole, 0.5) is whole
    assert check._rounded(noise, 0.0) is noise
