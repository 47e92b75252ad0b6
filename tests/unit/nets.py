"""Small float graphs written operation by operation, and run in a real engine. No TensorFlow."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.lowering.fileformat import write_model
from edgewright_converter.lowering.graph import Graph, Model, Op, Tensor
from edgewright_converter.lowering.versions import set_versions

RNG = np.random.default_rng(1)
_START = RNG.bit_generator.state


class Net:
    """Writes a float graph operation by operation. Its numbers are drawn anew, whatever ran before."""

    def __init__(self, *shapes: Sequence[int]) -> None:
        RNG.bit_generator.state = _START
        self.inputs = [Tensor(f"x{number}", tuple(shape), "float32") for number, shape in enumerate(shapes)]
        self.ops: list[Op] = []

    def add(self, kind: str, inputs: list[Any], shape: Sequence[int], options: Any = None) -> Tensor:
        tensors = [t if isinstance(t, Tensor) else Tensor.constant("c", np.asarray(t)) for t in inputs]
        output = Tensor(f"net/layer_{len(self.ops)}/{kind}", tuple(shape), "float32")
        self.ops.append(Op(kind, list(tensors), [output], options))
        return output

    def dense(self, x: Tensor, weights: Any, bias: Any = None) -> Tensor:
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        wide = weights.shape[0]
        return self.add(
            "FULLY_CONNECTED", [x, weights, *([] if bias is None else [bias])], (*x.shape[:-1], wide), options
        )

    def plus(self, a: Any, b: Any) -> Tensor:
        return self.add("ADD", [a, b], np.broadcast_shapes(np.shape(a) or a.shape, b.shape), schema.AddOptionsT())

    def times(self, a: Tensor, b: Any) -> Tensor:
        return self.add("MUL", [a, b], a.shape, schema.MulOptionsT())

    def heads(self, x: Tensor, count: int, order: tuple[int, ...]) -> Tensor:
        reshape = schema.ReshapeOptionsT()
        shape = (1, x.shape[1], count, x.shape[2] // count)
        reshape.newShape = list(shape)
        y = self.add("RESHAPE", [x, np.array(shape, np.int32)], shape, reshape)
        return self.transpose(y, order)

    def transpose(self, x: Tensor, order: tuple[int, ...]) -> Tensor:
        turned = [x.shape[axis] for axis in order]
        return self.add("TRANSPOSE", [x, np.array(order, np.int32)], turned, schema.TransposeOptionsT())

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return self.add("BATCH_MATMUL", [a, b], (*a.shape[:-1], b.shape[-1]), schema.BatchMatMulOptionsT())

    def model(self, *outputs: Tensor) -> Model:
        for op in self.ops:
            set_versions(Graph([op], [], []))
        graph = Graph(list(self.ops), list(self.inputs), list(outputs))
        names = tuple(f"y{number}" for number in range(len(outputs)))
        return Model([graph], tuple(t.name for t in self.inputs), names)


def normal(*shape: int) -> Any:
    return RNG.normal(0, 1, shape).astype(np.float32)


def run(model: Model, samples: list[dict[str, Any]]) -> list[list[Any]]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=write_model(model), num_threads=1).get_signature_runner()
    return [[found[name] for name in model.outputs] for found in (runner(**sample) for sample in samples)]


def draw(model: Model, count: int = 8) -> list[dict[str, Any]]:
    return [{t.name: normal(*t.shape) for t in model.main.inputs} for _ in range(count)]


def kinds(model: Model) -> Counter[str]:
    return Counter(op.kind for op in model.main.ops)


def same(before: list[list[Any]], after: list[list[Any]], atol: float = 1e-5) -> None:
    for a, b in zip(before, after, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, atol=atol, rtol=1e-5)
