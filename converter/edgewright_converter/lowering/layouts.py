"""Which form each mode gives each operator: the one table of the lowering's decisions.

mode          operators with weights                                                   the rest
dynamic-int8  int8 weights, float activations                                          float
int8-fast     convolutions and what lies between them: all int8, if there are samples  float
              dense layers: int8 weights, their input quantized on the fly
int4          as int8-fast, with 4-bit weights where a kernel has them
int8          all int8                                                                 int8 where there is a kernel

On tflite-runtime 2.14 `int8-fast` stores int8 weights and computes in floats, for there the delegate has no integer
kernel: an intent Transformer takes 0.98 of float32's time so, and 2.5 with weights quantized on the fly. So it does on
an x86-64 without dot products of int8 (0.99 instead of 1.17; a depthwise-separable CNN in int8: 1.25), but for products
with a single row, as in the steps of an RNN.

Why `int8-fast` keeps floats between dense layers: normalizations, softmax and GELU are a dozen small operators whose
int8 forms each rescale, and some have no fast kernel at all; benchmarks/lowering.py measures both.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod

from ..outcome import Skipped
from ..passes.quantize import Quantize
from ..targets import HYBRID_IN_DELEGATE, Target, has_quick_integers, has_slow_products, has_slow_softmax, version_key
from .channels import equalize_channels
from .dense import give_biases, unfold_products
from .dynamic import quantize_weights
from .graph import Array, Graph, Model, Op, Tensor, copied
from .integers import quantize_graph, supported
from .kernels import MOVES, WEIGHTED, kinds
from .layers import Layers
from .markers import Range, take_ranges
from .masks import saturate_masks
from .ranges import Ranges, measure
from .recurrent import fuse_lstms
from .report import NO_TABLE, SAMPLES, Table, make_table
from .rewrite import rewrite
from .softmax import write_out_softmax
from .tables import tabulate_roots
from .versions import set_versions

_SEEDS = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"))
# What an int8 region around convolutions takes in: the same speed or better in int8, and no border inside.
_BETWEEN = kinds(
    "ADD MUL CONCATENATION PAD MAX_POOL_2D AVERAGE_POOL_2D MEAN RELU RELU6 RESHAPE EXPAND_DIMS SQUEEZE "
    "TRANSPOSE GATHER REDUCE_MAX HARD_SWISH LOGISTIC RESIZE_NEAREST_NEIGHBOR RESIZE_BILINEAR STRIDED_SLICE "
    "SLICE FULLY_CONNECTED SOFTMAX"
)
_ROOTS = _SEEDS | {"FULLY_CONNECTED", "GATHER"}
_BITS = {"float32": 32, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class Layout:
    """skipped: what was left in float, with the reason; table: of the layers, where there were samples to judge by."""

    skipped: tuple[Skipped, ...] = ()
    table: Table = NO_TABLE


def lay_out(
    model: Model,
    quantize: Quantize,
    target: Target,
    names: tuple[str, ...],
    settled: list[Range],
    samples: Iterable[Mapping[str, Array]],
) -> Layout:
    """Change a float model into the mode's form. names: of the Keras layers; settled: see markers.py, whose training
    has made a table already.

    Raises ConversionError for a choice that fits no layer.
    """
    layers = Layers(names, quantize.layers)
    _choose(model, layers)
    take_ranges(model.main, settled)
    fuse_lstms(model.main)
    rewrite(model.main)  # not the bodies of loops, whose sizes the engine infers anew
    _inherit_choices(model.main)
    if quantize.mode != "int8" and has_slow_softmax(target):
        write_out_softmax(model.main)
    if quantize.mode == "float32":
        return Layout()
    form = _Form(quantize, target)
    region = form.region(model.main)
    few = list(samples)
    skipped: tuple[Skipped, ...] = ()
    if region and not few:
        what = "convolutions" if quantize.mode != "int8" else "operators"
        skipped = (Skipped(what, "without data their activations' ranges are unknown, so they stay float"),)
    if few and not target.edgetpu:
        equalize_channels(model.main, region)
    ranges = measure(model, few) if region and few else {}
    floats, own = copied(model, ranges)
    form.apply(model, ranges)

    def partly(chosen: Callable[[Op], bool], weights_alone: bool) -> Model:
        changed, measured = copied(floats, own)
        form.apply(changed, measured, chosen, weights_alone)
        return changed

    table = NO_TABLE if settled or not few else make_table(floats, model, layers, few[:SAMPLES], partly)
    return Layout((*skipped, *_left_float(model.main, quantize.mode, layers, target)), table)


def float_layers(
    model: Model, quantize: Quantize, target: Target, names: tuple[str, ...]
) -> tuple[frozenset[str], frozenset[str]]:
    """Which layers of a float model compute in floats in this mode, where others are integer, and which of these give
    what becomes integers. "input 1" is the graph's first input. Changes the model."""
    layers = Layers(names, quantize.layers)
    _choose(model, layers)
    rewrite(model.main)
    _inherit_choices(model.main)
    graph = model.main
    region, makers, users = _Form(quantize, target).region(graph), graph.makers(), graph.users()
    entrances = {f"input {number}": tensor for number, tensor in enumerate(graph.inputs, 1)}
    floats = {layers.name(op) for op in graph.ops} - {layers.name(op) for op in region}
    floats |= {name for name, tensor in entrances.items() if not region.intersection(users[tensor])}
    ends: set[str] = set()
    for op in region:
        for tensor in op.inputs:
            while tensor in makers and makers[tensor] not in region:
                ends.add(layers.name(makers[tensor]))
                tensor = makers[tensor].inputs[0] if makers[tensor].kind in MOVES else None
            ends |= {name for name, entrance in entrances.items() if tensor is entrance}
    return frozenset(floats), frozenset(ends & floats)


