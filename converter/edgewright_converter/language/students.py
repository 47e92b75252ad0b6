"""Small models that a large one can be distilled into, by name.

name                 what it is                                            per token (language models)
bag-of-embeddings    mean of the embeddings, `depth` dense layers          no
text-cnn             `depth` convolutions over 3 tokens, maximum           causal convolutions
gru                  `depth` layers of GRU, the last state                 every state
transformer          `depth` post-norm encoder blocks, mean                causal attention

Each takes token ids (batch, length) and gives logits or probabilities, for the sentence or for each token. There is no
mask: padding has an embedding like any other token, and a convolution or a mean over it costs less than leaving it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

STUDENTS = ("bag-of-embeddings", "text-cnn", "gru", "transformer")
SEQUENCES = STUDENTS[1:]  # those that can answer for each token
_HEAD_SIZE = 16


def student(
    name: str,
    *,
    vocabulary: int,
    length: int,
    classes: int,
    width: int,
    depth: int,
    probabilities: bool,
    per_token: bool = False,
    dropout: float = 0.1,
    dtype: str = "int32",
    entrance: str = "tokens",
    exit: str = "classes",
) -> keras.Model:
    """Input ``entrance``: (batch, length) ids of that dtype. Output ``exit``: (batch, classes) float32, or with
    per_token (batch, length, classes). width: of embedding and layers; depth: how many layers.
    """
    import keras
    from keras import layers

    tokens = keras.Input((length,), dtype=dtype, name=entrance)
    x = layers.Embedding(vocabulary, width, name="token_embedding")(tokens)
    x = _BODIES[name](x, width, depth, per_token, dropout)
    x = layers.Dropout(dropout)(x)
    answer = layers.Dense(classes, activation="softmax" if probabilities else None, name=exit)(x)
    return keras.Model(tokens, answer, name=name.replace("-", "_"))


def _bag(x: Any, width: int, depth: int, per_token: bool, dropout: float) -> Any:
    from keras import layers

    x = layers.GlobalAveragePooling1D()(x)
    for layer in range(depth):
        x = layers.Dense(width, activation="relu", name=f"dense_{layer}")(x)
    return x


def _cnn(x: Any, width: int, depth: int, per_token: bool, dropout: float) -> Any:
    from keras import layers

    for layer in range(depth):
        padding = "causal" if per_token else "same"
        y = layers.Conv1D(2 * width, 3, padding=padding, activation="relu", name=f"convolution_{layer}")(x)
        # A sum of a layer's input and output, where both have the same size, lets deep students learn.
        x = y if layer == 0 else layers.Add()([x, y])
        x = layers.Dropout(dropout)(x)
    return x if per_token else layers.GlobalMaxPooling1D()(x)


def _gru(x: Any, width: int, depth: int, per_token: bool, dropout: float) -> Any:
    from keras import layers

    for layer in range(depth):
        every = per_token or layer < depth - 1
        x = layers.GRU(width, return_sequences=every, name=f"gru_{layer}")(layers.Dropout(dropout)(x))
    return x


def _transformer(x: Any, width: int, depth: int, per_token: bool, dropout: float) -> Any:
    from keras import layers, ops

    length = x.shape[1]
    positions = ops.cumsum(ops.ones_like(x[:, :, 0], dtype="int32"), axis=-1) - 1  # a constant once it is traced
    x = x + layers.Embedding(length, width, name="position_embedding")(positions)
    heads = max(1, width // _HEAD_SIZE)
    for block in range(depth):
        attend = layers.MultiHeadAttention(heads, max(1, width // heads), dropout=dropout, name=f"attention_{block}")
        attended = layers.Dropout(dropout)(attend(x, x, use_causal_mask=per_token))
        x = layers.LayerNormalization(name=f"attention_norm_{block}")(x + attended)
        y = layers.Dense(2 * width, activation="gelu", name=f"expand_{block}")(x)
        y = layers.Dropout(dropout)(layers.Dense(width, name=f"contract_{block}")(y))
        x = layers.LayerNormalization(name=f"feed_forward_norm_{block}")(x + y)
    return x if per_token else layers.GlobalAveragePooling1D()(x)


_BODIES = {"bag-of-embeddings": _bag, "text-cnn": _cnn, "gru": _gru, "transformer": _transformer}
