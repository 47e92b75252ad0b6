"""A TFLite model as objects that can be changed: read → rewrite → write.

Tensors and operations are compared by identity, and a graph holds operations alone: the tensors, buffers and operator
codes of the file are collected from them when it is written. So what nobody uses any more is gone by itself, constants
of the same bytes lie in the file once, and names, metadata and descriptions, which no device reads, are left out.

Reads and writes through the classes that ai-edge-litert generates from schema.fbs. Only the converter's child does.
"""

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES = {
    **{0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"},
    **{10: "float64", 12: "uint64", 13: "resource", 14: "variant", 15: "uint32", 16: "uint16", 17: "int4"},
}
DTYPE_CODES = {name: code for code, name in DTYPES.items()}


@dataclasses.dataclass(frozen=True)
class Grid:
    """real = scale · (integer - zero). scale, zero: one number, or one for each index of ``axis``."""

    scale: Array
    zero: Array
    axis: int = 0

    @classmethod
    def single(cls, scale: float, zero: int = 0) -> "Grid":
        return cls(np.array([scale], np.float32), np.array([zero], np.int64))

    def same(self, other: "Grid | None") -> bool:
        return other is not None and np.array_equal(self.scale, other.scale) and np.array_equal(self.zero, other.zero)


@dataclasses.dataclass(eq=False)
class Tensor:
    """data: of a constant, in ``shape``; int4 as int8. grid: None where the numbers mean themselves."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: Array | None = None
    grid: Grid | None = None
    range: tuple[float, float] | None = None  # that the training has settled
    variable: bool = False
    kept: Any = None  # the file's own table, for the types of a loop's lists

    @classmethod
    def constant(cls, name: str, data: Array, dtype: str | None = None, grid: Grid | None = None) -> "Tensor":
        return cls(name, tuple(data.shape), dtype or data.dtype.name, np.ascontiguousarray(data), grid)

    def like(self, name: str, dtype: str | None = None, grid: Grid | None = None) -> "Tensor":
        """An activation of the same shape."""
        return Tensor(name, self.shape, dtype or self.dtype, None, grid)


@dataclasses.dataclass(eq=False)
class Op:
    """One operation. inputs: None stands for an optional one that is left out. options: of the generated classes."""

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: Any = None
    version: int = 1
    choice: str | None = None  # of the recipe, for its layer
    intermediates: tuple[Tensor, ...] = ()
    kept: Any = None  # a custom operator's name, and the file's own table

    @property
    def custom(self) -> str | None:
        """The name of a custom operator."""
        return self.kept[0].decode() if self.kept and self.kept[0] else None

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def data(self, index: int) -> Array | None:
        """The constant at this input, None where there is none."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.data

    def input(self, index: int) -> Tensor:
        """An input that is there."""
        tensor = self.inputs[index]
        assert tensor is not None
        return tensor

    def constant(self, index: int) -> Array:
        """A constant that is there."""
        data = self.input(index).data
        assert data is not None
        return data


@dataclasses.dataclass(eq=False)
class Graph:
    """One subgraph, its operations in an order in which they can run."""

    ops: list[Op]
    inputs: list[Tensor]
    outputs: list[Tensor]

    def makers(self) -> dict[Tensor, Op]:
        return {output: op for op in self.ops for output in op.outputs}

    def users(self) -> dict[Tensor, list[Op]]:
        """The operations that read a tensor; one that reads it twice is there once."""
        found: dict[Tensor, list[Op]] = defaultdict(list)
        for op in self.ops:
            for tensor in dict.fromkeys(t for t in op.inputs if t is not None):
                found[tensor].append(op)
        return found

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Whoever read ``old`` reads ``new``, the graph's own outputs included."""
        for op in self.ops:
            op.inputs = [new if t is old else t for t in op.inputs]
        self.outputs = [new if t is old else t for t in self.outputs]

    def prune(self) -> None:
        """Drop the operations whose results nobody reads, and put the rest in order."""
        makers = self.makers()
        ordered: dict[Op, None] = {}  # the walk, from the outputs back
        for output in self.outputs:
            stack: list[tuple[Op, bool]] = [(makers[output], False)] if output in makers else []
            while stack:
                op, done = stack.pop()
                if done:
                    ordered[op] = None
                elif op not in ordered:
                    stack.append((op, True))
                    needed = [makers[t] for t in op.inputs if t is not None and t in makers]
                    stack += [(maker, False) for maker in reversed(needed) if maker not in ordered]
        kept = [op for op in self.ops if op in ordered]
        # The given order stands where it can run; else that of the walk.
        seen: set[Tensor] = set()
        for op in kept:
            if any(t is not None and t in makers and t not in seen for t in op.inputs):
                kept = list(ordered)
                break
            seen.update(op.outputs)
        self.ops = kept

    def share_constants(self) -> None:
        """Let constants of the same numbers on the same grid be one tensor."""
        known: dict[tuple[Any, ...], Tensor] = {}

        def shared(tensor: Tensor) -> Tensor:
            if tensor.data is None or tensor.variable or tensor in self.outputs:
                return tensor
            grid = tensor.grid and (tensor.grid.scale.tobytes(), tensor.grid.zero.tobytes(), tensor.grid.axis)
            return known.setdefault((tensor.dtype, tensor.shape, tensor.data.tobytes(), grid), tensor)

        for op in self.ops:
            op.inputs = [None if t is None else shared(t) for t in op.inputs]

    def tensors(self) -> Iterator[Tensor]:
        """Each tensor once: the graph's inputs first, then in the order of the operations."""
        used = (t for op in self.ops for t in (*op.inputs, *op.outputs, *op.intermediates))
        listed = [*self.inputs, *used, *self.outputs]
        yield from dict.fromkeys(t for t in listed if t is not None)


@dataclasses.dataclass(eq=False)
class Model:
    """graphs: the main one first, then the bodies of loops. inputs, outputs: the signature's names, in order."""

    graphs: list[Graph]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def main(self) -> Graph:
        return self.graphs[0]


def copied(model: Model, values: Mapping[Tensor, Any]) -> tuple[Model, dict[Tensor, Any]]:
    """A model of its own that shares the constants' data, and the values of its tensors."""
    made: dict[Tensor, Tensor] = {}

    def own(tensor: Tensor) -> Tensor:
        if tensor not in made:
            made[tensor] = dataclasses.replace(tensor)
        return made[tensor]

    graphs = []
    for graph in model.graphs:
        ops = [
            dataclasses.replace(
                op,
                inputs=[None if t is None else own(t) for t in op.inputs],
                outputs=[own(t) for t in op.outputs],
                intermediates=tuple(own(t) for t in op.intermediates),
                options=copy.copy(op.options),
            )
            for op in graph.ops
        ]
        graphs.append(Graph(ops, [own(t) for t in graph.inputs], [own(t) for t in graph.outputs]))
    return Model(graphs, model.inputs, model.outputs), {own(tensor): value for tensor, value in values.items()}
