"""Weights in integers, activations in floats: the form for a CPU without calibration, and between integer regions.

FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D take int8 weights beside a float input, which their kernels quantize on
the fly, row by row. Every other large constant, an embedding above all, is stored in integers and dequantized: rows of
a GATHER after they were gathered, the rest where it is read.

A table that is the weights of a FULLY_CONNECTED too, as in language models whose exit is their entrance, is stored
once: with a scale for each row, which is gathered beside the row.

4 bits: FULLY_CONNECTED; an EMBEDDING_LOOKUP in place of the GATHER, from 2.18 on; the rest stays at 8.
"""

from collections.abc import Callable

import numpy as np

from .graph import Graph, Op, Tensor
from .ops import dequantize, options, reshape
from .weights import quantized

_HYBRID = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}  # and the axis of the output channels
_LOOKS_UP_INT4 = (2, 18)
_NARROW = 24  # numbers of a row in 4 bits: a scale of its own, with its zero point, would take as many bytes
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
                    done[key] = _dequantized(graph, op, quantized(tensor, 8, _HYBRID[op.kind]))
                op.inputs[1] = done[key]
            elif op.kind in _HYBRID and index == 1:
                key = (tensor, f"{op.kind} {wanted}")
                if key not in done:
                    few = wanted if op.kind == "FULLY_CONNECTED" else 8
                    done[key] = quantized(tensor, few, _axis(op, runtime))
                op.inputs[1] = done[key]
                _ask_for_symmetric(op)
            elif op.kind == "GATHER" and index == 0:
                _gather_integers(graph, op, tensor, wanted, runtime)
            elif index != 2 or op.kind not in _HYBRID:
                key = (tensor, "stored")
                if key not in done:
                    done[key] = _dequantized(graph, op, quantized(tensor, 8, None))
                op.inputs[index] = done[key]


def _axis(op: Op, runtime: tuple[int, ...]) -> int | None:
    # Scales per channel in a dense layer ask for FULLY_CONNECTED version 12, which came with 2.17.
    if op.kind == "FULLY_CONNECTED" and runtime < (2, 17):
        return None
    return _HYBRID[op.kind]


def _ask_for_symmetric(op: Op) -> None:
    if hasattr(op.options, "asymmetricQuantizeInputs"):
        op.options.asymmetricQuantizeInputs = False


def _gather_integers(graph: Graph, op: Op, table: Tensor, bits: int, runtime: tuple[int, ...]) -> None:
    if bits == 4 and runtime >= _LOOKS_UP_INT4 and _plain_rows(op, table):
        _look_up(graph, op, table)
        return
    if bits == 8 and _plain_rows(op, table) and _is_weights(graph, table, runtime):
        _gather_with_scales(graph, op, quantized(table, 8, 0))
        return
    rows = quantized(table, 8, None)
    gathered = op.output.like(f"{op.output.name}/rows", "int8", rows.grid)
    op.inputs[0] = rows
    graph.ops.insert(graph.ops.index(op) + 1, dequantize(gathered, op.output))
    op.outputs = [gathered]


def _is_weights(graph: Graph, table: Tensor, runtime: tuple[int, ...]) -> bool:
    """Whether a dense layer reads the same numbers, and will have a scale for each row of them."""
    found = [op for op in graph.ops if op.kind == "FULLY_CONNECTED" and _axis(op, runtime) == 0]
    return any(table is op.inputs[1] or np.array_equal(table.data, op.data(1)) for op in found)  # type: ignore[arg-type]


def _gather_with_scales(graph: Graph, op: Op, rows: Tensor) -> None:
    """The rows' integers mean themselves: their file then holds the same bytes as the dense layer's, and those once."""
    assert rows.data is not None
    assert rows.grid is not None
    shape, name = op.output.shape, op.output.name
    integers, real = Tensor(f"{name}/rows", shape, "int8"), Tensor(f"{name}/real", shape, "float32")
    scales = Tensor(f"{name}/scales", (*shape[:-1], 1), "float32")
    each = Tensor.constant(f"{name}/scale", np.resize(rows.grid.scale, (len(rows.data), 1)).astype(np.float32))
    place = graph.ops.index(op)
    graph.ops[place : place + 1] = [
        Op("GATHER", [Tensor.constant(rows.name, rows.data), op.input(1)], [integers], op.options),
        Op("GATHER", [each, op.input(1)], [scales], op.options),
        Op("CAST", [integers], [real], options("Cast", inDataType=9, outDataType=0)),
        Op("MUL", [real, scales], [op.output], options("Mul")),
    ]


def _plain_rows(op: Op, table: Tensor) -> bool:
    whole = op.options.axis == 0 and op.options.batchDims == 0 and len(table.shape) == 2
    return whole and op.input(1).dtype == "int32" and op.input(1).data is None


def _look_up(graph: Graph, op: Op, table: Tensor) -> None:
    """EMBEDDING_LOOKUP gives float rows of a table of 4 bits; its ids are a plain list. Each row has its own scale,
    narrow ones one for all."""
    axis = None if table.shape[1] <= _NARROW else 0
    ids, count = op.input(1), int(np.prod(op.input(1).shape))
    listed = Tensor(f"{ids.name}/list", (count,), "int32")
    rows = Tensor(op.output.name, (count, table.shape[1]), "float32")
    place = graph.ops.index(op)
    graph.ops[place : place + 1] = [
        reshape(ids, listed),
        Op("EMBEDDING_LOOKUP", [listed, quantized(table, 4, axis, _NEAREST)], [rows], None, choice=op.choice),
        reshape(rows, op.output),
    ]


def _dequantized(graph: Graph, before: Op, constant: Tensor) -> Tensor:
    real = constant.like(f"{constant.name}/real", "float32")
    graph.ops.insert(graph.ops.index(before), dequantize(constant, real))
    return real
