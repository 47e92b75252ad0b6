"""How each kind of layer is computed with grids: functions that take a layer and give what stands in for its `call`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .activation import quantized_activation
from .grids import einsum_reduced
from .points import Kernel, Places

Call = Callable[..., Any]


@contextmanager
def rounded_weights(places: Places, kernels: list[Kernel]) -> Iterator[None]:
    """Inside of this block the kernels' variables have their rounded values; what else is assigned, stays assigned."""
    import keras

    if places.snapped or not kernels or not places.quantizes(kernels[0].layer, "weights"):
        yield
        return

    class Scope(keras.StatelessScope):  # type: ignore[misc]
        def add_update(self, update: Any) -> None:  # such as the seed of a dropout
            variable, value = update
            variable._direct_assign(value)

    with Scope(state_mapping=[(kernel.variable, places.weight(kernel)) for kernel in kernels]):
        yield


@contextmanager
def without_activation(layer: Any) -> Iterator[None]:
    """Nothing runs inside of this block but this layer's own arithmetic, so no other thread sees it."""
    own = layer.activation
    object.__setattr__(layer, "activation", None)
    try:
        yield
    finally:
        object.__setattr__(layer, "activation", own)


def dense(places: Places, layer: Any, name: str) -> Call:
    """Dense, EinsumDense, convolutions: rounded kernel, then the activation, fused or between two grids."""
    kernels = places.kernels_of(name)
    finish = quantized_activation(places, name, layer.activation)
    linear = layer.activation is None or getattr(layer.activation, "__name__", "") == "linear"

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        places.entered(name, inputs)
        with rounded_weights(places, kernels), without_activation(layer):
            outputs = type(layer).call(layer, inputs, *args, **kwargs)
        if linear:
            places.made(name, outputs)
        return finish(outputs)

    return call


def separable(places: Places, layer: Any, name: str) -> Call:
    """SeparableConv: two convolutions, with a grid between them."""
    import keras

    kernels = places.kernels_of(name)
    between = places.point(name, "between")
    finish = quantized_activation(places, name, layer.activation)
    options = {"padding": layer.padding, "data_format": layer.data_format}

    def call(inputs: Any) -> Any:
        ops = keras.ops
        places.entered(name, inputs)
        with rounded_weights(places, kernels):
            depthwise, pointwise = (ops.convert_to_tensor(k.variable) for k in kernels)
            bias = ops.convert_to_tensor(layer.bias) if layer.use_bias else None
        dilation = {"strides": layer.strides, "dilation_rate": layer.dilation_rate}
        outputs = between(ops.depthwise_conv(inputs, depthwise, **dilation, **options))
        outputs = ops.conv(outputs, pointwise, strides=1, padding="valid", data_format=layer.data_format)
        if bias is not None:
            outputs = outputs + bias
        if layer.activation is None or layer.activation.__name__ == "linear":
            places.made(name, outputs)
        return finish(outputs)

    return call


def embedding(places: Places, layer: Any, name: str) -> Call:
    kernels = places.kernels_of(name)
    output = places.point(name, "output", table=kernels[0])

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        places.entered(name, inputs)
        with rounded_weights(places, kernels):
            return output(type(layer).call(layer, inputs, *args, **kwargs))

    return call


def batch_normalization(places: Places, layer: Any, name: str) -> Call:
    """Folded into the linear layer before it, what is left is its shift; by itself it is computed as in inference."""
    import keras

    output = places.point(name, "output")

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        places.entered(name, inputs)
        source = places.origin(name, inputs)
        if name in places.folded:
            outputs = inputs + keras.ops.cast(layer.beta, inputs.dtype) if layer.center else inputs
        else:
            outputs = type(layer).call(layer, inputs, training=False)
        if source is not None:
            places.made(name, outputs)
        return outputs if name in places.deferred else output(outputs)

    return call


def activation(places: Places, layer: Any, name: str) -> Call:
    """Activation, ReLU, LeakyReLU, Softmax …: what comes in lies on a grid, unless the layer before left that to it."""
    from .activation import after_rounding, name_of

    function = getattr(layer, "activation", None) or type(layer)
    kind = name_of(function) if not isinstance(function, type) else function.__name__
    fixed = {"Softmax": "softmax"}.get(kind)
    own = None if isinstance(function, type) else after_rounding(places, name, function)
    output = places.point(name, "output", fixed) if own is None else None
    fuses = kind in ("relu", "relu6", "ReLU")

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        places.entered(name, inputs)
        if fuses:
            places.origin(name, inputs)
        if own is not None:
            return own(inputs)
        assert output is not None
        return output(type(layer).call(layer, inputs, *args, **kwargs))

    return call


