"""Language models that say what comes next: after each token, a score for every token of the vocabulary.

Both use one table for what a token means at the entrance and at the exit (Press and Wolf 2016), which is most of a
small model's bytes. `convert --task generate` makes of them a graph that takes one token and carries a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .counts import HEAD_SIZE

if TYPE_CHECKING:
    import keras


def gpt(
    *,
    vocabulary: int,
    length: int,
    width: int = 64,
    depth: int = 2,
    attention_heads: int | None = None,
    dropout: float = 0.1,
) -> keras.Model:
    """A causal Transformer: pre-norm blocks and learned positions as in GPT-2 (Radford et al. 2019).

    Input ``tokens``: (batch, length) int32. Output ``logits``: (batch, length, vocabulary) float32, of the token after
    each. attention_heads: of 16 numbers each by default. length: also how far
    back the model on a device looks.
    """
    import keras
    from keras import layers

    heads = attention_heads or max(1, width // HEAD_SIZE)
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    table = layers.ReversibleEmbedding(vocabulary, width, embeddings_initializer=initial(), name="token_embedding")
    x = layers.Dropout(dropout)(table(tokens) + positions(tokens, length, width, "position_embedding"))
    for block in range(depth):
        y = layers.LayerNormalization(name=f"attention_norm_{block}")(x)
        attend = layers.MultiHeadAttention(heads, max(1, width // heads), dropout=dropout, name=f"attention_{block}")
        x = x + layers.Dropout(dropout)(attend(y, y, use_causal_mask=True))
        y = layers.LayerNormalization(name=f"feed_forward_norm_{block}")(x)
        x = x + feed_forward(y, width, dropout, str(block))
    return keras.Model(tokens, logits(table, last_norm("final_norm", x)), name="gpt")


def lstm_lm(
    *,
    vocabulary: int,
    length: int,
    width: int = 64,
    depth: int = 1,
    embedding: int | None = None,
    dropout: float = 0.1,
) -> keras.Model:
    """An LSTM language model, each layer from the second on added to what it reads.

    Input and output as of ``gpt``; there is no end to its context on a device. embedding: the width of the table's
    rows, default ``width``; narrower rows leave the bytes to the layers, where there are few tokens.
    """
    import keras
    from keras import layers

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    rows = embedding or width
    # An LSTM has no normalization: from small numbers its gates would take hundreds of steps to open.
    own = initial(0.3)
    table = layers.ReversibleEmbedding(vocabulary, rows, embeddings_initializer=own, name="token_embedding")
    x = layers.Dropout(dropout)(table(tokens))
    for layer in range(depth):
        y = layers.Dropout(dropout)(layers.LSTM(width, return_sequences=True, name=f"lstm_{layer}")(x))
        x = y if layer == 0 else x + y
    x = layers.Dense(rows, name="projection")(x)
    return keras.Model(tokens, logits(table, x), name="lstm_lm")


def positions(tokens: Any, length: int, width: int, name: str, deviation: float = 0.02) -> Any:
    """(batch, length, width): a learned vector for each place, drawn with that deviation. Counted from the tokens'
    shape alone, so a constant once it is traced."""
    from keras import layers, ops

    places = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    return layers.Embedding(length, width, embeddings_initializer=initial(deviation), name=name)(places)


def feed_forward(x: Any, width: int, dropout: float, block: str, hidden: int | None = None) -> Any:
    """Two dense layers, ``hidden`` wide between, by default four times as wide."""
    from keras import layers

    y = layers.Dense(hidden or 4 * width, activation="gelu", name=f"expand_{block}")(x)
    return layers.Dropout(dropout)(layers.Dense(width, name=f"contract_{block}")(y))


def last_norm(name: str, x: Any) -> Any:
    """Without a gain: a converter would multiply the exit's table by it, and then there are two tables."""
    from keras import layers

    return layers.LayerNormalization(center=False, scale=False, name=name)(x)


def logits(table: Any, x: Any) -> Any:
    from keras import layers

    return layers.Identity(name="logits")(table(x, reverse=True))


def initial(deviation: float = 0.02) -> Any:
    """Small, for these numbers are the exit's weights too."""
    import keras

    return keras.initializers.RandomNormal(stddev=deviation)
