"""Has the engine a kernel for each operator, in its version and with its types?"""

from collections.abc import Iterator
from math import prod

from ..flatbuffer import Flatbuffer, Node, Subgraph
from ..kernels import highest_version, takes, types_taken
from ..rawmodel import RawModel
from ..targets import Target, option_for
from .finding import ERROR, Finding, layer_of, places

EDGETPU_OPERATOR = "edgetpu-custom-op"
_OTHER_RECIPE = "use another recipe, of which float32 asks least"


def operators(flatbuffer: Flatbuffer, raw: RawModel, target: Target) -> Iterator[Finding]:
    """Custom and Flex operators, versions that the engine lacks, types that its kernel refuses, sparse weights."""
    for code in flatbuffer.operators:
        if code.count:
            yield from _kernel(code.name, code.version, flatbuffer, target)
    refused: dict[tuple[str, str], list[str]] = {}
    sparse: dict[str, list[str]] = {}
    narrow: list[str] = []
    unbiased: list[str] = []
    for number, graph in enumerate(flatbuffer.subgraphs):
        for node in graph.nodes:
            inputs, outputs = _types(node.inputs, graph), _types(node.outputs, graph)
            if takes(target.engine, node.operator, inputs, outputs) is False:
                signature = f"{', '.join(dict.fromkeys(inputs))} to {', '.join(dict.fromkeys(outputs))}"
                refused.setdefault((node.operator, signature), []).append(layer(node, graph))
            elif target.engine == "tflite" and _narrow_per_channel(node, graph):
                narrow.append(layer(node, graph))
            elif target.engine == "tflite" and target.machine == "aarch64" and _crashes_without_bias(node, graph):
                unbiased.append(layer(node, graph))
            if _sparse(node, number, raw):
                sparse.setdefault(node.operator, []).append(layer(node, graph))
    for (operator, signature), layers in refused.items():
        yield _refused(operator, signature, layers, flatbuffer, target)
    if narrow:
        problem = f"its 4-bit weights have a scale for each channel; {target.engine} takes such with float inputs only"
        remedy = _newer_engine("FULLY_CONNECTED", 1, target) or _OTHER_RECIPE
        yield Finding(ERROR, "type", f"FULLY_CONNECTED in {places(narrow)}", problem, remedy)
    if unbiased:
        problem = "its weights have a scale for each channel and it has no bias: tflite-runtime 2.14 crashes on that"
        remedy = _newer_engine("FULLY_CONNECTED", 1, target) or _OTHER_RECIPE
        yield Finding(ERROR, "crash", f"FULLY_CONNECTED in {places(unbiased)}", problem, remedy)
    for operator, layers in sparse.items():
        yield Finding(
            ERROR,
            "sparsity",
            f"{operator} in {places(layers)}",
            f"its weights are stored sparsely, and {target.engine} multiplies sparse weights in FULLY_CONNECTED only",
            "convert with dense weights: a recipe of edgewright stores none sparsely",
        )


def layer(node: Node, graph: Subgraph) -> str:
    """The layer that made this operation, or else the name of its result.

    A model's outputs are named by the function around it; then the layer's weights tell.
    """
    constants = [index for index in node.inputs if index >= 0 and graph.tensors[index].size_bytes]
    names = [graph.tensors[index].name for index in (*node.outputs, *constants) if index >= 0]
    found = next(filter(None, map(layer_of, names)), "")
    return found or (names[0].split(";")[0] if names else "") or "the graph"


def _where(operator: str, version: int, flatbuffer: Flatbuffer) -> str:
    """An operator of a version, and the layers that it is in."""
    layers = [
        layer(node, graph)
        for graph in flatbuffer.subgraphs
        for node in graph.nodes
        if (node.operator, node.version) == (operator, version)
    ]
    return f"{operator} in {places(layers)}" if layers else operator


