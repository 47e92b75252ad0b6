"""Keeps a property of weights through any training that follows: the optimizer applies a variable's constraint to it
after each step, in this pass and in every later one that trains the same variables."""

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ..outcome import Skipped
from ..passes.base import Context

_FEWEST = 64  # a smaller weight is not worth a pattern


def hold(variable: Any, project: Callable[[Any], Any], context: Context) -> None:
    """project: a tensor → what it has to be. One that is there already goes before it. Undone with the rest."""
    own = variable.constraint
    variable.constraint = (lambda w: project(own(w))) if own is not None else project
    context.undo.callback(setattr, variable, "constraint", own)


def kernels(model: Any, leave: tuple[str, ...]) -> tuple[list[tuple[Any, int]], list[Skipped]]:
    """(variable, the axis that a product sums over) for every weight with two axes or more, each once, and the rest."""
    import keras

    found: dict[int, tuple[Any, int]] = {}
    skipped = []
    for layer in model._flatten_layers():
        for variable in layer._trainable_variables:
            if "float" not in variable.dtype:
                continue
            # A bias of attention heads or of a GRU has two axes too.
            if len(variable.shape) < 2 or variable.name.endswith("bias") or id(variable) in found:
                continue
            if any(fnmatchcase(layer.name, p) or fnmatchcase(variable.path, p) for p in leave):
                continue
            if math.prod(variable.shape) < _FEWEST:
                skipped.append(Skipped(variable.path, f"it has fewer than {_FEWEST} weights"))
                continue
            axis = len(variable.shape) - 2
            if isinstance(layer, keras.layers.Embedding):
                axis = 1
            elif isinstance(layer, keras.layers.EinsumDense):
                left, _, _ = layer.equation.replace(" ", "").partition("->")
                inside, kernel = left.split(",")
                axis = max((index for index, letter in enumerate(kernel) if letter in inside), default=0)
            found[id(variable)] = (variable, axis)
    return list(found.values()), skipped