def _choose(model: Model, layers: Layers) -> None:
    for graph in model.graphs:
        for op in graph.ops:
            op.choice = layers.choice(op)
    layers.refuse_unused(model)


def _inherit_choices(graph: Graph) -> None:
    """What only moves numbers goes with the layer that made them, or they would change their kind for nothing."""
    makers = graph.makers()
    for op in graph.ops:
        if op.choice is None and op.kind in MOVES:
            sources = [makers[t] for t in op.inputs if t is not None and t in makers]
            op.choice = sources[0].choice if sources else None


def _every(op: Op) -> bool:
    return True


class _Form:
    """What a mode makes of a model for a target."""

    def __init__(self, quantize: Quantize, target: Target) -> None:
        self.mode, self.border, self.target = quantize.mode, quantize.border, target
        self.runtime = version_key(target.runtime)

    def bits(self, op: Op) -> int:
        return _BITS.get(op.choice or "", 4 if self.mode == "int4" else 8)

    def stores(self, op: Op) -> bool:
        """Whether the operator computes in floats, from weights that are stored in integers."""
        if self.mode not in ("int8-fast", "int4") or has_quick_integers(self.target):
            return False
        # A product with a single row is bound by memory, where a quarter of the bytes counts.
        single = self.runtime >= HYBRID_IN_DELEGATE and prod(op.output.shape[:-1]) == 1
        return not single

    def region(self, graph: Graph, chosen: Callable[[Op], bool] = _every) -> set[Op]:
        """The operators that become integer, activations included."""
        able = {op for op in graph.ops if supported(op) and chosen(op) and self.bits(op) != 32}
        # Of 4 bits, a GATHER's rows come out of their table as floats.
        able -= {op for op in able if op.kind == "GATHER" and self.bits(op) == 4}
        if self.mode == "int8":
            return able
        if self.mode == "dynamic-int8" or not has_quick_integers(self.target):
            return set()
        return _around_convolutions(graph, able)

    def apply(
        self, model: Model, ranges: Ranges, chosen: Callable[[Op], bool] = _every, weights_alone: bool = False
    ) -> None:
        """Change a float model in place. ranges: of its tensors, {} where nothing was measured. chosen: which operators
        become integers, in whole or, with weights_alone, only the weights that they read."""
        whole = chosen is _every

        def bits(op: Op) -> int:
            return self.bits(op) if chosen(op) else 32

        if ranges and not weights_alone:
            if self.mode == "int8":
                saturate_masks(model.main, ranges)
            region = self.region(model.main, chosen)
            quantize_graph(
                model.main,
                ranges,
                chosen=lambda op: op in region,
                bits=bits,
                # The Edge TPU's compiler asks for one scale in a dense layer; tflite-runtime 2.14 reads them all.
                per_channel=lambda op: op.kind != "FULLY_CONNECTED" or not self.target.edgetpu,
                int8_ends=whole and self.border == "int8",
                sharing=not self.target.edgetpu,  # whose compiler takes integers as tf.lite writes them
            )
            if has_slow_products(self.target):
                unfold_products(model.main)
                tabulate_roots(model.main)  # on the same machines, where it was measured
            if self.target.engine == "tflite":
                give_biases(model.main)
        for graph in model.graphs:
            quantize_weights(graph, bits, self.runtime, lambda op: weights_alone or self.stores(op))
            graph.prune()
            graph.share_constants()
            set_versions(graph)


