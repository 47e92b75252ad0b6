"""What a pass did: sizes and accuracy before and after, and what it left alone, with the reason."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Skipped:
    """One thing that a pass left alone. what: a layer or an operator."""

    what: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """The record of one pass. None: not measured, e.g. accuracy without labelled test data.

    weight_bytes_before: the weights as Keras holds them; weight_bytes_after: the constants in the flatbuffer.
    accuracy_*: fraction of x_test whose largest output is the label.
    """

    use: str
    options: dict[str, Any]
    weight_bytes_before: int
    weight_bytes_after: int
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    skipped: tuple[Skipped, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` turns them back."""
        return {**asdict(self), "skipped": [asdict(entry) for entry in self.skipped]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Outcome":
        return cls(**{**document, "skipped": tuple(Skipped(**entry) for entry in document["skipped"])})
