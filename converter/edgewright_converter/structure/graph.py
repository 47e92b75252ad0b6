"""Walk the graph of a Keras model, also through nested ones, and build another model along it.

Functional and Sequential models say how their layers are connected; a subclassed model does not, and is refused.
"""

import math
from collections.abc import Callable
from typing import Any

from ..errors import ModelError


def functional(model: Any, use: str) -> Any:
    """The Functional behind a Functional or Sequential model. Raises ModelError for others. use: the pass, for it."""
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_run_through_graph"):
        raise ModelError(
            f"The pass {use} rebuilds a model layer by layer, and {model.name} is a subclassed model, which does not "
            "say how its layers are connected: build it with keras.Model(inputs, outputs), or leave the pass out."
        )
    return graph


def is_nested(operation: Any) -> bool:
    """Whether it is a model whose layers are connected to each other visibly."""
    import keras

    graph = getattr(operation, "_functional", None) or operation
    return isinstance(operation, keras.Model) and hasattr(graph, "_run_through_graph")


_BYTES = {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "int16": 2, "int8": 1, "uint8": 1, "bool": 1}
Visit = Callable[[Any, tuple[Any, ...], dict[str, Any], list[Any]], list[Any]]


def walk(graph: Any, values: list[Any], visit: Visit) -> list[Any]:
    """Run visit(operation, args, kwargs, outputs) at every node, in the order of the data, on values that stand for
    the tensors; gives those of the graph's outputs, flat. outputs: the node's own KerasTensors; nested models are
    walked through. values: of the graph's inputs, flat.
    """
    import keras

    known = {id(tensor): value for tensor, value in zip(graph.inputs, values, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = node.arguments.fill_in(known)
            if is_nested(node.operation):
                inner = getattr(node.operation, "_functional", None) or node.operation
                given = keras.tree.flatten(args[0] if args else kwargs["inputs"])
                results = walk(inner, given, visit)
            else:
                results = visit(node.operation, args, kwargs, node.outputs)
            known.update(zip(map(id, node.outputs), results, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def rebuild(model: Any, use: str, replace: Callable[[Any], Callable[..., Any] | None]) -> tuple[Any, dict[int, Any]]:
    """The same model of new layers, and the new layer or model by the id of the old one.

    Weights are those of fresh layers; names, inputs and outputs are the model's own, and it is compiled as that was.
    replace: a layer → what is called in its place, or None for a fresh copy from its config. It is asked once for each
    layer, however often that is shared.
    """
    with model.distribute_strategy.scope() if model.distribute_strategy is not None else _nothing():
        made: dict[int, Any] = {}
        successor = _rebuild(model, use, replace, made)
    if getattr(model, "compiled", False) and model.optimizer is not None:
        own = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        successor.compile(
            optimizer=type(own).from_config(own.get_config()),
            loss=getattr(model, "loss", None),
            metrics=getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None),
            jit_compile=False,
        )
    return successor, made


def _rebuild(
    model: Any, use: str, replace: Callable[[Any], Any], made: dict[int, Any], given: list[Any] | None = None
) -> Any:
    """given: what the model is called on, where it is inside of another one, whose sizes it follows."""
    import keras
    from keras.src.models.functional import functional_like_constructor

    graph = functional(model, use)
    shapes = [
        tuple(None if size is None else now for size, now in zip(own.shape, here.shape, strict=True))
        for own, here in zip(graph.inputs, given or graph.inputs, strict=True)
    ]
    inputs = [
        keras.Input(batch_shape=shape, dtype=t.dtype, sparse=t.sparse, name=t._keras_history.operation.name)
        for t, shape in zip(graph.inputs, shapes, strict=True)
    ]

    def successor(operation: Any) -> Any:
        if is_nested(operation):

            def call(inner: Any, *args: Any, **kwargs: Any) -> Any:
                if id(operation) not in made:
                    made[id(operation)] = _rebuild(operation, use, replace, made, keras.tree.flatten(inner))
                return made[id(operation)](inner, *args, **kwargs)

            return call
        if id(operation) not in made:
            made[id(operation)] = replace(operation) or fresh(operation)
        return made[id(operation)]

    outputs = graph._run_through_graph(inputs, operation_fn=successor)
    own = type(model)
    kind = own if functional_like_constructor(own) and not isinstance(model, keras.Sequential) else keras.Model
    return kind(keras.tree.pack_sequence_as(graph._inputs_struct, inputs), outputs, name=model.name)


def fresh(operation: Any, **changed: Any) -> Any:
    """A new, unbuilt layer or operation of the same configuration, except for what is changed. Raises ModelError."""
    try:
        config = _unbuilt({**operation.get_config(), **changed})
        made = type(operation).from_config(config)
    except Exception as error:  # whatever a layer of the user's own raises
        raise ModelError(
            f"Layer {operation.name} ({type(operation).__name__}) cannot be built again from its get_config(): "
            f"{str(error).strip().splitlines()[0][:200]} Give it a get_config that its __init__ takes."
        ) from error
    if made.name != operation.name:
        made.name = operation.name
    return made


def _unbuilt(config: Any) -> Any:
    """Without the sizes that inner layers (of Bidirectional, TimeDistributed …) were built with."""
    if isinstance(config, dict):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return config


def built_layers(model: Any) -> list[Any]:
    """Every layer that `rebuild` builds again, also those of nested models; not the parts that a layer is made of."""
    found: dict[int, Any] = {}
    for layer in model.layers:
        for inner in built_layers(layer) if is_nested(layer) else [layer]:
            if type(inner).__name__ != "InputLayer":
                found[id(inner)] = inner
    return list(found.values())


def weight_bytes(model: Any) -> int:
    """As Keras holds them."""
    return sum(math.prod(v.shape) * _BYTES.get(v.dtype, 4) for v in model.weights)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
