"""The root of an int8 normalization as a table: of its 256 possible numbers, each has one answer.

RSQRT's integer kernel iterates for each number, 80 ns on x86-64, so that the four roots of a small Transformer are a
fifteenth of its time, which tables give back. The sum with epsilon before the root goes into its table, too.
"""

import numpy as np

from .graph import Array, Graph, Grid, Op, Tensor
from .ops import options

_LOW, _HIGH = -128, 127


def tabulate_roots(graph: Graph) -> None:
    """Change a graph of integers in place."""
    makers, users = graph.makers(), graph.users()
    for op in list(graph.ops):
        if op.kind != "RSQRT" or op.input(0).dtype != "int8" or op.output.grid is None or op.input(0).grid is None:
            continue
        source, numbers = op.input(0), np.arange(_LOW, _HIGH + 1)
        before = makers.get(source)
        if before is not None and _adds_a_number(before) and len(users[source]) == 1 and source not in graph.outputs:
            graph.ops.remove(before)
            source = next(t for t in before.inputs if t is not None and t.data is None)
            added = next(t for t in before.inputs if t is not None and t.data is not None)
            numbers = _integers(_real(numbers, source.grid) + _real(added.data, added.grid), before.output.grid)
        variance = _real(numbers, op.input(0).grid)
        with np.errstate(divide="ignore"):
            roots = np.where(variance > 0, 1 / np.sqrt(np.maximum(variance, 0)), np.inf)  # the kernel's answer to 0
        graph.ops[graph.ops.index(op) : graph.ops.index(op) + 1] = _lookup(
            source, _integers(roots, op.output.grid).astype(np.int8), op
        )


def _adds_a_number(op: Op) -> bool:
    if op.kind != "ADD" or op.options.fusedActivationFunction or op.output.dtype != "int8":
        return False
    return sorted(1 if t.data is None else -t.data.size for t in op.inputs if t is not None) == [-1, 1]


def _real(numbers: Array | None, grid: Grid | None) -> Array:
    assert numbers is not None
    assert grid is not None
    return float(grid.scale[0]) * (numbers.reshape(-1).astype(np.float64) - int(grid.zero[0]))


def _integers(values: Array, grid: Grid | None) -> Array:
    assert grid is not None
    return np.clip(np.round(values / float(grid.scale[0])) + int(grid.zero[0]), _LOW, _HIGH)


def _lookup(source: Tensor, table: Array, root: Op) -> list[Op]:
    """GATHER from the table, whose first row is that of the smallest number."""
    name = root.output.name
    whole, rows = (Tensor(f"{name}/{role}", source.shape, "int32") for role in ("number", "row"))
    first = Tensor.constant(f"{name}/first", np.array(-_LOW, np.int32))
    answers = Tensor.constant(f"{name}/table", table, "int8", root.output.grid)
    cast = options("Cast", inDataType=9, outDataType=2)
    return [
        Op("CAST", [source], [whole], cast, choice=root.choice),
        Op("ADD", [whole, first], [rows], options("Add"), choice=root.choice),
        Op("GATHER", [answers, rows], root.outputs, options("Gather"), choice=root.choice),
    ]
