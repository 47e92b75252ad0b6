"""tflite-runtime 2.14: the engine where ai-edge-litert has no wheel (32-bit ARM, Python 3.9, Coral)."""

from typing import Any

NAME = "tflite"
DISTRIBUTION = "tflite-runtime"


def interpreter_class() -> Any:
    """Raises ImportError."""
    from tflite_runtime.interpreter import Interpreter

    return Interpreter
