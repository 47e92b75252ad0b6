"""Every chosen operator on int8: weights symmetric, activations on 256 steps, QUANTIZE and DEQUANTIZE at the borders.

The grid of each tensor is decided in one walk: by the kernel where it has one built in, by the training where that
settled a range, by the operator's input where numbers are only moved, else by what was measured. A border costs an
operator, so none is written that the next one takes back.
"""

from collections import defaultdict
from collections.abc import Callable
from math import prod

import numpy as np

from .graph import Array, Graph, Grid, Op, Tensor
from .kernels import CONVOLUTIONS, FIXED, INTEGER, JOINS, MOVES, WEIGHTED, data_index
from .ops import dequantize, quantize
from .ranges import Ranges, activation_grid
from .recurrent import KIND, cell_of, in_integers
from .weights import channel_axis, dense_axis, quantized

_INT32 = 2**31 - 1
_ALIKE = 0.75  # of a range that others have, too: what is narrower would lose more than a bit


def supported(op: Op) -> bool:
    """Whether this float operator has an int8 form."""
    if op.kind not in INTEGER or any(output.dtype != "float32" for output in op.outputs):
        return False
    return op.kind not in WEIGHTED or op.data(1) is not None


def quantize_graph(
    graph: Graph,
    ranges: Ranges,
    chosen: Callable[[Op], bool],
    bits: Callable[[Op], int],
    per_channel: Callable[[Op], bool],
    int8_ends: bool = False,
    sharing: bool = True,
) -> None:
    """Change a float graph in place. chosen: which operators become integer; bits: of their weights, 8 or 4;
    per_channel: whether each output channel has a scale; int8_ends: the graph takes and gives int8 where it did
    floats; sharing: whether the channels of a convolution may have one scale instead, where that costs little."""
    _Quantizer(graph, ranges, chosen, bits, per_channel, sharing).run(int8_ends)