def _around_convolutions(graph: Graph, able: set[Op]) -> set[Op]:
    makers, users = graph.makers(), graph.users()
    region: set[Op] = set()
    stack = [op for op in able if op.kind in _SEEDS]
    while stack:
        op = stack.pop()
        if op in region:
            continue
        region.add(op)
        before = [makers[t] for t in op.inputs if t in makers and t is not None]
        after = [user for output in op.outputs for user in users[output]]
        stack += [near for near in (*before, *after) if near in able and near.kind in _BETWEEN]
    return region - _entrance(graph, region)


def _entrance(graph: Graph, region: set[Op]) -> set[Op]:
    """Arithmetic that comes before the first integers, as the end of a normalization does, and what leads to it: in
    floats it is quicker and rounds nothing."""
    made: set[Tensor] = set()  # of integers that were multiplied, or looked up
    gone: set[Op] = set()
    for op in graph.ops:
        if op not in region:
            continue
        if op.kind in _ROOTS or any(t in made for t in op.inputs if t is not None):
            made.update(op.outputs)
        elif op.kind in ("ADD", "MUL"):
            gone.add(op)
    users = graph.users()
    for op in reversed(graph.ops):
        if op in region and not made.intersection(op.outputs) and any(u in gone for t in op.outputs for u in users[t]):
            gone.add(op)
    return gone


def _left_float(graph: Graph, mode: str, layers: Layers, target: Target) -> tuple[Skipped, ...]:
    """What still computes in float32, alike layers together; () in dynamic-int8, which promises nothing else."""
    if mode == "dynamic-int8":
        return ()
    found: dict[str, dict[str, None]] = {}
    for op in graph.ops:
        if op.kind in MOVES or op.kind in ("DEQUANTIZE", "QUANTIZE", "EMBEDDING_LOOKUP", "WHILE"):
            continue
        weights = op.inputs[1] if op.kind in WEIGHTED else None
        if any(t.dtype == "float32" for t in op.outputs) and (weights is None or weights.dtype == "float32"):
            found.setdefault(layers.name(op), {})[op.kind] = None
    together: dict[tuple[str, ...], list[str]] = {}
    for layer, names in found.items():
        together.setdefault(tuple(names), []).append(layer)
    if mode == "int8":
        reason = "there is no int8 form of it here, or the recipe leaves the layer float"
    elif not has_quick_integers(target):
        reason = "float32 from stored integers: the target's runtime or processor has no quick integer kernel"
    else:
        reason = "float32 between integers: int8 forms would rescale and be slower, or the weights are few"
    return tuple(
        Skipped(", ".join(names) + (f" in {', '.join(where)}" if where != list(names) else ""), reason)
        for names, where in together.items()
    )
