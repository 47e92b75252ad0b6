"""Which form each mode gives a whole Keras model, and what a recipe chooses for single layers."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from unit.converter.test_zoo import convert

from edgewright_converter.errors import ConversionError
from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_converter.job import Finished
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.recipe import Recipe

pytestmark = pytest.mark.slow

WORDS, LENGTH = 100, 8
TOKENS = np.random.default_rng(0).integers(1, WORDS, (60, LENGTH)).astype(np.int32)


@pytest.fixture(scope="module")
def transformer() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(4)
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    x = layers.Embedding(WORDS, 32, name="embedding")(tokens)
    x = layers.LayerNormalization(name="norm")(
        x + layers.MultiHeadAttention(2, 16, name="attention")(x, x, use_causal_mask=True)
    )
    x = layers.Dense(32, name="contract")(layers.Dense(64, activation="gelu", name="expand")(x))
    return keras.Model(tokens, layers.Dense(6, name="logits")(layers.GlobalAveragePooling1D()(x)))


def go(model: Any, mode: str, target: str = "local", **layers: str) -> Finished:
    recipe = Recipe("mine", (Quantize(mode, layers=layers),))
    return convert(model, {"x_train": TOKENS}, recipe, target=target)


def kinds(model: bytes) -> Counter[str]:
    return Counter(node.operator for node in read(model).subgraphs[0].nodes)


def weights(flatbuffer: Flatbuffer, operator: str) -> list[str]:
    """The dtypes of the weights of the operators of this kind."""
    graph = flatbuffer.subgraphs[0]
    return [graph.tensors[node.inputs[1]].dtype for node in graph.nodes if node.operator == operator]


def test_int8_of_a_transformer_has_no_float_operator_and_no_select(transformer: Any) -> None:
    finished = go(transformer, "int8")
    assert finished.outcomes[0].skipped == ()
    found = kinds(finished.model)
    assert found["DEQUANTIZE"] == 1  # the logits
    assert found["QUANTIZE"] == 0
    assert (found["SELECT_V2"], found["REDUCE_MIN"], found["FULLY_CONNECTED"]) == (0, 0, 5)
    assert finished.difference < 0.05


def test_int8_fast_keeps_floats_between_integer_weights_and_says_so(transformer: Any) -> None:
    finished = go(transformer, "int8-fast")
    assert set(weights(read(finished.model), "FULLY_CONNECTED")) == {"int8", "float32"}  # that of 6 × 32 is small
    assert any(entry.what == "MEAN, SUB, MUL, ADD, RSQRT in norm" for entry in finished.outcomes[0].skipped)
    assert kinds(finished.model)["SELECT_V2"] == 0
    assert finished.difference < 0.02


def test_the_old_runtime_computes_in_floats_from_stored_integers(transformer: Any) -> None:
    finished = go(transformer, "int8-fast", "local-tflite")
    assert set(weights(read(finished.model), "FULLY_CONNECTED")) == {"float32"}
    assert kinds(finished.model)["DEQUANTIZE"] > 4
    assert len(finished.model) < 0.6 * len(go(transformer, "float32").model)


def test_four_bits_for_dense_layers_and_embedding(transformer: Any) -> None:
    flatbuffer = read(go(transformer, "int4").model)
    assert weights(flatbuffer, "EMBEDDING_LOOKUP") == ["int4"]
    assert "int4" in weights(flatbuffer, "FULLY_CONNECTED")


def test_single_layers_have_their_own_kind(transformer: Any) -> None:
    mixed = go(transformer, "int8", embedding="int4", attention="float32")
    flatbuffer = read(mixed.model)
    assert weights(flatbuffer, "EMBEDDING_LOOKUP") == ["int4"]
    assert Counter(weights(flatbuffer, "FULLY_CONNECTED")) == {"float32": 2, "int8": 3}
    assert [e.what for e in mixed.outcomes[0].skipped if "attention" in e.what]
    assert mixed.outcomes[0].options["layers"] == {"embedding": "int4", "attention": "float32"}
    with pytest.raises(ConversionError, match=r"No layer fits 'attentoin'.*: expected one of attention"):
        go(transformer, "int8", attentoin="float32")


def recurrent(steps: int) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    x = keras.Input((steps, 6), name="x")
    return keras.Model(x, layers.Dense(3)(layers.LSTM(8, name="lstm")(x)))


@pytest.mark.parametrize(
    ("mode", "steps", "target", "loop"),
    [
        ("float32", 6, "local", True),
        ("dynamic-int8", 6, "local", True),
        ("int8-fast", 6, "local", False),
        ("int8-fast", 65, "local", True),
        ("int8-fast", 6, "rpi4-tflite", True),
        ("int8", 6, "rpi4-tflite", False),
    ],
)
def test_the_form_of_a_recurrent_layer_is_chosen_and_told(mode: str, steps: int, target: str, loop: bool) -> None:
    data = {"x_train": np.random.default_rng(1).normal(0, 1, (40, steps, 6)).astype(np.float32)}
    finished = convert(recurrent(steps), data, Recipe("mine", (Quantize(mode),)), target=target)
    assert ("WHILE" in kinds(finished.model)) == loop
    assert ("WHILE loop" in finished.outcomes[0].options["form"]) == loop
    if not loop:  # the input's projection once, then one dense layer a step
        assert kinds(finished.model)["FULLY_CONNECTED"] <= steps + 2


def test_transposed_convolutions_are_integers_too() -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(6)
    x = keras.Input((6, 6, 3), name="x")
    y = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    model = keras.Model(x, layers.Conv2D(2, 1)(y))
    data = {"x_train": np.random.default_rng(1).normal(0, 1, (40, 6, 6, 3)).astype(np.float32)}
    for target in ("local", "local-tflite"):
        finished = convert(model, data, Recipe("mine", (Quantize("int8"),)), target=target)
        assert finished.outcomes[0].skipped == ()
        assert finished.difference < 0.03
