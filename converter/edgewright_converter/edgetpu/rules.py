"""The operators that an Edge TPU has, and under which conditions: one rule for each sentence of the documentation.

Sources: "Model requirements" and "Supported operations" of https://coral.ai/docs/edgetpu/models-intro/ (for the Edge
TPU runtime 14, of 2021, which compiler 16 compiles for and after which nothing changed). Where the documentation names
no number, the rule says what it takes instead and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from ..flatbuffer import Node, Subgraph, Tensor
from ..rawmodel import RawModel

MODEL_REQUIREMENTS = "https://coral.ai/docs/edgetpu/models-intro/#model-requirements"
SUPPORTED = "https://coral.ai/docs/edgetpu/models-intro/#supported-operations"
TEST_DATA = "https://github.com/google-coral/test_data, deeplabv3_mnv2_dm05_pascal_quant and its compiled form"

_EIGHT_BITS = ("int8", "uint8")
_SOFTMAX_LIMIT = 16_000
_RESIZE_LIMIT = 8


@dataclass(frozen=True)
class Operation:
    """One node with what the rules look at. position: in its graph, which is the model's first."""

    node: Node
    graph: Subgraph
    raw: RawModel
    position: int

    @property
    def name(self) -> str:
        return self.node.operator

    @property
    def inputs(self) -> list[Tensor]:
        return [self.graph.tensors[index] for index in self.node.inputs if index >= 0]

    @property
    def outputs(self) -> list[Tensor]:
        return [self.graph.tensors[index] for index in self.node.outputs if index >= 0]

    @property
    def activations(self) -> list[Tensor]:
        """Inputs that are computed, and outputs; an LSTM's own state is neither."""
        return [self.graph.tensors[index] for index in self.computed] + self.outputs

    @property
    def computed(self) -> list[int]:
        return [
            index
            for index in self.node.inputs
            if index >= 0 and not self.graph.tensors[index].size_bytes and not self.raw.is_variable(0, index)
        ]

    def byte_option(self, field: int) -> int:
        options = self.raw.options(0, self.position)
        return 0 if options is None else options.int8(field)

    def option(self, field: int, default: int = 0) -> int:
        options = self.raw.options(0, self.position)
        return default if options is None else options.int32(field, default)

    def integers(self, number: int) -> tuple[int, ...] | None:
        """A constant input of whole numbers."""
        if len(self.node.inputs) <= number or self.node.inputs[number] < 0:
            return None
        index = self.node.inputs[number]
        return self.raw.integers(0, index, self.graph.tensors[index].dtype)

    def axes(self, number: int, rank: int) -> tuple[int, ...]:
        """A constant input of axes, counted from the front."""
        return tuple(axis % rank for axis in self.integers(number) or () if rank)


@dataclass(frozen=True)
class Rule:
    """broken: what is wrong with the operation, or None; source: where the condition is written."""

    name: str
    source: str
    broken: Callable[[Operation], str | None]


def _eight_bits(op: Operation) -> str | None:
    wide = [tensor for tensor in op.activations if tensor.dtype not in _EIGHT_BITS or not tensor.quantized]
    if wide:
        return f"{wide[0].dtype} is no quantized 8-bit type"
    weights = [t for t in op.inputs if t.size_bytes and t.dtype not in (*_EIGHT_BITS, "int32", "int64", "int16")]
    return f"its weights are {weights[0].dtype}, not 8-bit" if weights else None


def _constant_sizes(op: Operation) -> str | None:
    for index in (*op.computed, *op.node.outputs):
        if -1 in op.raw.open_shape(0, index) or -1 in op.graph.tensors[index].shape:
            return "a tensor's size is open"
    return None


