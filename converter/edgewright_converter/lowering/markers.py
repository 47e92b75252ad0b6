"""Carries the ranges that a quantization-aware training has settled through TensorFlow's converter.

The contract with the training: what arrives here is a frozen graph in which each activation whose range is settled goes
through a FakeQuantWithMinMaxVars node with constant min and max, and each kernel is a float constant on its symmetric
grid, per output channel or per tensor, with max|w| on the grid's end. Then
- in `int8`, each such activation lies on exactly that grid: scale = (max - min) / 255, the zero nudged to a whole
  number as TensorFlow's kernel does it; kernels come out as the integers that the training saw; what has no node is
  measured;
- where an operator stays float, or its input is quantized on the fly (`int8-fast`, `dynamic-int8`), the nodes are
  dropped.

TensorFlow's converter would turn the nodes into uint8 operators and move them around. So each is replaced by an
operator that it passes through untouched, numbered by a constant, and taken out of the flatbuffer afterwards.
"""

from typing import Any

from ..errors import ConversionError
from ..fakequant.points import ROUNDED_TWICE
from .graph import Graph

Range = tuple[float, float]

_MARKER = "Zeta"  # takes a tensor and a scalar, gives the tensor's shape, and has no builtin operator
_FIRST = 2  # where Zeta is defined, should anything evaluate it


def mark_ranges(graph: Any) -> list[Range]:
    """Replace the FakeQuant nodes of a GraphDef by markers; returns the range of each. Those of constants are dropped.

    Raises ConversionError for a range that is not constant, and for other than 8 bits.
    """
    import numpy as np
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    ranges: list[Range] = []
    for node in [node for node in graph.node if node.op == "FakeQuantWithMinMaxVars"]:
        if not _varies(nodes, node.input[0]):  # a constant has a grid of its own
            node.op = "Identity"
            del node.input[1:]
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
            continue
        ends = [_constant(nodes, name) for name in node.input[1:3]]
        if None in ends or node.attr["num_bits"].i not in (0, 8):
            raise ConversionError(
                f"The fake quantizer {node.name} has not a constant range of 8 bits, which alone can be kept: "
                "freeze its range, or use the recipe int16x8 for 16 bits."
            )
        number = graph.node.add(op="Const", name=f"{node.name}/range")
        number.attr["dtype"].type = tf.float32.as_datatype_enum
        number.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(_FIRST + len(ranges))))
        source = _as_computed(nodes, node.input[0])
        waits = [name for name in node.input if name.startswith("^")]
        del node.input[:]
        node.input.extend([source, number.name, *waits])
        node.attr.clear()
        node.attr["T"].type = tf.float32.as_datatype_enum
        node.op = _MARKER
        ranges.append((float(ends[0]), float(ends[1])))  # type: ignore[arg-type]
    return ranges


def take_ranges(graph: Graph, ranges: list[Range]) -> None:
    """Remove the markers from the converted graph; their inputs carry the ranges from now on."""
    for op in [op for op in graph.ops if op.kind == "CUSTOM" and op.custom == _MARKER]:
        source, number = op.inputs[0], op.data(1)
        assert source is not None
        assert number is not None
        if source.range is None:
            source.range = ranges[int(number) - _FIRST]
        graph.replace(op.output, source)
        graph.ops.remove(op)


def _constant(nodes: dict[str, Any], name: str) -> float | None:
    import tensorflow as tf

    node = nodes.get(name.split(":")[0])
    while node is not None and node.op == "Identity":
        node = nodes.get(node.input[0].split(":")[0])
    return None if node is None or node.op != "Const" else float(tf.make_ndarray(node.attr["value"].tensor))


def _as_computed(nodes: dict[str, Any], name: str) -> str:
    """The number itself, without what was added to it to round as a kernel does."""
    node = nodes[name.split(":")[0]]
    return str(node.input[0]) if node.op == "AddV2" and ROUNDED_TWICE in node.name else name


def _varies(nodes: dict[str, Any], name: str) -> bool:
    """Whether a value depends on the model's inputs; what does not is folded."""
    seen, stack = set(), [name]
    while stack:
        node = nodes.get(stack.pop().split(":")[0].lstrip("^"))
        if node is None or node.name in seen:
            continue
        if node.op == "Placeholder":
            return True
        seen.add(node.name)
        stack += node.input
    return False
