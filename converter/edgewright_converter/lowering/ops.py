"""The few operators that the rewrites write themselves."""

from typing import Any

import numpy as np

from .graph import Op, Tensor


def options(name: str, **values: Any) -> Any:
    """An operator's options, e.g. options("Add", fusedActivationFunction=1)."""
    from ai_edge_litert import schema_py_generated as schema

    made = getattr(schema, f"{name}OptionsT")()
    for key, value in values.items():
        if not hasattr(made, key):
            raise AttributeError(f"{name}Options has no {key}")
        setattr(made, key, value)
    return made


def reshape(source: Tensor, output: Tensor) -> Op:
    shape = Tensor.constant("shape", np.array(output.shape, np.int32))
    return Op("RESHAPE", [source, shape], [output], options("Reshape", newShape=list(output.shape)))


def transpose(source: Tensor, output: Tensor, order: tuple[int, ...]) -> Op:
    return Op(
        "TRANSPOSE", [source, Tensor.constant("order", np.array(order, np.int32))], [output], options("Transpose")
    )


def split(source: Tensor, axis: int, outputs: list[Tensor]) -> Op:
    made = options("Split", numSplits=len(outputs))
    return Op("SPLIT", [Tensor.constant("axis", np.array(axis, np.int32)), source], outputs, made)


def quantize(source: Tensor, output: Tensor) -> Op:
    return Op("QUANTIZE", [source], [output], options("Quantize"))


def dequantize(source: Tensor, output: Tensor) -> Op:
    return Op("DEQUANTIZE", [source], [output], options("Dequantize"))
