"""A smaller model of the same architecture: narrower layers, fewer of the blocks that repeat.

The model's graph is walked node by node and rebuilt from the layers' configurations. Sizes (`units`, `filters`, …) are
multiplied by `width`, except those of the layers that make the outputs. A block is a part of the graph that one tensor
enters and one of the same shape leaves; where blocks of the same build follow each other, `depth` of them stay, evenly
spaced as in DistilBERT (Sanh et al. 2019). What keeps its shapes keeps the model's weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..errors import ModelError

_SIZES = ("units", "filters", "output_dim", "key_dim", "value_dim", "intermediate_dim", "hidden_dim", "embedding_dim")


@dataclass(frozen=True)
class Block:
    """nodes: indices in the order of the graph; source, sink: ids of the tensors that enter and leave."""

    nodes: tuple[int, ...]
    source: int
    sink: int
    build: tuple[Any, ...]


def derive(model: Any, width: float, depth: float) -> tuple[Any, list[str]]:
    """A new model, and the names of the layers that left with their blocks. Raises ModelError where it cannot be.

    width, depth: greater than 0, at most 1.
    """
    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_inputs_struct"):
        raise ModelError(
            f"Model {model.name} is subclassed, so no smaller one can be derived from it: give a student by name, "
            "or as a file."
        )
    nodes = [
        node for level in sorted(functional._nodes_by_depth, reverse=True) for node in functional._nodes_by_depth[level]
    ]
    nodes = [node for node in nodes if not node.is_input]
    dropped = dropped_blocks(repeated(_blocks(functional, nodes)), depth)
    if depth < 1 and not dropped:
        raise ModelError(f"Model {model.name} has no two blocks of the same build, so depth = {depth:g} drops nothing.")
    fixed = _makers_of_outputs(functional)
    try:
        student, pairs = _rebuild(functional, nodes, dropped, width, fixed, model.name)
    except Exception as error:  # what Keras raises where sizes no longer meet: ValueError, TypeError, InvalidArgument
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"Model {model.name} cannot be rebuilt with width = {width:g}, depth = {depth:g} ({reason}): a size is "
            "written into an operation; give a student by name, or as a file."
        ) from error
    for old, new in pairs:
        if [w.shape for w in old.weights] == [w.shape for w in new.weights]:
            new.set_weights(old.get_weights())
    gone = [nodes[index].operation.name for block in dropped for index in block.nodes]
    return student, gone


def _rebuild(
    functional: Any, nodes: list[Any], dropped: Sequence[Block], width: float, fixed: set[int], name: str
) -> tuple[Any, list[tuple[Any, Any]]]:
    import keras

    tensors: dict[int, Any] = {}
    for tensor in functional.inputs:
        entrance = tensor._keras_history.operation
        tensors[id(tensor)] = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=entrance.name)
    made: dict[int, Any] = {}
    pairs: list[tuple[Any, Any]] = []
    skip = {index for block in dropped for index in block.nodes}
    ends = {block.nodes[-1]: block for block in dropped}
    for index, node in enumerate(nodes):
        if index in skip:
            if index in ends:
                tensors[ends[index].sink] = tensors[ends[index].source]
            continue
        old = node.operation
        if id(old) not in made:
            config = old.get_config()
            factor = 1.0 if id(old) in fixed else width
            made[id(old)] = type(old).from_config(narrow(config, factor) if factor < 1 else config)
            if isinstance(old, keras.layers.Layer):
                pairs.append((old, made[id(old)]))
        arguments, named = node.arguments.fill_in(tensors)
        results = keras.tree.flatten(made[id(old)](*arguments, **named))
        tensors.update(zip([id(tensor) for tensor in node.outputs], results, strict=True))
    entrances, exits = (
        keras.tree.map_structure(lambda tensor: tensors[id(tensor)], struct)
        for struct in (functional._inputs_struct, functional._outputs_struct)
    )
    return keras.Model(entrances, exits, name=name), pairs


def narrow(config: Any, width: float) -> Any:
    """A layer's configuration, also of the layers inside of it, with its sizes times ``width``, at least 1."""
    if isinstance(config, dict):
        return {
            key: max(1, round(value * width)) if key in _SIZES and type(value) is int else narrow(value, width)
            for key, value in config.items()
            if not (key == "build_config" and width < 1)
        }
    return [narrow(value, width) for value in config] if isinstance(config, list) else config


