"""LSTM layers as one operator each, UNIDIRECTIONAL_SEQUENCE_LSTM: the only form in which an Edge TPU takes them.

TensorFlow's converter writes that operator for Keras 2 alone. So the layer is traced as the TensorFlow operator
BlockLSTMV2, which computes the same and which the converter passes through as a custom operator, and written here. On a
CPU it is slower than steps written out (docs/converting.md).

The operator keeps its state from one invocation to the next: whoever runs it has to reset the variables before each.
"""

from typing import Any

import numpy as np

from .graph import Array, Graph, Grid, Op, Tensor
from .ops import options, reshape
from .weights import lies_on, quantized, symmetric_scale, to_integers

BLOCK = "BlockLSTMV2"
KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_TANH = 4  # of the schema's ActivationFunctionType
_DATA, _FROM_INPUT, _FROM_STATE, _BIASES, _STATE, _CELL = 0, (1, 5), (5, 9), (12, 16), 18, 19  # among its 24 inputs
_ALL = 7  # results of BLOCK, the last of which is the state after each step
_SIXTEEN_BITS = 32768


def fuse_lstms(graph: Graph) -> None:
    """Change the custom operators of a float graph in place; they have the steps first, (steps, 1, features)."""
    for op in [op for op in graph.ops if op.kind == "CUSTOM" and op.custom == BLOCK]:
        source, result = op.input(1), op.outputs[_ALL - 1]
        sequence, states = (
            Tensor(f"{result.name}/{end}", (1, t.shape[0], t.shape[2]), "float32")
            for end, t in (("sequence", source), ("states", result))
        )
        fused = _fused(sequence, op.constant(4), op.constant(8), states)
        place = graph.ops.index(op)
        graph.ops[place : place + 1] = [reshape(source, sequence), fused, reshape(states, result)]
    _join_reshapes(graph)
    graph.prune()


def _join_reshapes(graph: Graph) -> None:
    """Of a RESHAPE of a RESHAPE the latter alone is left, or neither where they take each other back."""
    makers = graph.makers()
    for op in graph.ops:
        before = makers.get(op.input(0)) if op.kind == "RESHAPE" else None
        if before is not None and before.kind == "RESHAPE":
            op.inputs[0] = before.inputs[0]
            if op.input(0).shape == op.output.shape and op.output not in graph.outputs:
                graph.replace(op.output, op.input(0))


def _fused(sequence: Tensor, kernel: Array, bias: Array, output: Tensor) -> Op:
    """kernel: (features + units, 4·units), bias: (4·units,), both in the order input, forget, new, output gate."""
    units = len(bias) // 4
    gates = np.split(np.ascontiguousarray(kernel.T), 4)
    inputs: list[Tensor | None] = [None] * 24
    inputs[_DATA] = sequence
    names = [f"{output.name}/{gate}" for gate in ("input", "forget", "new", "output")]
    for number, (name, gate, shift) in enumerate(zip(names, gates, np.split(bias, 4), strict=True)):
        inputs[_FROM_INPUT[0] + number] = Tensor.constant(f"{name}/kernel", gate[:, :-units])
        inputs[_FROM_STATE[0] + number] = Tensor.constant(f"{name}/recurrent", gate[:, -units:])
        inputs[_BIASES[0] + number] = Tensor.constant(f"{name}/bias", shift)
    for place, name in ((_STATE, "state"), (_CELL, "cell")):
        inputs[place] = Tensor(f"{output.name}/{name}", (1, units), "float32", variable=True)
    made = options("UnidirectionalSequenceLSTM", fusedActivationFunction=_TANH)
    return Op(KIND, inputs, [output], made)


def cell_range(op: Op, sequence: Array) -> tuple[float, float]:
    """Between what the cell state lies over a sequence, (1, steps, features): it shows in no tensor."""
    kernel, recurrent, bias = (
        np.concatenate([op.constant(i) for i in range(*ends)]).T for ends in (_FROM_INPUT, _FROM_STATE, _BIASES)
    )
    from_input = sequence[0] @ kernel + bias
    state = cell = np.zeros(len(bias) // 4, np.float32)
    low = high = 0.0
    for step in from_input:
        enter, forget, new, leave = np.split(step + state @ recurrent, 4)
        cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(new)
        state = _sigmoid(leave) * np.tanh(cell)
        low, high = min(low, float(cell.min())), max(high, float(cell.max()))
    return low, high


def _sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def cell_of(op: Op) -> Tensor:
    return op.input(_CELL)


def in_integers(op: Op, data: Tensor, output: Tensor, cell: tuple[float, float]) -> Op:
    """The operator on int8, with a cell state of 16 bits. data, output: on their grids; cell: the range of that state.

    Each gate's kernels have one scale each; the scale of the cell state is a power of two, as the kernel wants it.
    """
    assert data.grid is not None
    inputs = list(op.inputs)
    inputs[_DATA] = data
    for ends in (_FROM_INPUT, _FROM_STATE):
        inputs[slice(*ends)] = _kernels([op.input(i) for i in range(*ends)])
    for number in range(4):
        kernel, bias = inputs[_FROM_INPUT[0] + number], op.input(_BIASES[0] + number)
        assert kernel is not None
        assert kernel.grid is not None
        scale = float(kernel.grid.scale[0]) * float(data.grid.scale[0])
        steps = np.clip(np.rint(op.constant(_BIASES[0] + number) / scale), 1 - 2**31, 2**31 - 1)
        grid = Grid.single(scale)
        inputs[_BIASES[0] + number] = Tensor.constant(bias.name, steps.astype(np.int32), "int32", grid)
    state, memory = op.input(_STATE), cell_of(op)
    exponent = np.ceil(np.log2(max(*map(abs, cell), 2.0**-8) / _SIXTEEN_BITS))
    power = Grid.single(float(2.0**exponent))
    inputs[_STATE] = Tensor(state.name, state.shape, "int8", grid=output.grid, variable=True)
    inputs[_CELL] = Tensor(memory.name, memory.shape, "int16", grid=power, variable=True)
    # Of these the kernel reads the last alone, the state's grid before a projection, of which there is none.
    between = [Tensor(f"{output.name}/between/{n}", (0,), "float32") for n in range(4)]
    between.append(Tensor(f"{output.name}/between/4", (0,), "int8", grid=output.grid))
    return Op(KIND, inputs, [output], op.options, op.version, op.choice, tuple(between))


def _kernels(gates: list[Tensor]) -> list[Tensor | None]:
    """A scale for each; where the training has settled one for all, that one."""
    arrays = [gate.data for gate in gates if gate.data is not None]
    whole = symmetric_scale(np.concatenate(arrays), 8, None)
    if not lies_on(np.concatenate(arrays), whole):
        return [quantized(gate, 8, None) for gate in gates]
    grid = Grid(whole, np.zeros(1, np.int64))
    integers = [to_integers(array, whole, 8, None) for array in arrays]
    return [Tensor.constant(g.name, i, "int8", grid) for g, i in zip(gates, integers, strict=True)]
