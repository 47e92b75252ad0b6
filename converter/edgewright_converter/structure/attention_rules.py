"""The rules of tracing.py for attention layers: heads, the units of queries and keys, the units of values."""

from collections.abc import Callable
from typing import Any

from .channels import Axes, Axis
from .tracing import Trace, Traced, has_plain_weights, repeated, root_ratio, unknown


def _projection(trace: Trace, layer: Any, x: Axis, heads: Axis, units: Axis, rank: int) -> None:
    """A kernel (features, heads, units) and its bias."""
    trace.weight(layer._kernel, x, heads, units)
    trace.weight(layer.bias, heads, units)
    trace.produced.setdefault(id(layer), (layer, (*(None,) * (rank - 2), None, heads, units)))


def _plain(trace: Trace, layer: Any) -> bool:
    parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
    return all(has_plain_weights(trace, part) for part in parts)


def _tensors(args: list[Any]) -> tuple[Traced, Traced, Traced]:
    query, value = args[0], args[1]
    return query, value, args[2] if isinstance(args[2], Traced) else value


def _multi_head(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> list[Axes]:
    if not _plain(trace, layer):
        return unknown(trace, layer, args, outputs)
    query, value, key = _tensors(args)
    rank = len(query.axes)
    heads = trace.fresh(layer, "heads", layer.num_heads)
    keys = trace.fresh(layer, "head-units", layer.key_dim, "key")
    values = trace.fresh(layer, "head-units", layer.value_dim, "value")
    _projection(trace, layer._query_dense, query.axes[-1], heads, keys, rank)
    _projection(trace, layer._key_dense, key.axes[-1], heads, keys, rank)
    _projection(trace, layer._value_dense, value.axes[-1], heads, values, rank)
    if getattr(layer, "_use_gate", False):
        _projection(trace, layer._gate_dense, query.axes[-1], heads, values, rank)
    for variable in (layer._query_dense._kernel, layer._query_dense.bias):
        if variable is not None:
            trace.scales[id(variable)] = root_ratio(keys)
    out: tuple[Axis, ...]
    own = layer._output_shape
    if own is None:
        out = (query.axes[-1],)
    else:
        out = (trace.fresh(layer, "units", own[0], "output"),) if len(own) == 1 else (None,) * len(own)
    trace.weight(layer._output_dense._kernel, heads, values, *out)
    trace.weight(layer._output_dense.bias, *out)

    def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
        shape = None if own is None else tuple(s if a is None else count(a) for s, a in zip(own, out, strict=True))
        kept = {"num_heads": count(heads), "key_dim": count(keys), "value_dim": count(values)}
        return {**config, **kept, "output_shape": shape}

    trace.edits[id(layer)] = edit
    scores = [(None, heads, *(None,) * (len(t.shape) - 2)) for t in outputs[1:]]
    return [(*query.axes[:-1], *out), *scores]


def _grouped(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> list[Axes]:
    if not _plain(trace, layer):
        return unknown(trace, layer, args, outputs)
    query, value, key = _tensors(args)
    groups = trace.fresh(layer, "heads", layer.num_key_value_heads)
    units = trace.fresh(layer, "head-units", layer.head_dim)
    heads = repeated(groups, layer.num_repeats)  # a group goes with all of its queries
    rank = len(query.axes)
    _projection(trace, layer._query_dense, query.axes[-1], heads, units, rank)
    _projection(trace, layer._key_dense, key.axes[-1], groups, units, rank)
    _projection(trace, layer._value_dense, value.axes[-1], groups, units, rank)
    if getattr(layer, "use_gate", False):
        _projection(trace, layer._gate_dense, query.axes[-1], heads, units, rank)
    for variable in (layer._query_dense._kernel, layer._query_dense.bias):
        if variable is not None:
            trace.scales[id(variable)] = root_ratio(units)
    trace.weight(layer._output_dense._kernel, heads, units, query.axes[-1])
    trace.weight(layer._output_dense.bias, query.axes[-1])

    def edit(config: dict[str, Any], count: Any) -> dict[str, Any]:
        return {
            **config,
            "num_query_heads": count(heads),
            "num_key_value_heads": count(groups),
            "head_dim": count(units),
        }

    trace.edits[id(layer)] = edit
    scores = [(None, heads, *(None,) * (len(t.shape) - 2)) for t in outputs[1:]]
    return [tuple(query.axes), *scores]


def _attention(trace: Trace, layer: Any, args: list[Any], outputs: list[Any]) -> list[Axes]:
    """Dot-product and additive attention without projections: [query, value, key]."""
    query, value, *rest = args[0]
    key = rest[0] if rest else value
    features = trace.tie(query.axes[-1], key.axes[-1], layer.name)
    if getattr(layer, "scale", None) is not None and len(layer.scale.shape) == 1:
        trace.weight(layer.scale, features)
    scores = [(None,) * len(t.shape) for t in outputs[1:]]
    return [(*query.axes[:-1], value.axes[-1]), *scores]


RULES: dict[str, Callable[..., Any]] = {
    "AdditiveAttention": _attention,
    "Attention": _attention,
    "GroupedQueryAttention": _grouped,
    "GroupQueryAttention": _grouped,
    "MultiHeadAttention": _multi_head,
}
