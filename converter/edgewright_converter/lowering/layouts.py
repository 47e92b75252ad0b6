"""Which form each mode gives each operator: the one table of the lowering's decisions.

mode          operators with weights                                                   the rest
dynamic-int8  int8 weights, float activations                                          float
int8-fast     convolutions and what lies between them: all int8, if there are samples  float
              dense layers: int8 weights, their input quantized on the fly
int4          as int8-fast, with 4-bit weights where a kernel has them
int8          all int8                                                                 int8 where there is a kernel

On tflite-runtime 2.14 `int8-fast` stores int8 weights and computes in floats, for there the delegate has no integer
kernel: an intent Transformer takes 0.98 of float32's time so, and 2.5 with weights quantized on the fly.

Why `int8-fast` keeps floats between dense layers: normalizations, softmax and GELU are a dozen small operators whose
int8 forms each rescale, and some have no fast kernel at all; benchmarks/lowering.py measures both.
"""

from collections.abc import Callable, Iterable, Mapping

from ..outcome import Skipped
from ..passes.quantize import Quantize
from ..targets import Target, version_key
from .dynamic import quantize_weights
from .graph import Array, Graph, Model, Op
from .integers import quantize_graph, supported
from .kernels import MOVES, WEIGHTED, kinds
from .layers import Layers
from .markers import Range, take_ranges
from .masks import saturate_masks
from .ranges import measure
from .rewrite import rewrite
from .versions import set_versions

_SEEDS = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"))
# What an int8 region around convolutions takes in: the same speed or better in int8, and no border inside.
_BETWEEN = kinds(
    "ADD MUL CONCATENATION PAD MAX_POOL_2D AVERAGE_POOL_2D MEAN RELU RELU6 RESHAPE EXPAND_DIMS SQUEEZE "
    "TRANSPOSE GATHER REDUCE_MAX HARD_SWISH LOGISTIC RESIZE_NEAREST_NEIGHBOR RESIZE_BILINEAR STRIDED_SLICE "
    "SLICE FULLY_CONNECTED SOFTMAX"
)
_HYBRID_IN_DELEGATE = (2, 17)
_BITS = {"float32": 32, "int8": 8, "int4": 4}


def lay_out(
    model: Model,
    quantize: Quantize,
    target: Target,
    names: tuple[str, ...],
    settled: list[Range],
    samples: Iterable[Mapping[str, Array]],
) -> tuple[Skipped, ...]:
    """Change a float model into the mode's form. names: of the Keras layers; settled: see markers.py.

    Returns what was left in float, with the reason. Raises ConversionError for a choice that fits no layer.
    """
    runtime = version_key(target.runtime)
    layers = Layers(names, quantize.layers)
    for graph in model.graphs:
        for op in graph.ops:
            op.choice = layers.choice(op)
    layers.refuse_unused(model)
    take_ranges(model.main, settled)
    rewrite(model.main)  # not the bodies of loops, whose sizes the engine infers anew
    if quantize.mode == "float32":
        return ()
    default = 4 if quantize.mode == "int4" else 8

    def bits(op: Op) -> int:
        return _BITS.get(op.choice or "", default)

    region = _region(model.main, quantize.mode, bits, runtime)
    skipped: tuple[Skipped, ...] = ()
    if region:
        samples = list(samples)
    if region and samples:
        ranges = measure(model, samples)
        if quantize.mode == "int8":
            saturate_masks(model.main, ranges)
            region = _region(model.main, quantize.mode, bits, runtime)
        quantize_graph(
            model.main,
            ranges,
            chosen=lambda op: op in region,
            bits=bits,
            # The Edge TPU's compiler asks for one scale in a dense layer; tflite-runtime 2.14 reads them all.
            per_channel=lambda op: op.kind != "FULLY_CONNECTED" or not target.edgetpu,
            int8_ends=quantize.border == "int8",
        )
    elif region:
        what = "convolutions" if quantize.mode != "int8" else "operators"
        skipped = (Skipped(what, "without data their activations' ranges are unknown, so they stay float"),)
    for graph in model.graphs:
        stored = quantize.mode in ("int8-fast", "int4") and runtime < _HYBRID_IN_DELEGATE
        quantize_weights(graph, bits, runtime, stored)
        graph.prune()
        set_versions(graph)
    return (*skipped, *_left_float(model.main, quantize.mode, layers, runtime))


def _region(graph: Graph, mode: str, bits: Callable[[Op], int], runtime: tuple[int, ...]) -> set[Op]:
    """The operators that become integer, activations included."""
    able = {op for op in graph.ops if supported(op) and bits(op) != 32}
    able -= {op for op in able if op.kind == "GATHER" and bits(op) == 4}  # its rows come out of their table as floats
    if mode == "int8":
        return able
    if mode == "dynamic-int8" or runtime < _HYBRID_IN_DELEGATE:
        return set()
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
    return region


def _left_float(graph: Graph, mode: str, layers: Layers, runtime: tuple[int, ...]) -> tuple[Skipped, ...]:
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
    elif runtime < _HYBRID_IN_DELEGATE:
        reason = "float32 from stored integers: this runtime has no fast integer kernel"
    else:
        reason = "float32 between integers: int8 forms would rescale and be slower, or the weights are few"
    return tuple(
        Skipped(", ".join(names) + (f" in {', '.join(where)}" if where != list(names) else ""), reason)
        for names, where in together.items()
    )
