"""LayerNormalization and RMSNormalization with a grid for each number between, as plain.py writes them for `int8`.

In `int8` each of these operators is an integer kernel with a scale of its own. The variance is the number that hurts:
its 256 steps reach to the largest of all rows, so a row of small numbers has few of them. Gain and shift are constants
of 8 bits there, over the range that they have.
"""

from typing import Any

from ..plain import is_last
from .layers import Call, plain
from .points import Places

_INTEGERS = 8  # bits of activations at which the inner numbers are integers on the device, too


def normalization(places: Places, layer: Any, name: str) -> Call:
    import keras

    centres = isinstance(layer, keras.layers.LayerNormalization)
    if places.bits_of(name, "mean") != _INTEGERS or getattr(layer, "rms_scaling", False):
        return plain(places, layer, name)
    roles = ("mean", "centred", "square", "variance", "shifted", "root", "product", "scaled")
    mean, centred, square, variance, shifted, root, product, scaled = (places.point(name, role) for role in roles)
    output = places.point(name, "output")
    gain, shift = (layer.gamma, layer.beta) if centres else (layer.scale, None)
    epsilon = layer.epsilon or keras.config.epsilon()

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        ops = keras.ops
        places.entered(name, inputs)
        if not is_last(layer.axis, inputs):
            return output(type(layer).call(layer, inputs, *args, **kwargs))
        x = ops.cast(inputs, "float32")  # as Keras does in mixed precision
        if centres:
            x = centred(x - mean(ops.mean(x, -1, keepdims=True)))
        spread = variance(ops.mean(square(x * x), -1, keepdims=True))
        x, at = x * root(ops.rsqrt(shifted(spread + epsilon))), product
        if gain is not None:
            x, at = at(x) * places.constant(name, gain), scaled
        if shift is not None:
            x = at(x) + places.constant(name, shift)
        return ops.cast(output(x), inputs.dtype)

    return call
