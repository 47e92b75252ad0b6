"""A whole conversion with quantization-aware training: the flatbuffer answers as the fake-quantized Keras model did."""

from typing import Any

import numpy as np
import pytest
from unit.converter.test_training_options import data, untrained

from edgewright_converter.back import finish
from edgewright_converter.data import from_mapping
from edgewright_converter.fakequant.grids import sqnr_db
from edgewright_converter.flatbuffer import read
from edgewright_converter.front import prepare
from edgewright_converter.job import Request, Steps
from edgewright_converter.passes.qat import Qat
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.recipe import Recipe
from edgewright_converter.targets import get_target

pytestmark = pytest.mark.slow


def by_tensorflow(frozen: Any, x: Any) -> Any:
    """The answers of the traced graph, in which the activations are fake-quantized."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(frozen.graph)

    def serve(tensor: Any) -> Any:
        return tf.graph_util.import_graph_def(graph, {frozen.input_tensors[0]: tensor}, list(frozen.output_tensors))[0]

    call = tf.function(serve, autograph=False, input_signature=[tf.TensorSpec((1, *x.shape[1:]), x.dtype)])
    return np.concatenate([call(tf.constant(row[None])).numpy() for row in x])


def by_the_engine(flatbuffer: bytes, x: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=flatbuffer, num_threads=1).get_signature_runner()
    (name,) = runner.get_input_details()
    return np.concatenate([next(iter(runner(**{name: row[None]}).values())) for row in x])


def converted(model: Any, samples: Any, qat: Qat, mode: str = "int8") -> tuple[Any, Any, Any]:
    """The answers of the fake-quantized graph and of the flatbuffer made from it, and all that came of it."""
    recipe = Recipe("trained", (qat, Quantize(mode)))
    request = Request(None, from_mapping(samples), recipe, get_target("local"), 1, {}, None, None, False, seed=0)
    steps = Steps(lambda step, share: None, ("qat",))
    prepared = prepare(model, request, steps)
    finished = finish(prepared, request, steps)
    x = samples["x_test"]
    return by_tensorflow(prepared.frozen, x), by_the_engine(finished.model, x), finished


def test_int8_of_a_transformer_answers_as_it_was_trained_to() -> None:
    expected, found, finished = converted(untrained(), data(), Qat(epochs=4, learning_rate=0.01, distillation=0))
    qat, quantize = finished.outcomes
    assert sqnr_db(expected, found) > 45
    assert (expected.argmax(-1) == found.argmax(-1)).mean() >= 0.99
    assert qat.accuracy_after is not None
    assert qat.accuracy_after > 0.9
    assert {"norm", "attention", "expand", "class"} <= {row.name for row in qat.layers}
    assert not quantize.layers  # the training has made the table


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "MultiHeadAttention"])
def test_tokens_are_answered_as_the_training_rounds_them(kind: str) -> None:
    """Every number inside lies on the integers that the kernels compute: the logits differ in ties alone."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    x = layers.Embedding(60, 16)(tokens)
    if kind == "MultiHeadAttention":
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True))
    else:
        x = getattr(layers, kind)(16, return_sequences=True)(x)
    model = keras.Model(tokens, layers.Dense(60)(x))
    rng = np.random.default_rng(4)
    for weight in model.weights:  # away from what biases and gains begin with
        weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    ids = rng.integers(0, 60, (96, 8)).astype(np.int32)
    samples = {"x_train": ids[:64], "y_train": ids[:64], "x_test": ids[64:], "y_test": ids[64:]}
    expected, found, _ = converted(model, samples, Qat(epochs=0))
    assert sqnr_db(expected, found) > 45
    assert (expected.argmax(-1) == found.argmax(-1)).mean() > 0.99


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_pictures_are_answered_as_the_training_rounds_them(mode: str) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    image = keras.Input((12, 12, 1), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, strides=2, use_bias=False)(image))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, use_bias=False)(layers.ReLU()(x)))
    x = layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(layers.ReLU()(x)))
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))
    rng = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0, 0.5, weight.shape))
    pixels, labels = rng.normal(0, 1, (96, 12, 12, 1)).astype(np.float32), rng.integers(0, 10, 96)
    samples = {"x_train": pixels[:64], "y_train": labels[:64], "x_test": pixels[64:], "y_test": labels[64:]}
    expected, found, finished = converted(model, samples, Qat(epochs=0), mode)
    qat, _ = finished.outcomes
    assert sqnr_db(expected, found) > 40
    assert {row.weight_bits for row in qat.layers} == {None, 4 if mode == "int4" else 8}


@pytest.mark.parametrize("mode", ["int8-fast", "int4"])
@pytest.mark.parametrize("first", ["Normalization", "LayerNormalization", "Embedding"])
def test_what_stays_in_floats_is_not_rounded_in_training(mode: str, first: str) -> None:
    """Integers begin behind a normalization, but at a table: what leads there is floats, in the file as in training."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(4)
    if first == "Embedding":
        entrance, numbers = keras.Input((20,), dtype="int32", name="x"), rng.integers(0, 50, (96, 20)).astype(np.int32)
        x = layers.Embedding(50, 32, name="before")(entrance) + rng.normal(0, 1, (20, 32)).astype(np.float32)
        x = layers.Rescaling(0.5, name="first")(x)
    else:
        entrance, numbers = keras.Input((20, 32), name="x"), rng.normal(0, 9, (96, 20, 32)).astype(np.float32)
        norm = layers.LayerNormalization(name="first")
        x = norm(layers.Dense(32, name="before")(entrance)) if first == "LayerNormalization" else entrance
        if first == "Normalization":
            x = layers.Normalization(mean=rng.normal(0, 9, 32), variance=rng.uniform(1, 9, 32), name="first")(x)
    x = layers.Conv1D(48, 3, activation="relu", name="convolution")(x)
    model = keras.Model(entrance, layers.Dense(10, name="last")(layers.GlobalAveragePooling1D()(x)))
    labels = rng.integers(0, 10, 96)
    samples = {"x_train": numbers[:64], "y_train": labels[:64], "x_test": numbers[64:], "y_test": labels[64:]}
    expected, found, finished = converted(model, samples, Qat(epochs=0), mode)
    qat, _ = finished.outcomes
    assert sqnr_db(expected, found) > 40
    operators = [operator.name for operator in read(finished.model).operators]
    assert operators.count("QUANTIZE") == (first != "Embedding" or mode == "int4")
    bits = {row.name: row.activation_bits for row in qat.layers}
    integers = first == "Embedding" and mode == "int8-fast"  # rows of four bits come out as floats
    assert (bits.get("before"), bits.get("input 1")) == (8 if integers else None, None)
    assert (bits["first"], bits["last"]) == (8, 8)
