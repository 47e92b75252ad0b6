"""The softmax of an attention in floats, written out: e^(x - max) goes into the product, whose rows are then multiplied
by the reciprocals of their sums, which are fewer divisions.

XNNPACK's own softmax is slow on AVX-512 in rows that do not fill whole vectors of 16 numbers: it reads again what a
masked store has just written. With 24 keys an attention takes two thirds of its time this way; with 16, 32 or 64 keys,
or a single row, XNNPACK's is as quick or quicker.
"""

from math import prod
from typing import Any

import numpy as np

from .graph import Graph, Op, Tensor
from .ops import options

_VECTOR = 16


def write_out_softmax(graph: Graph) -> None:
    """Change a float graph in place, where a softmax is the left factor of one product."""
    users = graph.users()
    for op in list(graph.ops):
        readers = users[op.output] if op.kind == "SOFTMAX" else []
        if len(readers) == 1 and op.output not in graph.outputs and _fits(op, readers[0]):
            _write_out(graph, op, readers[0])


def _fits(softmax: Op, product: Op) -> bool:
    return (
        softmax.options.beta == 1
        and softmax.output.dtype == "float32"
        and softmax.output.range is None
        and softmax.output.shape[-1] % _VECTOR != 0
        and prod(softmax.output.shape[-2:-1]) > 1
        and product.kind == "BATCH_MATMUL"
        and product.inputs[0] is softmax.output
        and product.inputs[1] is not softmax.output
        and not product.options.adjX
        and product.output.range is None
    )


def _write_out(graph: Graph, softmax: Op, product: Op) -> None:
    scores, weights, mixed = softmax.input(0), softmax.output, product.output
    column = (*scores.shape[:-1], 1)
    largest, total, share = (Tensor(f"{weights.name}/{name}", column, "float32") for name in ("max", "sum", "share"))
    below, powers = weights.like(f"{weights.name}/below"), weights.like(f"{weights.name}/exp")
    undivided = mixed.like(f"{mixed.name}/undivided")

    def made(kind: str, inputs: list[Tensor], output: Tensor, given: Any) -> Op:
        return Op(kind, [*inputs], [output], given, choice=softmax.choice)

    axis = Tensor.constant("axis", np.array([len(scores.shape) - 1], np.int32))
    before = [
        made("REDUCE_MAX", [scores, axis], largest, options("Reducer", keepDims=True)),
        made("SUB", [scores, largest], below, options("Sub")),
        made("EXP", [below], powers, options("Exp")),
        made("SUM", [powers, axis], total, options("Reducer", keepDims=True)),
    ]
    product.inputs[0], product.outputs = powers, [undivided]
    one = Tensor.constant("one", np.ones((), np.float32))
    after = [
        made("DIV", [one, total], share, options("Div")),
        made("MUL", [undivided, share], mixed, options("Mul")),
    ]
    place = graph.ops.index(softmax)
    graph.ops[place : place + 1] = before
    place = graph.ops.index(product) + 1
    graph.ops[place:place] = after
