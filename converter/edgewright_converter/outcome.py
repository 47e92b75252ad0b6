"""What a pass did: sizes and accuracy before and after, and what it left alone, with the reason."""

from dataclasses import asdict, dataclass
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
    before, after: how many of what the pass reduces it has: units, ranks, distinct or nonzero weights.
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
class Cost:
    """What a model costs as a float32 flatbuffer on this machine. None: not measured.

    multiplications: multiply-accumulates of one run, counted from the flatbuffer's operators: the estimate of latency;
    latency_us: median of one run in ai-edge-litert with one thread, measured by turns with the other model of the pair;
    flatbuffer_bytes: as stored; compressed_bytes: the same through DEFLATE, as on a compressed way.
    """

    parameters: int
    multiplications: int | None = None
    flatbuffer_bytes: int | None = None
    compressed_bytes: int | None = None
    latency_us: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The record of one pass. None: not measured, e.g. accuracy without labelled test data.

    weight_bytes_before: the weights as Keras holds them; weight_bytes_after: the same after a pass on the Keras model,
    the constants in the flatbuffer after `quantize`. accuracy_*: fraction of x_test whose largest output is the label;
    loss_*: mean cross-entropy on x_test in nats per label. layers: a table; hints: sentences on what to do about it.
    cost_*: parameters, size and latency, of passes that make a model smaller.
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
    cost_before: Cost | None = None
    cost_after: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` turns them back."""
        lists = {key: [asdict(entry) for entry in getattr(self, key)] for key in ("skipped", "layers")}
        return {**asdict(self), **lists, "hints": list(self.hints)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Outcome":
        skipped = tuple(Skipped(**entry) for entry in document["skipped"])
        layers = tuple(LayerOutcome(**entry) for entry in document.get("layers", ()))
        own = {"skipped": skipped, "layers": layers, "hints": tuple(document.get("hints", ()))}
        costs = {key: Cost(**document[key]) for key in ("cost_before", "cost_after") if document.get(key) is not None}
        return cls(**{**document, **own, **costs})
