"""What each board and its runtime can do: one explicit table.

A runtime is named by the TensorFlow release whose operators it has: tflite-runtime ends at 2.14, ai-edge-litert 2.3.0
has those of 2.21. Sources: the wheels on PyPI and the boards' data sheets.
"""

import difflib
from dataclasses import dataclass

from .errors import RecipeError

LITERT = "2.21.0"
TFLITE = "2.14.0"


@dataclass(frozen=True)
class Target:
    """One board with one engine. runtime: newest operators it has; memory_mb: RAM of the smallest model sold."""

    name: str
    engine: str
    runtime: str
    machine: str
    memory_mb: int | None = None
    edgetpu: bool = False


_BOARDS = (
    Target("rpi5", "litert", LITERT, "aarch64", 1024),
    Target("rpi4", "litert", LITERT, "aarch64", 1024),
    Target("rpi3", "litert", LITERT, "aarch64", 1024),
    Target("rpi-zero2", "litert", LITERT, "aarch64", 512),
    Target("generic-x86-64", "litert", LITERT, "x86_64"),
    Target("generic-arm64", "litert", LITERT, "aarch64"),
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("local", "litert", LITERT, "any"),
        Target("local-tflite", "tflite", TFLITE, "any"),
        *_BOARDS,
        *(Target(f"{b.name}-tflite", "tflite", TFLITE, b.machine, b.memory_mb) for b in _BOARDS),
        # ai-edge-litert has no wheel for 32-bit ARM.
        Target("generic-armv7", "tflite", TFLITE, "armv7l"),
        # libedgetpu loads into tflite-runtime 2.14 only; its compiler asks for operators of that age too.
        Target("coral-usb", "tflite", TFLITE, "any", edgetpu=True),
        Target("coral-devboard", "tflite", TFLITE, "aarch64", 1024, edgetpu=True),
    )
}


def get_target(name: str) -> Target:
    """The target of that name. Raises RecipeError with the nearest name where there is none."""
    if name in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name, TARGETS, n=1)
    hint = f"did you mean {near[0]!r}? Known: " if near else "known: "
    raise RecipeError(f"Unknown target {name!r}: {hint}{', '.join(TARGETS)}.")


def version_key(version: str) -> tuple[int, ...]:
    """ "2.14.0" → (2, 14, 0), so that 2.9 sorts before 2.14."""
    return tuple(int(part) for part in version.split("."))
