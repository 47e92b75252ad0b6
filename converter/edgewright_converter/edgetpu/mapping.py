"""Which operations of a model will run on an Edge TPU: the operators it has, up to the first it has not.

The compiler makes one program for the TPU ("More than one subgraph is not supported", as its log says). It partitions
the graph as TensorFlow Lite does for any delegate (graph_info.cc): in epochs, each taking in all operations of one kind
whose inputs are there; the first epoch of supported operations goes onto the TPU, and all that comes after it, or waits
for an unsupported operation, stays on the CPU.
"""

from collections import Counter
from dataclasses import dataclass

from ..doctor.finding import NOTE, WARNING, Finding
from ..doctor.operators import EDGETPU_OPERATOR, layer
from ..flatbuffer import Flatbuffer, Subgraph
from ..rawmodel import RawModel
from .rules import Operation, obstacle

# SRAM for parameters, https://coral.ai/docs/edgetpu/compiler/#parameter-data-caching: "approximately 8 MB". Of it the
# program takes a part: logs of compiler 16 in public issues show 7 to 7.8 MiB for parameters.
CACHE_BYTES = 8 * 2**20
_AFTER = "it comes after the first operation that stays on the CPU"


@dataclass(frozen=True)
class Placed:
    """One operation. on_tpu: where it runs; reason, source: why not on the TPU, and where that is written."""

    operator: str
    layer: str
    on_tpu: bool
    reason: str = ""
    source: str = ""


@dataclass(frozen=True)
class Mapping:
    """All operations in the model's order. parameter_bytes: constants of those on the TPU."""

    placed: tuple[Placed, ...]
    parameter_bytes: int

    @property
    def on_tpu(self) -> int:
        return sum(entry.on_tpu for entry in self.placed)

    @property
    def on_cpu(self) -> tuple[Placed, ...]:
        return tuple(entry for entry in self.placed if not entry.on_tpu)

    @property
    def streamed_bytes(self) -> int:
        """What does not fit the cache, and is sent to the TPU in every invocation."""
        return max(0, self.parameter_bytes - CACHE_BYTES)


def map_model(flatbuffer: Flatbuffer, raw: RawModel) -> Mapping:
    """The mapping of a model that is not compiled yet, in the order of its first graph."""
    graph = flatbuffer.subgraphs[0]
    obstacles = [obstacle(Operation(node, graph, raw, position)) for position, node in enumerate(graph.nodes)]
    taken = _first_epoch([reason is None for reason in obstacles], graph, raw)
    placed = []
    for position, (node, reason) in enumerate(zip(graph.nodes, obstacles, strict=True)):
        place = layer(node, graph)
        if position in taken:
            placed.append(Placed(node.operator, place, True))
        else:
            placed.append(Placed(node.operator, place, False, *(reason or (_AFTER, _COMPILER_LOG))))
    constants = {index for position in taken for index in graph.nodes[position].inputs if index >= 0}
    return Mapping(tuple(placed), sum(graph.tensors[index].size_bytes for index in constants))


def edgetpu_findings(flatbuffer: Flatbuffer, raw: RawModel) -> list[Finding]:
    """For the doctor: what runs where, why, and how to get more onto the TPU."""
    if any(node.operator == EDGETPU_OPERATOR for node in flatbuffer.subgraphs[0].nodes):
        rest = [node.operator for node in flatbuffer.subgraphs[0].nodes if node.operator != EDGETPU_OPERATOR]
        problem = "it is compiled" + (f"; on the CPU stay {_counted(rest)}" if rest else ", all of it")
        return [Finding(NOTE, "edgetpu", "Edge TPU", problem)]
    mapping = map_model(flatbuffer, raw)
    total, on_tpu = len(mapping.placed), mapping.on_tpu
    if on_tpu == 0:
        first = mapping.placed[0] if mapping.placed else Placed("", "", False, "it is empty")
        problem = f"none of its {total} operations will run there: {first.operator}: {first.reason}"
        return [Finding(WARNING, "edgetpu", "Edge TPU", problem, "convert with --recipe int8-full")]
    found = []
    problem = f"{on_tpu} of {total} operations will run there, as the documentation has it, once it is compiled"
    found.append(Finding(NOTE, "edgetpu", "Edge TPU", problem))
    own = [entry for entry in mapping.on_cpu if entry.reason != _AFTER]
    if own:
        names = _counted([entry.operator for entry in mapping.on_cpu])
        problem = f"on the CPU stay {names}, from {own[0].operator} in {own[0].layer} on: {own[0].reason}"
        found.append(Finding(WARNING, "edgetpu", "Edge TPU", problem, _remedy(own[0])))
    if mapping.streamed_bytes:
        problem = (
            f"its {mapping.parameter_bytes / 2**20:.1f} MiB of parameters exceed the cache of 8 MiB: "
            f"{mapping.streamed_bytes / 2**20:.1f} MiB are sent in every invocation"
        )
        found.append(Finding(WARNING, "edgetpu", "Edge TPU", problem, "use a smaller model, or two TPUs in a pipeline"))
    return found


def _first_epoch(supported: list[bool], graph: Subgraph, raw: RawModel) -> set[int]:
    there = set(graph.inputs) | {index for index, tensor in enumerate(graph.tensors) if tensor.size_bytes}
    there |= {index for index in range(len(graph.tensors)) if raw.is_variable(0, index)}
    left = list(range(len(graph.nodes)))
    while left:
        kind: bool | None = None
        epoch: set[int] = set()
        grown = True
        while grown:
            grown = False
            for position in list(left):
                node = graph.nodes[position]
                ready = all(index < 0 or index in there for index in node.inputs)
                if ready and kind in (None, supported[position]):
                    kind = supported[position]
                    epoch.add(position)
                    left.remove(position)
                    there.update(node.outputs)
                    grown = True
        if kind or not epoch:
            return epoch
    return set()


def _remedy(first: Placed) -> str:
    if "8-bit" in first.reason or "QUANTIZE" in first.operator:
        return "convert with --recipe int8-full, whose inputs and outputs are int8 too"
    if "size is open" in first.reason:
        return "fix it when converting, with --batch and --shape NAME=SIZE"
    if first.operator.startswith("RESIZE"):
        return "enlarge in several steps, each of up to 8 times"
    if "batch" in first.reason or "dimension" in first.reason:
        return "convert with --batch 1, and keep to three dimensions in that layer"
    if first.operator in ("GATHER", "EMBEDDING_LOOKUP"):
        return "feed vectors instead of token ids: look the embedding up outside of the model"
    return "move that layer to the end of the model, or write it with operators that the TPU has (docs/coral.md)"


def _counted(names: list[str]) -> str:
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in Counter(names).items())


_COMPILER_LOG = "edgetpu_compiler's log: More than one subgraph is not supported"