def _constant_parameters(op: Operation) -> str | None:
    """Weights, biases, axes and shapes: what is not data must be in the file."""
    everything = range(len(op.node.inputs))
    data = everything if op.name in _OF_DATA_ALONE else {"SPLIT": (1,), "TRANSPOSE_CONV": (2,)}.get(op.name, (0,))
    for number, index in enumerate(op.node.inputs):
        if number not in data and index in op.computed:
            return f"its parameter {op.graph.tensors[index].name} is computed, not constant"
    return None


def _three_dimensions(op: Operation) -> str | None:
    for tensor in op.activations:
        if prod(tensor.shape[:-3]) > 1:
            return f"{list(tensor.shape)} has more than three dimensions above 1, or a batch"
    return None


def _no_activation(field: int) -> Callable[[Operation], str | None]:
    return lambda op: "it has a fused activation" if op.byte_option(field) else None


def _same_dilation(first: int) -> Callable[[Operation], str | None]:
    def broken(op: Operation) -> str | None:
        width, height = op.option(first, 1), op.option(first + 1, 1)
        return f"its dilation is {width} and {height}, not the same both ways" if width != height else None

    return broken


def _zero_padding(op: Operation) -> str | None:
    constants = [index for index in op.node.inputs if op.graph.tensors[index].size_bytes]
    if not constants:
        return None
    if len(op.node.inputs) != 2:
        return "it joins a constant to more than one other input"
    raw, zero = op.raw.constant(0, constants[0]) or b"", (*op.raw.zero_points(0, constants[0]), 0)[0]
    return None if set(raw) <= {zero % 256} else "it joins a constant that is not zero"


def _default_weights(op: Operation) -> str | None:
    return "its weights are in the shuffled format" if op.byte_option(1) else None


def _one_dimensional_output(op: Operation) -> str | None:
    shape = op.outputs[0].shape
    return f"its output {list(shape)} has more than one dimension" if prod(shape[:-1]) > 1 else None


def _no_batch_axis(number: int) -> Callable[[Operation], str | None]:
    """Of a reduction, or of a split: the axes are input number so and so."""

    def broken(op: Operation) -> str | None:
        data = op.inputs[1] if op.name == "SPLIT" else op.inputs[0]
        axes = op.axes(number, len(data.shape))
        return "it works along the batch" if 0 in axes and len(data.shape) > 1 else None

    return broken


def _mean_of_channels(op: Operation) -> str | None:
    shape = op.inputs[0].shape
    if len(shape) - 1 in op.axes(1, len(shape)) and shape[-1] % 4:
        return f"it reduces {shape[-1]} channels, which is no multiple of 4"
    return None


def _no_batch_packing(op: Operation) -> str | None:
    return "it packs along the batch" if op.option(1) == 0 else None


def _no_batch_padding(op: Operation) -> str | None:
    pads, rank = op.integers(1), len(op.inputs[0].shape)
    return "it pads the batch" if pads and rank > 3 and any(pads[: 2 * (rank - 3)]) else None


def _alpha_of_channels(op: Operation) -> str | None:
    shape = op.inputs[1].shape
    return f"alpha {list(shape)} differs along more than the channels" if prod(shape[:-1]) > 1 else None


def _plane(op: Operation) -> str | None:
    return "its input is no plane with channels" if len(op.inputs[0].shape) not in (3, 4) else None


def _modest_growth(op: Operation) -> str | None:
    """The documentation: "depending on input/output size, this operation might not be mapped to avoid loss in
    precision", without a number. From 1 to 33 pixels is not mapped; 8 times is this rule's own limit."""
    (before, after), axis = (op.inputs[0].shape, op.outputs[0].shape), -3
    factors = [after[a] / max(1, before[a]) for a in (axis, axis + 1)] if len(before) > 2 else [1.0]
    return f"it enlarges {max(factors):.3g} times, which loses precision" if max(factors) > _RESIZE_LIMIT else None


def _short_softmax(op: Operation) -> str | None:
    shape = op.inputs[0].shape
    if prod(shape[:-1]) > 1:
        return f"its input {list(shape)} has more than one dimension"
    return f"its input has {shape[-1]} elements, more than {_SOFTMAX_LIMIT}" if shape[-1] > _SOFTMAX_LIMIT else None


