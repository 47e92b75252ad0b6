"""Weights in integers, activations in floats: the form for a CPU without calibration, and between integer regions.

FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D take int8 weights beside a float input, which their kernels quantize on the
fly, row by row. Every other large constant, an embedding above all, is stored in integers and dequantized: rows of a GATHER
after they were gathered, the rest where it is read.
"""

from collections.abc import Callable

from .graph import Graph, Op, Tensor
from .weights import quantized

_HYBRID = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}  # and the axis of the output channels
_WORTHWHILE = 1024  # numbers; tf.lite leaves smaller constants alone, too


def quantize_weights(graph: Graph, bits: Callable[[Op], int], runtime: tuple[int, ...]) -> None:
    """bits: of an operation's weights: 32, 8 or 4. runtime: the target's, which decides what its kernels take."""
    done: dict[tuple[Tensor, str], Tensor] = {}
    for op in list(graph.ops):
        wanted = bits(op)
        if wanted == 32:
            continue
        for index, tensor in enumerate(op.inputs):
            if tensor is None or tensor.data is None or tensor.dtype != "float32" or tensor.data.size < _WORTHWHILE:
                continue
            if op.kind in _HYBRID and index == 1:
                key = (tensor, f"{op.kind} {wanted}")
                if key not in done:
                    done[key] = quantized(tensor, wanted, _axis(op, wanted, runtime))
                op.inputs[1] = done[key]
                _ask_for_symmetric(op)
            elif op.kind == "GATHER" and index == 0:
                _gather_integers(graph, op, tensor, wanted, runtime)
            elif index != 2 or op.kind not in _HYBRID:
                key = (tensor, "stored")
                if key not in done:
                    done[key] = _dequantized(graph, op, quantized(tensor, 8, None))
                op.inputs[index] = done[key]


def _axis(op: Op, bits: int, runtime: tuple[int, ...]) -> int | None:
    # Scales per channel in a dense layer ask for FULLY_CONNECTED version 12, which came with 2.17.
    if op.kind == "FULLY_CONNECTED" and runtime < (2, 17):
        return None
    return _HYBRID[op.kind]


def _ask_for_symmetric(op: Op) -> None:
    if hasattr(op.options, "asymmetricQuantizeInputs"):
        op.options.asymmetricQuantizeInputs = False


def _gather_integers(graph: Graph, op: Op, table: Tensor, bits: int, runtime: tuple[int, ...]) -> None:
    from ai_edge_litert import schema_py_generated as schema

    rows = quantized(table, 8, None)
    gathered = op.output.like(f"{op.output.name}/rows", "int8", rows.grid)
    op.inputs[0] = rows
    place = graph.ops.index(op)
    graph.ops.insert(place + 1, Op("DEQUANTIZE", [gathered], [op.output], schema.DequantizeOptionsT()))
    op.outputs = [gathered]


def _dequantized(graph: Graph, before: Op, constant: Tensor) -> Tensor:
    from ai_edge_litert import schema_py_generated as schema

    real = constant.like(f"{constant.name}/real", "float32")
    graph.ops.insert(graph.ops.index(before), Op("DEQUANTIZE", [constant], [real], schema.DequantizeOptionsT()))
    return real
