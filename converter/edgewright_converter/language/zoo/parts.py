"""What a model consists of, counted without Keras: parameters, multiply-adds, and what a flatbuffer spends on it."""

from dataclasses import dataclass, replace

from ...fakequant.grids import NARROW


@dataclass(frozen=True)
class Part:
    """weights: numbers of a kernel or table; small: biases, gains and the like, never in 8 bits; channels: outputs with
    a scale of their own; alike: those that have one for all where activations are integers; multiply_adds: in one run;
    operators: in the flatbuffer; steps: of a layer of the kind that recurrent says; folded: parameters that are none of
    the flatbuffer's, for a converter puts them into others; bytes: integers of one byte, in every mode.
    """

    weights: int = 0
    small: int = 0
    channels: int = 0
    alike: int = 0
    multiply_adds: int = 0
    operators: int = 1
    steps: int = 0
    recurrent: str = ""
    folded: int = 0
    bytes: int = 0

    def again(self) -> "Part":
        """Used once more with the same weights."""
        return replace(self, weights=0, small=0, channels=0, alike=0, bytes=0)


def embedding(rows: int, width: int) -> Part:
    """One row for each token."""
    return Part(weights=rows * width, channels=1)


def dense(inputs: int, outputs: int, *, positions: int = 1, bias: bool = True) -> Part:
    """A product with a kernel, at so many positions."""
    weights = inputs * outputs
    return Part(weights, outputs if bias else 0, outputs, multiply_adds=weights * positions)


def convolution(size: int, channels: int, filters: int, positions: int) -> Part:
    """Over neighbours: a product at each position, and the reshapes around it."""
    return sharing(replace(dense(size * channels, filters, positions=positions), operators=8), size * channels)


def sharing(part: Part, inputs: int) -> Part:
    """A convolution, each channel of which has so many weights."""
    return replace(part, channels=0, alike=part.channels) if inputs < NARROW else part


def tied(rows: int, width: int, positions: int) -> Part:
    """An embedding's table once more, as the kernel of the exit."""
    return Part(channels=rows, multiply_adds=rows * width * positions)


def norm(width: int) -> Part:
    """A layer normalization, which falls apart into ten operators. width: 0 for one without gain and shift."""
    return Part(small=2 * width, operators=10)


def recurrent(inputs: int, units: int, gates: int, length: int) -> Part:
    """An LSTM (4 gates) or a GRU (3, with two biases each, as Keras' reset_after)."""
    weights = (inputs + units) * units * gates
    return Part(
        weights=weights,
        small=units * gates * (2 if gates == 3 else 1),
        channels=2 * units * gates,
        multiply_adds=weights * length,
        steps=length,
        recurrent="gru" if gates == 3 else "lstm",
    )


def plain(multiply_adds: int, operators: int = 1) -> Part:
    """Arithmetic without weights."""
    return Part(multiply_adds=multiply_adds, operators=operators)
