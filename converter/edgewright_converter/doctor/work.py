"""How much a model computes in one invocation: multiplications with accumulation, by the type of the data."""

from collections import Counter
from math import prod

from ..flatbuffer import Flatbuffer, Node, Subgraph


def multiplications(flatbuffer: Flatbuffer) -> dict[str, int]:
    """By the dtype of the data; loops count once, for nobody knows here how often they turn."""
    found: Counter[str] = Counter()
    for graph in flatbuffer.subgraphs:
        for node in graph.nodes:
            if count := _of(node, graph):
                found[graph.tensors[node.outputs[0]].dtype] += count
    return dict(found)


def _of(node: Node, graph: Subgraph) -> int:
    shapes = [graph.tensors[index].shape for index in node.inputs if index >= 0]
    if not node.outputs or len(shapes) < 2 or not shapes[1]:
        return 0
    output = prod(graph.tensors[node.outputs[0]].shape)
    if node.operator == "CONV_2D":
        return output * prod(shapes[1][1:])
    if node.operator == "DEPTHWISE_CONV_2D":
        return output * prod(shapes[1][1:3])
    if node.operator == "FULLY_CONNECTED":
        return output * shapes[1][-1]
    if node.operator == "BATCH_MATMUL":
        return output * shapes[0][-1]
    if node.operator == "TRANSPOSE_CONV" and len(shapes) > 2:
        return prod(shapes[2]) * shapes[1][0] * prod(shapes[1][1:3])
    return 0
