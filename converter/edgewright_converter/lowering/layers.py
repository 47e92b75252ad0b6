"""Which layer of the Keras model an operator comes from, and what was chosen for that layer."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from ..errors import ConversionError
from .graph import Model, Op, Tensor


class Layers:
    """names: of the model's layers, () where they are not known. chosen: pattern → kind of numbers, the first fit
    wins."""

    def __init__(self, names: tuple[str, ...], chosen: Mapping[str, str]) -> None:
        self.names, self.chosen = set(names), dict(chosen)
        self._used: set[str] = set()

    def choice(self, op: Op) -> str | None:
        """What was chosen for the operator's layer, or for one that holds it; None where nothing was."""
        paths = list(self._paths(op))
        for pattern, kind in self.chosen.items():
            if any(fnmatchcase(name, pattern) for path in paths for name in (*path, "/".join(path))):
                self._used.add(pattern)
                return kind
        return None

    def name(self, op: Op) -> str:
        """The layer's path, as "block/attention_0/query"; the operator's kind where no layer is known."""
        path = next((path for path in self._paths(op) if path), ())
        return "/".join(path) or op.kind

    def refuse_unused(self, model: Model) -> None:
        """Raises ConversionError for a pattern that fits no layer."""
        for pattern in self.chosen.keys() - self._used:
            known = sorted(self.names or {self.name(op) for op in model.main.ops})
            raise ConversionError(
                f"No layer fits {pattern!r} of the recipe's layers: expected one of {', '.join(known[:12])}"
                f"{' …' if len(known) > 12 else ''}, or a pattern like 'attention_*'."
            )

    def _paths(self, op: Op) -> Iterator[tuple[str, ...]]:
        """A tensor's name is the path of the layers that made it; fused ones are joined by semicolons. An output of the
        model has a name of its own; then the constants that are read tell."""
        found = list(self._paths_of(op.outputs[:1]))
        yield from found or self._paths_of([t for t in op.inputs if t is not None and t.data is not None])

    def _paths_of(self, tensors: list[Tensor]) -> Iterator[tuple[str, ...]]:
        for tensor in tensors:
            for name in tensor.name.split(";"):
                parts = tuple(self._plain(part) for part in name.split("/")[1:-1])
                if parts:
                    yield tuple(part for part in parts if part in self.names) or parts

    def _plain(self, part: str) -> str:
        """Tracing numbers a layer that is called again: attention_0 becomes attention_0_1."""
        shorter = re.sub(r"_\d+$", "", part)
        return shorter if part not in self.names and shorter in self.names else part
