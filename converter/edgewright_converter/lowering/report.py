"""The table of layers after `quantize`: bits, range, how far each is from float, which hurt most, and what to do.

A layer's own error is that of its last result, in the flatbuffer with all layers before it in integers too. What it
costs the model is seen in a flatbuffer in which this layer alone is in integers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..fakequant.grids import sqnr_db
from ..outcome import LayerOutcome
from .fileformat import write_model
from .graph import Array, Model, Op, Tensor
from .kernels import WEIGHTED
from .layers import Layers
from .recurrent import KIND

SAMPLES = 8  # that are compared
_TRIED = 32  # layers that are tried alone: those farthest from float
_WORST = 3
_HARMLESS = 40.0
_BITS = {"int4": 4, "int8": 8}
Samples = Sequence[Mapping[str, Array]]
Key = tuple[str, tuple[int, ...]]  # a tensor's name and shape
Form = Callable[[Callable[[Op], bool], bool], Model]


@dataclass(frozen=True)
class Table:
    """rows: one for each layer with integers; hints: a sentence for each of those that hurt most."""

    rows: tuple[LayerOutcome, ...] = ()
    hints: tuple[str, ...] = ()


NO_TABLE = Table()


def make_table(floats: Model, quantized: Model, layers: Layers, samples: Samples, form: Form) -> Table:
    """floats, quantized: the same model. samples: one batch by input name each. form(chosen, weights_alone): the model
    with the chosen operators alone in integers, or with their weights alone rounded."""
    last = {layers.name(op): op for op in floats.main.ops if op.output.dtype == "float32"}
    weighted = {layers.name(op): op.kind for op in floats.main.ops if op.kind in WEIGHTED}  # not what moves its result
    integers = {_key(t): t for t in quantized.main.tensors() if t.dtype == "int8" and t.data is None}
    bits = _weight_bits(quantized, layers)
    wanted = {_key(op.output) for op in last.values()}
    expected, found = _results(floats, samples, wanted), _results(quantized, samples, wanted)
    reference = _answers(floats, samples)

    def alone(name: str, weights: bool) -> float:
        return sqnr_db(reference, _answers(form(lambda op: layers.name(op) == name, weights), samples))

    rows = []
    for name, op in last.items():
        key = _key(op.output)
        if key not in integers and name not in bits:
            continue
        low, high = _range(integers[key]) if key in integers else (None, None)
        rows.append(
            LayerOutcome(
                name=name,
                kind=weighted.get(name, op.kind),
                weight_bits=bits.get(name),
                activation_bits=8 if key in integers else None,
                low=low,
                high=high,
                sqnr_db=_finite(sqnr_db(expected[key], found[key])) if key in found else None,
            )
        )
    tried = sorted(rows, key=lambda row: np.inf if row.sqnr_db is None else row.sqnr_db)[:_TRIED]
    costs = {row.name: _finite(alone(row.name, False)) for row in tried}
    rows = [replace(row, alone_db=costs.get(row.name)) for row in rows]
    hurting = sorted((row for row in rows if row.alone_db is not None), key=lambda row: row.alone_db or 0.0)
    return Table(tuple(rows), tuple(_hint(row, alone(row.name, True)) for row in hurting[:_WORST]))


def _hint(row: LayerOutcome, by_weights: float) -> str:
    assert row.alone_db is not None
    leave = f', or leave it float (layers = {{"{row.name}" = "float32"}})' if row.name != row.kind else ""
    weights = row.weight_bits is not None and by_weights < row.alone_db + 3  # at least half of the error
    if row.alone_db > _HARMLESS:
        remedy = "harmless."
    elif weights and row.weight_bits == 4 and leave:
        remedy = f'give it 8 bits (layers = {{"{row.name}" = "int8"}}), or train for it (the pass qat).'
    else:
        remedy = f"train for it (the pass qat){leave}."
    part = "weights" if weights else "activations"
    return f"{row.name} moves the output by {row.alone_db:.1f} dB, most by its {part}: {remedy}"


def _key(tensor: Tensor) -> Key:
    return tensor.name, tensor.shape


def _weight_bits(model: Model, layers: Layers) -> dict[str, int]:
    """Of each layer with weights in integers, the fewest of them."""
    found: dict[str, int] = {}
    for op in model.main.ops:
        index = 1 if op.kind in (*WEIGHTED, "EMBEDDING_LOOKUP", KIND) else 0
        if op.kind not in (*WEIGHTED, "EMBEDDING_LOOKUP", KIND, "GATHER", "DEQUANTIZE") or op.data(index) is None:
            continue
        few = _BITS.get(op.input(index).dtype)
        if few is not None:
            name = layers.name(op)
            found[name] = min(few, found.get(name, few))
    return found


def _range(tensor: Tensor) -> tuple[float, float]:
    assert tensor.grid is not None
    scale, zero = float(tensor.grid.scale[0]), int(tensor.grid.zero[0])
    return scale * (-128 - zero), scale * (127 - zero)


def _results(model: Model, samples: Samples, wanted: Iterable[Key]) -> dict[Key, Array]:
    """The real numbers of these tensors over all samples, of those that the model has."""
    interpreter, numbers = _opened(model, keep=True)
    keys = set(wanted)
    watched = {_key(tensor): tensor for tensor in numbers if tensor.data is None and _key(tensor) in keys}
    found: dict[Key, list[Array]] = {key: [] for key in watched}
    for sample in samples:
        _run(interpreter, model, numbers, sample)
        for key, tensor in watched.items():
            found[key].append(_real(interpreter.get_tensor(numbers[tensor]), tensor).ravel())
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _answers(model: Model, samples: Samples) -> Array:
    """The real numbers of all outputs over all samples."""
    interpreter, numbers = _opened(model, keep=False)
    found = []
    for sample in samples:
        _run(interpreter, model, numbers, sample)
        found += [_real(interpreter.get_tensor(numbers[t]), t).ravel() for t in model.main.outputs]
    return np.concatenate(found)


def _opened(model: Model, keep: bool) -> tuple[Any, dict[Tensor, int]]:
    """An interpreter, and the number of each tensor in it. keep: every result, which the delegate does not."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = {
        "experimental_preserve_all_tensors": True,
        "experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }
    interpreter = Interpreter(model_content=write_model(model), num_threads=1, **(plain if keep else {}))
    interpreter.allocate_tensors()
    return interpreter, {tensor: number for number, tensor in enumerate(model.main.tensors())}


def _run(interpreter: Any, model: Model, numbers: dict[Tensor, int], sample: Mapping[str, Array]) -> None:
    for name, tensor in zip(model.inputs, model.main.inputs, strict=True):
        values = sample[name]
        if tensor.dtype == "int8" and tensor.grid is not None:
            steps = np.rint(values / tensor.grid.scale[0]) + tensor.grid.zero[0]
            values = np.clip(steps, -128, 127).astype(np.int8)
        interpreter.set_tensor(numbers[tensor], values)
    interpreter.reset_all_variables()
    interpreter.invoke()


def _real(values: Array, tensor: Tensor) -> Array:
    if tensor.grid is None or tensor.dtype == "float32":
        return np.asarray(values, np.float32)
    return np.asarray((values.astype(np.float32) - tensor.grid.zero[0]) * tensor.grid.scale[0], np.float32)


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
