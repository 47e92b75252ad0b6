"""The rules of tracing.py for operations of keras.ops: reshapes, arithmetic, products."""

from collections.abc import Callable
from typing import Any

from .channels import Axes, Axis, einsum_axes
from .tracing import Trace, Traced, broadcast, normal, sizes

# fmt: off
_SAME = [
    "Abs", "Absolute", "Cast", "Ceil", "Celu", "Clip", "Copy", "Elu", "Erf", "Exp", "Expm1", "Floor", "Gelu",
    "HardSigmoid", "HardSilu", "HardSwish", "HardTanh", "LeakyRelu", "Log", "Log1p", "LogSigmoid", "LogicalNot",
    "Mish", "Negative", "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin",
    "Cos", "Softplus", "Softsign", "Sparsemax", "Sqrt", "Square", "Squareplus", "StopGradient", "Swish", "Tanh",
    "TanhShrink", "OnesLike", "ZerosLike",
]
_ELEMENTWISE = [
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Maximum", "Minimum", "Power", "Where",
    "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual", "LogicalAnd", "LogicalOr", "Mod",
    "FloorDivide",
]
# fmt: on
_REDUCTIONS = ["Mean", "Sum", "Max", "Min", "Amax", "Amin", "Prod", "Var", "Std", "All", "Any", "Argmax", "Argmin"]


