"""Where the activations lie, measured on samples, and the grid of 256 steps over such a range."""

from collections.abc import Iterable, Mapping

import numpy as np

from .fileformat import write_model
from .graph import Array, Grid, Model, Tensor
from .recurrent import KIND, cell_of, cell_range

_NOTHING = 1e-30  # float32 has no scale below
Ranges = dict[Tensor, tuple[float, float]]


def measure(model: Model, samples: Iterable[Mapping[str, Array]]) -> Ranges:
    """The smallest and largest value of every float tensor of the main graph. samples: one batch by input name each."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=write_model(model),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # The delegate keeps no intermediate result.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    numbers = {tensor: number for number, tensor in enumerate(model.main.tensors())}
    watched = [t for op in model.main.ops for t in op.outputs if t.dtype == "float32"]
    watched = [t for t in dict.fromkeys([*model.main.inputs, *watched]) if t.dtype == "float32"]
    low, high = np.full(len(watched), np.inf), np.full(len(watched), -np.inf)
    lstms = [op for op in model.main.ops if op.kind == KIND]
    cells = {cell_of(op): (0.0, 0.0) for op in lstms}
    for sample in samples:
        for name, tensor in zip(model.inputs, model.main.inputs, strict=True):
            interpreter.set_tensor(numbers[tensor], sample[name])
        interpreter.reset_all_variables()
        interpreter.invoke()
        for op in lstms:
            found = (*cells[cell_of(op)], *cell_range(op, interpreter.get_tensor(numbers[op.input(0)])))
            cells[cell_of(op)] = min(found), max(found)
        for place, tensor in enumerate(watched):
            values = interpreter.get_tensor(numbers[tensor])
            low[place], high[place] = min(low[place], values.min()), max(high[place], values.max())
    return {t: (float(a), float(b)) for t, a, b in zip(watched, low, high, strict=True)} | cells


def activation_grid(low: float, high: float) -> Grid:
    """256 steps over a range that holds 0, the zero on one of them (as TensorFlow's fake_quant nudges it)."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < _NOTHING:
        return Grid.single(1.0 / 255, -128 if low == 0 else 127)
    scale = (high - low) / 255
    zero = int(np.clip(np.floor(-low / scale + 0.5), 0, 255)) - 128
    return Grid.single(scale, zero)
