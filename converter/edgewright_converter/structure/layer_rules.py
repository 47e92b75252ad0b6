"""The rules of tracing.py for Keras' layers: dense, convolution, recurrence, normalization, merging, reshaping."""

from collections.abc import Callable
from typing import Any

from .attention_rules import RULES as ATTENTION
from .channels import Axes, Axis
from .operation_rules import concatenate_axes, reshape_axes, same
from .recurrent_rules import RULES as RECURRENT
from .tracing import (
    Trace,
    Traced,
    broadcast,
    check_activation,
    has_plain_weights,
    normal,
    repeated,
    rule_for,
    sizes,
    unknown,
)

# fmt: off
_SAME = [
    "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization", "Identity", "Masking",
]
# fmt: on
_MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]
_WINDOWS = [f"{kind}{n}D" for n in (1, 2, 3) for kind in ("MaxPooling", "AveragePooling", "Cropping", "ZeroPadding")]
_WINDOWS += ["UpSampling1D", "UpSampling2D", "UpSampling3D"]
_GLOBAL = [f"Global{kind}Pooling{n}D" for n in (1, 2, 3) for kind in ("Max", "Average")]


def dense(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    if not has_plain_weights(trace, layer):
        return unknown(trace, layer, args, outputs)
    x = args[0]
    units = trace.fresh(layer, "units", layer.units)
    check_activation(trace, layer, units)
    trace.weight(layer._kernel, x.axes[-1], units)
    trace.weight(layer.bias, units)
    trace.edits[id(layer)] = lambda config, count: {**config, "units": count(units)}
    return (*x.axes[:-1], units)


def _einsum_dense(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    if not has_plain_weights(trace, layer):
        return unknown(trace, layer, args, outputs)
    x = args[0]
    bias_axes = layer.bias_axes
    left, _, right = layer.equation.replace(" ", "").partition("->")
    inside, kernel = left.split(",")
    inside, right = _spell_out(inside, len(x.axes)), _spell_out(right, len(outputs[0].shape))
    letters: dict[str, Axis] = {}
    for letter, axis in zip(inside, x.axes, strict=True):
        letters[letter] = axis
    for letter in right:
        if letter not in letters:
            letters[letter] = trace.fresh(layer, "units", layer._kernel.shape[kernel.index(letter)], letter)
            check_activation(trace, layer, letters[letter])
    trace.weight(layer._kernel, *(letters[letter] for letter in kernel))
    if layer.bias is not None:
        chosen = [letters[letter] for letter in right if letter in (bias_axes or "")]
        shape = layer.bias.shape
        trace.weight(layer.bias, *chosen, *(None,) * (len(shape) - len(chosen)))
    axes = tuple(letters[letter] for letter in right)
    partial = list(layer.partial_output_shape)
    own = axes[len(axes) - len(partial) :]

    def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
        kept = [s if a is None or s is None else count(a) for s, a in zip(partial, own, strict=True)]
        return {**config, "output_shape": kept}

    trace.edits[id(layer)] = edit
    return axes


def _spell_out(term: str, rank: int) -> str:
    """A letter for each axis that an ellipsis stands for."""
    return term.replace("...", "αβγδεζ"[: rank - len(term.replace("...", ""))])


def _embedding(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    if not has_plain_weights(trace, layer):
        return unknown(trace, layer, args, outputs)
    width = trace.fresh(layer, "embedding", layer.output_dim)
    trace.weight(layer._embeddings, None, width)
    trace.edits[id(layer)] = lambda config, count: {**config, "output_dim": count(width)}
    if len(args) > 1 and args[1] is True:  # ReversibleEmbedding: widths in, words out
        x = args[0]
        if layer.tie_weights:
            trace.tie(width, x.axes[-1], layer.name)
        else:
            trace.weight(layer.reverse_embeddings, x.axes[-1], None)
        return (*x.axes[:-1], None)
    if getattr(layer, "reverse_embeddings", None) is not None and id(layer.reverse_embeddings) not in trace.weights:
        trace.weight(layer.reverse_embeddings, width, None)
    return (*args[0].axes, width)


def channel_axis(layer: Any, rank: int) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _with_channels(layer: Any, rank: int, axis: Axis) -> Axes:
    found: list[Axis] = [None] * rank
    found[channel_axis(layer, rank)] = axis
    return tuple(found)


def _windowed(trace: Trace, layer: Any, x: Traced) -> Axis:
    """The channels of what a window slides over; its places cannot be cut."""
    at = channel_axis(layer, len(x.axes))
    for index, axis in enumerate(x.axes):
        if index != at:
            trace.pin(axis, f"is a place under a window of {layer.name}")
    return x.axes[at]


def _conv(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    if getattr(layer, "groups", 1) != 1 or not has_plain_weights(trace, layer):
        return unknown(trace, layer, args, outputs)
    rank = len(args[0].axes)
    before = _windowed(trace, layer, args[0])
    filters = trace.fresh(layer, "filters", layer.filters)
    check_activation(trace, layer, filters)
    ends = (filters, before) if "Transpose" in type(layer).__name__ else (before, filters)
    kernel = layer._kernel if hasattr(layer, "_kernel") else layer.kernel
    trace.weight(kernel, *(None,) * (rank - 2), *ends)
    trace.weight(layer.bias, filters)
    trace.edits[id(layer)] = lambda config, count: {**config, "filters": count(filters)}
    return _with_channels(layer, rank, filters)


def _depthwise(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    rank = len(args[0].axes)
    before = _windowed(trace, layer, args[0])
    after = repeated(before, layer.depth_multiplier)
    check_activation(trace, layer, before)
    trace.weight(layer.kernel, *(None,) * (rank - 2), before, None)
    trace.weight(layer.bias, after)
    return _with_channels(layer, rank, after)


def _separable(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    rank = len(args[0].axes)
    before = _windowed(trace, layer, args[0])
    filters = trace.fresh(layer, "filters", layer.filters)
    check_activation(trace, layer, filters)
    trace.weight(layer.depthwise_kernel, *(None,) * (rank - 2), before, None)
    trace.weight(layer.pointwise_kernel, *(None,) * (rank - 2), repeated(before, layer.depth_multiplier), filters)
    trace.weight(layer.bias, filters)
    trace.edits[id(layer)] = lambda config, count: {**config, "filters": count(filters)}
    return _with_channels(layer, rank, filters)


def _window(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return _with_channels(layer, len(outputs[0].shape), _windowed(trace, layer, args[0]))


def _global(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    channels = _windowed(trace, layer, args[0])
    return _with_channels(layer, len(outputs[0].shape), channels) if layer.keepdims else (None, channels)


def _batch_norm(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axis = args[0].axes[layer.axis]
    for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        trace.weight(variable, axis)
    return tuple(args[0].axes)


def _layer_norm(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    x = args[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    for name in ("gamma", "beta", "scale"):
        variable = getattr(layer, name, None)
        if hasattr(variable, "path"):
            trace.weight(variable, *(x.axes[axis] for axis in axes))
    return tuple(x.axes)


def _prelu(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    x = args[0]
    trace.weight(layer.alpha, *(a if s > 1 else None for a, s in zip(x.axes[1:], layer.alpha.shape, strict=True)))
    return tuple(x.axes)


def _activation(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    check_activation(trace, layer, args[0].axes[-1])
    return tuple(args[0].axes)


def _softmax(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    for axis in [layer.axis] if isinstance(layer.axis, int) else layer.axis:
        trace.pin(args[0].axes[axis], f"is normalized in {layer.name}")
    return tuple(args[0].axes)


def _merge(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return broadcast(trace, list(args[0]), len(outputs[0].shape), layer.name)


def _concatenate(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return concatenate_axes(trace, layer.name, list(args[0]), layer.axis)


def _reshape(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axes = reshape_axes(trace, layer.name, args[0], tuple(outputs[0].shape))
    template = list(layer.target_shape)
    edit = lambda config, count: {**config, "target_shape": tuple(sizes(count, template, axes[1:]))}  # noqa: E731
    trace.edits[id(layer)] = edit
    return axes


def _flatten(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    if layer.data_format == "channels_first" and len(args[0].axes) > 2:
        return tuple(unknown(trace, layer, args, outputs)[0])
    return reshape_axes(trace, layer.name, args[0], tuple(outputs[0].shape))


def _permute(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return (args[0].axes[0], *(args[0].axes[index] for index in layer.dims))


def _repeat_vector(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return (args[0].axes[0], None, args[0].axes[1])


def _time_distributed(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Any:
    import keras

    inner, x = layer.layer, args[0]
    if isinstance(inner, keras.Model) or not isinstance(x, Traced):
        return unknown(trace, layer, args, outputs)
    one = Traced((x.shape[0], *x.shape[2:]), (x.axes[0], *x.axes[2:]))
    trace.pin(x.axes[1], f"is the time of {layer.name}")
    single = keras.KerasTensor((outputs[0].shape[0], *outputs[0].shape[2:]), outputs[0].dtype)
    found = rule_for(inner)(trace, inner, [one], [single])
    (axes,) = found if isinstance(found, list) else [found]
    if id(inner) in trace.edits:

        def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
            own = config["layer"]
            return {**config, "layer": {**own, "config": trace.edits[id(inner)](own["config"], count)}}

        trace.edits[id(layer)] = edit
    return (axes[0], None, *axes[1:])


def _dot(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> Axes:
    a, b = args[0]
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else tuple(layer.axes)
    i, j = normal(axes[0], len(a.axes)), normal(axes[1], len(b.axes))
    trace.tie(a.axes[i], b.axes[j], layer.name)
    found = [axis for n, axis in enumerate(a.axes) if n != i] + [
        axis for n, axis in enumerate(b.axes) if n not in (0, j)
    ]
    return tuple(found) if len(found) == len(outputs[0].shape) else (None,) * len(outputs[0].shape)


RULES: dict[str, Callable[..., Any]] = {
    **ATTENTION,
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_MERGES, _merge),
    **dict.fromkeys(_WINDOWS, _window),
    **dict.fromkeys(_GLOBAL, _global),
    **dict.fromkeys([f"Conv{n}D{kind}" for n in (1, 2, 3) for kind in ("", "Transpose")], _conv),
    **dict.fromkeys(["DepthwiseConv1D", "DepthwiseConv2D"], _depthwise),
    **dict.fromkeys(["SeparableConv1D", "SeparableConv2D"], _separable),
    **dict.fromkeys(["Embedding", "ReversibleEmbedding"], _embedding),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization"], _layer_norm),
    **RECURRENT,
    "Activation": _activation,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Dense": dense,
    "Dot": _dot,
    "EinsumDense": _einsum_dense,
    "Flatten": _flatten,
    "Permute": _permute,
    "PReLU": _prelu,
    "RepeatVector": _repeat_vector,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "TimeDistributed": _time_distributed,
}