def same(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return tuple(args[0].axes)


def elementwise(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    values = [value for value in args if isinstance(value, Traced) or hasattr(value, "shape")]
    return broadcast(trace, values, len(outputs[0].shape), operation.name)


def along(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    """Softmax, cumulated sums: every index along the axis decides about the others, so none can go."""
    x = args[0]
    axis = getattr(operation, "axis", -1)
    for index in range(len(x.axes)) if axis is None else [axis] if isinstance(axis, int) else axis:
        trace.pin(x.axes[index], f"is normalized or summed up in {operation.name}")
    return tuple(x.axes)


def reduction(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    x = args[0]
    rank = len(x.axes)
    axis = operation.axis
    axes = range(rank) if axis is None else [normal(a, rank) for a in ([axis] if isinstance(axis, int) else axis)]
    for index in axes:
        trace.pin(x.axes[index], f"is reduced in {operation.name}")
    if len(outputs[0].shape) == rank:
        return tuple(None if index in axes else a for index, a in enumerate(x.axes))
    return tuple(a for index, a in enumerate(x.axes) if index not in axes)


def reshape_axes(trace: Trace, name: str, x: Traced, new: tuple[int | None, ...]) -> Axes:
    before, after = x.shape[1:], tuple(new[1:])
    reason = f"is reshaped in {name}"
    free = [index for index, axis in enumerate(x.axes) if axis is not None]
    if None not in before and None not in after and x.axes[0] is None and _product(before) == _product(after):
        return (None, *trace.channels.reshape(x.axes[1:], before, after, reason))  # type: ignore[arg-type]
    if free == [len(x.axes) - 1] and new[-1] == x.shape[-1]:  # (batch, time, channels) → (batch · time, channels)
        return (*(None,) * (len(new) - 1), x.axes[-1])
    trace.pin(x, reason)
    return (None,) * len(new)


def _product(shape: tuple[int | None, ...]) -> int:
    product = 1
    for size in shape:
        product *= size or 1
    return product


def _reshape(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axes = reshape_axes(trace, operation.name, args[0], tuple(outputs[0].shape))
    template = list(operation.newshape)
    trace.edits[id(operation)] = lambda config, count: {**config, "newshape": sizes(count, template, axes)}
    return axes


def _transpose(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axes = args[0].axes
    return tuple(axes[index] for index in operation.axes) if operation.axes else tuple(reversed(axes))


def _swapaxes(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axes = list(args[0].axes)
    a, b = operation.axis1, operation.axis2
    axes[a], axes[b] = axes[b], axes[a]
    return tuple(axes)


def _expand_dims(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    axes: list[Axis] = list(args[0].axes)
    given = [operation.axis] if isinstance(operation.axis, int) else operation.axis
    for index in sorted(normal(a, len(outputs[0].shape)) for a in given):
        axes.insert(index, None)
    return tuple(axes)


def _squeeze(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    x = args[0]
    if operation.axis is None:
        gone = [index for index, size in enumerate(x.shape) if size == 1]
    else:
        given = [operation.axis] if isinstance(operation.axis, int) else operation.axis
        gone = [normal(a, len(x.shape)) for a in given]
    for index in gone:
        trace.pin(x.axes[index], f"is squeezed in {operation.name}")
    return tuple(axis for index, axis in enumerate(x.axes) if index not in gone)


def concatenate_axes(trace: Trace, name: str, values: list[Traced], axis: int) -> Axes:
    import numpy as np

    rank = len(values[0].axes)
    along_axis = normal(axis, rank)
    found: list[Axis] = list(values[0].axes)
    for value in values[1:]:
        for index in range(rank):
            if index != along_axis:
                found[index] = trace.tie(found[index], value.axes[index], name)
    parts = [
        trace.fixed(value.shape[along_axis]) if value.axes[along_axis] is None else value.axes[along_axis]
        for value in values
    ]
    if all(value.axes[along_axis] is None for value in values):
        found[along_axis] = None
    elif any(part is None for part in parts):
        for value in values:
            trace.pin(value.axes[along_axis], f"is put beside something of open size in {name}")
        found[along_axis] = None
    else:
        found[along_axis] = np.concatenate([part for part in parts if part is not None])
    return tuple(found)


def _concatenate(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    return concatenate_axes(trace, operation.name, list(args[0]), operation.axis)


def _stack(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    values = list(args[0])
    axes: list[Axis] = list(broadcast(trace, values, len(values[0].axes), operation.name))
    axes.insert(normal(operation.axis, len(outputs[0].shape)), None)
    return tuple(axes)


def _split(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> list[Axes]:
    import numpy as np

    x = args[0]
    index = normal(operation.axis, len(x.axes))
    axis = x.axes[index]
    parts: list[Axis] = [None] * len(outputs)
    if axis is not None and isinstance(operation.indices_or_sections, int):
        pieces = np.split(axis, len(outputs))
        for piece in pieces[1:]:  # each part must lose as many
            trace.tie(piece, pieces[0], operation.name)
        parts = list(pieces)
    else:
        trace.pin(axis, f"is split at fixed places in {operation.name}")
    return [(*x.axes[:index], part, *x.axes[index + 1 :]) for part in parts]


def _get_item(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    x, key = args[0], args[1]
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in [k for k in keys if not hasattr(k, "shape")]:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        consumed = sum(k is not None and k is not Ellipsis for k in keys)
        keys[at : at + 1] = [slice(None)] * (len(x.axes) - consumed)
    keys += [slice(None)] * (len(x.axes) - sum(k is not None for k in keys))
    found: list[Axis] = []
    index = 0
    for k in keys:
        if k is None:
            found.append(None)
            continue
        axis = x.axes[index]
        index += 1
        if isinstance(k, slice) and k == slice(None):
            found.append(axis)
            continue
        trace.pin(axis, f"is indexed in {operation.name}")
        if isinstance(k, slice):
            found.append(None)
        elif not isinstance(k, int):
            trace.pin(x, f"is indexed in {operation.name}")
            return (None,) * len(outputs[0].shape)
    return tuple(found)


def _matmul(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    a, b = args[:2]
    if not (isinstance(a, Traced) and isinstance(b, Traced)) or len(a.axes) < 2 or len(b.axes) < 2:
        for value in (a, b):
            if isinstance(value, Traced):
                trace.pin(value, f"is multiplied by something of fixed size in {operation.name}")
        return (None,) * len(outputs[0].shape)
    trace.tie(a.axes[-1], b.axes[-2], operation.name)
    outer = [Traced(a.shape[:-2], a.axes[:-2]), Traced(b.shape[:-2], b.axes[:-2])]
    leading = broadcast(trace, outer, len(outputs[0].shape) - 2, operation.name)
    return (*leading, a.axes[-2], b.axes[-1])


def _einsum(trace: Trace, operation: Any, args: list[Any], outputs: list[Any]) -> Axes:
    import keras

    operands = keras.tree.flatten(args)
    if "." in operation.subscripts or "->" not in operation.subscripts:
        for value in operands:
            trace.pin(value, f"goes into an einsum that is not written out in {operation.name}")
        return (None,) * len(outputs[0].shape)
    axes = [v.axes if isinstance(v, Traced) else (None,) * len(v.shape) for v in operands]
    return einsum_axes(operation.subscripts, axes, trace.channels)


RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    **dict.fromkeys(_REDUCTIONS, reduction),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Cumsum", "Cumprod"), along),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Swapaxes": _swapaxes,
    "ExpandDims": _expand_dims,
    "Squeeze": _squeeze,
    "Concatenate": _concatenate,
    "Stack": _stack,
    "Split": _split,
    "GetItem": _get_item,
    "Matmul": _matmul,
    "Einsum": _einsum,
}
