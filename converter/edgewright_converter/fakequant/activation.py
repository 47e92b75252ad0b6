"""How an activation function is computed with grids before and after it, and fused ones without the first."""

from collections.abc import Callable
from typing import Any

from .points import FIXED, Places

# Integer kernels of the layer before compute these at no cost.
FUSED = ("relu", "relu6", "ReLU")
_NAMES = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu", "swish": "silu", "Relu": "relu"}


def name_of(function: Any) -> str:
    """ "relu", "softmax", …; "linear" for None."""
    import keras

    if function is None:
        return "linear"
    if isinstance(function, keras.layers.Layer):
        return type(function).__name__
    name = getattr(function, "__name__", type(function).__name__)
    return _NAMES.get(name, name)


def quantized_activation(places: Places, layer: str, function: Any, role: str = "output") -> Callable[[Any], Any]:
    """Computes function(x) for an x that is not rounded yet. Linear and fused functions need no grid for x itself."""
    import keras

    name = name_of(function)
    if name == "linear":
        output = places.point(layer, role)
        return lambda x: x if layer in places.deferred else output(x)
    if isinstance(function, keras.layers.Layer):  # it has a place of its own
        before = None if name in FUSED else places.point(layer, role)
        return lambda x: function(x if before is None else before(x))
    if name in FUSED:
        output = places.point(layer, role)
        return lambda x: output(function(x))
    before = places.point(layer, f"{role}/before")
    after = after_rounding(places, layer, function, role)
    return lambda x: after(before(x))


def after_rounding(places: Places, layer: str, function: Any, role: str = "output") -> Callable[[Any], Any]:
    """Computes function(x) for an x that lies on its grid already."""
    import keras

    name = name_of(function)
    if name == "silu":  # no kernel of its own: x times its sigmoid
        gate, product = places.point(layer, f"{role}/gate", "sigmoid"), places.point(layer, role)
        return lambda x: product(x * gate(keras.ops.sigmoid(x)))
    output = places.point(layer, role, fixed=name if name in FIXED else None)
    if name == "linear":
        return output
    return lambda x: output(function(x))
