"""Which form each mode gives a whole Keras model, and what a recipe chooses for single layers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.converter.test_zoo import convert

from edgewright_converter.edgetpu.mapping import map_model
from edgewright_converter.errors import ConversionError
from edgewright_converter.fakequant.grids import sqnr_db
from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_converter.job import Finished
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.rawmodel import RawModel
from edgewright_converter.recipe import Recipe
from edgewright_runtime.engines import open_engine

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


def tables(flatbuffer: Flatbuffer) -> list[str]:
    """The dtypes of what is gathered from, but for scales and roots."""
    graph = flatbuffer.subgraphs[0]
    gathered = [graph.tensors[node.inputs[0]] for node in graph.nodes if node.operator == "GATHER"]
    return [table.dtype for table in gathered if len(table.shape) > 1 and table.shape[1] > 1]


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


@pytest.mark.parametrize(("features", "quick"), [(["avx2", "fma"], False), (["avx2", "avx_vnni"], True)])
def test_where_a_processor_has_no_quick_integers_they_are_stored(
    transformer: Any, tmp_path: Path, features: list[str], quick: bool
) -> None:
    profile = tmp_path / "board.toml"
    profile.write_text(f'engine = "litert"\nmachine = "x86_64"\ncpu_features = {json.dumps(features)}\n')
    finished = go(transformer, "int8-fast", str(profile))
    assert ("int8" in weights(read(finished.model), "FULLY_CONNECTED")) == quick
    assert len(finished.model) < 1.1 * len(go(transformer, "int8-fast").model)
    # The steps of an RNN multiply one row, which the integers are quicker for everywhere.
    data = {"x_train": np.random.default_rng(1).normal(0, 1, (40, 6, 6)).astype(np.float32)}
    steps = convert(recurrent(6, units=32), data, Recipe("mine", (Quantize("int8-fast"),)), target=str(profile))
    assert weights(read(steps.model), "FULLY_CONNECTED").count("int8") >= 5


def test_four_bits_for_dense_layers_and_embedding(transformer: Any) -> None:
    flatbuffer = read(go(transformer, "int4").model)
    assert tables(flatbuffer) == ["int4"]
    assert "int4" in weights(flatbuffer, "FULLY_CONNECTED")


def test_single_layers_have_their_own_kind(transformer: Any) -> None:
    mixed = go(transformer, "int8", embedding="int4", attention="float32")
    flatbuffer = read(mixed.model)
    assert tables(flatbuffer) == ["int4"]
    assert Counter(weights(flatbuffer, "FULLY_CONNECTED")) == {"float32": 2, "int8": 3}
    assert [e.what for e in mixed.outcomes[0].skipped if "attention" in e.what]
    assert mixed.outcomes[0].options["layers"] == {"embedding": "int4", "attention": "float32"}
    with pytest.raises(ConversionError, match=r"No layer fits 'attentoin'.*: expected one of attention"):
        go(transformer, "int8", attentoin="float32")


def recurrent(steps: int, units: int = 8) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    x = keras.Input((steps, 6), name="x")
    return keras.Model(x, layers.Dense(3)(layers.LSTM(units, name="lstm")(x)))


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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_edge_tpu_gets_an_lstm_as_one_operator(bidirectional: bool) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    x = keras.Input((12, 6), name="x")
    y = layers.LSTM(8, return_sequences=True, name="first")(x)
    last = layers.LSTM(10, name="last")
    model = keras.Model(x, layers.Dense(3)((layers.Bidirectional(last) if bidirectional else last)(y)))
    for weight in model.weights:
        weight.assign(1.5 * weight)
    samples = np.random.default_rng(1).normal(0, 1, (60, 12, 6)).astype(np.float32)
    finished = convert(model, {"x_train": samples}, Recipe("mine", (Quantize("int8"),)), target="coral-usb")
    found = kinds(finished.model)
    assert found["UNIDIRECTIONAL_SEQUENCE_LSTM"] == (3 if bidirectional else 2)
    assert found["TANH"] == found["WHILE"] == 0
    assert "one operator" in finished.outcomes[0].options["form"]
    with open_engine(finished.model, "litert") as engine:
        answers = np.concatenate([engine.invoke([row[None]])[0] for row in samples])
    assert sqnr_db(model.predict(samples, verbose=0), answers) > 28  # written out, in 8 bits, it is 26
    placed = map_model(read(finished.model), RawModel(finished.model)).placed
    cut = [entry.operator for entry in placed if not entry.on_tpu]
    assert cut[:2] == ["QUANTIZE", "REVERSE_V2" if bidirectional else "DEQUANTIZE"]


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


def answers(model: bytes) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=model, num_threads=1).get_signature_runner()
    return np.concatenate([next(iter(runner(tokens=row[None]).values())) for row in TOKENS])


def test_the_table_tells_bits_range_and_error_of_each_layer_and_which_hurt_most(transformer: Any) -> None:
    (outcome,) = go(transformer, "int8", embedding="int4", attention="float32").outcomes
    rows = {row.name: row for row in outcome.layers}
    assert {"embedding", "norm", "expand", "contract", "logits"} <= rows.keys()
    assert not [name for name in rows if name.startswith("attention")]
    assert (rows["embedding"].weight_bits, rows["embedding"].activation_bits) == (4, None)
    assert (rows["contract"].weight_bits, rows["contract"].activation_bits) == (8, 8)
    contract = rows["contract"]
    assert contract.low is not None
    assert contract.high is not None
    assert contract.low < 0 < contract.high
    assert all(row.sqnr_db is not None and 10 < row.sqnr_db < 70 for row in outcome.layers)
    worst = sorted(outcome.layers, key=lambda row: row.alone_db or np.inf)[:3]
    assert [hint.split(" ")[0] for hint in outcome.hints] == [row.name for row in worst]
    assert worst[0].name == "embedding"
    assert 'most by its weights: give it 8 bits (layers = {"embedding" = "int8"})' in outcome.hints[0]


def test_the_operator_of_a_layer_is_the_one_with_its_weights() -> None:
    import keras
    from keras import layers

    x = keras.Input((8, 4), name="x")
    y = layers.GlobalMaxPooling1D()(layers.Conv1D(6, 3, activation="relu", name="listen")(x))
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (20, 8, 4)).astype(np.float32)}
    finished = convert(keras.Model(x, layers.Dense(2)(y)), data, Recipe("mine", (Quantize("int8"),)))
    (row,) = (row for row in finished.outcomes[0].layers if row.name == "listen")
    assert row.kind == "CONV_2D"  # and not the RESHAPE behind it


def test_alone_is_what_the_model_loses_where_that_layer_alone_is_in_integers(transformer: Any) -> None:
    floats = answers(go(transformer, "float32").model)
    (outcome,) = go(transformer, "int8").outcomes
    row = next(row for row in outcome.layers if row.name == "contract")
    recipe = Recipe("mine", (Quantize("int8", layers={"contract": "int8", "*": "float32"}),))
    found = answers(convert(transformer, {"x_train": TOKENS}, recipe).model)
    assert row.alone_db == pytest.approx(sqnr_db(floats, found), abs=2)


def test_integer_weights_beside_float_activations_have_a_table_too(transformer: Any) -> None:
    (outcome,) = go(transformer, "dynamic-int8").outcomes
    rows = {row.name: row for row in outcome.layers}
    assert rows["expand"].weight_bits == 8
    assert all(row.activation_bits is None and row.low is None for row in rows.values())
    assert len(outcome.hints) == 3