def plain(places: Places, layer: Any, name: str) -> Call:
    """Add, Concatenate, normalizations, means, keras.ops in a functional model: a grid for what comes out."""
    import keras

    normalizes = "Normalization" in type(layer).__name__
    bits = places.bits_of(name, "output") or (places.normalization_bits if normalizes else 0)
    output = places.point(name, "output", bits=bits)

    def call(*args: Any, **kwargs: Any) -> Any:
        places.entered(name, *keras.tree.flatten(args))
        outputs = type(layer).call(layer, *args, **kwargs)
        return keras.tree.map_structure(output, outputs)

    return call


def passive(places: Places, layer: Any, name: str) -> Call:
    """What it gives lies on the grid of what it takes."""
    import keras

    def call(*args: Any, **kwargs: Any) -> Any:
        places.entered(name, *keras.tree.flatten(args))
        return type(layer).call(layer, *args, **kwargs)

    return call


def operation(places: Places, layer: Any, name: str, fixed: str | None) -> Call:
    """ReLU, softmax, sigmoid or tanh of keras.ops in a functional model."""
    output = places.point(name, "output", fixed)

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        places.entered(name, inputs)
        if fixed is None:
            places.origin(name, inputs)
        return output(type(layer).call(layer, inputs, *args, **kwargs))

    return call


def fold(normalization: Any, layer: Any, kernel: Kernel) -> None:
    """Multiply a BatchNormalization's factor into the kernel before it; its shift stays, as the layer's bias.

    w·γ/σ and β - (μ - b)·γ/σ with b left in the layer as b·γ/σ (Jacob et al. 2018, section 3.2). Afterwards the
    normalization's own variables say "do nothing but shift", so that the model computes the same without us.
    """
    import keras

    epsilon = np.float32(normalization.epsilon)
    mean, variance = (
        np.asarray(v.numpy(), np.float32) for v in (normalization.moving_mean, normalization.moving_variance)
    )
    gamma = normalization.gamma.numpy() if normalization.scale else np.ones_like(mean)
    factor = gamma / np.sqrt(variance + epsilon)
    weights = kernel.variable.numpy()
    shape = [1] * weights.ndim
    for axis in range(weights.ndim):
        if axis not in kernel.reduced:
            shape[axis] = weights.shape[axis]
    if isinstance(layer, keras.layers.EinsumDense):  # channels of its last axis alone
        shape = [1] * (weights.ndim - 1) + [weights.shape[-1]]
    kernel.variable.assign(weights * factor.reshape(shape))
    if getattr(layer, "bias", None) is not None:
        layer.bias.assign(layer.bias.numpy() * factor)
    shift = -mean * factor
    if normalization.center:
        normalization.beta.assign(normalization.beta.numpy() + shift)
    else:
        raise ValueError("a BatchNormalization without a shift is not folded")
    normalization.moving_mean.assign(np.zeros_like(mean))
    one = np.float32(1)
    rest = one - epsilon
    while rest + epsilon != one:
        rest = np.nextafter(rest, one if rest + epsilon < one else np.float32(0))
    normalization.moving_variance.assign(np.full_like(variance, rest))
    if normalization.scale:
        normalization.gamma.assign(np.ones_like(gamma))


def has_convolutions(model: Any) -> bool:
    from keras.src.layers.convolutional.base_conv import BaseConv
    from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
    from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
    from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

    kinds = BaseConv | BaseConvTranspose | BaseDepthwiseConv | BaseSeparableConv
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())


def kernels_of_layer(layer: Any) -> list[tuple[Any, tuple[int, ...]]]:
    """(variable, reduced axes) of each kernel that is quantized, per output channel where the engines can."""
    import keras
    from keras.src.layers.convolutional.base_conv import BaseConv
    from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
    from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
    from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

    def but(variable: Any, *kept: int) -> tuple[Any, tuple[int, ...]]:
        rank = len(variable.shape)
        return variable, tuple(a for a in range(rank) if a not in [k % rank for k in kept])

    if isinstance(layer, keras.layers.Embedding):
        return [but(layer._embeddings)] if "float" in layer._embeddings.dtype else []
    if isinstance(layer, keras.layers.EinsumDense):
        return [(layer._kernel, einsum_reduced(layer.equation))]
    if isinstance(layer, keras.layers.Dense | BaseConv):
        return [but(layer._kernel, -1)]
    if isinstance(layer, BaseConvTranspose):
        return [but(layer.kernel, -2)]
    if isinstance(layer, BaseDepthwiseConv):
        return [but(layer.kernel, -1, -2)]
    if isinstance(layer, BaseSeparableConv):
        return [but(layer.depthwise_kernel, -1, -2), but(layer.pointwise_kernel, -1)]
    return []
