"""A small encoder–decoder Transformer: a sentence in, the same in another language out, token by token.

Source, target and exit share one table (Vaswani et al. 2017, section 3.4), so one tokenizer serves both languages.
`convert --task translate` makes two graphs of it: one reads the sentence, once; one takes a token and carries a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .causal import feed_forward, initial, last_norm, logits, positions
from .counts import HEAD_SIZE

if TYPE_CHECKING:
    import keras

_POSITIONS = 0.3  # the deviation of what tells a token's place, beside the token's own of 1


def translator(
    *,
    vocabulary: int,
    length: int,
    target_length: int | None = None,
    width: int = 64,
    depth: int = 2,
    attention_heads: int | None = None,
    hidden: int | None = None,
    dropout: float = 0.1,
) -> keras.Model:
    """Inputs ``source``: (batch, length) int32, padded with 0, and ``target``: (batch, target_length) int32, what is
    said so far, from the begin token on. Output ``logits``: (batch, target_length, vocabulary) float32, of the token
    after each. Pre-norm blocks, ``depth`` on either side. hidden: the width between their dense layers, by default four
    times the model's.
    """
    import keras
    from keras import layers, ops

    heads, size = attention_heads or max(1, width // HEAD_SIZE), target_length or length
    source = keras.Input((length,), dtype="int32", name="source")
    target = keras.Input((size,), dtype="int32", name="target")
    # Small as the exit's weights, of size one as what the blocks add to (Vaswani et al. 2017, section 3.4): were the
    # tokens as small there, the first blocks would drown them, and the model would learn what is frequent first.
    own = initial(width**-0.5)
    table = layers.ReversibleEmbedding(vocabulary, width, embeddings_initializer=own, name="token_embedding")
    there = ops.expand_dims(ops.not_equal(source, 0), 1)  # (batch, 1, length): padding is not looked at

    def embed(tokens: Any, places: int, name: str) -> Any:
        x = table(tokens) * width**0.5 + positions(tokens, places, width, name, _POSITIONS)
        return layers.Dropout(dropout)(x)

    def attend(name: str, query: Any, value: Any, **masks: Any) -> Any:
        layer = layers.MultiHeadAttention(heads, max(1, width // heads), dropout=dropout, name=name)
        return layers.Dropout(dropout)(layer(query, value, **masks))

    def norm(name: str, x: Any) -> Any:
        return layers.LayerNormalization(name=name)(x)

    x = embed(source, length, "source_positions")
    for block in range(depth):
        y = norm(f"encoder_attention_norm_{block}", x)
        x = x + attend(f"encoder_attention_{block}", y, y, attention_mask=there)
        x = x + feed_forward(norm(f"encoder_norm_{block}", x), width, dropout, f"encoder_{block}", hidden)
    memory = norm("encoder_final_norm", x)

    x = embed(target, size, "target_positions")
    for block in range(depth):
        y = norm(f"decoder_attention_norm_{block}", x)
        x = x + attend(f"decoder_attention_{block}", y, y, use_causal_mask=True)
        x = x + attend(f"cross_attention_{block}", norm(f"cross_norm_{block}", x), memory, attention_mask=there)
        x = x + feed_forward(norm(f"decoder_norm_{block}", x), width, dropout, f"decoder_{block}", hidden)
    return keras.Model([source, target], logits(table, last_norm("decoder_final_norm", x)), name="translator")