def _kernel(name: str, version: int, flatbuffer: Flatbuffer, target: Target) -> Iterator[Finding]:
    highest = highest_version(target.engine, name)
    # BROADCAST_TO 1 is the only version below a highest one that no engine has.
    if highest is not None and version <= highest and (name, version) != ("BROADCAST_TO", 1):
        return
    place = _where(name, version, flatbuffer)
    if name.startswith("Flex"):
        problem = f"it is TensorFlow's own {name[4:]}, and no engine for boards carries TensorFlow's operators"
        yield Finding(ERROR, "flex", place, problem, "replace that layer, or convert without SELECT_TF_OPS")
    elif name == EDGETPU_OPERATOR:
        if not target.edgetpu:
            remedy = "use the file from before edgetpu_compiler, or a board with an Edge TPU (--target coral-usb)"
            yield Finding(ERROR, "edgetpu", place, f"it is compiled for an Edge TPU, {target.name} has none", remedy)
    elif highest is None:
        problem = f"it is a custom operator, and {target.engine} has no kernel of that name"
        yield Finding(ERROR, "custom", place, problem, "replace the layer that makes it by one of builtin operators")
    else:
        problem = f"version {version} is needed, {target.engine} has versions up to {highest}"
        if highest == 0:
            problem = f"{target.engine} has no kernel for this operator"
        elif version <= highest:
            problem = f"version {version} is in no engine, later ones are"
        yield Finding(ERROR, "operator", place, problem, _newer_engine(name, version, target) or _OTHER_RECIPE)


def _newer_engine(name: str, version: int, target: Target) -> str | None:
    """What helps where the other engine has it."""
    if target.engine == "litert" or (highest_version("litert", name) or 0) < version:
        return None
    return (
        f"convert with --target {option_for(target)}, whose flags avoid what can be avoided, or with --recipe float32, "
        "or set the device up with --engine litert"
    )


def _refused(operator: str, signature: str, layers: list[str], flatbuffer: Flatbuffer, target: Target) -> Finding:
    widths = {
        len(_types(node.inputs, graph))
        for graph in flatbuffer.subgraphs
        for node in graph.nodes
        if node.operator == operator
    }
    taken = sorted({dtype for width in widths for dtype in types_taken(target.engine, operator, width)})
    remedy = f"it takes {', '.join(taken)}" if taken else "replace that layer"
    if "int16" in signature:
        remedy += "; use the recipe int8 or float32 instead of int16x8"
    elif "float64" in signature or "int64" in signature:
        remedy += "; cast to float32 or int32 in the model"
    else:
        remedy += "; use another recipe, or cast in the model"
    return Finding(
        ERROR, "type", f"{operator} in {places(layers)}", f"{target.engine} has no kernel from {signature}", remedy
    )


def _types(indices: tuple[int, ...], graph: Subgraph) -> list[str]:
    return [graph.tensors[index].dtype for index in indices if index >= 0]


def _narrow_per_channel(node: Node, graph: Subgraph) -> bool:
    """A dense layer of integers whose 4-bit weights have several scales: tflite-runtime 2.14 loads it, and refuses to
    prepare it (fully_connected.cc, "filter->type == kTfLiteInt8")."""
    if node.operator != "FULLY_CONNECTED" or len(node.inputs) < 2 or min(node.inputs[:2]) < 0:
        return False
    inputs, weights = (graph.tensors[index] for index in node.inputs[:2])
    return inputs.dtype != "float32" and weights.dtype == "int4" and len(weights.scales) > 1


def _crashes_without_bias(node: Node, graph: Subgraph) -> bool:
    """A dense layer of integers with neither a bias nor one scale: seen on an emulated Cortex-A72. The kernel for a
    single row that has at least 8 inputs and 4 outputs is another one, which does not crash."""
    if node.operator != "FULLY_CONNECTED" or len(node.inputs) < 2 or min(node.inputs[:2]) < 0:
        return False
    inputs, weights = (graph.tensors[index] for index in node.inputs[:2])
    rows, wide = prod(graph.tensors[node.outputs[0]].shape[:-1]), weights.shape[0] >= 4 and weights.shape[1] >= 8
    lone = len(node.inputs) < 3 or node.inputs[2] < 0
    return inputs.dtype == "int8" and lone and len(weights.scales) > 1 and not (rows == 1 and wide)


def _sparse(node: Node, number: int, raw: RawModel) -> bool:
    """FULLY_CONNECTED multiplies sparse weights, DENSIFY unpacks them; any other kernel reads them as dense ones."""
    if node.operator in ("FULLY_CONNECTED", "DENSIFY"):
        return False
    return any(index >= 0 and raw.is_sparse(number, index) for index in node.inputs)
