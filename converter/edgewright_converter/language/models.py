"""Keras models for language tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def transformer_classifier(
    *,
    vocabulary: int,
    classes: int,
    length: int = 24,
    width: int = 128,
    heads: int = 4,
    hidden: int = 256,
    blocks: int = 2,
    dropout: float = 0.2,
) -> keras.Model:
    """Transformer encoder, mean over the tokens, softmax.

    Input ``tokens``: (batch, length) int32, ids below ``vocabulary``, padded with 0. Output ``intent``:
    (batch, classes) float32 probabilities. Post-norm blocks as in Vaswani et al. 2017, learned positions as in BERT.
    """
    import keras
    from keras import layers, ops

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    # Positions are computed from the tokens' shape alone: the converter folds them into a constant.
    positions = ops.cumsum(ops.ones_like(tokens), axis=-1) - 1
    x = layers.Embedding(vocabulary, width, name="token_embedding")(tokens)
    x = x + layers.Embedding(length, width, name="position_embedding")(positions)
    x = layers.Dropout(dropout)(x)
    for block in range(blocks):
        attended = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"attention_{block}")(x, x)
        x = layers.LayerNormalization(name=f"attention_norm_{block}")(x + layers.Dropout(dropout)(attended))
        y = layers.Dense(hidden, activation="gelu", name=f"expand_{block}")(x)
        y = layers.Dense(width, name=f"contract_{block}")(y)
        x = layers.LayerNormalization(name=f"feed_forward_norm_{block}")(x + layers.Dropout(dropout)(y))
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    x = layers.Dropout(dropout)(x)
    intent = layers.Dense(classes, activation="softmax", name="intent")(x)
    return keras.Model(tokens, intent, name="intent_transformer")
