"""Attention heads with fewer units: queries and keys meet as x·Wq·Wkᵀ·yᵀ, values and the output as x·Wv·Wo.

Each head's product has a rank of its own, all heads keep the same number of units. A bias is the weight of one more
input that is always 1, so it takes part in the product and nothing is lost at full rank.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import Array
from .factors import Factor, Moments, Plan
from .graph import fresh
from .lowrank import root_of


def attention_factors(layer: Any, moments: Moments) -> list[Factor] | str:
    parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
    if getattr(layer, "_use_gate", False) or any(getattr(part, "lora_enabled", False) for part in parts):
        return "its heads have a gate, or adapters"
    query, key, value = (_with_bias(part) for part in parts[:3])
    kernel = layer._output_dense._kernel
    out = kernel.numpy().reshape(layer.num_heads, layer.value_dim, -1)
    roots = [
        root_of(moments.get(id(part)), table.shape[0])
        for part, table in zip(parts[:3], (query, key, value), strict=True)
    ]
    heads = range(layer.num_heads)

    def write_keys(a: list[Array], b: list[Array]) -> None:
        _assign(parts[0], _padded(a, layer.key_dim, 1))
        _assign(parts[1], _padded([table.T for table in b], layer.key_dim, 1))

    def write_values(a: list[Array], b: list[Array]) -> None:
        _assign(parts[2], _padded(a, layer.value_dim, 1))
        kernel.assign(np.stack(_padded(b, layer.value_dim, 0)).reshape(kernel.shape).astype(kernel.dtype))

    n = layer.num_heads
    scores = [query[:, head] @ key[:, head].T for head in heads]
    mixed = [value[:, head] @ out[head] for head in heads]
    rows = [table.shape[0] for table in (query, key, value)]
    return [
        Factor(
            layer,
            f"{layer.name}/keys",
            n * layer.key_dim * (rows[0] + rows[1]),
            n * (rows[0] + rows[1]),
            roots[0],
            roots[1],
            scores,
            write_keys,
            largest=layer.key_dim,
        ),
        Factor(
            layer,
            f"{layer.name}/values",
            n * layer.value_dim * (rows[2] + out.shape[-1]),
            n * (rows[2] + out.shape[-1]),
            roots[2],
            None,
            mixed,
            write_values,
            largest=layer.value_dim,
        ),
    ]


def _with_bias(layer: Any) -> Array:
    """(in [+ 1], heads, units): the bias as the row of an input that is always 1."""
    kernel: Array = layer._kernel.numpy().astype(np.float64)
    return kernel if layer.bias is None else np.concatenate([kernel, layer.bias.numpy()[None]])


def _assign(layer: Any, tables: list[Array]) -> None:
    value = np.stack(tables, 1)
    layer._kernel.assign(value[: layer._kernel.shape[0]].astype(layer._kernel.dtype))
    if layer.bias is not None:
        layer.bias.assign(value[-1].astype(layer.bias.dtype))


def _padded(tables: list[Array], size: int, axis: int) -> list[Array]:
    """With zeros up to that size, as the layer has it for now."""
    found = []
    for table in tables:
        table = table.take(range(min(size, table.shape[axis])), axis)
        width = [(0, size - table.shape[i] if i == axis else 0) for i in range(2)]
        found.append(np.pad(table, width))
    return found


def attention(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    ranks = {factor.name.rpartition("/")[2]: (factor, rank) for factor, rank in chosen}
    keys = ranks["keys"][1] if "keys" in ranks else layer.key_dim
    values = ranks["values"][1] if "values" in ranks else layer.value_dim
    second = fresh(layer, key_dim=keys, value_dim=values)

    def fill() -> None:
        for source, target in zip(layer.variables, second.variables, strict=True):
            if source.shape == target.shape:
                target.assign(source.numpy())
        if "keys" in ranks:
            a, b = ranks["keys"][0].at(keys)
            scale = np.sqrt(keys / layer.key_dim)  # the layer divides by the root of its own key_dim
            _assign(second._query_dense, [scale * table for table in a])
            _assign(second._key_dense, [table.T for table in b])
        if "values" in ranks:
            a, b = ranks["values"][0].at(values)
            _assign(second._value_dense, a)
            second._output_dense._kernel.assign(np.stack(b).reshape(second._output_dense._kernel.shape))

    plan.fill[id(layer)] = fill
    return second  # type: ignore[no-any-return]