class _Quantizer:
    def __init__(
        self,
        graph: Graph,
        ranges: Ranges,
        chosen: Callable[[Op], bool],
        bits: Callable[[Op], int],
        per_channel: Callable[[Op], bool],
        sharing: bool,
    ) -> None:
        self.graph, self.ranges, self.bits, self.per_channel = graph, ranges, bits, per_channel
        self.sharing = sharing
        self.chosen = {op for op in graph.ops if supported(op) and chosen(op)}
        self.integers: dict[Tensor, Tensor] = {}  # float tensor → the same on its grid
        self.borders: dict[tuple[Tensor, bytes], Tensor] = {}
        self.constants: dict[tuple[Tensor, str], Tensor] = {}
        self.ops: list[Op] = []

    def run(self, int8_ends: bool) -> None:
        self._share_ranges()
        graph = self.graph
        if int8_ends:
            self._take_integers()
        for op in graph.ops:
            if op in self.chosen:
                self._quantize(op)
            else:
                op.inputs = [t if t is None else self._real(t) for t in op.inputs]
                self.ops.append(op)
        integer = [int8_ends and tensor.dtype == "float32" for tensor in graph.outputs]
        graph.outputs = [
            self._integer(t) if whole else self._real(t) for t, whole in zip(graph.outputs, integer, strict=True)
        ]
        graph.ops = self.ops
        graph.prune()

    def _take_integers(self) -> None:
        for number, tensor in enumerate(self.graph.inputs):
            if tensor.dtype == "float32":
                taken = tensor.like(tensor.name, "int8", self._measured(tensor))
                self.integers[tensor] = self.graph.inputs[number] = taken

    def _share_ranges(self) -> None:
        self._settle_joins()
        self._share_applications()
        self._share_moves()

    def _settle_joins(self) -> None:
        """What is joined of parts with one settled range, as the states of all steps, has that range."""
        for op in self.graph.ops:
            if op in self.chosen and op.kind in JOINS and op.output.range is None:
                parts = {t.range for t in op.inputs if t is not None and t.dtype == "float32"}
                if len(parts) == 1:
                    op.output.range = parts.pop()

    def _share_applications(self) -> None:
        """A layer that is applied several times, as in the steps of an RNN, has one grid before it and one behind it:
        one bias and one set of scales then does for all. So does what the steps compute from it, alike in each."""
        groups: dict[Tensor, list[Op]] = defaultdict(list)
        for op in self.graph.ops:
            if op in self.chosen and op.kind in WEIGHTED:
                groups[op.input(1)].append(op)
        users = self.graph.users()
        for group in groups.values():
            self._share_range([op.input(data_index(op)) for op in group])
            self._share_range([op.output for op in group])
            if len(group) > 1 and all(prod(op.output.shape[:-1]) == 1 for op in group):
                self._share_followers([op.output for op in group], users)

    def _share_followers(self, tensors: list[Tensor], users: dict[Tensor, list[Op]]) -> None:
        """tensors: the same one of each step. What all steps make of it in the same way has one range, too."""
        stack, seen = [tensors], set(tensors)
        while stack:
            readers = [sorted(users[tensor], key=lambda op: op.kind) for tensor in stack.pop()]
            if len({tuple(op.kind for op in ops) for ops in readers}) > 1:
                continue
            for ops in zip(*readers, strict=True):
                alike = len(set(ops)) == len(ops) and len({len(op.outputs) for op in ops}) == 1
                if alike and self.chosen.issuperset(ops):
                    for outputs in zip(*(op.outputs for op in ops), strict=True):
                        if seen.isdisjoint(outputs):
                            self._share_range(list(outputs), _ALIKE)
                            stack.append(list(outputs))
                            seen.update(outputs)

    def _share_range(self, tensors: list[Tensor], least: float = 0.0) -> None:
        """One range for all, but for those that lie in less than the fraction ``least`` of it."""
        inputs = set(self.graph.inputs)
        own = [t for t in tensors if t.range is None and t in self.ranges and t not in inputs]
        if len(own) > 1:
            lows, highs = zip(*(self.ranges[t] for t in own), strict=True)
            low, high = min(lows), max(highs)
            for tensor, a, b in zip(own, lows, highs, strict=True):
                if b - a >= least * (high - low):
                    self.ranges[tensor] = (low, high)

    def _share_moves(self) -> None:
        """From a result back to what is only moved or joined into it, so that it need not be rescaled there."""
        makers = self.graph.makers()
        readers = self.graph.users()
        for op in reversed(self.graph.ops):
            if op not in self.chosen or op.kind not in MOVES | JOINS:
                continue
            wanted = [output.range for output in op.outputs]
            if op.kind in JOINS and wanted[0] is None:
                wanted = [self.ranges.get(op.output)]
            if wanted[0] is None or any(range_ != wanted[0] for range_ in wanted):
                continue
            for tensor in op.inputs if op.kind in JOINS else op.inputs[:2]:
                maker = makers.get(tensor) if tensor is not None else None
                if tensor is None or tensor.dtype != "float32" or tensor.range is not None or maker is None:
                    continue
                alone = len(readers[tensor]) == 1 or op.kind in JOINS
                if maker in self.chosen and maker.kind not in FIXED and alone:
                    tensor.range = wanted[0]

    def _measured(self, tensor: Tensor) -> Grid:
        low, high = tensor.range or self.ranges[tensor]
        return activation_grid(low, high)

    def _quantize(self, op: Op) -> None:
        if op.kind in WEIGHTED:
            self._weighted(op)
            return
        if op.kind == KIND:
            self._lstm(op)
            return
        floats = [i for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float32"]
        inputs = list(op.inputs)
        if op.kind in JOINS:
            grid = self._measured(op.output)
            for index in floats:
                inputs[index] = self._integer(op.input(index), grid)
        else:
            for index in floats:
                inputs[index] = self._integer(op.input(index))
            if op.kind in MOVES:
                first = inputs[floats[0]]
                assert first is not None
                assert first.grid is not None
                grid = first.grid
            else:
                grid = FIXED[op.kind] if op.kind in FIXED else self._measured(op.output)
        self._emit(op, inputs, grid)

    def _emit(self, op: Op, inputs: list[Tensor | None], grid: Grid) -> None:
        outputs = []
        for output in op.outputs:
            made = output.like(output.name, "int8", grid)
            outputs.append(made)
            self.integers[output] = made
        self.ops.append(Op(op.kind, inputs, outputs, op.options, op.version, op.choice, kept=op.kept))
        for output, made in zip(op.outputs, outputs, strict=True):
            # The training settled another grid than the kernel gives.
            if output.range is not None and op.kind in MOVES:
                wanted = activation_grid(*output.range)
                if not wanted.same(grid):
                    self.integers[output] = self._requantize(made, wanted)

    def _weighted(self, op: Op) -> None:
        data, weights = self._integer(op.input(data_index(op))), op.input(1)
        bias = 3 if op.kind == "TRANSPOSE_CONV" else 2
        assert data.grid is not None
        bits = 4 if self.bits(op) == 4 and op.kind != "TRANSPOSE_CONV" else 8
        axis = WEIGHTED[op.kind] if self.per_channel(op) else None
        if op.kind == "FULLY_CONNECTED" and axis is not None:
            axis = dense_axis(weights, bits)
        elif op.kind in CONVOLUTIONS and axis is not None and self.sharing:
            axis = channel_axis(weights, axis, bits)
        key = (weights, f"{op.kind} {bits} {axis}")
        if key not in self.constants:
            self.constants[key] = quantized(weights, bits, axis)
        kernel = self.constants[key]
        inputs = list(op.inputs)
        inputs[data_index(op)], inputs[1] = data, kernel
        if op.data(bias) is not None:
            inputs[bias] = self._bias(op, op.input(bias), kernel.grid, data.grid)
        self._emit(op, inputs, self._measured(op.output))

    def _lstm(self, op: Op) -> None:
        made = op.output.like(op.output.name, "int8", self._measured(op.output))
        self.integers[op.output] = made
        self.ops.append(in_integers(op, self._integer(op.input(0)), made, self.ranges[cell_of(op)]))

    def _bias(self, op: Op, bias: Tensor, kernel: Grid | None, data: Grid) -> Tensor:
        assert bias.data is not None
        assert kernel is not None
        scale = (kernel.scale.astype(np.float64) * float(data.scale[0])).astype(np.float32)
        steps = np.rint(bias.data.astype(np.float64) / scale.astype(np.float64))
        # The kernels compute a dense layer's bias scales themselves, and read the first at most.
        shown = scale[:1] if op.kind == "FULLY_CONNECTED" else scale
        grid = Grid(shown, np.zeros(len(shown), np.int64), 0)
        return Tensor.constant(bias.name, np.clip(steps, -_INT32, _INT32).astype(np.int32), "int32", grid)

    def _integer(self, tensor: Tensor, grid: Grid | None = None) -> Tensor:
        """The tensor on its grid, or on this one."""
        if tensor.data is not None:
            return self._constant(tensor, grid)
        if tensor not in self.integers:
            wanted = grid or self._measured(tensor)
            made = tensor.like(f"{tensor.name}/int8", "int8", wanted)
            self.ops.append(quantize(tensor, made))
            self.integers[tensor] = made
        found = self.integers[tensor]
        if grid is None or grid.same(found.grid):
            return found
        return self._requantize(found, grid)

    def _requantize(self, tensor: Tensor, grid: Grid) -> Tensor:
        key = (tensor, grid.scale.tobytes() + grid.zero.tobytes())
        if key not in self.borders:
            self.borders[key] = tensor.like(f"{tensor.name}/rescaled", "int8", grid)
            self.ops.append(quantize(tensor, self.borders[key]))
        return self.borders[key]

    def _constant(self, tensor: Tensor, grid: Grid | None) -> Tensor:
        assert tensor.data is not None
        key = (tensor, "own" if grid is None else str(grid.scale[0]))
        if key not in self.constants:
            if grid is None and tensor.data.ndim > 1 and tensor.data.size > 1 and float(tensor.data.min(initial=0)) < 0:
                self.constants[key] = quantized(tensor, 8, None)
            else:
                wanted = grid or activation_grid(float(tensor.data.min()), float(tensor.data.max()))
                self.constants[key] = Tensor.constant(tensor.name, on_grid(tensor.data, wanted), "int8", wanted)
        return self.constants[key]

    def _real(self, tensor: Tensor) -> Tensor:
        """The tensor in floats: as it is, or dequantized once for all who read it."""
        made = self.integers.get(tensor)
        if made is None or self._is_float(tensor):
            return tensor
        key = (made, b"real")
        if key not in self.borders:
            self.borders[key] = tensor.like(tensor.name)
            self.ops.append(dequantize(made, self.borders[key]))
        return self.borders[key]

    def _is_float(self, tensor: Tensor) -> bool:
        """Whether a float operator or the caller makes it, so that it needs no way back."""
        return tensor in self.graph.inputs or any(tensor in op.outputs for op in self.ops if op.kind != "DEQUANTIZE")


def on_grid(values: Array, grid: Grid) -> Array:
    """int8 integers of real numbers."""
    steps = np.rint(values.astype(np.float64) / float(grid.scale[0])) + int(grid.zero[0])
    integers: Array = np.clip(steps, -128, 127).astype(np.int8)
    return integers
