"""How each kind of layer does one step. Tensors keep their axis of time, of size one: (batch, 1, …)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from ..errors import ModelError
from ..plain import MASKED_BELOW

_MINUS_INFINITY = 1e7  # as plain.py's: what a quantized mask still holds
_REMEDY = "generate with a model whose layers look at earlier tokens alone: gpt, lstm-lm, or your own of such layers"


@dataclass
class State:
    """What a step is given and gives back. given: by name, as it was after the last step, zeros where absent.

    position: (batch, 1) int32, how many tokens came before; context: how many a cache holds; found: of this step, by
    name; shapes: of what is given, without the batch; bounded: whether the model looks no further back than context.
    """

    position: Any
    context: int
    integers: bool  # whether masked scores have to lie on one grid with the others
    given: Mapping[str, Any]
    found: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    bounded: bool = False

    def take(self, kind: str, *shape: int) -> tuple[str, Any]:
        """The next state of this kind: its name and its value."""
        import tensorflow as tf

        name = f"{kind}_{sum(taken.startswith(kind) for taken in self.shapes)}"
        self.shapes[name] = shape
        if name in self.given:
            return name, self.given[name]
        return name, tf.zeros((self.position.shape[0], *shape))


Rule = Callable[[Any, State, tuple[Any, ...], dict[str, Any]], Any]


def rule_of(operation: Any) -> Rule | None:
    """None for what works on each token by itself. Raises ModelError for what mixes tokens and is not causal."""
    import keras

    layers = keras.layers
    if isinstance(operation, layers.MultiHeadAttention | layers.GroupQueryAttention):
        return attend
    if isinstance(operation, layers.RNN):
        return recur
    if isinstance(operation, layers.Conv1D | layers.DepthwiseConv1D | layers.SeparableConv1D | layers.Conv1DTranspose):
        return convolve
    kind = type(operation).__name__
    if kind == "Cumsum":
        return accumulate
    if isinstance(operation, layers.Bidirectional | layers.Attention | layers.AdditiveAttention) or (
        "Pooling1D" in kind or kind in ("Flatten", "Reshape", "Permute", "ZeroPadding1D", "Cropping1D", "UpSampling1D")
    ):
        raise ModelError(f"Layer {operation.name} ({kind}) has no form for single tokens: {_REMEDY}.")
    return None


def attend(layer: Any, state: State, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Attention of a token to itself and to those before it, whose keys and values were kept."""
    import tensorflow as tf

    query, value, key, mask = _arguments(layer, args, kwargs)
    if value is not query or key is not query or mask is not None or not kwargs.get("use_causal_mask"):
        raise ModelError(
            f"Layer {layer.name} is no causal attention of a text to itself (use_causal_mask=True, no mask of its "
            f"own): {_REMEDY}."
        )
    state.bounded = True
    new_key, new_value = (_by_head(project(query)) for project in _projections(layer))
    _, heads, _, size = new_key.shape
    places = tf.constant([[[[*range(state.context), -1]]]])  # the token itself is the last one, and always there
    there = places < state.position[:, :, tf.newaxis, tf.newaxis]  # (batch, 1, 1, context + 1)
    key_name, keys = state.take("key", heads, state.context, size)
    value_name, values = state.take("value", heads, state.context, new_value.shape[-1])
    state.found[key_name], state.found[value_name] = new_key, new_value
    scaled = _query(layer, query, heads)  # (batch, heads, group, size)
    scores = [tf.matmul(scaled, known, transpose_b=True) for known in (keys, new_key)]
    shares = tf.nn.softmax(_masked(tf.concat(scores, -1), there, state.integers))
    past, present = shares[..., : state.context], shares[..., state.context :]
    return _out(layer, tf.matmul(past, values) + present * new_value)


def attend_to(layer: Any, state: State, query: Any, memory: Mapping[str, Any]) -> Any:
    """Attention of a token to another text, which was read before. memory: as ``remember`` gives it."""
    import tensorflow as tf

    scaled = _query(layer, query, memory["key"].shape[1])
    scores = tf.matmul(scaled, memory["key"], transpose_b=True)
    if "mask" in memory:
        scores = _masked(scores, memory["mask"][:, tf.newaxis] > 0.5, state.integers)
    return _out(layer, tf.matmul(tf.nn.softmax(scores), memory["value"]))


