"""ai-edge-litert: the engine of 64-bit boards with Python 3.10 or later."""

from typing import Any

NAME = "litert"
DISTRIBUTION = "ai-edge-litert"


def interpreter_class() -> Any:
    """Raises ImportError."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter
