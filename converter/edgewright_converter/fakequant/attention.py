"""Attention with grids for the scaled query, the scores, the probabilities and the mixed values.

MultiHeadAttention and GroupQueryAttention project through EinsumDense layers, which are handled as such; this stands
in for what lies between, `_compute_attention`. Masked scores are as far below the smallest of their row as plain.py
puts them: the integers of one grid have to hold both.
"""

from typing import Any

from ..lowering.dense import becomes_dense
from ..plain import MASKED_BELOW
from .layers import Call
from .points import Places, Point


def attention(places: Places, layer: Any, name: str) -> Call:
    import keras

    grouped = isinstance(layer, keras.layers.GroupQueryAttention)
    scale = layer._inverse_sqrt_head_dim if grouped else layer._inverse_sqrt_key_dim
    axes = 1 if grouped else len(layer._attention_axes)
    dropout = layer.dropout if grouped else layer._dropout
    scaled, scores_of, mixed = (places.point(name, role) for role in ("query", "scores", "output"))

    def output_of(part: Any) -> Point | None:
        return places.output_of(f"{name}/{part.name}")

    def dense(query: Any, other: Any) -> bool:
        """Whether a product of (batch, steps, heads, width) becomes dense layers in the file."""
        if grouped or len(query.shape) != 4 or not places.dense_products:
            return False
        return becomes_dense(query.shape[1] * other.shape[1] * other.shape[3], query.shape[2])

    def call(
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        ops = keras.ops
        places.entered(name, query, key, value)
        if use_causal_mask:
            causal = layer._compute_causal_mask(query, value)
            attention_mask = causal if attention_mask is None else ops.logical_and(attention_mask, causal)
        query = scaled(ops.multiply(query, ops.cast(scale, query.dtype)))
        operands = (query, key) if grouped else (key, query)
        dots = ops.einsum(layer._dot_product_equation, *operands)
        scores = scores_of.product(dots, scaled, output_of(layer._key_dense), dense(query, key))
        if attention_mask is not None:
            for _ in range(len(scores.shape) - len(attention_mask.shape)):
                attention_mask = ops.expand_dims(attention_mask, axis=-axes * 2 - 1)
            # One point, so one range, for all three: a select has one grid.
            filling = scores_of(ops.min(scores, axis=-1, keepdims=True) - MASKED_BELOW)
            scores = scores_of(ops.where(ops.cast(attention_mask, "bool"), scores, filling))
        probabilities = layer._softmax(scores)
        kept = layer._dropout_layer(probabilities, training=training) if dropout > 0 else probabilities
        outputs = ops.einsum(layer._combine_equation, kept, value)
        mix = mixed.product(outputs, output_of(layer._softmax), output_of(layer._value_dense), dense(query, value))
        return mix, probabilities

    return call
