"""Gives the graph of a SavedModel static sizes, which its exporter left open.

A loop keeps the sizes that it was exported with: the elements of its lists have a batch of −1, and TFLite refuses
("TensorListReserve requires element_shape to be static"). With the inputs' sizes known, constants are folded; then the
lists get the batch, and every recorded size of a loop is dropped, so that it is inferred anew.
"""

from typing import Any

_ELEMENT_SHAPE = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListGetItem": 2, "TensorListStack": 1}


def make_static(frozen: Any, batch: int) -> Any:
    """The GraphDef of a frozen function with this batch. Its functions get new names, for the old ones are taken."""
    from tensorflow.lite.python.util import get_grappler_config, run_graph_optimizations

    graph = run_graph_optimizations(
        frozen.graph.as_graph_def(),
        frozen.inputs,
        frozen.outputs,
        config=get_grappler_config(["constfold", "function"]),
        graph=frozen.graph,
    )
    names = {function.signature.name: f"{function.signature.name}_static" for function in graph.library.function}
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
        function.attr.pop("_input_shapes", None)
        for argument in function.arg_attr.values():
            argument.attr.pop("_output_shapes", None)
        _fix(function.node_def, names, batch)
    _fix(graph.node, names, batch)
    return graph


def _fix(nodes: Any, names: dict[str, str], batch: int) -> None:
    import tensorflow as tf

    constants = {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}
    for node in nodes:
        node.attr.pop("_output_shapes", None)
        if node.op in ("While", "StatelessWhile"):
            node.attr["output_shapes"].list.ClearField("shape")
        for attribute in node.attr.values():
            if attribute.func.name in names:
                attribute.func.name = names[attribute.func.name]
        tensor = constants.get(node.input[_ELEMENT_SHAPE[node.op]].split(":")[0]) if node.op in _ELEMENT_SHAPE else None
        if tensor is None:
            continue
        shape = tf.make_ndarray(tensor)
        if shape.ndim == 1 and shape[:1] == [-1]:
            tensor.CopyFrom(tf.make_tensor_proto([batch, *shape[1:]], dtype=tf.int32))
