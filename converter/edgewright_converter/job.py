"""What goes into a conversion's child process and what comes back, as plain picklable data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from edgewright_runtime.manifest import TensorSpec

from .check import Golden
from .data import Array, Dataset
from .export import Frozen
from .fitting import Fitted
from .interface import Shapes
from .outcome import Outcome
from .recipe import Recipe
from .targets import Target

STEPS = {  # and the share of the whole that is done when each begins
    "start": 0.0,
    "load the data": 0.05,
    "load the model": 0.1,
    "trace the model": 0.25,
    "ask Keras": 0.35,
    "convert": 0.45,
    "compare": 0.85,
}


@dataclass(frozen=True)
class Request:
    """All that a conversion depends on. source: a path or "file.py:function", None for a live model."""

    source: str | None
    data: str | Dataset | None
    recipe: Recipe
    target: Target
    batch: int
    shapes: Shapes
    labels: tuple[str, ...] | None
    tokenizer: bytes | None
    trust: bool
    seed: int


@dataclass(frozen=True)
class Prepared:
    """A traced model and Keras' answers. reference: by output name, to the probes; accuracy: on the test samples."""

    frozen: Frozen
    fitted: Fitted
    reference: dict[str, Array]
    accuracy: float | None
    weight_bytes: int


@dataclass(frozen=True)
class Finished:
    """A checked flatbuffer. inputs, outputs: in its own order; versions: of what made it."""

    model: bytes
    min_runtime: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Golden
    difference: float
    outcomes: tuple[Outcome, ...]
    versions: dict[str, str]
    seconds: dict[str, float]


@dataclass
class Steps:
    """Tells which step has begun, and remembers how long each took."""

    report: Callable[[str, float], None]
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = "start"
    _began: float = field(default_factory=perf_counter)

    def begin(self, step: str) -> None:
        now = perf_counter()
        self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now - self._began
        self.current, self._began = step, now
        self.report(step, STEPS.get(step, 1.0))

    def advance(self, fraction: float) -> None:
        """fraction: of the current step."""
        shares = [*STEPS.values(), 1.0]
        index = list(STEPS).index(self.current)
        self.report(self.current, shares[index] + fraction * (shares[index + 1] - shares[index]))

    def end(self) -> dict[str, float]:
        self.begin("end")
        return self.seconds
