"""Which operators have an int8 kernel in every runtime since 2.14, and what each asks of its scales."""

from .graph import Grid, Op


def kinds(words: str) -> frozenset[str]:
    """A set from a list in one string."""
    return frozenset(words.split())


# The result has a scale of its own.
FREE = kinds(
    "ADD SUB MUL FULLY_CONNECTED CONV_2D DEPTHWISE_CONV_2D MEAN SUM BATCH_MATMUL GELU HARD_SWISH LEAKY_RELU "
    "PRELU ELU EXP ABS RELU RELU6 RELU_N1_TO_1 SQUARED_DIFFERENCE RSQRT"
)
# The numbers are moved, not changed: the result has the scale of the first float input.
MOVES = kinds(
    "RESHAPE TRANSPOSE SPLIT SPLIT_V SLICE STRIDED_SLICE UNPACK MAX_POOL_2D AVERAGE_POOL_2D GATHER GATHER_ND "
    "EXPAND_DIMS SQUEEZE PAD REDUCE_MAX REDUCE_MIN TILE REVERSE_V2 RESIZE_NEAREST_NEIGHBOR RESIZE_BILINEAR "
    "SPACE_TO_DEPTH DEPTH_TO_SPACE MIRROR_PAD BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND"
)
# Several inputs, which all must have the scale of the result.
JOINS = kinds("CONCATENATION PACK MAXIMUM MINIMUM SELECT SELECT_V2 PADV2")
# The kernel has one scale built in.
FIXED = {
    "LOGISTIC": Grid.single(1 / 256, -128),
    "SOFTMAX": Grid.single(1 / 256, -128),
    "TANH": Grid.single(1 / 128, 0),
    "L2_NORMALIZATION": Grid.single(1 / 128, 0),
    "LOG_SOFTMAX": Grid.single(16 / 256, 127),
}
INTEGER = FREE | MOVES | JOINS | FIXED.keys() | {"TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM"}

# Operators with weights at input 1, and the axis of the output channels, which have scales of their own.
WEIGHTED = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}
CONVOLUTIONS = kinds("CONV_2D DEPTHWISE_CONV_2D")


def data_index(op: Op) -> int:
    """Which input of an operator with weights is the activation; the bias comes after both."""
    return 2 if op.kind == "TRANSPOSE_CONV" else 0
