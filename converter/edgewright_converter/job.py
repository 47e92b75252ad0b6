"""What goes into a conversion's child process and what comes back, as plain picklable data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter

from edgewright_runtime.audio.features import Features
from edgewright_runtime.manifest import TensorSpec
from edgewright_runtime.task import Task

from .check import Golden
from .data import Array, Dataset
from .export import Frozen
from .fitting import Fitted
from .interface import Shapes
from .outcome import Outcome
from .recipe import Recipe
from .targets import Target

STEPS = {  # and the share of the whole that is done when each begins, where no pass trains
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
    task: Task | None = None
    features: Features | None = None
    checkpoints: str | None = None  # a folder that outlives the conversion

    @property
    def steps_through(self) -> bool:
        """Whether the bundle's graph takes one token at a time."""
        return self.task is not None and self.task.kind in ("generate", "translate")


@dataclass(frozen=True)
class Prepared:
    """A traced model and Keras' answers. reference: by output name, to the probes; accuracy: on the test samples.

    outcomes: of the passes that changed the Keras model before it was traced; states: it before the first and after
    each, in float32; accuracy_given: of the model before the first, where a budget asks for it.

    Where frozen is one step of the model, whole fits the states, which are not; encoder: what reads the source of a
    translator.
    """

    frozen: Frozen
    fitted: Fitted
    reference: dict[str, Array]
    accuracy: float | None
    weight_bytes: int
    outcomes: tuple[Outcome, ...] = ()
    states: tuple[Frozen, ...] = ()
    accuracy_given: float | None = None
    whole: Fitted | None = None
    encoder: "Prepared | None" = None


@dataclass(frozen=True)
class Finished:
    """A checked flatbuffer. inputs, outputs: in its own order; versions: of what made it; encoder: a translator's."""

    model: bytes
    min_runtime: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Golden
    difference: float
    outcomes: tuple[Outcome, ...]
    versions: dict[str, str]
    seconds: dict[str, float]
    encoder: "Finished | None" = None


@dataclass
class Steps:
    """Tells which step has begun, and remembers how long each took. passes: the steps that train, in their order."""

    report: Callable[[str, float], None]
    passes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = "start"
    _began: float = field(default_factory=perf_counter)

    def begin(self, step: str) -> None:
        now = perf_counter()
        self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now - self._began
        self.current, self._began = step, now
        self.report(step, self._shares.get(step, 1.0))

    @cached_property
    def _shares(self) -> dict[str, float]:
        """Passes that train take most of the time: from a tenth to seven tenths of the whole."""
        if not self.passes:
            return STEPS
        begin, end = STEPS["load the model"], STEPS["trace the model"]
        shares = {step: share if share <= begin else 0.8 + 0.2 * (share - end) for step, share in STEPS.items()}
        shares |= {step: 0.2 + 0.6 * index / len(self.passes) for index, step in enumerate(self.passes)}
        return dict(sorted(shares.items(), key=lambda item: item[1]))

    def advance(self, fraction: float) -> None:
        """fraction: of the current step."""
        shares = [*self._shares.values(), 1.0]
        index = list(self._shares).index(self.current)
        self.report(self.current, shares[index] + fraction * (shares[index + 1] - shares[index]))

    def end(self) -> dict[str, float]:
        self.begin("end")
        return self.seconds
