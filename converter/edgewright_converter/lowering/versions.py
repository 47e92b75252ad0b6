"""The version of each operator: the lowest whose kernel takes these types, as in LiteRT's op_version.cc."""

from .graph import Graph, Op, Tensor
from .kernels import kinds


def set_versions(graph: Graph) -> None:
    """Only for what the quantizers touch; float operators keep the version that the converter gave them."""
    for op in graph.ops:
        op.version = max(op.version, _version(op))


def _version(op: Op) -> int:
    inputs = [t.dtype if t is not None else "" for t in op.inputs]
    first, output = inputs[0] if inputs else "", op.outputs[0].dtype if op.outputs else ""
    if op.kind == "FULLY_CONNECTED":
        return _fully_connected(op, inputs)
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return _convolution(op, inputs)
    if op.kind == "TRANSPOSE_CONV":
        lone = len(op.inputs) < 4 or op.inputs[3] is None
        return max(2 if inputs[1] == "int8" else 1, 1 if lone else 3)
    if op.kind == "SPLIT":
        return {"int8": 2, "int32": 3, "int16": 4}.get(inputs[1], 1)
    if op.kind == "MUL" and first == "int8":
        a, b, c = (float(t.grid.scale[0]) for t in (*op.inputs[:2], op.output))  # type: ignore[union-attr]
        return 3 if a * b / c >= 1 else 2
    if op.kind == "DEQUANTIZE":
        grid = op.inputs[0].grid if op.inputs[0] is not None else None
        if grid is not None and len(grid.scale) > 1:
            return 5
        return {"int8": 2, "int16": 3, "float16": 3, "int4": 6}.get(first, 1)
    if op.kind == "QUANTIZE":
        return 2 if output == "int16" else 1
    if op.kind == "GATHER" and first == "int4":
        return 7
    return _INT8.get(op.kind, 2) if "int8" in (first, output) else 1


_INT8 = {"CAST": 3, "REVERSE_V2": 3, "TILE": 3} | dict.fromkeys(
    kinds(
        "RESHAPE EXPAND_DIMS SQUEEZE SELECT SELECT_V2 HARD_SWISH LEAKY_RELU PRELU ELU GATHER_ND RELU_N1_TO_1 "
        "UNIDIRECTIONAL_SEQUENCE_LSTM"
    ),
    1,
)  # where it is not version 2 that brought int8


def _fully_connected(op: Op, inputs: list[str]) -> int:
    weights: Tensor | None = op.inputs[1]
    assert weights is not None
    lone = len(op.inputs) < 3 or op.inputs[2] is None
    version = 1
    if inputs[1] == "int4":
        version = 10
    elif inputs[0] == "int8":
        version = 4
    elif inputs[0] == "float32" and inputs[1] == "int8":
        version = 3
    if inputs[0] == "float32" and weights.grid is not None and len(weights.grid.scale) > 1:
        version = max(version, 12)
    return max(version, 6 if lone else 1, 5 if op.options.keepNumDims else 1)


def _convolution(op: Op, inputs: list[str]) -> int:
    if inputs[1] == "int4":
        return 7
    if inputs[0] == "int8":
        return 3
    if inputs[1] == "int8":
        weights = op.inputs[1]
        wide = weights is not None and weights.grid is not None and len(weights.grid.scale) > 1
        return {(True, True): 5, (True, False): 2, (False, True): 6, (False, False): 4}[op.kind == "CONV_2D", wide]
    return 1
