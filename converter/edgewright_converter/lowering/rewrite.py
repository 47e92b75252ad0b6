"""Float graphs in the form that the engines run best, computing the same.

Merged      several FULLY_CONNECTED of one input, as the query, key and value of an attention, become one: its input is
            quantized once instead of three times. Their equal RESHAPE and TRANSPOSE become one, too.
Hoisted     a layer that is applied to each time step of a sequence is applied to the sequence, once.
Transposes  that only turn a matrix for BATCH_MATMUL go into its own flag or into the transpose before.
Affine      a gain and a shift before dense layers alone, as of a normalization, go into their weights and biases.

A tensor that has a range of its own (after quantization-aware training) is left as it is.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from .graph import Graph, Op, Tensor
from .ops import options, reshape, split, transpose
from .slices import split_slices

_SHARED_STEPS = ("RESHAPE", "TRANSPOSE")


def rewrite(graph: Graph) -> None:
    """Change a float graph in place."""
    fold_leading_ones(graph)
    split_slices(graph)
    fold_biases(graph)
    fold_affine(graph)
    absorb_transposes(graph)
    graph.prune()
    hoist_over_steps(graph)
    split_before_steps(graph)
    merge_dense(graph)
    graph.prune()


def _dense(op: Op | None) -> bool:
    return op is not None and op.kind == "FULLY_CONNECTED" and op.data(1) is not None and op.options.weightsFormat == 0


def _fixed_range(tensor: Tensor) -> bool:
    return tensor.range is not None


def fold_leading_ones(graph: Graph) -> None:
    """x + reshape(y), where the reshape drops a leading 1 and the sum broadcasts it back, is x + y."""
    makers = graph.makers()
    for op in graph.ops:
        if op.kind not in ("ADD", "SUB", "MUL"):
            continue
        for index, tensor in enumerate(op.inputs):
            maker = makers.get(tensor) if tensor is not None else None
            if maker is None or maker.kind != "RESHAPE" or maker.inputs[0] is None:
                continue
            source, other = maker.inputs[0], op.inputs[1 - index]
            dropped = source.shape[: len(source.shape) - len(maker.output.shape)]
            if dropped and source.shape == (*dropped, *maker.output.shape) and set(dropped) == {1}:
                shape = np.broadcast_shapes(source.shape, other.shape if other is not None else ())
                if shape == op.output.shape:
                    op.inputs[index] = source


def fold_biases(graph: Graph) -> None:
    """A constant that is added after a dense layer, or after the sum of two, becomes its bias."""
    for op in list(graph.ops):
        if op.kind != "ADD" or _activation(op):
            continue
        constant, value = _constant_and_value(op)
        makers, users = graph.makers(), graph.users()
        if (
            constant is None
            or constant.data is None
            or value is None
            or len(users[value]) > 1
            or value in graph.outputs
            or value.range
        ):
            continue
        maker = makers.get(value)
        target = maker if _dense(maker) else None
        if target is None and maker is not None and maker.kind == "ADD" and not _activation(maker):
            parts = [makers.get(t) for t in maker.inputs if t is not None]
            dense = [p for p in parts if p is not None and _dense(p)]
            dense = [p for p in dense if len(users[p.output]) == 1 and p.output not in graph.outputs]
            # The one that reads a step of a sequence: it will be hoisted.
            dense.sort(key=lambda p: _kind(makers.get(p.input(0))) != "UNPACK")
            target = dense[0] if dense else None
        if target is None or _activation(target) or _fixed_range(target.output):
            continue
        width = target.output.shape[-1]
        if constant.data.size not in (1, width) or constant.shape[-1:] not in ((width,), (1,), ()):
            continue
        if len(target.inputs) > 2 and target.inputs[2] is not None and target.data(2) is None:
            continue
        total = (_bias(target) + constant.data.reshape(-1)).astype(np.float32)
        target.inputs[2:] = [Tensor.constant(constant.name, total)]
        graph.replace(op.output, value)
        value.range = op.output.range
        graph.ops.remove(op)


def fold_affine(graph: Graph) -> None:
    """w·(x·gain + shift) + b = (w·gain)·x + (w·shift + b)."""
    for kind in ("ADD", "MUL"):
        for op in list(graph.ops):
            users = graph.users()
            if op.kind != kind or _activation(op) or op.output in graph.outputs or _fixed_range(op.output):
                continue
            constant, value = _constant_and_value(op)
            readers = users[op.output]
            if (
                constant is None
                or constant.data is None
                or value is None
                or not readers
                or not all(_dense(r) for r in readers)
            ):
                continue
            width = op.output.shape[-1]
            if value.shape != op.output.shape or constant.data.size not in (1, width) or constant.dtype != "float32":
                continue
            if constant.data.size > 1 and constant.shape[-1] != width:
                continue
            if any(r.inputs[0] is not op.output or r.constant(1).shape[-1] != width for r in readers):
                continue
            vector = np.broadcast_to(constant.data.reshape(-1), (width,))
            for reader in readers:
                _absorb(reader, vector, kind)
                reader.inputs[0] = value
            graph.ops.remove(op)


def _absorb(dense: Op, vector: Any, kind: str) -> None:
    name, weights = dense.input(1).name, dense.constant(1)
    if kind == "MUL":
        dense.inputs[1] = Tensor.constant(name, (weights * vector).astype(np.float32))
    else:
        bias = weights.astype(np.float64) @ vector + _bias(dense)
        dense.inputs[2:] = [Tensor.constant(f"{name}/bias", bias.astype(np.float32))]


def absorb_transposes(graph: Graph) -> None:
    makers, users = graph.makers(), graph.users()
    for op in list(graph.ops):  # a result that is turned: (a·b)ᵀ = bᵀ·aᵀ
        before = makers.get(op.inputs[0]) if op.kind == "TRANSPOSE" and op.inputs[0] is not None else None
        if before is None or before.kind != "BATCH_MATMUL" or not _swaps(op) or len(users[before.output]) > 1:
            continue
        if before.output in graph.outputs or _fixed_range(before.output):
            continue
        x, y = before.options.adjX, before.options.adjY
        before.inputs, before.options.adjX, before.options.adjY = before.inputs[::-1], not y, not x
        before.outputs = [op.output]
        graph.ops.remove(op)
    for op in [op for op in graph.ops if op.kind == "BATCH_MATMUL"]:
        for side, flag in ((0, "adjX"), (1, "adjY")):
            _turn_operand(graph, op, side, flag)


def _turn_operand(graph: Graph, op: Op, side: int, flag: str) -> None:
    """The left operand is never adjoined, which the delegate refuses; the right one is where that spares a TRANSPOSE
    of another order than its siblings have."""
    makers, users = graph.makers(), graph.users()
    operand = op.inputs[side]
    maker = makers.get(operand) if operand is not None else None
    if maker is None or maker.kind != "TRANSPOSE" or len(users[maker.output]) > 1 or maker.inputs[0] is None:
        if side == 0 and getattr(op.options, flag) and operand is not None:
            order = _swapped(range(len(operand.shape)))
            op.inputs[0] = _transpose(graph, op, operand, order)
            op.options.adjX = False
        return
    order = tuple(int(v) for v in maker.constant(1))
    turn = getattr(op.options, flag) if side == 0 else order[-1] != len(order) - 1
    if turn:
        op.inputs[side] = _transpose(graph, op, maker.inputs[0], _swapped(order), operand)
        setattr(op.options, flag, not getattr(op.options, flag))


def _transpose(graph: Graph, before: Op, source: Tensor, order: tuple[int, ...], like: Tensor | None = None) -> Tensor:
    shape = tuple(source.shape[axis] for axis in order)
    name = source.name if like is None else like.name
    output = Tensor(name, shape, source.dtype, range=None if like is None else like.range)
    graph.ops.insert(graph.ops.index(before), transpose(source, output, order))
    return output


def _swaps(op: Op) -> bool:
    order = op.data(1)
    return order is not None and tuple(order) == _swapped(range(len(order)))


def _swapped(order: Any) -> tuple[int, ...]:
    *rest, a, b = order
    return (*rest, b, a)


def hoist_over_steps(graph: Graph) -> None:
    users = graph.users()
    for unpack in [op for op in graph.ops if op.kind == "UNPACK" and op.options.axis == 0]:
        groups: dict[Any, list[Op]] = defaultdict(list)
        for step in unpack.outputs:
            for user in users[step]:
                if _dense(user) and user.inputs[0] is step and len(step.shape) == 2:
                    bias = user.data(2)
                    constants = (user.inputs[1], None if bias is None else bias.tobytes())
                    key = (*constants, _activation(user), user.output.range, user.choice)
                    groups[key].append(user)
        for steps in groups.values():
            source = unpack.inputs[0]
            if len(steps) < 2 or len({s.inputs[0] for s in steps}) < len(steps) or source is None:
                continue
            first = steps[0]
            width = first.output.shape[-1]
            whole = Tensor(first.output.name, (*source.shape[:-1], width), "float32", range=first.output.range)
            made = options("FullyConnected", fusedActivationFunction=_activation(first), keepNumDims=True)
            place = graph.ops.index(unpack)
            numbers = {output: number for number, output in enumerate(unpack.outputs)}
            outputs = [
                Tensor(f"{whole.name}/{n}", whole.shape[1:], "float32", range=whole.range) for n in numbers.values()
            ]
            for dense in steps:
                outputs[numbers[dense.input(0)]] = dense.output
                graph.ops.remove(dense)
            graph.ops[place:place] = [
                Op("FULLY_CONNECTED", [source, *first.inputs[1:]], [whole], made, choice=first.choice),
                Op("UNPACK", [whole], outputs, unpack.options),
            ]


def split_before_steps(graph: Graph) -> None:
    """Where each step of a sequence is split into the same parts, the sequence is."""
    users = graph.users()
    for unpack in [op for op in graph.ops if op.kind == "UNPACK" and op.options.axis == 0]:
        source = unpack.inputs[0]
        splits = {step: users[step][0] for step in unpack.outputs if len(users[step]) == 1}
        used = [step for step in unpack.outputs if users[step] or step in graph.outputs]
        same = {(s.kind, s.outputs[0].shape, len(s.outputs)) for s in splits.values()}
        if source is None or len(used) < 2 or any(step not in splits for step in used) or len(same) > 1:
            continue
        kind, shape, count = same.pop()
        if kind != "SPLIT" or shape[-1] * count != source.shape[-1] or shape[:-1] != source.shape[1:-1]:
            continue
        parts = [
            Tensor(f"{source.name}/{n}", (*source.shape[:-1], shape[-1]), "float32", range=source.range)
            for n in range(count)
        ]
        made = [split(source, len(source.shape) - 1, parts)]
        for number, part in enumerate(parts):
            ends = [
                splits[step].outputs[number] if step in splits else Tensor(step.name, shape, "float32")
                for step in unpack.outputs
            ]
            made.append(Op("UNPACK", [part], ends, unpack.options))
        place = graph.ops.index(unpack)
        gone = {unpack, *splits.values()}
        graph.ops[place:place] = made
        graph.ops = [op for op in graph.ops if op not in gone]


def merge_dense(graph: Graph) -> None:
    groups: dict[Any, list[Op]] = defaultdict(list)
    users = graph.users()
    for op in graph.ops:
        if _dense(op) and op.output not in graph.outputs:
            # Of other ranges than their sum has, each would be rounded twice.
            settled = _settled_range(op.output, users)
            groups[op.inputs[0], _activation(op), op.options.keepNumDims, settled, op.choice].append(op)
    for group in groups.values():
        if len(group) > 1:
            _merge(graph, group)


def _settled_range(tensor: Tensor, users: dict[Tensor, list[Op]]) -> tuple[float, float] | None:
    """That of a tensor or of what it becomes by being moved."""
    while tensor.range is None and len(users[tensor]) == 1 and users[tensor][0].kind in _SHARED_STEPS:
        tensor = users[tensor][0].output
    return tensor.range


def _merge(graph: Graph, group: list[Op]) -> None:
    """Dense layers of one input. Those of unequal width, or that XNNPACK cannot split (more than four), are left."""
    widths = {op.output.shape[-1] for op in group}
    if len(widths) > 1 or len(group) > 4:
        return
    first, width, count = group[0], widths.pop(), len(group)
    weights = np.concatenate([op.constant(1) for op in group])
    rank = len(first.output.shape)
    joined = Tensor(first.output.name, (*first.output.shape[:-1], count * width), "float32", range=first.output.range)
    dense = Op(
        "FULLY_CONNECTED",
        [
            first.inputs[0],
            Tensor.constant(first.input(1).name, weights),
            Tensor.constant(f"{first.output.name}/bias", np.concatenate([_bias(op) for op in group])),
        ],
        [joined],
        first.options,
        choice=first.choice,
    )
    place = graph.ops.index(first)
    axis, ends, steps = rank - 1, [op.output for op in group], [dense]
    shared = _shared_heads(graph, group)
    if shared is not None:
        axis, ends, more = shared
        for op, shape in more:
            value = Tensor(op.output.name, shape, "float32", range=joined.range)
            before = steps[-1].output
            turned = op.kind == "TRANSPOSE"
            steps.append(transpose(before, value, tuple(op.constant(1))) if turned else reshape(before, value))
    steps.append(split(steps[-1].output, axis, ends))
    gone = set(group)
    graph.ops[place:place] = steps
    made = set(steps)
    produced = {t for op in steps for t in op.outputs}
    graph.ops = [
        op
        for op in graph.ops
        if op in made or (op not in gone and not any(output in produced for output in op.outputs))
    ]


def _shared_heads(graph: Graph, group: list[Op]) -> tuple[int, list[Tensor], list[tuple[Op, tuple[int, ...]]]] | None:
    """Where all are followed by the same RESHAPE to heads and TRANSPOSE of the heads to the front: one does for all.

    Returns the axis to split, the tensors that it gives, and the two with their new shapes.
    """
    users = graph.users()
    chains = []
    for op in group:
        reshape = users[op.output][0] if len(users[op.output]) == 1 else None
        turn = users[reshape.output][0] if reshape is not None and len(users[reshape.output]) == 1 else None
        if reshape is None or turn is None or (reshape.kind, turn.kind) != _SHARED_STEPS:
            return None
        if reshape.output in graph.outputs or reshape.output.range != op.output.range:
            return None
        if turn.output.range != op.output.range:
            return None
        chains.append((reshape, turn))
    reshape, turn = chains[0]
    shape, order = reshape.output.shape, turn.data(1)
    if order is None or any(
        r.output.shape != shape or t.data(1) is None or tuple(t.constant(1)) != tuple(order) for r, t in chains
    ):
        return None
    before = group[0].output.shape
    if len(shape) != len(before) + 1 or shape[:-2] != before[:-1] or tuple(order) != (0, 2, 1, 3):
        return None
    wide = (*shape[:-2], shape[-2] * len(group), shape[-1])
    turned = tuple(wide[axis] for axis in order)
    return 1, [t.output for _, t in chains], [(reshape, wide), (turn, turned)]


def _constant_and_value(op: Op) -> tuple[Tensor | None, Tensor | None]:
    constant = next((t for t in op.inputs if t is not None and t.data is not None), None)
    return constant, next((t for t in op.inputs if t is not None and t.data is None), None)


def _bias(dense: Op) -> Any:
    bias = dense.data(2)
    return np.zeros(dense.output.shape[-1], np.float32) if bias is None else bias


def _activation(op: Op) -> int:
    return int(getattr(op.options, "fusedActivationFunction", 0) or 0)


def _kind(op: Op | None) -> str:
    return "" if op is None else op.kind
