"""What every engine can do: the one interface behind which the interpreters differ."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from ..errors import EngineError, InputError
from ..manifest import TensorSpec

Array = np.ndarray[Any, Any]


class Engine(ABC):
    """A loaded model. name: as in ``ENGINES``; inputs, outputs: in the model's own order, named by its signature.

    ``invoke`` is feed, run and fetch in one; bench times ``run`` by itself. Close it, or use it as a context manager.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Callable[[], None]  # computes the outputs of what was fed last; raises RuntimeError
    allocate_ns: int  # the part of the loading in which memory is planned and a delegate prepares its operators

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the installed package; looked up when asked, for that is slow."""

    @abstractmethod
    def fetch(self) -> list[Array]:
        """A copy of each output, (its spec's shape) in its dtype."""

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory."""

    @abstractmethod
    def _set(self, index: int, array: Array) -> None:
        """Copy an array that fits into input number ``index``."""

    def feed(self, arrays: Sequence[Array]) -> None:
        """Copy one array for each input, with exactly its shape and dtype. Raises InputError."""
        if len(arrays) != len(self.inputs):
            names = ", ".join(spec.name for spec in self.inputs)
            raise InputError(f"The model has {len(self.inputs)} inputs ({names}), {len(arrays)} arrays were given.")
        for index, (array, spec) in enumerate(zip(arrays, self.inputs)):
            if not isinstance(array, np.ndarray) or array.shape != spec.shape or array.dtype != spec.dtype:
                raise InputError(
                    f"Input {spec.name} is {_describe(array)}, the model expects {spec.dtype} of shape {spec.shape}: "
                    "convert the array."
                )
            self._set(index, array)

    def invoke(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for these inputs. Raises InputError where they do not fit, EngineError where the model fails."""
        self.feed(arrays)
        try:
            self.run()
        except RuntimeError as error:
            raise EngineError(f"{self.name} failed while running the model: {decisive_line(error)}") from error
        return self.fetch()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _describe(array: object) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype.name} of shape {array.shape}"
    return f"a {type(array).__name__}"


def decisive_line(error: BaseException) -> str:
    """What is wrong, in an engine's own words: the first line, for the later ones tell where it was noticed."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)
