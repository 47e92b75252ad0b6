"""A constant attention mask in integers: one ADD that saturates, for the SELECT and what computes its fill."""

from typing import Any

import numpy as np

from .graph import Graph, Op, Tensor
from .ops import options
from .ranges import Ranges


def saturate_masks(graph: Graph, ranges: Ranges) -> None:
    """select(mask, scores, fill) with a constant mask → scores + (0 where the mask holds, else -span).

    The result reaches from the smallest fill to the largest score; adding minus its span ends below it,
    where int8 saturates at the lowest step, which is the fill.
    """
    makers = graph.makers()
    for op in list(graph.ops):
        mask = op.data(0) if op.kind in ("SELECT", "SELECT_V2") else None
        if mask is None or op.output.range is not None or not _is_fill(op, makers):
            continue
        scores = op.inputs[1]
        if scores is None or scores.shape != op.output.shape:
            continue
        low, high = ranges[op.output]
        high = max(high, ranges[scores][1])  # a masked score may be the largest
        shift = np.where(mask, 0.0, low - high).astype(np.float32)
        constant = Tensor.constant("mask", shift)
        added = Op("ADD", [scores, constant], op.outputs, options("Add"), choice=op.choice)
        graph.ops[graph.ops.index(op)] = added
    graph.prune()


def _is_fill(op: Op, makers: dict[Tensor, Op]) -> bool:
    """Whether the other choice is the smallest score less a constant, as plain.py writes it."""
    fill: Any = makers.get(op.inputs[2])  # type: ignore[arg-type]
    lowest = makers.get(fill.inputs[0]) if fill is not None and fill.kind in ("SUB", "ADD") else None
    return lowest is not None and lowest.kind == "REDUCE_MIN" and lowest.inputs[0] is op.inputs[1]
