"""Each documented rule of the Edge TPU, with an operation that keeps it and one that breaks it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import FlatbufferBuilder

from edgewright_converter.edgetpu.mapping import CACHE_BYTES, Mapping, edgetpu_findings, map_model
from edgewright_converter.edgetpu.rules import OPERATORS, REQUIREMENTS, Operation, obstacle
from edgewright_converter.flatbuffer import read
from edgewright_converter.rawmodel import RawModel

TRUTH = Path(__file__).parents[4] / "shared" / "facts" / "edgetpu"


class Graph(FlatbufferBuilder):
    """int8 throughout; what has data is a constant."""

    def data(self, shape: Sequence[int], dtype: str = "int8", scale: float | None = 0.5) -> int:
        return self.tensor(f"t{len(self._graph.tensors)}", shape, dtype, scale=scale)

    def constant(self, values: Any, dtype: str = "int32", scale: float | None = None) -> int:
        array = np.asarray(values)
        return self.tensor(f"c{len(self._graph.tensors)}", array.shape, dtype, array, scale=scale)

    def one(self, name: str, inputs: list[int], output: int, kind: str = "", **options: Any) -> bytes:
        self.operator(name, 1, inputs, output, kind, **options)
        data = [i for i in inputs if not self._graph.tensors[i].buffer]
        return self.build({f"x{i}": i for i in data}, {"y": output})


def unary(name: str, shape: Sequence[int] = (1, 4, 4, 8), out: Sequence[int] | None = None, **options: Any) -> bytes:
    graph = Graph()
    return graph.one(name, [graph.data(shape)], graph.data(out or shape), **options)


def binary(name: str, shape: Sequence[int] = (1, 4, 4, 8)) -> bytes:
    graph = Graph()
    return graph.one(name, [graph.data(shape), graph.data(shape)], graph.data(shape))


def weighted(name: str, weights: Sequence[int], x: Sequence[int], y: Sequence[int], kind: str, **options: Any) -> bytes:
    graph = Graph()
    w = graph.constant(np.ones(weights), "int8", 0.1)
    b = graph.constant(np.zeros(y[-1]), "int32", 0.05)
    return graph.one(name, [graph.data(x), w, b], graph.data(y), kind, **options)


def conv(width: int, height: int) -> bytes:
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": width, "dilationHFactor": height}
    return weighted("CONV_2D", (8, 1, 1, 8), (1, 4, 4, 8), (1, 4, 4, 8), "Conv2DOptions", **options)


def depthwise(width: int, height: int) -> bytes:
    options = {"strideW": 1, "strideH": 1, "depthMultiplier": 1, "dilationWFactor": width, "dilationHFactor": height}
    return weighted("DEPTHWISE_CONV_2D", (1, 1, 1, 8), (1, 4, 4, 8), (1, 4, 4, 8), "DepthwiseConv2DOptions", **options)


def dense(rows: int = 1, weights_format: int = 0) -> bytes:
    options = {"weightsFormat": weights_format}
    return weighted("FULLY_CONNECTED", (4, 8), (rows, 8), (rows, 4), "FullyConnectedOptions", **options)


def pool(name: str, activation: int) -> bytes:
    options = {"strideW": 1, "strideH": 1, "filterWidth": 1, "filterHeight": 1, "fusedActivationFunction": activation}
    return unary(name, kind="Pool2DOptions", **options)


def with_constant(name: str, values: Any, out: Sequence[int], x: Sequence[int] = (1, 4, 4, 8), **options: Any) -> bytes:
    graph = Graph()
    return graph.one(name, [graph.data(x), graph.constant(values)], graph.data(out), **options)


def joined(constant: int | None, activation: int = 0, more: bool = False) -> bytes:
    graph = Graph()
    first = graph.data((1, 4, 4, 8))
    second = (
        graph.data((1, 4, 4, 8)) if constant is None else graph.constant(np.full((1, 4, 4, 8), constant), "int8", 1)
    )
    inputs, width = [first, second], 16
    if more:
        inputs, width = [*inputs, graph.data((1, 4, 4, 8))], 24
    options = {"axis": 3, "fusedActivationFunction": activation}
    return graph.one("CONCATENATION", inputs, graph.data((1, 4, 4, width)), "ConcatenationOptions", **options)


def split(axis: int) -> bytes:
    graph = Graph()
    x = graph.data((2, 1, 8))
    out = graph.data((1, 1, 8) if axis == 0 else (2, 1, 8))
    return graph.one("SPLIT", [graph.constant(axis), x], out, "SplitOptions", numSplits=1)


def sliced(stride: int, new_axis: int = 0) -> bytes:
    graph = Graph()
    ends = [graph.constant(v) for v in ([0, 0, 0, 0], [1, 4, 4, 8], [1, stride, 1, 1])]
    return graph.one("STRIDED_SLICE", [graph.data((1, 4, 4, 8)), *ends], graph.data((1, 4, 4, 8)),
                     "StridedSliceOptions", newAxisMask=new_axis)  # fmt: skip


def prelu(alpha: Sequence[int]) -> bytes:
    graph = Graph()
    a = graph.constant(np.ones(alpha), "int8", 0.1)
    return graph.one("PRELU", [graph.data((1, 4, 4, 8)), a], graph.data((1, 4, 4, 8)))


def packed(axis: int) -> bytes:
    graph = Graph()
    out = graph.data((2, 1, 8) if axis == 0 else (1, 2, 8))
    return graph.one("PACK", [graph.data((1, 8)), graph.data((1, 8))], out, "PackOptions", axis=axis, valuesCount=2)


def resized(name: str, before: int, after: int, rank: int = 4) -> bytes:
    sizes = (1, before, before, 8)[4 - rank :], (1, after, after, 8)[4 - rank :]
    return with_constant(name, [after, after], sizes[1], sizes[0])


def computed_bias() -> bytes:
    graph = Graph()
    w = graph.constant(np.ones((4, 8)), "int8", 0.1)
    return graph.one("FULLY_CONNECTED", [graph.data((1, 8)), w, graph.data((4,), "int32", 0.05)], graph.data((1, 4)),
                     "FullyConnectedOptions")  # fmt: skip


def open_size(opened: bool) -> bytes:
    graph = Graph()
    x, y = graph.data((1, 4, 4, 8)), graph.data((1, 4, 4, 8))
    if opened:
        graph._graph.tensors[x].shapeSignature = [1, -1, -1, 8]
    return graph.one("RELU", [x], y)


def typed(dtype: str, scale: float | None) -> bytes:
    graph = Graph()
    return graph.one("RELU", [graph.data((1, 8), dtype, scale)], graph.data((1, 8), dtype, scale))


Make = Callable[[], bytes]
REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
# (rule, the operation that keeps it, the one that breaks it, what is said)
CASES: list[tuple[str, Make, Make, str]] = [
    ("8 bits", lambda: typed("int8", 0.5), lambda: typed("float32", None), "float32 is no quantized 8-bit type"),
    ("8 bits", lambda: typed("uint8", 0.5), lambda: typed("int16", 0.5), "int16 is no quantized 8-bit type"),
    ("8 bits", lambda: typed("int8", 0.5), lambda: typed("int8", None), "int8 is no quantized 8-bit type"),
    ("constant sizes", lambda: open_size(False), lambda: open_size(True), "a tensor's size is open"),
    ("constant parameters", dense, computed_bias, "is computed, not constant"),
    ("three dimensions", lambda: binary("ADD"), lambda: binary("ADD", (2, 4, 4, 8)), "more than three dimensions"),
    *[
        ("no fused activation", lambda n=n: pool(n, 0), lambda n=n: pool(n, 1), "it has a fused activation")  # type: ignore[misc]
        for n in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
    ],
    ("no fused activation", lambda: joined(None), lambda: joined(None, activation=1), "it has a fused activation"),
    ("a constant is zero padding", lambda: joined(0), lambda: joined(3), "a constant that is not zero"),
    ("a constant is zero padding", lambda: joined(0), lambda: joined(0, more=True), "more than one other input"),
    ("same dilation", lambda: conv(2, 2), lambda: conv(2, 1), "its dilation is 2 and 1"),
    ("same dilation", lambda: depthwise(2, 2), lambda: depthwise(1, 2), "its dilation is 1 and 2"),
    ("default weights", dense, lambda: dense(weights_format=1), "shuffled"),
    ("one-dimensional output", dense, lambda: dense(rows=3), "has more than one dimension"),
    *[
        (
            "no batch axis",
            lambda n=n: with_constant(n, [1, 2], (1, 8)),  # type: ignore[misc]
            lambda n=n: with_constant(n, [0], (4, 4, 8)),  # type: ignore[misc]
            "it works along the batch",
        )
        for n in REDUCTIONS
    ],
    ("no batch axis", lambda: split(2), lambda: split(0), "it works along the batch"),
    (
        "channels by four",
        lambda: with_constant("MEAN", [3], (1, 4, 4)),
        lambda: with_constant("MEAN", [3], (1, 4, 4), (1, 4, 4, 6)),
        "it reduces 6 channels",
    ),
    ("no batch packing", lambda: packed(1), lambda: packed(0), "it packs along the batch"),
    (
        "no batch padding",
        lambda: with_constant("PAD", [[0, 0], [1, 1], [1, 1], [0, 0]], (1, 6, 6, 8)),
        lambda: with_constant("PAD", [[0, 1], [0, 0], [0, 0], [0, 0]], (1, 4, 4, 8)),
        "it pads the batch",
    ),
    ("alpha of channels", lambda: prelu((1, 1, 8)), lambda: prelu((4, 4, 8)), "differs along more than the channels"),
    *[
        ("a plane", lambda n=n: resized(n, 4, 8), lambda n=n: resized(n, 4, 8, rank=2), "no plane with channels")  # type: ignore[misc]
        for n in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
    ],
    *[
        ("modest growth", lambda n=n: resized(n, 4, 32), lambda n=n: resized(n, 1, 33), "it enlarges 33 times")  # type: ignore[misc]
        for n in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
    ],
    ("one dimension", lambda: unary("SOFTMAX", (1, 16000)), lambda: unary("SOFTMAX", (1, 16001)), "more than 16000"),
    ("one dimension", lambda: unary("SOFTMAX", (1, 8)), lambda: unary("SOFTMAX", (2, 8)), "more than one dimension"),
    ("unit strides", lambda: sliced(1), lambda: sliced(2), "its strides are not all 1"),
    ("unit strides", lambda: sliced(1), lambda: sliced(1, new_axis=2), "an ellipsis or a new axis"),
]


def reason(model: bytes) -> tuple[str, str] | None:
    graph = read(model).subgraphs[0]
    return obstacle(Operation(graph.nodes[0], graph, RawModel(model), 0))


@pytest.mark.parametrize(
    ("rule", "keeps", "breaks", "said"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_rule(rule: str, keeps: Make, breaks: Make, said: str) -> None:
    assert reason(keeps()) is None
    found = reason(breaks())
    assert found is not None
    assert said in found[0]
    assert found[1].startswith("https://coral.ai/docs/edgetpu/models-intro/#")


def test_every_rule_has_a_case_and_a_source() -> None:
    rules = {rule for rules in OPERATORS.values() for rule in rules} | set(REQUIREMENTS)
    assert {rule.name for rule in rules} == {case[0] for case in CASES}
    assert all(rule.source.startswith("https://") for rule in rules)


PLAIN = [name for name, rules in OPERATORS.items() if not rules]


@pytest.mark.parametrize("name", PLAIN)
def test_an_operator_without_conditions_of_its_own(name: str) -> None:
    graph = Graph()
    x, y = graph.data((1, 4, 4, 8)), graph.data((1, 4, 4, 8))
    inputs = [x]
    if name in ("ADD", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB"):
        inputs = [x, graph.data((1, 4, 4, 8))]
    if name == "TRANSPOSE_CONV":
        inputs = [graph.constant([1, 4, 4, 8]), graph.constant(np.ones((8, 1, 1, 8)), "int8", 0.1), x]
    assert reason(graph.one(name, inputs, y)) is None
    graph = Graph()
    x, y = graph.data((1, 4, 4, 8), "float32", None), graph.data((1, 4, 4, 8), "float32", None)
    assert reason(graph.one(name, [x, *([x] if len(inputs) == 2 else [])], y)) is not None


@pytest.mark.parametrize("name", ["GATHER", "BATCH_MATMUL", "GELU", "DEQUANTIZE", "ARG_MAX", "CAST", "HARD_SWISH"])
def test_an_operator_that_it_has_not(name: str) -> None:
    found = reason(unary(name))
    assert found is not None
    assert found[0] == "the Edge TPU has no such operator"


def mapping(model: bytes) -> Mapping:
    return map_model(read(model), RawModel(model))


def chain(*names: str) -> bytes:
    graph = Graph()
    x = before = graph.data((1, 4, 4, 8))
    for name in names:
        after = graph.data((1, 4, 4, 8))
        graph.operator(name, 1, [before], after)
        before = after
    return graph.build({"x": x}, {"y": before})


def test_the_first_unsupported_operator_cuts_the_graph() -> None:
    placed = mapping(chain("RELU", "TANH", "GELU", "RELU", "TANH")).placed
    assert [entry.on_tpu for entry in placed] == [True, True, False, False, False]
    assert placed[2].reason == "the Edge TPU has no such operator"
    assert placed[3].reason.startswith("it comes after")


def test_what_the_tpu_cannot_begin_with_is_left_before_it() -> None:
    assert [entry.on_tpu for entry in mapping(chain("GELU", "RELU", "TANH")).placed] == [False, True, True]


def test_a_branch_that_waits_for_nothing_stays() -> None:
    """Operations are taken by what they wait for, not by their place in the file."""
    graph = Graph()
    x = graph.data((1, 8))
    left, right, both = (graph.data((1, 8)) for _ in range(3))
    graph.operator("GELU", 1, [x], left)
    graph.operator("RELU", 1, [x], right)
    graph.operator("ADD", 1, [left, right], both)
    placed = mapping(graph.build({"x": x}, {"y": both})).placed
    assert [entry.on_tpu for entry in placed] == [False, True, True]


def test_the_cache_of_eight_megabytes() -> None:
    graph = Graph()
    wide = CACHE_BYTES // 1024 + 512
    w = graph.constant(np.ones((wide, 1024)), "int8", 0.1)
    model = graph.one("FULLY_CONNECTED", [graph.data((1, 1024)), w], graph.data((1, wide)), "FullyConnectedOptions")
    found = mapping(model)
    assert found.streamed_bytes == found.parameter_bytes - CACHE_BYTES == 512 * 1024
    said = [str(finding) for finding in edgetpu_findings(read(model), RawModel(model))]
    assert any("exceed the cache of 8 MiB: 0.5 MiB are sent in every invocation" in line for line in said)


def test_what_is_said_of_a_model_for_the_cpu() -> None:
    (finding,) = edgetpu_findings(read(typed("float32", None)), RawModel(typed("float32", None)))
    assert finding.severity == "warning"
    assert "none of its 1 operations" in finding.problem
    assert finding.remedy == "convert with --recipe int8-full"


@pytest.mark.parametrize(
    ("name", "operations"),
    [("mobilenet_v1_0.25_128_quant", 31), ("keras_lstm_mnist_ptq", 6), ("deeplabv3_mnv2_dm05_pascal_quant", 72)],
)
def test_what_edgetpu_compiler_really_did(name: str, operations: int) -> None:
    """Of three models that were compiled: what is one program now ran on the TPU, what is still there on the CPU."""
    if not TRUTH.is_dir():
        pytest.skip(f"the compiled models are not here: {TRUTH}")
    model, compiled = (TRUTH / f"{name}.tflite").read_bytes(), read((TRUTH / f"{name}_edgetpu.tflite").read_bytes())
    source, found = read(model).subgraphs[0], mapping(model)
    after = compiled.subgraphs[0]
    stayed = [
        (node.operator, after.tensors[node.outputs[0]].name)
        for node in after.nodes
        if node.operator != "edgetpu-custom-op"
    ]
    said = [
        (node.operator, source.tensors[node.outputs[0]].name)
        for node, entry in zip(source.nodes, found.placed, strict=True)
        if not entry.on_tpu
    ]
    assert len(found.placed) == operations
    assert said == stayed
    assert found.on_tpu == operations - len(stayed)
