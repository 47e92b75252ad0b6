"""Files that will not run, each wrong in one way, and what the doctor must say of it.

engine: whether the file is a flatbuffer that the engine itself can be asked about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from unit.models import FlatbufferBuilder, tiny_model


@dataclass(frozen=True)
class Bad:
    make: Callable[[], bytes]
    check: str
    said: str
    engine: bool = True


class Graph(FlatbufferBuilder):
    def raw(self) -> Any:
        return self._graph

    def one(self, name: str, dtypes: list[str], out: str = "float32", **tensor: Any) -> bytes:
        """An operator on tensors (1, 4) of these types."""
        inputs = [self.tensor(f"x{i}", (1, 4), dtype, **tensor) for i, dtype in enumerate(dtypes)]
        y = self.tensor("model/layer_a/out", (1, 4), out, **tensor)
        self.operator(name, 1, inputs, y)
        return self.build({f"x{i}": i for i in inputs}, {"y": y})


def custom(name: str) -> bytes:
    graph = Graph()
    x, y = graph.tensor("x", (1, 4)), graph.tensor("model/layer_a/out", (1, 4))
    graph.operator("CUSTOM", 1, [x], y)
    graph._model.operatorCodes[-1].customCode = name
    return graph.build({"x": x}, {"y": y})


def dense(
    weights: tuple[int, ...] = (3, 4),
    bias: int = 3,
    edit: Callable[[Any, Any], None] = lambda graph, model: None,
    dtype: str = "float32",
    scale: float | None = None,
) -> bytes:
    """x (1, 4) → FULLY_CONNECTED → y (1, 3), changed by ``edit``."""
    graph = Graph()
    x, y = (
        graph.tensor("x", (1, 4), dtype, scale=scale),
        graph.tensor("model/layer_a/MatMul", (1, 3), dtype, scale=scale),
    )
    w = graph.tensor("w", weights, dtype, np.ones(weights), scale=scale)
    b = graph.tensor("b", (bias,), "float32" if dtype == "float32" else "int32", np.zeros(bias), scale=scale)
    graph.dense(x, w, b, y)
    edit(graph.raw(), graph._model)
    inputs = {"x": x}
    return graph.build(inputs, {"y": y})


def conv(weights: tuple[int, ...] = (2, 1, 1, 3), sparse: bool = False, scales: int = 0) -> bytes:
    graph = Graph()
    kind = {"dtype": "int8", "scale": 0.5} if scales else {}
    x, y = graph.tensor("x", (1, 4, 4, 3), **kind), graph.tensor("model/layer_a/Conv2D", (1, 4, 4, 2), **kind)
    w = graph.tensor("w", weights, data=np.ones(weights), **kind)
    b = graph.tensor("b", (2,), "int32" if scales else "float32", np.zeros(2), scale=0.25 if scales else None)
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    graph.operator("CONV_2D", 3, [x, w, b], y, "Conv2DOptions", **options)
    if scales:
        quantization = graph.raw().tensors[w].quantization
        quantization.scale, quantization.zeroPoint = [0.5] * scales, [0] * scales
    if sparse:
        tensor = graph.raw().tensors[w]
        tensor.sparsity = schema.SparsityParametersT()
        tensor.sparsity.traversalOrder = [0, 1, 2, 3]
        tensor.sparsity.dimMetadata = []
        for size in weights:
            dimension = schema.DimensionMetadataT()
            dimension.format, dimension.denseSize = schema.DimensionType.DENSE, size
            tensor.sparsity.dimMetadata.append(dimension)
        graph._model.buffers[tensor.buffer].data = graph._model.buffers[tensor.buffer].data[:4]
    return graph.build({"x": x}, {"y": y})


def no_end(end: str) -> bytes:
    graph = Graph()
    x, y = graph.tensor("x", (1, 4)), graph.tensor("model/layer_a/out", (1, 4))
    graph.operator("RELU", 1, [x], y)
    return graph.build({} if end == "inputs" else {"x": x}, {} if end == "outputs" else {"y": y}, None)


def loop(branch: int) -> bytes:
    graph = Graph()
    x, y = graph.tensor("x", (1, 4)), graph.tensor("model/layer_a/while", (1, 4))
    graph.operator("WHILE", 1, [x], y, "WhileOptions", condSubgraphIndex=branch, bodySubgraphIndex=branch)
    return graph.build({"x": x}, {"y": y})


def nothing() -> bytes:
    graph = Graph()
    x = graph.tensor("x", (1, 4))
    return graph.build({"x": x}, {"x": x})


def unset() -> bytes:
    graph = Graph()
    x, never, y = (graph.tensor(name, (1, 4)) for name in ("x", "never", "model/layer_a/add"))
    graph.operator("ADD", 1, [x, never], y, "AddOptions")
    return graph.build({"x": x}, {"y": y})


def huge() -> bytes:
    """Activations of 4 GB, no weights."""
    graph = Graph()
    x, y = graph.tensor("x", (1, 1)), graph.tensor("model/layer_a/big", (1 << 15, 1 << 15))
    shape = graph.tensor("shape", (2,), "int32", np.array([1 << 15, 1 << 15]))
    graph.operator("BROADCAST_TO", 2, [x, shape], y)
    return graph.build({"x": x}, {"y": y})


def code_999() -> bytes:
    graph = Graph()
    x, y = graph.tensor("x", (1, 4)), graph.tensor("model/layer_a/out", (1, 4))
    graph.operator("RELU", 1, [x], y)
    code = graph._model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode = 999, 127
    return graph.build({"x": x}, {"y": y})


def _edit_shape(graph: Any, model: Any) -> None:
    graph.tensors[2].shape = [3, 400]


def _cut_weights(graph: Any, model: Any) -> None:
    buffer = model.buffers[graph.tensors[2].buffer]
    buffer.data = buffer.data[:40]


def _wrong_index(graph: Any, model: Any) -> None:
    graph.operators[0].inputs = [0, 99, 3]


def _wrong_code(graph: Any, model: Any) -> None:
    graph.operators[0].opcodeIndex = 7


def _wrong_buffer(graph: Any, model: Any) -> None:
    graph.tensors[2].buffer = 50


def _unscaled(graph: Any, model: Any) -> None:
    for tensor in graph.tensors:
        tensor.quantization = None


BAD: dict[str, Bad] = {
    "empty": Bad(lambda: b"", "integrity", "it is empty", engine=False),
    "text": Bad(lambda: b"version https://git-lfs.github.com/spec/v1\n", "integrity", "no TFLite", engine=False),
    "keras": Bad(lambda: b"PK\3\4" + bytes(60), "integrity", "such as a .keras file", engine=False),
    "hdf5": Bad(lambda: b"\x89HDF\r\n\x1a\n" + bytes(60), "integrity", "HDF5", engine=False),
    "saved_model": Bad(lambda: b"\x08\x01\x12\xd8\x02\x0a" + bytes(60), "integrity", "SavedModel", engine=False),
    "truncated": Bad(lambda: tiny_model()[:300], "integrity", "damaged", engine=False),
    "zeroed": Bad(lambda: tiny_model()[:8] + bytes(500), "integrity", "damaged", engine=False),
    "pointing_out": Bad(lambda: b"\xff\xff\xff\x7f" + tiny_model()[4:], "integrity", "damaged", engine=False),
    "wrong_index": Bad(lambda: dense(edit=_wrong_index), "integrity", "names a tensor that it does not hold"),
    "wrong_code": Bad(lambda: dense(edit=_wrong_code), "integrity", "damaged", engine=False),
    "wrong_buffer": Bad(lambda: dense(edit=_wrong_buffer), "integrity", "damaged", engine=False),
    "no_operator": Bad(nothing, "graph", "it has no operator", engine=False),
    "no_input": Bad(lambda: no_end("inputs"), "graph", "it has no input"),
    "no_output": Bad(lambda: no_end("outputs"), "graph", "it has no output", engine=False),
    "never_computed": Bad(unset, "graph", "it reads never, which nothing before it computes"),
    "loop_without_body": Bad(lambda: loop(5), "graph", "it runs graph 5, and the file has 1"),
    "custom": Bad(lambda: custom("MyAttention"), "custom", "MyAttention in layer_a: it is a custom operator"),
    "flex": Bad(lambda: custom("FlexErf"), "flex", "FlexErf in layer_a: it is TensorFlow's own Erf"),
    "edgetpu": Bad(lambda: custom("edgetpu-custom-op"), "edgetpu", "compiled for an Edge TPU"),
    "newer_version": Bad(
        lambda: tiny_model(dense_version=99), "operator", "version 99 is needed, litert has versions up"
    ),
    "unknown_code": Bad(code_999, "custom", "BUILTIN_999 in layer_a"),
    "without_kernel": Bad(lambda: Graph().one("CONCAT_EMBEDDINGS", ["float32"]), "operator", "has no kernel for this"),
    "int64": Bad(
        lambda: Graph().one("RELU", ["int64"], "int64"), "type", "RELU in layer_a: litert has no kernel from int64"
    ),
    "bool": Bad(lambda: Graph().one("ADD", ["bool", "bool"], "bool"), "type", "no kernel from bool to bool"),
    "sparse_conv": Bad(lambda: conv(sparse=True), "sparsity", "its weights are stored sparsely", engine=False),
    "scales_per_nothing": Bad(lambda: conv(scales=5), "quantization", "5 scales for 2 channels"),
    "conv_channels": Bad(lambda: conv((2, 1, 1, 5)), "shape", "do not fit its input"),
    "conv_rank": Bad(lambda: conv((2, 3)), "shape", "its weights have 2 dimensions, not 4"),
    "dense_width": Bad(lambda: dense(weights=(3, 5)), "shape", "weights [3, 5] do not fit its input [1, 4]"),
    "dense_bias": Bad(lambda: dense(bias=7), "shape", "its bias has 7 values for 3 channels"),
    "short_constant": Bad(
        lambda: dense(edit=_cut_weights), "shape", "constant w: its shape [3, 4] of float32 takes 48 bytes"
    ),
    "grown_shape": Bad(lambda: dense(edit=_edit_shape), "shape", "takes 4800 bytes, the file has 48"),
    "unscaled": Bad(
        lambda: dense(edit=_unscaled, dtype="int8", scale=0.5), "quantization", "integers that have no scale"
    ),
    "too_large": Bad(huge, "memory", "and Raspberry Pi Zero 2 W has 512 MB", engine=False),
}
