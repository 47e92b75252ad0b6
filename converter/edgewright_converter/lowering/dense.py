"""Dense layers in int8 as an engine wants them.

Products    of two activations: each matrix of a BATCH_MATMUL becomes a FULLY_CONNECTED. No delegate has an int8
            BATCH_MATMUL, and ai-edge-litert's own kernel of it takes four times as long on x86-64 as that of
            FULLY_CONNECTED, which may round a number halfway between two steps to the other one. The Edge TPU's
            compiler wants a dense layer's weights constant, so for it the operator stays.
Biases      tflite-runtime 2.14 crashes on aarch64 at a FULLY_CONNECTED whose weights have a scale for each channel, if
            it has no bias: so it gets one of zeros.
"""

from math import prod

import numpy as np

from .graph import Graph, Grid, Op, Tensor
from .ops import options, reshape, split, transpose

WORTH = 4096  # multiply-adds of one matrix, from which on the other kernel makes up for the operators around it
MOST = 64  # matrices of one product, each of which becomes an operator


def unfold_products(graph: Graph) -> None:
    """Change a graph of integers in place."""
    graph.ops = [made for op in graph.ops for made in (_unfolded(op) if _fits(op) else [op])]


def _fits(op: Op) -> bool:
    if op.kind != "BATCH_MATMUL" or op.options.adjX:
        return False
    left, right = op.input(0), op.input(1)
    if any(t.dtype != "int8" or t.data is not None for t in (left, right)) or op.output.dtype != "int8":
        return False
    same = left.shape[:-2] == right.shape[:-2] and prod(left.shape[:-2]) <= MOST
    return same and left.shape[-1] * prod(op.output.shape[-2:]) >= WORTH


def _unfolded(op: Op) -> list[Op]:
    left, right, whole = op.input(0), op.input(1), op.output
    count, (rows, columns) = prod(left.shape[:-2]), whole.shape[-2:]
    made: list[Op] = []
    if not op.options.adjY:  # FULLY_CONNECTED takes the rows of the right matrix for columns
        rank = len(right.shape)
        turned = Tensor(f"{whole.name}/turned", (*right.shape[:-2], *right.shape[:-3:-1]), "int8", grid=right.grid)
        made.append(transpose(right, turned, (*range(rank - 2), rank - 1, rank - 2)))
        right = turned
    lefts, rights = (_matrices(tensor, count, made) for tensor in (left, right))
    parts = [Tensor(f"{whole.name}/{n}", (rows, columns), "int8", grid=whole.grid) for n in range(count)]
    for a, b, part in zip(lefts, rights, parts, strict=True):
        made.append(Op("FULLY_CONNECTED", [a, b], [part], options("FullyConnected"), choice=op.choice))
    joined = parts[0]
    if count > 1:
        joined = Tensor(f"{whole.name}/joined", (count * rows, columns), "int8", grid=whole.grid)
        made.append(Op("CONCATENATION", list(parts), [joined], options("Concatenation", axis=0)))
    return [*made, reshape(joined, whole)]


def _matrices(tensor: Tensor, count: int, made: list[Op]) -> list[Tensor]:
    """The matrices of which the tensor is a stack; made: takes the operators that part it."""
    rows, columns = tensor.shape[-2:]
    flat = Tensor(f"{tensor.name}/rows", (count * rows, columns), "int8", grid=tensor.grid)
    made.append(reshape(tensor, flat))
    if count == 1:
        return [flat]
    parts = [Tensor(f"{flat.name}/{n}", (rows, columns), "int8", grid=tensor.grid) for n in range(count)]
    made.append(split(flat, 0, parts))
    return parts


def give_biases(graph: Graph) -> None:
    """Change a graph of integers in place: zeros where scales by channel come without a bias."""
    for op in graph.ops:
        grid = op.input(1).grid if op.kind == "FULLY_CONNECTED" and op.input(0).dtype == "int8" else None
        data = op.input(0).grid
        if grid is None or data is None or len(grid.scale) == 1 or op.data(2) is not None:
            continue
        scale = Grid.single(float(grid.scale[0]) * float(data.scale[0]))
        zeros = np.zeros(op.output.shape[-1], np.int32)
        op.inputs[2:] = [Tensor.constant(f"{op.output.name}/bias", zeros, "int32", scale)]
