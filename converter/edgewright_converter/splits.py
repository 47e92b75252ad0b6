"""Takes slices where not every result of a split is used.

With a result that nobody uses it is chance whether the int8 quantizer leaves a SPLIT or UNPACK in float: the same model
gives other bytes each time, and float operators in some of them. Slices are quantized each time.
"""

from collections import defaultdict
from typing import Any

_COUNT = {"Split": "num_split", "Unpack": "num"}


def slice_partial_splits(graph: Any, traced: Any) -> None:
    """Change the GraphDef of ``traced``, a tf.Graph with static shapes."""
    used: dict[str, set[int]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            source, _, index = name.partition(":")
            used[source].add(int(index or 0))
    instead: dict[str, str] = {}
    for node in [node for node in graph.node if node.op in _COUNT]:
        if len(used[node.name]) < node.attr[_COUNT[node.op]].i:
            operation = traced.get_operation_by_name(node.name)
            for index in sorted(used[node.name]):
                instead[f"{node.name}:{index}"] = _add_slice(graph, operation, index)
    for node in graph.node:
        for position, name in enumerate(node.input):
            full = name if ":" in name else f"{name}:0"
            if full in instead:
                node.input[position] = instead[full]


def _add_slice(graph: Any, split: Any, index: int) -> str:
    """Nodes that compute result number ``index`` of a split; returns the name of the last."""
    import tensorflow as tf

    value = split.inputs[-1]
    shape = value.shape.as_list()
    axis = split.get_attr("axis") if split.type == "Unpack" else int(tf.get_static_value(split.inputs[0]))
    axis %= len(shape)
    width = 1 if split.type == "Unpack" else shape[axis] // len(split.outputs)
    begin, size = [0] * len(shape), list(shape)
    begin[axis], size[axis] = index * width, width
    name = f"{split.name}/result_{index}"

    def add(kind: str, suffix: str, inputs: list[str], **attributes: Any) -> str:
        node = graph.node.add(op=kind, name=name + suffix, input=inputs)
        for key, attribute in attributes.items():
            node.attr[key].CopyFrom(attribute)
        return str(node.name)

    def constant(values: list[int], suffix: str) -> str:
        tensor = tf.make_tensor_proto(values, tf.int32)
        return add("Const", suffix, [], dtype=int32, value=attr(tensor=tensor))

    attr = tf.compat.v1.AttrValue
    int32, dtype = attr(type=tf.int32.as_datatype_enum), attr(type=value.dtype.as_datatype_enum)
    inputs = [value.name, constant(begin, "/begin"), constant(size, "/size")]
    sliced = add("Slice", "", inputs, T=dtype, Index=int32)
    if split.type == "Split":
        return sliced
    target = constant(split.outputs[index].shape.as_list(), "/shape")
    return add("Reshape", "/reshape", [sliced, target], T=dtype, Tshape=int32)
