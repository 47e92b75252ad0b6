"""Weights in integers, activations in floats: the form for a CPU without calibration, and between integer regions.

FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D take int8 weights beside a float input, which their kernels quantize on
the fly, row by row. Every other large constant, an embedding above all, is stored in integers and dequantized: rows of
a GATHER after they were gathered, the rest where it is read.

A table whose rows have scales of their own has them as a second table, which is gathered too: as a grid by channel each
row would cost 8 bytes more, for a zero point. It is one with 4 bits, where rows are not narrow and no training has
settled one scale for all, and one that is the weights of a FULLY_CONNECTED too, as in language models whose exit is
their entrance: the integers of both are the same then, and stored once.

4 bits: FULLY_CONNECTED; from 2.18 on a GATHER of rows that fill whole bytes; the rest stays at 8.
"""

from collections.abc import Callable

import numpy as np

from .graph import Graph, Grid, Op, Tensor
from .ops import dequantize, options
from .weights import dense_axis, quantized

_HYBRID = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}  # and the axis of the output channels
_REAL_INT4 = (2, 18)  # DEQUANTIZE of 4 bits
_NARROW = 24  # numbers of a row in 4 bits: a scale of its own would take a third of their bytes, or more
_NEAREST = 0.04  # of its largest number: where the one grid of a narrow table may end, for its rows differ in size
_WORTHWHILE = 1024  # numbers; tf.lite leaves smaller constants alone, too


def quantize_weights(
    graph: Graph, bits: Callable[[Op], int], runtime: tuple[int, ...], stored: Callable[[Op], bool] = lambda op: False
) -> None:
    """bits: of an operation's weights: 32, 8 or 4. runtime: the target's, which decides what its kernels take. stored:
    whose 8-bit weights are kept in integers, but computed with in floats: the delegate unpacks them once, when the
    model is loaded."""
    done: dict[tuple[Tensor, str], Tensor] = {}
    for op in list(graph.ops):
        wanted = bits(op)
        if wanted == 32:
            continue
        for index, tensor in enumerate(op.inputs):
            if tensor is None or tensor.data is None or tensor.dtype != "float32" or tensor.data.size < _WORTHWHILE:
                continue
            if op.kind in _HYBRID and index == 1 and stored(op) and (wanted == 8 or op.kind != "FULLY_CONNECTED"):
                key = (tensor, f"stored {op.kind}")
                if key not in done:
                    done[key] = _dequantized(graph, op, quantized(tensor, 8, _axis(op, 8)))
                op.inputs[1] = done[key]
            elif op.kind in _HYBRID and index == 1:
                key = (tensor, f"{op.kind} {wanted}")
                if key not in done:
                    few = wanted if op.kind == "FULLY_CONNECTED" else 8
                    done[key] = quantized(tensor, few, _axis(op, few) if _takes_scales(op, runtime) else None)
                op.inputs[1] = done[key]
                _ask_for_symmetric(op)
            elif op.kind == "GATHER" and index == 0:
                _gather_integers(graph, op, tensor, wanted, runtime)
            elif index != 2 or op.kind not in _HYBRID:
                key = (tensor, "stored")
                if key not in done:
                    done[key] = _dequantized(graph, op, quantized(tensor, 8, None))
                op.inputs[index] = done[key]


def _axis(op: Op, bits: int) -> int | None:
    return dense_axis(op.input(1), bits) if op.kind == "FULLY_CONNECTED" else _HYBRID[op.kind]


def _takes_scales(op: Op, runtime: tuple[int, ...]) -> bool:
    """Whether the kernel takes a scale for each channel beside a float input: a dense layer's does since 2.17."""
    return op.kind != "FULLY_CONNECTED" or runtime >= (2, 17)


def _ask_for_symmetric(op: Op) -> None:
    if hasattr(op.options, "asymmetricQuantizeInputs"):
        op.options.asymmetricQuantizeInputs = False


def _gather_integers(graph: Graph, op: Op, table: Tensor, bits: int, runtime: tuple[int, ...]) -> None:
    plain = _plain_rows(op, table)
    if bits == 4 and runtime >= _REAL_INT4 and plain and table.shape[1] % 2 == 0:  # else rows share a byte
        rows = quantized(table, 4, 0) if table.shape[1] > _NARROW else quantized(table, 4, None, _NEAREST)
    elif bits == 8 and plain and _is_weights(graph, table, runtime):
        rows = quantized(table, 8, 0)
    else:
        rows = quantized(table, 8, None)
    assert rows.data is not None
    assert rows.grid is not None
    scales = np.unique(rows.grid.scale)
    grid = Grid.single(float(scales[0]) if len(scales) == 1 else 1.0)
    op.inputs[0] = Tensor.constant(rows.name, rows.data, rows.dtype, grid)
    gathered, output = op.output.like(f"{op.output.name}/rows", rows.dtype, grid), op.output
    place = graph.ops.index(op) + 1
    op.outputs = [gathered]
    if len(scales) == 1:
        graph.ops.insert(place, dequantize(gathered, output))
        return
    steps = output.like(f"{output.name}/steps")
    each = Tensor(f"{output.name}/scales", (*output.shape[:-1], 1), "float32")
    lengths = Tensor.constant(f"{rows.name}/scales", rows.grid.scale.reshape(-1, 1))
    graph.ops[place:place] = [
        dequantize(gathered, steps),
        Op("GATHER", [lengths, op.input(1)], [each], op.options, choice=op.choice),
        Op("MUL", [steps, each], [output], options("Mul"), choice=op.choice),
    ]


def _is_weights(graph: Graph, table: Tensor, runtime: tuple[int, ...]) -> bool:
    """Whether a dense layer reads the same numbers, and will have a scale for each row of them."""
    found = [op for op in graph.ops if op.kind == "FULLY_CONNECTED" and op.data(1) is not None]
    found = [op for op in found if op.input(1).dtype == "float32" and _takes_scales(op, runtime) and _axis(op, 8) == 0]
    return any(table is op.inputs[1] or np.array_equal(table.data, op.data(1)) for op in found)  # type: ignore[arg-type]


def _plain_rows(op: Op, table: Tensor) -> bool:
    whole = op.options.axis == 0 and op.options.batchDims == 0 and len(table.shape) == 2
    return whole and op.input(1).dtype == "int32" and op.input(1).data is None


def _dequantized(graph: Graph, before: Op, constant: Tensor) -> Tensor:
    real = constant.like(f"{constant.name}/real", "float32")
    graph.ops.insert(graph.ops.index(before), dequantize(constant, real))
    return real
