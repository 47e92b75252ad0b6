"""The stand-ins for Keras layers: exact in float, and what makes the integer modes work at all."""

import contextlib
from typing import Any

import numpy as np
import pytest
from unit.converter.test_zoo import convert

from edgewright_converter.errors import ConversionError

pytestmark = pytest.mark.slow

TOKENS = np.random.default_rng(0).integers(0, 50, (64, 8)).astype(np.int32)


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def attention(keras: Any, dropout: float) -> Any:
    """Attention that is far from uniform, over tokens that are partly padding."""
    keras.utils.set_random_seed(3)
    wide = keras.initializers.RandomNormal(stddev=1.0)
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(50, 16, mask_zero=True, embeddings_initializer=wide)(tokens)
    layer = keras.layers.MultiHeadAttention(
        2, 8, dropout=dropout, kernel_initializer=keras.initializers.RandomNormal(stddev=0.4)
    )
    return keras.Model(tokens, layer(x, x))


def padded() -> np.ndarray:
    tokens = np.maximum(TOKENS, 1)
    tokens[:, 5:] = 0
    return tokens


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("recipe", ["int8", "int16x8"])
def test_masked_attention_survives_the_integer_modes(keras: Any, dropout: float, recipe: str) -> None:
    difference = convert(attention(keras, dropout), {"x_train": padded()}, recipe).difference
    assert difference < (0.08 if recipe == "int8" else 0.04)


def test_a_large_constant_in_a_mask_is_refused(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright_converter.plain.MASKED_BELOW", 1e9)  # as Keras' own
    with pytest.raises(ConversionError, match="in which the other numbers vanish"):
        convert(attention(keras, 0.1), {"x_train": padded()}, "int8")


@pytest.mark.parametrize("axis_mask", ["softmax", "dot product"])
def test_the_fill_is_as_good_as_minus_infinity(keras: Any, axis_mask: str) -> None:
    from keras.src.backend.tensorflow import nn

    from edgewright_converter.plain import plain_layers

    scores = np.random.default_rng(1).normal(0, 3, (2, 2, 5, 5)).astype(np.float32)
    mask = np.random.default_rng(2).random((2, 1, 5, 5)) > 0.4
    mask[..., 0] = True
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

    def answer() -> np.ndarray:
        if axis_mask == "softmax":
            return np.asarray(keras.layers.Softmax()(scores, mask=mask))
        return np.asarray(keras.ops.softmax(nn._apply_masks(keras.ops.convert_to_tensor(scores), mask, True)))

    keras_own = answer()
    with plain_layers(model, "int8"):
        ours = answer()
    assert np.abs(ours - keras_own).max() < 5 * np.exp(-12)  # five scores in a row
    assert (answer() == keras_own).all()


def test_keras_is_as_before_afterwards_also_after_an_error(keras: Any) -> None:
    from keras.src.backend.tensorflow import nn, numpy

    from edgewright_converter.plain import plain_layers

    owners = [
        (keras.layers.Embedding, "call"),
        (keras.layers.LayerNormalization, "call"),
        (keras.layers.RMSNormalization, "call"),
        (keras.layers.Softmax, "call"),
        (keras.layers.RNN, "call"),
        (nn, "_apply_masks"),
        (numpy, "sum"),
        (numpy, "equal"),
        (numpy, "not_equal"),
        (numpy, "argmax"),
    ]
    before = [getattr(owner, name) for owner, name in owners]
    layer = keras.layers.LSTM(3)
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Bidirectional(layer)])
    recurrent = [sub for sub in model._flatten_layers() if isinstance(sub, keras.layers.LSTM)]
    with contextlib.suppress(KeyError), plain_layers(model, "int16x8", float("inf")):
        assert all(getattr(owner, name) is not kept for (owner, name), kept in zip(owners, before, strict=True))
        model(np.zeros((1, 4, 2), np.float32))
        raise KeyError
    assert [getattr(owner, name) for owner, name in owners] == before
    assert recurrent
    assert not any(sub.unroll for sub in recurrent)


