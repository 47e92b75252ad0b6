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


_Make = Callable[["Plan", Any, list[tuple[Factor, int]]], Callable[..., Any]]


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
        from .attention_factors import attention

        make: dict[str, _Make] = {
            "MultiHeadAttention": attention,
            "Embedding": _embedding,
            "EinsumDense": _einsum_dense,
            "Dense": _dense,
        }
        other: _Make = _recurrent if hasattr(layer, "cell") else _conv
        return make.get(type(layer).__name__, other)(self, layer, list(chosen.values()))


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
        from .attention_factors import attention_factors

        return attention_factors(layer, moments)
    if name == "Embedding":
        if "float" not in layer._embeddings.dtype:
            return "its numbers are integers"
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


def _then(first: Any, second: Any) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: second(first(x), *args, **kwargs)


def _bias(layer: Any) -> Array | None:
    return None if getattr(layer, "bias", None) is None else layer.bias.numpy()


def _set(layer: Any, kernel: Array, bias: Array | None = None) -> None:
    layer._kernel.assign(kernel.reshape(layer._kernel.shape))
    if bias is not None:
        layer.bias.assign(bias)


def _set_both(first: Any, a: Array, second: Any, b: Array, bias: Array | None) -> None:
    _set(first, a)
    _set(second, b, bias)


def _dense(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = keras.layers.Dense(rank, use_bias=False, name=f"{layer.name}_low", dtype=layer.dtype_policy)
    second = fresh(layer)
    plan.fill[id(layer)] = lambda: _set_both(first, a, second, b, _bias(layer))
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
    own = list(layer.partial_output_shape)
    known = dict(zip(right.replace("...", "")[-len(own) :], own, strict=True))
    known[r] = rank
    # The batch goes without a size, unless an ellipsis stands for it; None is taken over from the input.
    plain = middle.replace("...", "")
    sizes = [known.get(letter) for letter in (plain if "..." in middle else plain[1:])]
    first = keras.layers.EinsumDense(
        f"{inside},{''.join(summed)}{r}->{middle}", sizes, name=f"{layer.name}_low", dtype=layer.dtype_policy
    )
    second = fresh(layer, equation=f"{middle},{r}{''.join(new)}->{right}")
    plan.fill[id(layer)] = lambda: _set_both(first, a, second, b, _bias(layer))
    return _then(first, second)


def _conv(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = fresh(layer, name=f"{layer.name}_low", filters=rank, use_bias=False, activation=None)
    first.name = f"{layer.name}_low"
    ones = (1,) * layer.rank
    second = fresh(layer, kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid")
    plan.fill[id(layer)] = lambda: _set_both(first, a, second, b, _bias(layer))
    return _then(first, second)


def _embedding(plan: Plan, layer: Any, chosen: list[tuple[Factor, int]]) -> Callable[..., Any]:
    import keras

    factor, rank = chosen[0]
    (a,), (b,) = factor.at(rank)
    first = fresh(layer, name=f"{layer.name}_low", output_dim=rank)
    first.name = f"{layer.name}_low"
    second = keras.layers.Dense(layer.output_dim, use_bias=False, name=layer.name, dtype=layer.dtype_policy)

    def fill() -> None:
        first._embeddings.assign(a)
        _set(second, b)

    plan.fill[id(layer)] = fill
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
