"""Convolutions that follow each other directly, with channels made equally large, so that one scale does for all."""

from collections import Counter
from collections.abc import Set

import numpy as np

from ..fakequant.equalize import Layer, equalize
from .graph import Array, Graph, Op, Tensor
from .kernels import CONVOLUTIONS

_AXES = {"CONV_2D": (0, 3), "DEPTHWISE_CONV_2D": (3, 3)}  # of the channels that come out and that go in
_LINEAR = (0, 1)  # fused activations: none, ReLU


def equalize_channels(graph: Graph, chosen: Set[Op]) -> None:
    """Change a float graph in place, which computes the same. chosen: the operators whose weights become integers.

    Weights that several operators have, as of a layer that is called twice, stay: each would need its own.
    """
    users = graph.users()
    held = Counter(op.constant(1).tobytes() for op in graph.ops if op.kind in CONVOLUTIONS and op.data(1) is not None)
    links = []
    for op in graph.ops:
        reader = users[op.output][0] if len(users[op.output]) == 1 else None
        if reader is None or not {op, reader} <= chosen or not _link(op, reader) or op.output in graph.outputs:
            continue
        if all(held[each.constant(1).tobytes()] == 1 for each in (op, reader)):
            links.append((op, reader))
    ops = list(dict.fromkeys(op for link in links for op in link))
    layers = [Layer(op.constant(1), _bias(op), *_AXES[op.kind]) for op in ops]
    equalize(layers, [(ops.index(first), ops.index(second)) for first, second in links])
    for op, layer in zip(ops, layers, strict=True):
        op.inputs[1] = Tensor.constant(op.input(1).name, layer.weights)
        if op.data(2) is not None:
            op.inputs[2] = Tensor.constant(op.input(2).name, layer.bias)


def _link(op: Op, reader: Op) -> bool:
    if any(o.kind not in CONVOLUTIONS or o.data(1) is None for o in (op, reader)) or op.output.range is not None:
        return False
    channels = op.output.shape[-1]
    fits = all(
        o.constant(1).shape[_AXES[o.kind][end]] == channels for o, end in ((op, 0), (reader, 1))
    )  # neither groups nor several outputs of one channel
    return fits and reader.inputs[0] is op.output and op.options.fusedActivationFunction in _LINEAR


def _bias(op: Op) -> Array:
    bias = op.data(2)
    return np.zeros(op.output.shape[-1], np.float32) if bias is None else bias
