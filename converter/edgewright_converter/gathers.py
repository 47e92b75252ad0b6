"""Finds which inputs of a frozen graph are token ids, and how many rows the embeddings have that they index."""

from typing import Any

# What a token id goes through on its way from the model's input into an embedding without changing its value; the
# number says which operand carries it on.
_CARRIERS = {"Identity": 0, "Cast": 0, "Reshape": 0, "ExpandDims": 0, "Squeeze": 0, "Transpose": 0, "StridedSlice": 0}


def plain_gathers(graph: Any) -> dict[str, int]:
    """Placeholder name → rows of the smallest table that its values index.

    Changes the graph: Keras lets a negative index count from the end, where(i < 0, i + rows, i). A token id is never
    negative, so its gather is given i itself. In a Keras model plain.py has done that already; this is for SavedModels.
    """
    nodes = {node.name: node for node in graph.node}
    rows: dict[str, int] = {}
    for gather in graph.node:
        if gather.op != "GatherV2":
            continue
        table = _follow(nodes, gather.input[0], {"Identity": 0})
        index = _follow(nodes, gather.input[1], {"Identity": 0, "Cast": 0})
        wraps = index is not None and index.op == "SelectV2"
        source = _follow(nodes, index.input[2] if wraps else gather.input[1], _CARRIERS)
        if table is None or source is None or table.op != "Const" or source.op != "Placeholder":
            continue
        if wraps:
            gather.input[1] = index.input[2]
        size = table.attr["value"].tensor.tensor_shape.dim[0].size
        rows[source.name] = min(size, rows.get(source.name, size))
    return rows


def _follow(nodes: dict[str, Any], name: str, carriers: dict[str, int]) -> Any:
    """The node that a value comes from; None where it is not in the graph."""
    node = nodes.get(name.split(":")[0].lstrip("^"))
    while node is not None and node.op in carriers:
        node = nodes.get(node.input[carriers[node.op]].split(":")[0].lstrip("^"))
    return node
