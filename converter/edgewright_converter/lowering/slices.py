"""Slices that share a tensor out between them, as the gates of a GRU's state, become one SPLIT."""

import numpy as np

from .graph import Graph, Op, Tensor
from .ops import split


def split_slices(graph: Graph) -> None:
    """Slices of equal width that cover the last axis of a tensor."""
    for tensor, readers in graph.users().items():
        found = {span: op for op in readers if (span := _span(op, tensor)) is not None}
        parts = [found[span] for span in sorted(found)]
        if len(parts) < 2 or tensor.shape[-1] % len(parts):
            continue
        width = tensor.shape[-1] // len(parts)
        if sorted(found) != [(n * width, (n + 1) * width) for n in range(len(parts))]:
            continue
        made = split(tensor, len(tensor.shape) - 1, [op.output for op in parts])
        made.choice = parts[0].choice
        place = min(graph.ops.index(op) for op in parts)
        graph.ops = [op for op in [*graph.ops[:place], made, *graph.ops[place:]] if op not in parts]


def _span(op: Op, tensor: Tensor) -> tuple[int, int] | None:
    """What a slice takes of the last axis of a tensor, of whose other axes it takes all."""
    if op.kind not in ("SLICE", "STRIDED_SLICE") or op.inputs[0] is not tensor or op.data(1) is None:
        return None
    begins, ends = op.constant(1), op.data(2)
    if ends is None or len(begins) != len(tensor.shape):
        return None
    if op.kind == "SLICE":
        ends = np.where(ends < 0, tensor.shape, begins + ends)
    else:
        options, bits = op.options, 1 << np.arange(len(begins))
        if (op.constant(3) != 1).any() or options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
            return None
        begins = np.where(options.beginMask & bits, 0, begins)
        ends = np.where(options.endMask & bits, tensor.shape, ends)
    if begins[:-1].any() or tuple(ends[:-1]) != tensor.shape[:-1]:
        return None
    return int(begins[-1]), int(ends[-1])
