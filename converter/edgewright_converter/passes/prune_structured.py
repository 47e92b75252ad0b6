"""Structured pruning: units, heads, filters, recurrent units and embedding dimensions go for good.

The model is traced once with channels instead of numbers (structure/), the least important sets of tied channels are
cut out of every weight that they touch, and an ordinary smaller Keras model is built and trained on.
"""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from ..outcome import LayerOutcome, Outcome, Skipped
from ..structure.importance import IMPORTANCE
from ..structure.selection import KINDS
from .base import Context
from .training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class PruneStructured(TrainingOptions):
    """amount: the fraction of the channels that goes, of each set of tied ones, or with scope = "global" of all.

    kinds: what may go: "units" of dense layers, "filters", "heads" of attention, "head-units" (of queries and keys, of
    values), "recurrent" units with their gates, "embedding" dimensions with the whole residual stream, "vocabulary":
    rows of token ids that no training sample has. importance: "magnitude", "taylor" or "activation". rounds: prune that
    often, a part each time, and train for ``epochs`` after each. multiple: kept numbers are rounded up to it. leave:
    layers that stay whole, by name or pattern such as "block_0*".
    """

    use: ClassVar[str] = "prune-structured"
    before: ClassVar[tuple[str, ...]] = (
        "prune-structured",
        "factorize",
        "lora",
        "finetune",
        "prune",
        "cluster",
        "qat",
        "quantize",
    )

    amount: float = 0.5
    kinds: tuple[str, ...] = ("units", "filters", "heads", "recurrent", "embedding")
    importance: str = "taylor"
    scope: str = "layer"
    rounds: int = 1
    multiple: int = 8
    leave: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.amount < 1:
            raise ValueError(f"amount must be 0 or more and less than 1, not {self.amount!r}")
        known = (*KINDS, "vocabulary")
        for kind in self.kinds:
            if kind not in known:
                raise ValueError(f"kinds must be among {', '.join(known)}, not {kind!r}")
        if self.importance not in IMPORTANCE:
            raise ValueError(f"importance must be one of {', '.join(IMPORTANCE)}, not {self.importance!r}")
        if self.scope not in ("layer", "global"):
            raise ValueError(f'scope must be "layer" or "global", not {self.scope!r}')
        for key in ("rounds", "multiple"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be 1 or more, not {getattr(self, key)!r}")

    @property
    def needs_data(self) -> bool:
        return super().needs_data or self.importance != "magnitude" or "vocabulary" in self.kinds

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from dataclasses import replace

        from ..structure.cut import cut
        from ..structure.graph import weight_bytes
        from ..structure.importance import importance
        from ..structure.selection import chosen, components
        from ..structure.tracing import trace
        from ..structure.vocabulary import unused_rows

        before = context.score(model)
        bytes_before = weight_bytes(model)
        first: dict[str, int] = {}
        skipped: dict[str, str] = {}
        rows: dict[str, LayerOutcome] = {}
        for turn in range(self.rounds):
            found = trace(model, self.use)
            parts = components(found.channels)
            first = first or {part.name: part.total for part in parts}
            skipped |= found.unknown
            skipped |= {part.name: f"it {part.reason}" for part in parts if part.reason and part.kind in self.kinds}
            own = [p for p in parts if p.kind in self.kinds and len(p.roots) and not self._left(p.layers)]
            scores = importance(self.importance, model, found, context) if own and self.amount else {}
            keep = (1 - self.amount) ** ((turn + 1) / self.rounds)
            gone = chosen(own if scores else [], scores, keep, self.multiple, first, self.scope == "global")
            vocabulary: dict[Any, Any] = {}
            if "vocabulary" in self.kinds and turn == 0:
                vocabulary, reasons = unused_rows(model, context)
                skipped |= reasons
                for layer, ids in vocabulary.items():
                    count = layer.input_dim
                    name = f"{layer.name} rows"
                    rows[name] = LayerOutcome(name, "vocabulary", before=count, after=count - len(ids) + 1)
            model = cut(model, self.use, found, gone, vocabulary)
            for part in own:
                left = part.total - sum(int(root) in gone for root in part.roots)
                rows[part.name] = LayerOutcome(part.name, part.kind, before=first[part.name], after=left)
            if self.epochs and (gone or vocabulary):
                share = lambda part, turn=turn: context.report((turn + part) / self.rounds)  # noqa: E731
                train(model, replace(context, report=share), self)
        after = context.score(model)
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "kinds": list(self.kinds), "leave": list(self.leave)},
            weight_bytes_before=bytes_before,
            weight_bytes_after=weight_bytes(model),
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=tuple(Skipped(name, reason) for name, reason in skipped.items()),
            layers=tuple(rows.values()),
        )
        return model, outcome

    def _left(self, layers: tuple[str, ...]) -> bool:
        return any(fnmatchcase(layer.split("/")[0], pattern) for layer in layers for pattern in self.leave)
