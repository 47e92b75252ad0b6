"""What a pass did: sizes and accuracy before and after, and what it left alone, with the reason."""

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Skipped:
    """One thing that a pass left alone. what: a layer or an operator."""

    what: str
    reason: str


@dataclass(frozen=True)
class LayerOutcome:
    """What a pass did to one layer. None: does not apply, or was not measured.

    kind: the layer's class; weight_bits, activation_bits: 4, 8 or 16; low, high: the range of its output; sqnr_db: how
    far its output is from the float model's, with all layers before it quantized too; alone_db: how far the *model's*
    output is from the float model's where this layer alone is quantized. Both 10·log10(signal²/error²): more is better.
    before, after: how many of what the pass reduces it has: units, ranks, distinct values, weights that are not zero.
    """

    name: str
    kind: str
    weight_bits: int | None = None
    activation_bits: int | None = None
    low: float | None = None
    high: float | None = None
    sqnr_db: float | None = None
    alone_db: float | None = None
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The record of one pass. None: not measured, e.g. accuracy without labelled test data.

    weight_bytes_before: the weights as Keras holds them; weight_bytes_after: the same after a pass on the Keras model,
    the constants in the flatbuffer after `quantize`. accuracy_*: fraction of x_test whose largest output is the label;
    loss_*: mean cross-entropy on x_test in nats per label. layers: a table; hints: sentences on what to do about it.

    Of a pass on the Keras model also: parameters_*; macs_*: multiply-adds of one run, which a time can be estimated
    from for any board; latency_us_*: the median on this machine as a float32 flatbuffer, one thread; float_bytes_*:
    its size; compressed_bytes_*: that through DEFLATE. rolled_back: why the pass was taken back, or None; then "after"
    tells what it would have cost.
    """

    use: str
    options: dict[str, Any]
    weight_bytes_before: int
    weight_bytes_after: int
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    skipped: tuple[Skipped, ...] = ()
    loss_before: float | None = None
    loss_after: float | None = None
    layers: tuple[LayerOutcome, ...] = ()
    hints: tuple[str, ...] = ()
    parameters_before: int | None = None
    parameters_after: int | None = None
    macs_before: int | None = None
    macs_after: int | None = None
    latency_us_before: float | None = None
    latency_us_after: float | None = None
    float_bytes_before: int | None = None
    float_bytes_after: int | None = None
    compressed_bytes_before: int | None = None
    compressed_bytes_after: int | None = None
    rolled_back: str | None = None

    def without_times(self) -> "Outcome":
        """What is the same whenever the conversion is repeated."""
        return replace(self, latency_us_before=None, latency_us_after=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` turns them back."""
        lists = {key: [asdict(entry) for entry in getattr(self, key)] for key in ("skipped", "layers")}
        return {**asdict(self), **lists, "hints": list(self.hints)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Outcome":
        skipped = tuple(Skipped(**entry) for entry in document["skipped"])
        layers = tuple(LayerOutcome(**entry) for entry in document.get("layers", ()))
        return cls(**{**document, "skipped": skipped, "layers": layers, "hints": tuple(document.get("hints", ()))})
