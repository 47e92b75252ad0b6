"""How much memory a model takes: the arena of its activations, its weights, and the engine itself.

The arena is planned as the engines plan theirs (TensorFlow Lite's arena_planner.cc): tensors by size, the largest
first, each at the lowest offset where no tensor that lives at the same time lies. benchmarks/doctor.py compares the
sum with what the engines really take.
"""

from dataclasses import dataclass

from ..flatbuffer import Flatbuffer, Subgraph
from ..rawmodel import RawModel, tensor_bytes

_ALIGNMENT = 64
# The runtime with numpy, the engine and hardly a model: measured by benchmarks/doctor.py on x86-64.
ENGINE_BYTES = {"litert": 42_000_000, "tflite": 43_000_000}
_BORDER_COPIES = 2  # of inputs and outputs, in Python
# XNNPACK keeps a packed copy of the weights of these, float32 of a float16 constant.
_PACKED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "PRELU")


@dataclass(frozen=True)
class Need:
    """What a process that runs the model takes, in bytes. arena_bytes: activations, and the copies at the border."""

    arena_bytes: int
    model_bytes: int
    packed_bytes: int
    engine_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.arena_bytes + self.model_bytes + self.packed_bytes + self.engine_bytes


def need(flatbuffer: Flatbuffer, raw: RawModel, engine: str) -> Need:
    """An estimate for one engine; tensors of open size count as the engine starts with them."""
    arena = sum(arena_bytes(raw, number, graph) for number, graph in enumerate(flatbuffer.subgraphs))
    ends = [tensor for _, tensor in (*flatbuffer.inputs, *flatbuffer.outputs)]
    arena += _BORDER_COPIES * sum(max(0, tensor_bytes(tensor.shape, tensor.dtype) or 0) for tensor in ends)
    packed = sum(_packed_bytes(graph, engine) for graph in flatbuffer.subgraphs)
    return Need(arena, flatbuffer.size_bytes, packed, ENGINE_BYTES[engine])


def arena_bytes(raw: RawModel, number: int, graph: Subgraph) -> int:
    """The activations of one subgraph, planned by their lifetimes."""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    last = len(graph.nodes)
    for index in graph.inputs:
        begins[index], ends[index] = 0, last  # the engines keep inputs and outputs to the end
    for step, node in enumerate(graph.nodes):
        for index in (*node.inputs, *node.outputs):
            if index >= 0 and graph.tensors[index].size_bytes == 0:
                begins.setdefault(index, step)
                ends[index] = max(ends.get(index, 0), step)
    for index in graph.outputs:
        ends[index] = last
    lives = []
    for index, begin in begins.items():
        tensor = graph.tensors[index]
        size = tensor_bytes(tensor.shape, tensor.dtype) or 0
        if raw.is_variable(number, index):
            begin, ends[index] = 0, last
        lives.append((_aligned(max(size, 0)), begin, ends[index]))
    return plan_bytes(lives)


def plan_bytes(lives: list[tuple[int, int, int]]) -> int:
    """lives: (bytes, first step, last step), both inclusive. Returns how long an arena holds them."""
    placed: list[tuple[int, int, int, int]] = []
    top = 0
    for size, begin, end in sorted(lives, key=lambda life: (-life[0], life[1])):
        offset = 0
        for start, length, other_begin, other_end in placed:  # in the order of their offsets
            if other_begin <= end and begin <= other_end:
                if start - offset >= size:
                    break
                offset = max(offset, start + length)
        placed.append((offset, size, begin, end))
        placed.sort()
        top = max(top, offset + size)
    return top


def _packed_bytes(graph: Subgraph, engine: str) -> int:
    widened = {node.outputs[0]: node.inputs[0] for node in graph.nodes if node.operator == "DEQUANTIZE"}
    counted: dict[int, int] = {}
    for node in graph.nodes:
        if node.operator not in _PACKED or len(node.inputs) < 2 or node.outputs[:1] == ():
            continue
        if engine == "tflite" and graph.tensors[node.outputs[0]].dtype != "float32":
            continue  # tflite-runtime's XNNPACK takes no integers
        weights = node.inputs[1]
        constant = graph.tensors[widened.get(weights, weights)]
        if constant.size_bytes:
            counted[weights] = constant.size_bytes * (2 if weights in widened and constant.dtype == "float16" else 1)
    return sum(counted.values())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
