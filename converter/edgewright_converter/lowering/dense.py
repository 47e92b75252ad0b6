"""Dense layers in int8 as an engine wants them.

Products    of two activations: each matrix of a BATCH_MATMUL becomes a FULLY_CONNECTED. No delegate has an int8
            BATCH_MATMUL, and ai-edge-litert's own kernel of it takes four times as long on x86-64 as that of
            FULLY_CONNECTED. Both round twice; what lies halfway after the first time goes up in a dense layer, away
            from zero in a BATCH_MATMUL (fakequant/points.py).
Biases      tflite-runtime 2.14 crashes on aarch64 at a FULLY_CONNECTED whose weights have a scale for each channel, if
            it has no bias: so it gets one of zeros.
"""

from math import prod

import numpy as np

from .graph import Graph, Grid, Op, Tensor
from .ops import options, reshape, split, transpose

WORTH, MOST = 4096, 64


def becomes_dense(multiply_adds: int, matrices: int) -> bool:
    """Of one matrix, and how many there are: whether the other kernel makes up for the operators around it."""
    return multiply_adds >= WORTH and matrices <= MOST


def unfold_products(graph: Graph) -> None:
    """Change a graph of integers in place."""
    graph.ops = [made for op in graph.ops for made in (_unfolded(op) if _fits(op) else [op])]


def _fits(op: Op) -> bool:
    if op.kind != "BATCH_MATMUL" or op.options.adjX:
        return False
    left, right = op.input(0), op.input(1)
    if any(t.dtype != "int8" or t.data is not None for t in (left, right)) or op.output.dtype != "int8":
        return False
    matrices = prod(left.shape[:-2])
    return left.shape[:-2] == right.shape[:-2] and becomes_dense(
        left.shape[-1] * prod(op.output.shape[-2:]), matrices
    )


def _unfolded(op: Op) -> list[Op]:
    left, right, whole = op.input(0), op.input(1), op.output
    matrices = prod(left.shape[:-2])
    made: list[Op] = []
    end = whole
    if matrices > max((1, *left.shape[:-2])):  # along several axes, as the heads of several samples
        stack = Tensor(f"{left.name}/stack", (matrices, *left.shape[-2:]), "int8", grid=left.grid)
        made.append(reshape(left, stack))
        left, end = stack, Tensor(f"{whole.name}/stack", (matrices, *whole.shape[-2:]), "int8", grid=whole.grid)
    axis = left.shape.index(matrices) if matrices > 1 else 0
    if not op.options.adjY:  # FULLY_CONNECTED takes the rows of the right matrix for columns
        rank = len(right.shape)
        turned = Tensor(f"{whole.name}/turned", (*right.shape[:-2], *right.shape[:-3:-1]), "int8", grid=right.grid)
        made.append(transpose(right, turned, (*range(rank - 2), rank - 1, rank - 2)))
        right = turned
    rows, columns = right.shape[-2:]
    flat = Tensor(f"{right.name}/rows", (matrices * rows, columns), "int8", grid=right.grid)
    made.append(reshape(right, flat))
    lefts, rights = _parts(left, axis, matrices, made), _parts(flat, 0, matrices, made)
    parts = _named(end, axis, matrices) if matrices > 1 else [end]
    dense = options("FullyConnected", keepNumDims=True)
    made += [
        Op("FULLY_CONNECTED", [a, b], [part], dense, choice=op.choice)
        for a, b, part in zip(lefts, rights, parts, strict=True)
    ]
    if matrices > 1:
        made.append(Op("CONCATENATION", list(parts), [end], options("Concatenation", axis=axis)))
    return made if end is whole else [*made, reshape(end, whole)]


def _parts(tensor: Tensor, axis: int, count: int, made: list[Op]) -> list[Tensor]:
    """Equal parts along an axis. made: takes the operator that gives them."""
    if count == 1:
        return [tensor]
    parts = _named(tensor, axis, count)
    made.append(split(tensor, axis, parts))
    return parts


def _named(tensor: Tensor, axis: int, count: int) -> list[Tensor]:
    shape = (*tensor.shape[:axis], tensor.shape[axis] // count, *tensor.shape[axis + 1 :])
    return [Tensor(f"{tensor.name}/{n}", shape, "int8", grid=tensor.grid) for n in range(count)]


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
