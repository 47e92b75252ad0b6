"""Does the graph hold together: sizes, constants, order, quantization, open shapes?"""

from collections.abc import Iterator
from math import prod

from ..flatbuffer import Flatbuffer, Subgraph
from ..rawmodel import RawModel, tensor_bytes
from .finding import ERROR, WARNING, Finding, places
from .operators import layer

_INTEGER_DATA = ("int8", "uint8", "int16")
# These scale with their tensors' quantization, and compute nothing without one.
_SCALED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "SOFTMAX", "LOGISTIC", "TANH")
_DENSE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# The fields of their options that hold the number of another graph.
_BRANCHES = {"WHILE": (0, 1), "IF": (0, 1), "CALL_ONCE": (0,)}
_AGAIN = "convert the model again"


def structure(flatbuffer: Flatbuffer, raw: RawModel) -> Iterator[Finding]:
    """What no engine survives, whatever its version."""
    main = flatbuffer.subgraphs[0]
    if not main.nodes:
        yield Finding(ERROR, "graph", "the graph", "it has no operator, so it computes nothing", _AGAIN)
    for title, ends in (("input", main.inputs), ("output", main.outputs)):
        if not ends:
            yield Finding(ERROR, "graph", "the graph", f"it has no {title}", _AGAIN)
    for number, graph in enumerate(flatbuffer.subgraphs):
        yield from _order(number, graph, raw, len(flatbuffer.subgraphs))
        yield from _sizes(number, graph, raw)
        yield from _quantization(number, graph, raw)
        yield from _fit(graph)
    yield from _open_shapes(flatbuffer, raw)


def _order(number: int, graph: Subgraph, raw: RawModel, graphs: int) -> Iterator[Finding]:
    known = set(graph.inputs) | {index for index, tensor in enumerate(graph.tensors) if tensor.size_bytes}
    known |= {index for index in range(len(graph.tensors)) if raw.is_variable(number, index)}
    for position, node in enumerate(graph.nodes):
        place = f"{node.operator} in {layer(node, graph)}"
        for index in node.inputs:
            if index >= 0 and index not in known and prod(graph.tensors[index].shape) != 0:
                problem = f"it reads {graph.tensors[index].name or index}, which nothing before it computes"
                yield Finding(ERROR, "graph", place, problem, _AGAIN)
        known.update(node.outputs)
        options = raw.options(number, position)
        for entry in _BRANCHES.get(node.operator, ()):
            branch = options.int32(entry) if options is not None else 0
            if not 0 < branch < graphs:
                problem = f"it runs graph {branch}, and the file has {graphs}"
                yield Finding(ERROR, "graph", place, problem, _AGAIN)
    for index in graph.outputs:
        if index not in known and graph.nodes:
            yield Finding(ERROR, "graph", f"output {graph.tensors[index].name}", "nothing computes it", _AGAIN)


def _sizes(number: int, graph: Subgraph, raw: RawModel) -> Iterator[Finding]:
    for index, tensor in enumerate(graph.tensors):
        if any(size < -1 for size in tensor.shape):
            yield Finding(ERROR, "shape", f"tensor {tensor.name}", f"its shape {list(tensor.shape)} is none", _AGAIN)
            continue
        expected = tensor_bytes(tensor.shape, tensor.dtype)
        if not tensor.size_bytes or expected is None or raw.is_sparse(number, index):
            continue
        if tensor.size_bytes != expected:
            problem = (
                f"its shape {list(tensor.shape)} of {tensor.dtype} takes {expected} bytes, "
                f"the file has {tensor.size_bytes}"
            )
            yield Finding(ERROR, "shape", f"constant {tensor.name}", problem, _AGAIN)
    for node in graph.nodes:
        empty = [graph.tensors[index] for index in node.outputs if index >= 0 and 0 in graph.tensors[index].shape]
        if empty:
            problem = f"its result {list(empty[0].shape)} holds nothing"
            yield Finding(WARNING, "shape", f"{node.operator} in {layer(node, graph)}", problem, "look at that layer")


