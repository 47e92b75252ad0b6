"""Begin with the weights of another model: by the layers' names, or with the other model's own body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright_runtime.errors import InputError


@dataclass(frozen=True)
class Transferred:
    """layers: names of those that came over; parameters: how many numbers that is."""

    layers: tuple[str, ...]
    parameters: int


def copy_weights(source: Any, target: Any) -> Transferred:
    """Give each layer of target the weights of source's layer of the same name, where all shapes are the same."""
    own = {layer.name: layer for layer in source.layers if layer.weights}
    layers, parameters = [], 0
    for layer in target.layers:
        other = own.get(layer.name)
        if other is None or not layer.weights:
            continue
        if [w.shape for w in layer.weights] == [w.shape for w in other.weights]:
            layer.set_weights(other.get_weights())
            layers.append(layer.name)
            parameters += layer.count_params()
    return Transferred(tuple(layers), parameters)


def with_new_heads(backbone: Any, heads: Mapping[str, int], length: int, dropout: float) -> Any:
    """A model of the backbone's own layers up to what its output layers read, and a Dense for each head after that.

    What comes out per token is averaged. KerasHub's inputs beside the ids follow from them. Raises InputError for a
    model that does not say how its layers hang together, or has other inputs.
    """
    import keras
    from keras import layers

    from ..zoo.encoders import plain

    if not hasattr(backbone, "operations") or not getattr(backbone, "inputs", None):
        raise InputError(
            f"The backbone {backbone.name} is subclassed, so there is no telling where its body ends: give a "
            "functional or sequential model."
        )
    ends = [tensor._keras_history.operation for tensor in backbone.outputs]
    is_head = [isinstance(end, keras.layers.Dense) and end.weights for end in ends]
    x = ends[0].input if is_head[0] else _features(backbone.outputs)
    if len(x.shape) == 3:
        x = layers.GlobalAveragePooling1D(name="pooled")(x)
    if len(x.shape) != 2:
        raise InputError(f"The backbone's body gives the shape {x.shape[1:]}: expected one or two axes.")
    inputs = backbone.inputs
    if len(inputs) > 1:
        inputs, x = _from_ids(keras.Model(backbone.input, x, name=f"{backbone.name}_body"), length)
    x = layers.Dropout(dropout, name="new_features")(x)
    found = [layers.Dense(n, activation="softmax", name=_free(plain(h), backbone))(x) for h, n in heads.items()]
    return keras.Model(inputs, found if len(found) > 1 else found[0], name=f"{backbone.name}_transferred")


def _from_ids(body: Any, length: int) -> tuple[Any, Any]:
    """A new input of ids, and what the body makes of it: padding is 0, and there is one segment."""
    import keras
    from keras import ops

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    known = {
        "token_ids": tokens,
        "padding_mask": ops.cast(ops.not_equal(tokens, 0), "int32"),
        "segment_ids": ops.zeros_like(tokens),
    }
    names = list(body.input) if isinstance(body.input, Mapping) else [tensor.name for tensor in body.inputs]
    if "token_ids" not in names or not set(names) <= set(known):
        raise InputError(f"The backbone has the inputs {', '.join(names)}: expected ids alone, or KerasHub's inputs.")
    return tokens, body({name: known[name] for name in names})


def _features(outputs: Sequence[Any]) -> Any:
    """Of several outputs (KerasHub's backbones give one for the text and one for each token) the one for the text."""
    return min(outputs, key=lambda tensor: len(tensor.shape))


def _free(name: str, model: Any) -> str:
    taken = {layer.name for layer in model.layers}
    return next(n for n in (name, *(f"{name}_{i}" for i in range(1, 1000))) if n not in taken)


def freeze(model: Any, heads: Sequence[str], count: int) -> list[Any]:
    """Keep the weights of the first ``count`` layers that have any, -1 for all but the heads. Returns those layers."""
    body = weighted(model, heads)
    if count > len(body):
        raise InputError(f"There are {count} layers to freeze, and the model's body has {len(body)}.")
    frozen = body if count < 0 else body[:count]
    for layer in frozen:
        layer.trainable = False
    return frozen


def rate_scales(model: Any, heads: Sequence[str], decay: float) -> dict[str, float]:
    """Variable path → decay ** (how many weighted layers lie between it and the heads, itself included)."""
    if decay == 1:
        return {}
    body = weighted(model, heads)
    return {
        variable.path: decay ** (len(body) - index)
        for index, layer in enumerate(body)
        for variable in layer.trainable_variables
    }


def weighted(model: Any, heads: Sequence[str] = ()) -> list[Any]:
    """The layers that have weights, from the input on, without the heads; those of a nested model one by one."""
    import keras

    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += weighted(layer)
        elif layer.weights and layer.name not in heads:
            found.append(layer)
    return found
