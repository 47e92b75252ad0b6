"""Keras models of every shape that the converter must take, small enough to convert in a second. Imports TensorFlow."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

layers, ops = keras.layers, keras.ops
WORDS, LENGTH = 200, 12
Data = dict[str, np.ndarray]


def functional() -> keras.Model:
    x = keras.Input((8,), name="x")
    y = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(200, activation="relu")(x)))
    return keras.Model(x, layers.Dense(3, activation="softmax", name="classes")(y))


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((8,)), layers.Dense(16, activation="tanh"), layers.Dense(3)])


class Subclassed(keras.Model):
    """Takes token ids; says nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = layers.Embedding(WORDS, 16)
        self.dense = layers.Dense(4)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.dense(ops.mean(self.embedding(inputs), axis=1))


class SubclassedDict(keras.Model):
    """Takes and gives dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = layers.Embedding(WORDS, 16)
        self.dense = layers.Dense(4)

    def call(self, inputs: Any, training: bool = False) -> Any:
        y = ops.mean(self.embedding(inputs["tokens"]), axis=1) + self.dense(inputs["extra"])[:, :1]
        return {"sum": y, "logits": self.dense(y[:, :5])}


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((LENGTH, 16)), layers.Conv1D(20, 3, activation="relu")], name="inner")
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    y = inner(layers.Embedding(WORDS, 16)(tokens))
    return keras.Model(tokens, layers.Dense(3)(layers.GlobalMaxPooling1D()(y)))


def shared() -> keras.Model:
    left, right = (keras.Input((LENGTH,), dtype="int32", name=name) for name in ("right_side", "left_side"))
    embedding, dense = layers.Embedding(WORDS, 16), layers.Dense(6, activation="relu")
    a, b = (dense(layers.GlobalAveragePooling1D()(embedding(side))) for side in (left, right))
    return keras.Model([left, right], layers.Dense(2, activation="softmax")(layers.Subtract()([a, b])))


def many() -> keras.Model:
    """Names whose alphabetical order is not the model's, int32 beside float32, several outputs."""
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    extra = keras.Input((5,), name="extra")
    y = layers.Concatenate()([layers.GlobalAveragePooling1D()(layers.Embedding(WORDS, 16)(tokens)), extra])
    return keras.Model([tokens, extra], [layers.Dense(3, name="zeta")(y), layers.Dense(2, name="alpha")(y)])


def dicts() -> keras.Model:
    """As KerasHub's backbones: token ids and padding mask in a dict, a dict out."""
    ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    mask = keras.Input((LENGTH,), dtype="int32", name="padding_mask")
    weight = ops.expand_dims(ops.cast(mask, "float32"), -1)
    y = layers.Embedding(WORDS, 16)(ids) * weight
    return keras.Model(
        {"token_ids": ids, "padding_mask": mask}, {"sequence": y, "pooled": layers.Dense(4)(ops.sum(y, axis=1))}
    )


def conv1d() -> keras.Model:
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    y = layers.Embedding(WORDS, 16)(tokens)
    for filters in (8, 12):
        y = layers.MaxPooling1D(2)(layers.BatchNormalization()(layers.Conv1D(filters, 3, padding="same")(y)))
    return keras.Model(tokens, layers.Dense(3, activation="softmax")(layers.Flatten()(y)))


def conv2d() -> keras.Model:
    image = keras.Input((16, 16, 3), name="image")
    y = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    y = layers.SeparableConv2D(12, 3, padding="same", activation="relu6")(y)
    y = layers.DepthwiseConv2D(3)(layers.BatchNormalization()(y))
    return keras.Model(image, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(y)))


def _recurrent(layer: Any, mask: bool = False) -> keras.Model:
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    return keras.Model(
        tokens, layers.Dense(3, activation="softmax")(layer(layers.Embedding(WORDS, 16, mask_zero=mask)(tokens)))
    )


def lstm() -> keras.Model:
    return _recurrent(layers.LSTM(16))


def gru() -> keras.Model:
    return _recurrent(layers.GRU(16))


def bidirectional() -> keras.Model:
    return _recurrent(layers.Bidirectional(layers.GRU(16)))


def masked() -> keras.Model:
    return _recurrent(layers.Bidirectional(layers.LSTM(16)), mask=True)


def stacked() -> keras.Model:
    return _recurrent(
        keras.Sequential([layers.LSTM(8, return_sequences=True), layers.SimpleRNN(6)], name="stack"), mask=True
    )


def transformer() -> keras.Model:
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    positions = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    x = layers.Embedding(WORDS, 16)(tokens) + layers.Embedding(LENGTH, 16)(positions)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x)))
    return keras.Model(tokens, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def transformer_masked() -> keras.Model:
    """A mask made of the ids reaches the attention, and the loss-free causal mask besides."""
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    x = layers.Embedding(WORDS, 16, mask_zero=True)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True))
    return keras.Model(tokens, layers.Dense(WORDS)(x))


ZOO: dict[str, Callable[[], keras.Model]] = {
    make.__name__: make
    for make in (
        functional,
        sequential,
        nested,
        shared,
        many,
        dicts,
        conv1d,
        conv2d,
        lstm,
        gru,
        bidirectional,
        masked,
        stacked,
        transformer,
        transformer_masked,
    )
}
ZOO["subclassed"], ZOO["subclassed_dict"] = Subclassed, SubclassedDict


def samples(name: str, count: int = 64, seed: int = 0) -> Data:
    """x_train for a model of the zoo, fit for its inputs."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, WORDS, (count, LENGTH)).astype(np.int32)
    tokens[np.arange(LENGTH) >= rng.integers(3, LENGTH + 1, (count, 1))] = 0
    floats = rng.standard_normal((count, 8)).astype(np.float32)
    extra = floats[:, :5]
    return {
        "functional": {"x_train": floats},
        "sequential": {"x_train": floats},
        "conv2d": {"x_train": rng.standard_normal((count, 16, 16, 3)).astype(np.float32)},
        "shared": {"x_train.left_side": tokens, "x_train.right_side": tokens[::-1].copy()},
        "many": {"x_train.tokens": tokens, "x_train.extra": extra},
        "dicts": {"x_train.token_ids": tokens, "x_train.padding_mask": (tokens > 0).astype(np.int32)},
        "subclassed_dict": {"x_train.tokens": tokens, "x_train.extra": extra},
    }.get(name, {"x_train": tokens})


def build(name: str) -> keras.Model:
    """The model with the same weights each time."""
    keras.utils.set_random_seed(7)
    return ZOO[name]()