def _unit_strides(op: Operation) -> str | None:
    strides = op.integers(3)
    if strides is None or any(stride != 1 for stride in strides):
        return "its strides are not all 1"
    return "it has an ellipsis or a new axis" if op.option(2) or op.option(3) else None


REQUIREMENTS = (
    Rule("constant parameters", MODEL_REQUIREMENTS, _constant_parameters),
    Rule("constant sizes", MODEL_REQUIREMENTS, _constant_sizes),
    Rule("8 bits", MODEL_REQUIREMENTS, _eight_bits),
    Rule("three dimensions", MODEL_REQUIREMENTS, _three_dimensions),
)
_OF_DATA_ALONE = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "CONCATENATION", "PACK")
_NO_BATCH = Rule("no batch axis", SUPPORTED, _no_batch_axis(1))
_RESIZE = (Rule("a plane", SUPPORTED, _plane), Rule("modest growth", f"{SUPPORTED}; {TEST_DATA}", _modest_growth))
_FUSED_POOL = Rule("no fused activation", SUPPORTED, _no_activation(5))

OPERATORS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        [
            "ADD",
            "EXPAND_DIMS",
            "L2_NORMALIZATION",
            "LOGISTIC",
            "MAXIMUM",
            "MINIMUM",
            "MUL",
            "QUANTIZE",
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "RESHAPE",
            "RSQRT",
            "SLICE",
            "SPACE_TO_DEPTH",
            "SQUARED_DIFFERENCE",
            "SQUEEZE",
            "SUB",
            "TANH",
            "TRANSPOSE",
            "TRANSPOSE_CONV",
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
        ],
        (),
    ),
    "AVERAGE_POOL_2D": (_FUSED_POOL,),
    "CONCATENATION": (
        Rule("no fused activation", SUPPORTED, _no_activation(1)),
        Rule("a constant is zero padding", SUPPORTED, _zero_padding),
    ),
    "CONV_2D": (Rule("same dilation", SUPPORTED, _same_dilation(4)),),
    "DEPTHWISE_CONV_2D": (Rule("same dilation", SUPPORTED, _same_dilation(5)),),
    "FULLY_CONNECTED": (
        Rule("default weights", SUPPORTED, _default_weights),
        Rule("one-dimensional output", SUPPORTED, _one_dimensional_output),
    ),
    "MAX_POOL_2D": (_FUSED_POOL,),
    "MEAN": (_NO_BATCH, Rule("channels by four", SUPPORTED, _mean_of_channels)),
    "PACK": (Rule("no batch packing", SUPPORTED, _no_batch_packing),),
    "PAD": (Rule("no batch padding", SUPPORTED, _no_batch_padding),),
    "PRELU": (Rule("alpha of channels", SUPPORTED, _alpha_of_channels),),
    "REDUCE_MAX": (_NO_BATCH,),
    "REDUCE_MIN": (_NO_BATCH,),
    "RESIZE_BILINEAR": _RESIZE,
    "RESIZE_NEAREST_NEIGHBOR": _RESIZE,
    "SOFTMAX": (Rule("one dimension", SUPPORTED, _short_softmax),),
    "SPLIT": (Rule("no batch axis", SUPPORTED, _no_batch_axis(0)),),
    "STRIDED_SLICE": (Rule("unit strides", SUPPORTED, _unit_strides),),
    "SUM": (_NO_BATCH,),
}


def obstacle(op: Operation) -> tuple[str, str] | None:
    """Why the Edge TPU cannot take an operation by itself: (reason, source); None where it can."""
    if op.name not in OPERATORS:
        return "the Edge TPU has no such operator", SUPPORTED
    for rule in (*REQUIREMENTS, *OPERATORS[op.name]):
        if reason := rule.broken(op):
            return reason, rule.source
    return None
