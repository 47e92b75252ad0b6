"""What a model of the zoo will weigh as a flatbuffer, before there is one: plain arithmetic, no TensorFlow.

Parameters are exact. Bytes are the weights in the mode's width, what each scale and operator takes, and a fixed rest;
the constants were fitted to conversions for ai-edge-litert, and tests/unit/converter/test_zoo_models.py holds the
result to a tenth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .parts import Part


@dataclass(frozen=True)
class _Mode:
    """Bytes: of a weight; of a channel's scale, alike: where a convolution's channels may share one; of what every file
    has. By the kind of a recurrent layer: of its loop, and of each of its steps where they are written out; most_steps:
    up to how many they are.
    """

    weight: float
    scale: int
    alike: int
    fixed: int
    loop: Mapping[str, int]
    step: Mapping[str, int] = field(default_factory=dict)
    most_steps: int = 0


_LOOP = {"gru": 6000, "lstm": 2100}
_MODES = {
    "float32": _Mode(4, 0, 0, 800, {"gru": 3200, "lstm": 3200}),
    "dynamic-int8": _Mode(1, 12, 12, 2000, _LOOP),
    "int8": _Mode(1, 12, 0, 1200, {}, {"gru": 1420, "lstm": 1050}, 1 << 30),
    "int8-fast": _Mode(1, 12, 0, 2000, _LOOP, {"gru": 1180, "lstm": 810}, 64),
}
MODES = tuple(_MODES)
_OPERATOR_BYTES, _SMALL_BYTES = 50, 4


@dataclass(frozen=True)
class Estimate:
    """bytes: of the flatbuffer by mode of quantization; multiply_adds: of one run."""

    parameters: int
    bytes: Mapping[str, int]
    multiply_adds: int


def estimate(parts: Iterable[Part]) -> Estimate:
    """Sum them up."""
    parts = list(parts)
    return Estimate(
        parameters=sum(part.weights + part.small + part.folded + part.bytes for part in parts),
        bytes={mode: _bytes(parts, mode) for mode in MODES},
        multiply_adds=sum(part.multiply_adds for part in parts),
    )


def _bytes(parts: list[Part], name: str) -> int:
    mode = _MODES[name]
    total = float(mode.fixed)
    for part in parts:
        total += part.weights * mode.weight + part.small * _SMALL_BYTES
        total += part.channels * mode.scale + part.alike * mode.alike
        total += part.operators * _OPERATOR_BYTES + part.bytes
        if part.steps:
            out = part.steps <= mode.most_steps
            total += part.steps * mode.step[part.recurrent] if out else mode.loop[part.recurrent]
    return round(total)
