"""What the zoo knows of each of its models."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .parts import Part

TASKS = ("classify", "generate", "translate", "spot")


@dataclass(frozen=True)
class Entry:
    """task: one of TASKS. width, depth: where none is given; depths: what `edgewright models` tries. rate: to learn at.

    build: (*, vocabulary, length, heads, width, depth, **options) → keras.Model, where heads maps the outputs' names to
    their numbers of classes. count: (*, vocabulary, length, classes, width, depth, **options) → the same model's parts,
    without Keras, where classes is the sum of all heads. options: further arguments of both, with their defaults.
    pretraining: what the body can learn from bare text, "masked" or "causal" → by which ``answers``: those of its
    tokens, or that of the whole text. per_token: whether it can give an answer of its own for each token
    (``answers="tokens"``). solved: whether its weights are computed, not trained by gradients.
    """

    task: str
    summary: str
    build: Callable[..., Any]
    count: Callable[..., Iterator[Part]]
    width: int
    depth: int
    depths: tuple[int, ...] = (1, 2, 3, 4)
    rate: float = 5e-3
    options: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, str] = field(default_factory=dict)
    per_token: bool = False
    solved: bool = False