@pytest.mark.parametrize("mode", ["float32", "int8", "int16x8"])
def test_stand_ins_compute_what_keras_computes(keras: Any, mode: str) -> None:
    from edgewright_converter.plain import plain_layers

    x = np.random.default_rng(4).normal(2, 3, (3, 5, 6)).astype(np.float32)
    ids = np.random.default_rng(5).integers(0, 9, (3, 5)).astype(np.int32)
    ops = keras.ops
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    layers = [
        keras.layers.LayerNormalization(),
        keras.layers.LayerNormalization(center=False, scale=False),
        keras.layers.LayerNormalization(axis=1),
        keras.layers.LayerNormalization(rms_scaling=True),
        keras.layers.RMSNormalization(),
    ]
    embedding = keras.layers.Embedding(9, 4, mask_zero=True)

    def answers() -> list[np.ndarray]:
        found = [layer(x) for layer in layers]
        found += [embedding(ids), embedding.compute_mask(ids), ops.sum(x, axis=1), ops.sum(ids, axis=1), ops.sum(x)]
        found += [ops.equal(ids, 0), ops.not_equal(ids, 0), ops.equal(ids, 3), ops.not_equal(x, 0.0)]
        found += [ops.argmax(x, axis=-1), ops.argmax(x), ops.argmax(ids, axis=0)]
        return [np.asarray(array) for array in found]

    expected = answers()
    for layer in layers:  # away from the ones and zeros that they begin with
        for weight in layer.weights:
            weight.assign(np.random.default_rng(6).normal(1, 0.5, weight.shape))
    expected = answers()
    with plain_layers(model, mode):
        found = answers()
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_mixed_precision_is_computed_in_float32_and_left_as_it_was(keras: Any) -> None:
    policy = keras.DTypePolicy("mixed_float16")
    x = keras.Input((8,), name="x")
    model = keras.Model(
        x, keras.layers.Dense(3, dtype=policy)(keras.layers.Dense(8, activation="relu", dtype=policy)(x))
    )
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (20, 8))}
    finished = convert(model, data, "float32")
    assert finished.outputs[0].dtype == "float32"
    assert [layer.compute_dtype for layer in model.layers[1:]] == ["float16", "float16"]


def test_embedding_costs_one_operator(keras: Any) -> None:
    from edgewright_converter.flatbuffer import read

    tokens = keras.Input((8,), dtype="int32", name="tokens")
    model = keras.Model(tokens, keras.layers.Embedding(50, 4)(tokens))
    flatbuffer = read(convert(model, {"x_train": TOKENS}, "float32").model)
    assert [operator.name for operator in flatbuffer.operators] == ["GATHER"]


def test_layer_normalization_stays_int8(keras: Any) -> None:
    x = keras.Input((4, 8), name="x")
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (50, 4, 8))}
    finished = convert(keras.Model(x, keras.layers.LayerNormalization()(x)), data, "int8")
    assert finished.outcomes[0].skipped == ()


@pytest.mark.parametrize("part", ["split", "unstack", "lstm", "gru"])
def test_int8_is_not_left_to_chance_where_results_are_not_used(keras: Any, part: str) -> None:
    """The quantizer leaves a SPLIT or UNPACK with an unused result in float now and then."""
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 6), name="x")
    if part == "split":
        _, y, _ = keras.ops.split(keras.layers.Dense(9)(x), 3, axis=-1)
    elif part == "unstack":
        y = keras.ops.unstack(keras.layers.Dense(9)(x), axis=1)[2]
    else:
        y = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[part](8)(x)
    model = keras.Model(x, keras.layers.Dense(4, activation="tanh")(y))
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (50, 8, 6))}
    found = [convert(model, data, "int8") for _ in range(8)]
    assert len({finished.model for finished in found}) == 1
    assert found[0].outcomes[0].skipped == ()
    assert found[0].difference < 0.05


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_a_convolution_in_groups_may_be_the_end(keras: Any, recipe: str) -> None:
    """Keras computes it in a function of XLA's, whose result has no shape in a frozen graph."""
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 6), name="x")
    model = keras.Model(x, keras.layers.Conv1D(12, 3, groups=2)(x))
    data = {"x_train": np.random.default_rng(0).normal(0, 1, (50, 8, 6))}
    finished = convert(model, data, recipe)
    assert finished.outputs[0].shape == (1, 6, 12)
    assert finished.difference < (0.05 if recipe == "int8" else 1e-5)
