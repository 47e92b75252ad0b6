"""What zeros and shared values are worth: bytes as stored and compressed, latency; plainly where it is nothing."""

from dataclasses import dataclass
from typing import Any

from ..cost import costs, flatbuffer_of
from ..errors import ConversionError
from ..outcome import Cost
from ..passes.base import Context

_SAME = 0.03  # of latency is no difference


@dataclass(frozen=True)
class Gains:
    """A model as it was before the pass."""

    flatbuffer: bytes | None
    parameters: int
    context: Context

    def beside(self, model: Any, sparse: bool = False) -> tuple[Cost, Cost, tuple[str, ...]]:
        """Both costs, and sentences on them. sparse: whether the new one stores sparse tensors."""
        try:
            new = flatbuffer_of(model, self.context, sparse=sparse) if self.flatbuffer is not None else None
        except ConversionError:
            new = None
        before, after = costs((self.parameters, self.flatbuffer), (int(model.count_params()), new), self.context)
        return before, after, sentences(before, after)


def gains(model: Any, context: Context) -> Gains:
    """Convert the model as it is now."""
    try:
        flatbuffer: bytes | None = flatbuffer_of(model, context)
    except ConversionError:
        flatbuffer = None
    return Gains(flatbuffer, int(model.count_params()), context)


def sentences(before: Cost, after: Cost) -> tuple[str, ...]:
    """On float32 flatbuffers, the second beside the first."""
    if before.flatbuffer_bytes is None or after.flatbuffer_bytes is None:
        return ("Not measured, for the model does not convert to float32 as it is.",)
    assert before.compressed_bytes is not None
    assert after.compressed_bytes is not None
    stored = after.flatbuffer_bytes / before.flatbuffer_bytes
    packed = after.compressed_bytes / before.compressed_bytes
    found = [
        f"Bytes as stored: {before.flatbuffer_bytes:,} → {after.flatbuffer_bytes:,} ({stored:.2f}×)"
        + ("." if stored < 0.99 else ": no gain."),
        f"Bytes compressed: {before.compressed_bytes:,} → {after.compressed_bytes:,} ({packed:.2f}×)"
        + ("." if packed < 0.99 else ": no gain."),
    ]
    if before.latency_us is not None and after.latency_us is not None:
        faster = after.latency_us / before.latency_us
        end = "." if faster < 1 - _SAME else ": no gain."
        found.append(f"Latency: {before.latency_us:.0f} → {after.latency_us:.0f} µs ({faster:.2f}×){end}")
    return tuple(found)
