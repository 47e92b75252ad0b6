"""Which layers are products of matrices that can be of lower rank, and the layers that take their place.

Dense, EinsumDense   two of them, the first without a bias
Conv                 one with r filters, then one of size 1
Embedding            rows of width r, then a Dense (ALBERT, Lan et al. 2019)
LSTM, GRU, RNN       a Dense of width r in front: the kernel of the inputs alone, for the recurrent one is a single step
MultiHeadAttention   the same layer with fewer units for each head: queries and keys meet as x·Wq·Wkᵀ·yᵀ, values and the
                     output as x·Wv·Wo, and both products have a rank of their own. Biases are one more row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..data import Array
from .graph import fresh
from .lowrank import decompose, root_of

Moments = dict[int, Array]  # by the id of a layer: the second moment of its inputs, (in, in)


@dataclass
class Factor:
    """One product in one layer. now: its parameters; each more rank costs ``per_rank``. extra: it adds a product to the
    model instead of splitting one. write: puts (A, B) of any rank in place of the weights, for measuring.
    """

    layer: Any
    name: str
    now: int
    per_rank: int
    left: Array
    right: Array | None
    matrices: list[Array]  # one for each head
    write: Callable[[list[Array], list[Array]], None]
    extra: bool = False
    largest: int = 0  # a rank that the layer has already, 0: that of its matrices

    @cached_property
    def parts(self) -> list[tuple[Array, Array, Array]]:
        return [decompose(matrix, self.left, self.right) for matrix in self.matrices]

    @cached_property
    def spectrum(self) -> Array:
        """(full rank,): over all heads, for they share one rank."""
        s: Array = np.sqrt(sum(s**2 for _, s, _ in self.parts))
        return s[: self.largest] if self.largest else s

    def at(self, rank: int) -> tuple[list[Array], list[Array]]:
        return [a[:, :rank] for a, _, _ in self.parts], [b[:rank] for _, _, b in self.parts]

    def parameters(self, rank: int) -> int:
        return rank * self.per_rank


@dataclass
class Plan:
    """replace: for rebuild; fill: what is left to do once the new layers are built, by the old layer's id."""

    ranks: dict[int, dict[str, tuple[Factor, int]]] = field(default_factory=dict)
    fill: dict[int, Callable[[], None]] = field(default_factory=dict)

    def add(self, factor: Factor, rank: int) -> None:
        self.ranks.setdefault(id(factor.layer), {})[factor.name] = (factor, rank)

    def replace(self, layer: Any) -> Callable[..., Any] | None:
        chosen = self.ranks.get(id(layer))
        if not chosen:
            return None
        make = {
            "MultiHeadAttention": _attention,
            "Embedding": _embedding,
            "EinsumDense": _einsum_dense,
            "Dense": _dense,
        }
        kind = type(layer).__name__
        return make.get(kind, _recurrent if hasattr(layer, "cell") else _conv)(self, layer, list(chosen.values()))


def factors(layer: Any, moments: Moments) -> list[Factor] | str:
    """What could be of lower rank in this layer, or why nothing can; "" where there is no product at all."""
    import keras

    kind = type(layer)
    if not kind.__module__.startswith("keras.src.layers.") or not layer.weights:
        return "" if not layer.weights else f"edgewright does not know the products of a {kind.__name__}"
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        return "its weights are quantized, or have adapters: merge those first"
    name = kind.__name__
    if name == "MultiHeadAttention":
        return _attention_factors(layer, moments)
    if name == "Embedding":
        return [_single(layer, layer._embeddings, (0,), moments, extra=True)]
    if name == "Dense":
        return [_single(layer, layer._kernel, (0,), moments)]
    if name == "EinsumDense":
        letters = _einsum_letters(layer)
        if isinstance(letters, str):
            return letters
        return [_single(layer, layer._kernel, letters[0], moments)]
    if name in ("Conv1D", "Conv2D", "Conv3D"):
        if layer.groups != 1:
            return "its filters are in groups"
        return [_single(layer, layer._kernel, tuple(range(len(layer._kernel.shape) - 1)), moments)]
    if isinstance(layer, keras.layers.RNN) and hasattr(getattr(layer, "cell", None), "kernel"):
        return [_single(layer, layer.cell.kernel, (0,), moments)]
    return "" if all(len(w.shape) < 2 for w in layer.weights) else f"a {name} has no form of lower rank here"