def remember(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What attention needs of the text that it looks at: key, value (batch, heads, length, size), and the mask
    (batch, 1, length), where there is one."""
    _, value, key, mask = _arguments(layer, args, kwargs)
    to_key, to_value = _projections(layer)
    found = {"key": _by_head(to_key(key)), "value": _by_head(to_value(value))}
    if mask is not None:
        if len(mask.shape) != 3 or mask.shape[1] != 1:
            raise ModelError(
                f"Layer {layer.name} has a mask of the shape {tuple(mask.shape)}: expected (batch, 1, length of the "
                "source), one for all tokens of the target."
            )
        found["mask"] = mask
    return found


def recur(layer: Any, state: State, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One step of the cell."""
    cell = layer.cell
    if layer.go_backwards or layer.stateful or len(args) > 1 or not hasattr(cell, "state_size"):
        raise ModelError(f"Layer {layer.name} reads backwards, or is given its state by the model: {_REMEDY}.")
    sizes = cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"Layer {layer.name} has a state that is no vector: {_REMEDY}.")
    taken = [state.take("state", size) for size in sizes]
    output, states = cell(args[0][:, 0], [value for _, value in taken])
    states = states if isinstance(states, list | tuple) else [states]
    state.found.update({name: value for (name, _), value in zip(taken, states, strict=True)})
    return output[:, None] if layer.return_sequences else output


def convolve(layer: Any, state: State, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A causal convolution at its last place, over the inputs that were kept and the new one."""
    import tensorflow as tf

    (inputs,) = args
    reach = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
    if layer.strides[0] != 1 or layer.data_format != "channels_last" or (reach and layer.padding != "causal"):
        raise ModelError(f"Layer {layer.name} looks at later tokens or leaves some out (padding='causal'): {_REMEDY}.")
    if not reach:
        return layer(inputs)
    name, kept = state.take("state", reach, inputs.shape[-1])
    window = tf.concat([kept, inputs], 1)
    state.found[name] = window[:, 1:]
    with patch.object(layer, "padding", "valid"):
        return layer.call(window)


def accumulate(operation: Any, state: State, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Only of ones, which is how positions are counted."""
    import tensorflow as tf

    ones = tf.get_static_value(args[0])
    if ones is None or not (ones == 1).all() or operation.axis not in (1, -1):
        raise ModelError(f"The model sums over its tokens ({operation.name}): {_REMEDY}.")
    state.bounded = True
    return tf.cast(state.position, args[0].dtype) + args[0]


def _arguments(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """query, value, key, mask, as attention layers are called."""
    named = dict(zip(("query", "value", "key"), args, strict=False)) | kwargs
    if any(named.get(name) is not None for name in ("query_mask", "value_mask", "key_mask")):
        raise ModelError(f"Layer {layer.name} is given masks of its own: {_REMEDY}.")
    value = named["value"]
    key = named.get("key")
    return named["query"], value, value if key is None else key, named.get("attention_mask")


def _projections(layer: Any) -> tuple[Any, Any]:
    return layer._key_dense, layer._value_dense


def _by_head(x: Any) -> Any:
    """(batch, time, heads, size) → (batch, heads, time, size)."""
    import tensorflow as tf

    batch, time, heads, size = x.shape
    return tf.reshape(x, (batch, heads, 1, size)) if time == 1 else tf.transpose(x, (0, 2, 1, 3))


def _query(layer: Any, query: Any, heads: int) -> Any:
    """(batch, heads of the keys, queries for each, size), scaled."""
    import tensorflow as tf

    projected = layer._query_dense(query)
    scaled = projected * (1.0 / projected.shape[-1] ** 0.5)
    return tf.reshape(scaled, (query.shape[0], heads, projected.shape[2] // heads, projected.shape[-1]))


def _masked(scores: Any, mask: Any, integers: bool) -> Any:
    """Scores that count where the mask is true. Both ways are told in plain.py."""
    import tensorflow as tf

    if integers:
        return tf.where(mask, scores, tf.reduce_min(scores, -1, keepdims=True) - MASKED_BELOW)
    # A choice, for of a product TensorFlow makes sums in whose large numbers the scores are lost.
    return scores + tf.where(mask, 0.0, -_MINUS_INFINITY)


def _out(layer: Any, mixed: Any) -> Any:
    import tensorflow as tf

    batch, heads, group, size = mixed.shape
    if getattr(layer, "_use_gate", False):
        raise ModelError(f"Layer {layer.name} is gated attention: {_REMEDY}.")
    return layer._output_dense(tf.reshape(mixed, (batch, 1, heads * group, size)))