def _quantization(number: int, graph: Subgraph, raw: RawModel) -> Iterator[Finding]:
    unscaled: dict[str, list[str]] = {}
    for node in graph.nodes:
        place = f"{node.operator} in {layer(node, graph)}"
        ends = [index for index in (*node.inputs[:2], *node.outputs) if index >= 0]
        for index in ends:
            tensor = graph.tensors[index]
            if node.operator in _SCALED and tensor.dtype in _INTEGER_DATA and not tensor.quantized:
                unscaled.setdefault(node.operator, []).append(layer(node, graph))
            if tensor.dtype == "int16" and any(raw.zero_points(number, index)) and node.operator in _SCALED:
                problem = f"{tensor.name} is int16 with a zero point other than 0, which no kernel takes"
                yield Finding(ERROR, "quantization", place, problem, "quantize it symmetrically, as int16x8 does")
        if node.operator in _DENSE and len(node.inputs) > 1 and node.inputs[1] >= 0:
            weights = graph.tensors[node.inputs[1]]
            channels = weights.shape[3 if node.operator == "DEPTHWISE_CONV_2D" else 0] if len(weights.shape) > 1 else 0
            if len(weights.scales) > 1 and len(weights.scales) != channels:
                problem = f"its weights have {len(weights.scales)} scales for {channels} channels"
                yield Finding(ERROR, "quantization", place, problem, _AGAIN)
    for operator, layers in unscaled.items():
        problem = "it computes with integers that have no scale"
        yield Finding(ERROR, "quantization", f"{operator} in {places(layers)}", problem, "quantize with a recipe: int8")


def _fit(graph: Subgraph) -> Iterator[Finding]:
    """Weights that do not fit what is multiplied with them."""
    for node in graph.nodes:
        if node.operator not in _DENSE or len(node.inputs) < 2 or min(node.inputs[:2]) < 0:
            continue
        data, weights = (graph.tensors[index].shape for index in node.inputs[:2])
        rank = 2 if node.operator == "FULLY_CONNECTED" else 4
        place = f"{node.operator} in {layer(node, graph)}"
        if len(weights) != rank:
            problem = f"its weights have {len(weights)} dimensions, not {rank}"
            yield Finding(ERROR, "shape", place, problem, _AGAIN)
            continue
        width = weights[3] if node.operator == "DEPTHWISE_CONV_2D" else weights[-1]
        given = prod(data) if node.operator == "FULLY_CONNECTED" else (data[-1] if data else 0)
        misfit = width % given if node.operator == "DEPTHWISE_CONV_2D" and given > 0 else given % width if width else 1
        if -1 not in data and misfit:
            problem = f"its weights {list(weights)} do not fit its input {list(data)}"
            yield Finding(ERROR, "shape", place, problem, _AGAIN)
        if len(node.inputs) > 2 and node.inputs[2] >= 0:
            bias = prod(graph.tensors[node.inputs[2]].shape)
            channels = weights[3] if node.operator == "DEPTHWISE_CONV_2D" else weights[0]
            if bias != channels:
                problem = f"its bias has {bias} values for {channels} channels"
                yield Finding(ERROR, "shape", place, problem, _AGAIN)


def _open_shapes(flatbuffer: Flatbuffer, raw: RawModel) -> Iterator[Finding]:
    graph = flatbuffer.subgraphs[0]
    ends = dict(zip(graph.inputs, (name for name, _ in flatbuffer.inputs), strict=False))
    opened = [ends[index] for index in graph.inputs if index in ends and -1 in raw.open_shape(0, index)]
    if opened:
        yield Finding(
            WARNING,
            "dynamic-shape",
            f"input {places(opened)}",
            "its size is open: the engine starts with 1, and plans its memory again for each other size",
            "fix it when converting, with --batch and --shape NAME=SIZE",
        )