def _single(layer: Any, variable: Any, inside: tuple[int, ...], moments: Moments, extra: bool = False) -> Factor:
    """A kernel as one matrix: the axes ``inside`` are its rows."""
    value = variable.numpy()
    outside = tuple(axis for axis in range(value.ndim) if axis not in inside)
    order = (*inside, *outside)
    rows = int(np.prod([value.shape[axis] for axis in inside]))
    matrix = value.transpose(order).reshape(rows, -1)
    moment = moments.get(id(layer))
    left = np.diag(np.sqrt(moment)) if extra and moment is not None else root_of(None if extra else moment, rows)

    def write(a: list[Array], b: list[Array]) -> None:
        product = (a[0] @ b[0]).reshape([value.shape[axis] for axis in order])
        variable.assign(product.transpose(np.argsort(order)).astype(value.dtype))

    return Factor(layer, layer.name, matrix.size, sum(matrix.shape), left, None, [matrix], write, extra)


def _einsum_letters(layer: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    """Axes of the kernel that are summed over, and those that go out."""
    left, _, right = layer.equation.replace(" ", "").partition("->")
    inside, kernel = left.split(",")
    if any(letter in inside and letter in right for letter in kernel):
        return "its equation keeps an axis of the kernel that the input has too"
    summed = tuple(index for index, letter in enumerate(kernel) if letter in inside)
    return summed, tuple(index for index, letter in enumerate(kernel) if letter not in inside)


def _attention_factors(layer: Any, moments: Moments) -> list[Factor] | str:
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


def _then(first: Any, second: Any) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: second(first(x), *args, **kwargs)


def _bias(layer: Any) -> Array | None:
    return None if getattr(layer, "bias", None) is None else layer.bias.numpy()


def _set(layer: Any, kernel: Array, bias: Array | None = None) -> None:
    layer._kernel.assign(kernel.reshape(layer._kernel.shape))
    if bias is not None:
        layer.bias.assign(bias)


def _dense(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = keras.layers.Dense(rank, use_bias=False, name=f"{layer.name}_low", dtype=layer.dtype_policy)
    second = fresh(layer)
    plan.fill[id(layer)] = lambda: (_set(first, a), _set(second, b, _bias(layer)))[0]
    return _then(first, second)


def _einsum_dense(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    left, _, right = layer.equation.replace(" ", "").partition("->")
    inside, kernel = left.split(",")
    summed = [letter for letter in kernel if letter in inside]
    new = [letter for letter in kernel if letter not in inside]
    r = next(letter for letter in "rstuvwxyz" if letter not in layer.equation)
    middle = "".join(letter for letter in inside if letter not in summed) + r
    # The batch goes without a size, unless an ellipsis stands for it; None is taken over from the input.
    sizes = [rank if letter == r else None for letter in (middle.replace("...", "") if "..." in middle else middle[1:])]
    first = keras.layers.EinsumDense(
        f"{inside},{''.join(summed)}{r}->{middle}", sizes, name=f"{layer.name}_low", dtype=layer.dtype_policy
    )
    second = fresh(layer, equation=f"{middle},{r}{''.join(new)}->{right}")
    plan.fill[id(layer)] = lambda: (_set(first, a), _set(second, b, _bias(layer)))[0]
    return _then(first, second)


def _conv(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = fresh(layer, name=f"{layer.name}_low", filters=rank, use_bias=False, activation=None)
    first.name = f"{layer.name}_low"
    ones = (1,) * layer.rank
    second = fresh(layer, kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid")
    plan.fill[id(layer)] = lambda: (_set(first, a), _set(second, b, _bias(layer)))[0]
    return _then(first, second)


def _embedding(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = fresh(layer, name=f"{layer.name}_low", output_dim=rank)
    first.name = f"{layer.name}_low"
    second = keras.layers.Dense(layer.output_dim, use_bias=False, name=layer.name, dtype=layer.dtype_policy)
    plan.fill[id(layer)] = lambda: (first._embeddings.assign(a), _set(second, b))[1]
    return _then(first, second)


def _recurrent(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = keras.layers.Dense(rank, use_bias=False, name=f"{layer.name}_low", dtype=layer.dtype_policy)
    second = fresh(layer)

    def fill() -> None:
        _set(first, a)
        for source, target in zip(layer.variables, second.variables, strict=True):
            target.assign(b if source is layer.cell.kernel else source.numpy())

    plan.fill[id(layer)] = fill
    return _then(first, second)


def _attention(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
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
