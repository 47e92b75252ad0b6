"""What a quantization-aware training hands over comes out on exactly its grids, and answers as it did there."""

from typing import Any

import numpy as np
import pytest

from edgewright_converter.export import Frozen
from edgewright_converter.fitting import InputSpec
from edgewright_converter.lower import lower
from edgewright_converter.lowering.fileformat import read_model
from edgewright_converter.lowering.graph import Model
from edgewright_converter.lowering.ranges import activation_grid
from edgewright_converter.lowering.weights import symmetric_scale, to_integers
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.targets import get_target

pytestmark = pytest.mark.slow

RANGES = {"rows": (-3.0, 3.2), "dense": (-14.0, 14.5), "gelu": (-0.2, 14.5), "logits": (-100.0, 60.0)}
WORDS, LENGTH = 50, 6


def settled_kernel(shape: tuple[int, ...], seed: int, axis: int | None) -> np.ndarray:
    """Real numbers on the symmetric grid, as a training leaves them: (in, out)."""
    kernel = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    scale = symmetric_scale(kernel, 8, axis)
    return (to_integers(kernel, scale, 8, axis) * (scale if axis is not None else scale[0])).astype(np.float32)


@pytest.fixture(scope="module")
def trained() -> Any:
    """Embedding, two dense layers, GELU, each result fake-quantized; with the function that TensorFlow computes."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    table, first = settled_kernel((WORDS, 16), 1, None), settled_kernel((16, 32), 2, 1)
    second, bias = settled_kernel((32, 8), 3, 1), np.linspace(-1, 1, 32, dtype=np.float32)

    def fake(x: Any, name: str) -> Any:
        return tf.quantization.fake_quant_with_min_max_vars(x, *RANGES[name])

    variables = [tf.Variable(array) for array in (table, first, second)]

    def serve(tokens: Any) -> Any:
        rows = fake(tf.gather(variables[0], tokens), "rows")
        y = fake(tf.nn.gelu(fake(rows @ variables[1] + bias, "dense")), "gelu")
        return tf.identity(fake(y @ variables[2], "logits"))

    function = tf.function(serve, autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec((1, LENGTH), tf.int32, name="tokens"))
    graph = convert_variables_to_constants_v2(traced)
    frozen = Frozen(
        graph=graph.graph.as_graph_def().SerializeToString(deterministic=True),
        inputs=(InputSpec("tokens", (1, LENGTH), "int32", WORDS),),
        input_tensors=(graph.inputs[0].name,),
        outputs=("logits",),
        output_tensors=(graph.outputs[0].name,),
        loops=False,
        widths=(8,),
    )
    return frozen, serve, (table, first, second)


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, WORDS, (count, LENGTH)).astype(np.int32)


def lowered(trained: Any, mode: str) -> Model:
    return read_model(lower(trained[0], Quantize(mode), (samples(40),), get_target("local")).model)


def answers(trained: Any, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Of TensorFlow with the fake-quantized activations, and of the flatbuffer."""
    from ai_edge_litert.interpreter import Interpreter

    model = lower(trained[0], Quantize(mode), (samples(40),), get_target("local")).model
    runner = Interpreter(model_content=model, num_threads=1).get_signature_runner()
    x = samples(30)
    return (
        np.concatenate([trained[1](row[None]).numpy() for row in x]),
        np.concatenate([runner(tokens=row[None])["logits"] for row in x]),
    )


def test_each_settled_range_and_kernel_is_kept(trained: Any) -> None:
    model = lowered(trained, "int8")
    grids = [op.output.grid for op in model.main.ops if op.output.dtype == "int8"]
    for low, high in RANGES.values():
        assert any(activation_grid(low, high).same(grid) for grid in grids), (low, high)
    kernels = [op.constant(1) for op in model.main.ops if op.kind == "FULLY_CONNECTED"]
    for found, kernel in zip(kernels, trained[2][1:], strict=True):
        assert (to_integers(kernel, symmetric_scale(kernel, 8, 1), 8, 1) == found.T).all()
        assert np.abs(found).max(axis=1).tolist() == [127] * len(found)
    assert not [op for op in model.main.ops if op.kind == "CUSTOM"]


def test_int8_answers_as_the_training_did(trained: Any) -> None:
    expected, found = answers(trained, "int8")
    noise = 10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum())
    assert noise > 40
    assert (expected.argmax(-1) == found.argmax(-1)).mean() > 0.98


def test_float_forms_drop_the_nodes(trained: Any) -> None:
    for mode in ("int8-fast", "float32"):
        model = lowered(trained, mode)
        assert {op.kind for op in model.main.ops} <= {"GATHER", "DEQUANTIZE", "FULLY_CONNECTED", "GELU"}
        expected, found = answers(trained, mode)
        assert 10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum()) > 30  # what fake-quantizing adds