def _makers_of_outputs(functional: Any) -> set[int]:
    """Ids of the layers whose size is that of an output: the last with a size on every way to it."""
    found: set[int] = set()
    waiting = list(functional.outputs)
    seen: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        operation, index, _ = tensor._keras_history
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if narrow(config := operation.get_config(), 0.01) != config:
            found.add(id(operation))
        else:
            waiting.extend(operation._inbound_nodes[index].input_tensors)
    return found


def _blocks(functional: Any, nodes: list[Any]) -> list[Block]:
    """The chain of parts between tensors that all else passes through, besides what every part may look at."""
    last_use: dict[int, int] = {}
    shapes: dict[int, Any] = {id(t): t.shape for t in functional.inputs}
    for index, node in enumerate(nodes):
        for tensor in node.input_tensors:
            last_use[id(tensor)] = index
        shapes.update({id(tensor): tensor.shape for tensor in node.outputs})
    last_use.update({id(tensor): len(nodes) for tensor in functional.outputs})
    crossing: list[set[int]] = []  # after each node: tensors that are there and still needed
    alive = {id(tensor) for tensor in functional.inputs}
    for index, node in enumerate(nodes):
        alive = {tensor for tensor in alive | {id(t) for t in node.outputs} if last_use.get(tensor, -1) > index}
        crossing.append(alive)
    chains: dict[frozenset[int], list[int]] = {}  # by what else is alive there: the residual's chain has the residual
    for index, node in enumerate(nodes):
        if len(node.outputs) == 1 and id(node.outputs[0]) in crossing[index]:
            chains.setdefault(frozenset(crossing[index] - {id(node.outputs[0])}), []).append(index)
    chain = max(chains.values(), key=lambda ends: ends[-1] - ends[0], default=[])
    found: list[Block] = []
    for first, last in pairwise(chain):
        source, sink = id(nodes[first].outputs[0]), id(nodes[last].outputs[0])
        inside = tuple(range(first + 1, last + 1))
        found.append(Block(inside, source, sink, _build(nodes, inside, source, shapes)))
    return found


def _build(nodes: list[Any], inside: tuple[int, ...], source: int, shapes: dict[int, Any]) -> tuple[Any, ...]:
    """What must be the same in two blocks: classes, sizes, and how their nodes hang together."""
    own = {source: 0}
    build: list[Any] = [shapes[source]]
    for index in inside:
        node = nodes[index]
        wires = tuple(own.get(id(tensor), id(tensor)) for tensor in node.input_tensors)
        own.update({id(tensor): len(own) + position for position, tensor in enumerate(node.outputs)})
        weights = tuple(tuple(w.shape) for w in getattr(node.operation, "weights", ()))
        build.append((type(node.operation).__name__, wires, weights, tuple(t.shape for t in node.outputs)))
    return tuple(build)


def repeated(blocks: list[Block]) -> list[list[Block]]:
    """Runs of blocks of the same build; a block may have several parts (attention, feed-forward, attention, …)."""
    runs: list[list[Block]] = []
    start = 0
    while start < len(blocks):
        best: list[Block] = []
        for period in range(1, (len(blocks) - start) // 2 + 1):
            joined = [_join(blocks[i : i + period]) for i in range(start, len(blocks) - period + 1, period)]
            run = joined[:1]
            for candidate in joined[1:]:
                if candidate.build != run[0].build or candidate.source != run[-1].sink:
                    break
                run.append(candidate)
            if len(run) > 1 and sum(len(b.nodes) for b in run) > sum(len(b.nodes) for b in best):
                best = run
        if best:
            runs.append(best)
            end = best[-1].sink
            start = next(index for index, block in enumerate(blocks) if block.sink == end) + 1
        else:
            start += 1
    return runs


def _join(parts: list[Block]) -> Block:
    nodes = tuple(index for part in parts for index in part.nodes)
    return Block(nodes, parts[0].source, parts[-1].sink, tuple(part.build for part in parts))


def dropped_blocks(runs: list[list[Block]], depth: float) -> list[Block]:
    """Of each run all but max(1, round(depth · n)) blocks; the first stays, the others are evenly spaced."""
    dropped = []
    for run in runs:
        kept = max(1, round(depth * len(run)))
        stay = {index * len(run) // kept for index in range(kept)}
        dropped += [block for index, block in enumerate(run) if index not in stay]
    return dropped
