"""Models that read a text and say which class it is of.

There is no mask: padding has an embedding like any other token, and a convolution or a mean over it costs less than
leaving it out. `pooling="real"` leaves it out of a mean where short texts stand in a long row.

Options of all: dropout; embedding, the width of the embedding's rows where it is to be narrower than the model (a Dense
widens them, as in ALBERT); answers, "text" for one answer or "tokens" for one of each token; causal, whether a token
sees only those before it; activation of the heads, None for logits; dtype and entrance (the name), of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgewright_runtime.errors import InputError

from ...interface import plain_name
from . import counts
from .counts import CODE_ROWS, HEAD_SIZE, filters
from .entry import Entry

if TYPE_CHECKING:
    import keras

_COMMON: dict[str, Any] = {
    "dropout": 0.1,
    "embedding": None,
    "answers": "text",
    "causal": False,
    "activation": "softmax",
    "dtype": "int32",
    "entrance": "tokens",
}


def _encoder(name: str, body: Callable[..., Any]) -> Callable[..., keras.Model]:
    def build(
        *,
        vocabulary: int,
        length: int,
        heads: Mapping[str, int],
        width: int,
        depth: int,
        dropout: float,
        embedding: int | None,
        answers: str,
        causal: bool,
        activation: str | None,
        dtype: str,
        entrance: str,
        **own: Any,
    ) -> keras.Model:
        import keras
        from keras import layers

        tokens = keras.Input((length,), dtype=dtype, name=entrance)
        x = layers.Embedding(vocabulary, embedding or width, name="token_embedding")(tokens)
        if embedding:
            x = layers.Dense(width, use_bias=False, name="embedding_projection")(x)
        x = body(tokens, x, width=width, depth=depth, dropout=dropout, each=answers == "tokens", causal=causal, **own)
        x = layers.Dropout(dropout, name="features")(x)
        found = [layers.Dense(classes, activation=activation, name=plain(head))(x) for head, classes in heads.items()]
        return keras.Model(tokens, found if len(found) > 1 else found[0], name=name.replace("-", "_"))

    return build


def plain(name: str) -> str:
    """A head's name as Keras and a flatbuffer take it: letters, digits and underscores."""
    return plain_name(name).strip("_") or "label"


def _bag(tokens: Any, x: Any, *, width: int, depth: int, dropout: float, each: bool, causal: bool, pooling: str) -> Any:
    from keras import layers

    if each and causal:
        raise InputError("A bag of embeddings has no order, so its answers cannot be causal: choose another model.")
    x = _pooled(tokens, x, pooling)
    for layer in range(depth):
        x = layers.Dense(width, activation="relu", name=f"dense_{layer}")(x)
    return layers.RepeatVector(tokens.shape[1])(x) if each else x


def _cnn(
    tokens: Any,
    x: Any,
    *,
    width: int,
    depth: int,
    dropout: float,
    each: bool,
    causal: bool,
    kernels: tuple[int, ...],
) -> Any:
    from keras import layers

    for layer in range(depth):
        convolved = []
        for index, size in enumerate(kernels):
            name = f"convolution_{layer}" if len(kernels) == 1 else f"convolution_{layer}_{size}"
            convolved.append(
                layers.Conv1D(
                    filters(width, kernels)[index],
                    size,
                    padding="causal" if causal else "same",
                    activation="relu",
                    name=name,
                )(x)
            )
        y = convolved[0] if len(convolved) == 1 else layers.Concatenate()(convolved)
        # A sum of a layer's input and output, where both have the same size, lets deep models learn.
        x = y if layer == 0 else layers.Add()([x, y])
        x = layers.Dropout(dropout)(x)
    return x if each else layers.GlobalMaxPooling1D()(x)


def _recurrent(kind: str) -> Callable[..., Any]:
    def body(
        tokens: Any,
        x: Any,
        *,
        width: int,
        depth: int,
        dropout: float,
        each: bool,
        causal: bool,
        bidirectional: bool,
        pooling: str,
    ) -> Any:
        from keras import layers

        if causal and bidirectional:
            raise InputError("A bidirectional model sees what comes, so its answers cannot be causal.")
        for layer in range(depth):
            every = each or pooling != "last" or layer < depth - 1
            name = f"{kind}_{layer}"
            own = getattr(layers, kind.upper())(width, return_sequences=every, name=name)
            x = layers.Dropout(dropout)(x)
            x = layers.Bidirectional(own, name=f"both_{name}")(x) if bidirectional else own(x)
        return x if each or pooling == "last" else _pooled(tokens, x, pooling)

    return body


