"""Small random Keras models of every kind of block whose channels hang together. Imports TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

layers, ops = keras.layers, keras.ops
WORDS, LENGTH, WIDTH = 50, 8, 12
Block = Callable[[Any], Any]


def _width(x: Any) -> int:
    return int(x.shape[-1])


def feed_forward(x: Any) -> Any:
    return x + layers.Dense(_width(x))(layers.Dense(20, activation="gelu")(x))


def attention(x: Any) -> Any:
    return layers.Add()([x, layers.MultiHeadAttention(3, 6, value_dim=5)(x, x)])


def grouped_attention(x: Any) -> Any:
    return x + layers.GroupQueryAttention(4, 4, 2)(x, x)


def written_out_attention(x: Any) -> Any:
    """Heads by reshape and transpose, as many models write them."""
    q, k, v = (ops.transpose(ops.reshape(layers.Dense(12)(x), (-1, LENGTH, 3, 4)), (0, 2, 1, 3)) for _ in range(3))
    scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / 2.0)
    joined = ops.reshape(ops.transpose(ops.matmul(scores, v), (0, 2, 1, 3)), (-1, LENGTH, 12))
    return x + layers.Dense(_width(x))(joined)


def convolution(x: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(10, 3, padding="same", use_bias=False)(x)))


def separable(x: Any) -> Any:
    y = layers.SeparableConv1D(10, 3, padding="same", activation="relu", depth_multiplier=2)(x)
    return layers.PReLU(shared_axes=[1])(layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2)(y))


def image(x: Any) -> Any:
    """As a picture of height 2: two dimensions, and back."""
    y = layers.Conv2D(8, (2, 3), padding="same", activation="tanh")(layers.Reshape((2, LENGTH // 2, _width(x)))(x))
    y = layers.Conv2DTranspose(6, 1)(layers.SpatialDropout2D(0.1)(y))
    return layers.Reshape((LENGTH, 6))(y)


def lstm(x: Any) -> Any:
    return layers.LSTM(9, return_sequences=True)(x)


def gru(x: Any) -> Any:
    return layers.RNN(layers.GRUCell(9), return_sequences=True)(x)


def bidirectional(x: Any) -> Any:
    return layers.Bidirectional(layers.GRU(7, return_sequences=True))(x)


def encoder_decoder(x: Any) -> Any:
    """The state of one LSTM begins another one."""
    _, *state = layers.LSTM(6, return_state=True)(x)
    return layers.LSTM(6, return_sequences=True)(x, initial_state=state)


def gated(x: Any) -> Any:
    a, b = ops.split(layers.Dense(16)(x), 2, axis=-1)
    return layers.Dense(10)(a * ops.sigmoid(b))


def squeeze_and_excite(x: Any) -> Any:
    weight = layers.Dense(_width(x), activation="sigmoid")(layers.Dense(6, "relu")(layers.GlobalMaxPooling1D()(x)))
    return layers.Multiply()([x, layers.Reshape((1, _width(x)))(weight)])


def branches(x: Any) -> Any:
    return layers.Concatenate()([layers.Dense(6, "relu")(x), x, layers.TimeDistributed(layers.Dense(5))(x)])


def nested(x: Any) -> Any:
    inner = keras.Sequential([layers.Dense(14, "relu"), layers.Dense(_width(x))])
    return layers.Average()([x, inner(x)])


def shared(x: Any) -> Any:
    once = layers.Dense(_width(x), activation="tanh")
    return once(once(x))


def products(x: Any) -> Any:
    return layers.EinsumDense("abhd,hdo->abo", (LENGTH, 11))(layers.EinsumDense("abc,chd->abhd", (LENGTH, 2, 6))(x))


def pooled(x: Any) -> Any:
    y = layers.UpSampling1D(2)(layers.MaxPooling1D(2)(x))
    return layers.Permute((2, 1))(layers.Permute((2, 1))(y))


def unknown(x: Any) -> Any:
    """A convolution in groups, which no rule cuts."""
    return layers.Conv1D(12, 1, groups=2)(layers.Dense(12)(x))


def normalized(x: Any) -> Any:
    return layers.LayerNormalization()(x)


EXACT: dict[str, Block] = {
    block.__name__: block
    for block in (
        feed_forward,
        attention,
        grouped_attention,
        written_out_attention,
        convolution,
        separable,
        image,
        lstm,
        gru,
        bidirectional,
        encoder_decoder,
        gated,
        squeeze_and_excite,
        branches,
        nested,
        shared,
        products,
        pooled,
        unknown,
    )
}
BLOCKS = {**EXACT, "normalized": normalized}
ENDS: dict[str, Block] = {
    "flatten": lambda x: layers.Flatten()(x),
    "mean": lambda x: layers.GlobalAveragePooling1D()(x),
    "first": lambda x: x[:, 0],
    "last state": lambda x: layers.SimpleRNN(6)(x),
}


def build(blocks: Sequence[str], end: str, seed: int) -> keras.Model:
    """tokens (batch, LENGTH) int32 → the blocks → the end → classes (batch, 3)."""
    keras.utils.set_random_seed(seed)
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    x = layers.Embedding(WORDS, WIDTH)(tokens)
    for name in blocks:
        x = BLOCKS[name](x)
    x = ENDS[end](x)
    model = keras.Model(tokens, layers.Dense(3, activation="softmax", name="classes")(x), name="random_model")
    rng = np.random.default_rng(seed)
    for variable in model.variables:  # biases and moving averages are nothing without values
        if variable.dtype == "float32" and len(variable.shape) == 1:
            variable.assign(rng.uniform(0.2, 1.0, variable.shape))
    return model


def tokens(count: int = 16, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, WORDS, (count, LENGTH)).astype(np.int32)