def _transformer(
    tokens: Any,
    x: Any,
    *,
    width: int,
    depth: int,
    dropout: float,
    each: bool,
    causal: bool,
    attention_heads: int | None,
    hidden: int | None,
    sharing: str,
    pooling: str,
) -> Any:
    from keras import layers, ops

    # Positions are computed from the tokens' shape alone: the converter folds them into a constant.
    positions = ops.cumsum(ops.ones_like(tokens, dtype="int32"), axis=-1) - 1
    x = x + layers.Embedding(tokens.shape[1], width, name="position_embedding")(positions)
    x = layers.Dropout(dropout)(x)
    heads = attention_heads or max(1, width // HEAD_SIZE)
    block: list[Any] = []
    for index in range(depth):
        if not block or sharing != "albert":
            block = [
                layers.MultiHeadAttention(heads, max(1, width // heads), dropout=dropout, name=f"attention_{index}"),
                layers.Dropout(dropout),
                layers.LayerNormalization(name=f"attention_norm_{index}"),
                layers.Dense(hidden or 2 * width, activation="gelu", name=f"expand_{index}"),
                layers.Dense(width, name=f"contract_{index}"),
                layers.Dropout(dropout),
                layers.LayerNormalization(name=f"feed_forward_norm_{index}"),
            ]
        attention, drop, norm, expand, contract, drop_too, norm_too = block
        x = norm(x + drop(attention(x, x, use_causal_mask=causal)))
        x = norm_too(x + drop_too(contract(expand(x))))
    return x if each else _pooled(tokens, x, pooling)


def _pooled(tokens: Any, x: Any, pooling: str) -> Any:
    """(batch, length, width) → (batch, width)."""
    from keras import layers, ops

    if pooling == "max":
        return layers.GlobalMaxPooling1D(name="maximum")(x)
    if pooling == "real":
        real = ops.cast(ops.not_equal(tokens, 0), x.dtype)
        total = ops.sum(x * ops.expand_dims(real, -1), axis=1)
        return total / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)
    if pooling == "mean":
        return layers.GlobalAveragePooling1D(name="mean")(x)
    raise InputError(f"pooling is {pooling!r}: expected mean, max or real.")


def _linear(
    *,
    vocabulary: int,
    length: int,
    heads: Mapping[str, int],
    width: int,
    depth: int,
    dtype: str,
    entrance: str,
    codes: int,
    cost: float,
    ratio: float,
) -> keras.Model:
    """codes: bytes of a token, each the number of one of 256 rows, whose sum is the token's; 0: each has a row of its
    own. cost, ratio: what language/training/linear.py solves with.
    """
    import keras
    from keras import layers, ops

    tokens = keras.Input((length,), dtype=dtype, name=entrance)
    own, rows = counts.directions(width, sum(heads.values())), counts.linear_rows(vocabulary, codes)
    found = tokens
    if codes:
        found = layers.Embedding(
            vocabulary, codes, "zeros", dtype="uint8", trainable=False, name="token_codes"
        )(tokens)
        # The constant first: behind, Keras takes it for a bias, whose operator has no kernel for integers.
        found = ops.add(ops.arange(0, codes * CODE_ROWS, CODE_ROWS, dtype="int32"), ops.cast(found, "int32"))
    # No mask: the row of the padding is 0, and adds nothing.
    x = ops.sum(layers.Embedding(rows, own, name="token_embedding")(found), axis=(1, 2) if codes else 1)
    answers = [layers.Dense(classes, activation="softmax", name=plain(head))(x) for head, classes in heads.items()]
    return keras.Model(tokens, answers if len(answers) > 1 else answers[0], name="linear")


_TOKENS = {"masked": "tokens", "causal": "tokens"}


def _recurrent_entry(kind: str, gates: int) -> Entry:
    return Entry(
        "classify",
        f"{kind.upper()} layers, the last state",
        _encoder(kind, _recurrent(kind)),
        counts.recurrent(gates),
        width=32,
        depth=1,
        options={**_COMMON, "bidirectional": False, "pooling": "last"},
        pretraining=_TOKENS,
        per_token=True,
    )


ENTRIES = {
    "bag-of-embeddings": Entry(
        "classify",
        "mean of the embeddings, dense layers; with hashed n-grams fastText's",
        _encoder("bag-of-embeddings", _bag),
        counts.bag,
        width=32,
        depth=1,
        depths=(0, 1, 2),
        options={**_COMMON, "pooling": "mean"},
        pretraining={"masked": "text"},
    ),
    "linear": Entry(
        "classify",
        "a weight for each token and class, solved at once; of hashed words and n-grams",
        _linear,
        counts.linear,
        width=32,
        depth=1,
        depths=(1,),
        options={**{name: _COMMON[name] for name in ("dtype", "entrance")}, "codes": 0, "cost": 0.01, "ratio": 1.0},
        solved=True,
    ),
    "text-cnn": Entry(
        "classify",
        "convolutions over neighbouring tokens, their maximum",
        _encoder("text-cnn", _cnn),
        counts.cnn,
        width=32,
        depth=1,
        options={**_COMMON, "kernels": (3,)},
        # Where a token is hidden its neighbours alone tell it: convolutions that answer there learn to look past the
        # one that they stand on, and what the maximum then finds serves no classifier.
        pretraining={"masked": "text", "causal": "tokens"},
        per_token=True,
    ),
    "lstm": _recurrent_entry("lstm", gates=4),
    "gru": _recurrent_entry("gru", gates=3),
    "transformer": Entry(
        "classify",
        "encoder blocks as BERT's, their mean; sharing=albert: one block for all",
        _encoder("transformer", _transformer),
        counts.transformer,
        width=64,
        depth=2,
        rate=1e-3,
        options={**_COMMON, "attention_heads": None, "hidden": None, "sharing": "", "pooling": "mean"},
        pretraining=_TOKENS,
        per_token=True,
    ),
}
