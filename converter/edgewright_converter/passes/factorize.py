"""Low-rank factorization: layers become two thin products, attention heads get fewer units, embeddings narrow rows."""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from ..outcome import LayerOutcome, Outcome, Skipped
from .base import Context
from .training import TrainingOptions, train

_WORTH = 0.8  # of the multiplications: two operators cost more than one of the same size
_JUDGED = 512  # training samples on which a layer's sensitivity is measured
WAYS = ("energy", "size", "sensitivity")


@dataclass(frozen=True, kw_only=True)
class Factorize(TrainingOptions):
    """rank_by: "energy": each product keeps the fraction ``energy`` of its (squared) singular values; "size": one
    energy for all, the largest at which the model has at most the fraction ``size`` of its parameters; "sensitivity":
    the smallest rank at which the loss on training samples rises by no more than ``tolerance`` where this product alone
    is of lower rank. multiple: ranks are rounded up to it. leave: layers by name or pattern such as "block_0*".
    """

    use: ClassVar[str] = "factorize"
    before: ClassVar[tuple[str, ...]] = ("lora", "finetune", "prune", "cluster", "qat", "quantize")

    rank_by: str = "size"
    energy: float = 0.9
    size: float = 0.5
    tolerance: float = 0.01
    multiple: int = 8
    leave: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank_by not in WAYS:
            raise ValueError(f"rank_by must be one of {', '.join(WAYS)}, not {self.rank_by!r}")
        for key in ("energy", "size"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"{key} must be greater than 0 and at most 1, not {getattr(self, key)!r}")
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be 0 or more, not {self.tolerance!r}")
        if self.multiple < 1:
            raise ValueError(f"multiple must be 1 or more, not {self.multiple!r}")

    @property
    def needs_data(self) -> bool:
        return super().needs_data or self.rank_by == "sensitivity"

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from ..structure.factors import Plan
        from ..structure.graph import built_layers, functional, rebuild, weight_bytes

        functional(model, self.use)
        before = context.score(model)
        bytes_before = weight_bytes(model)
        products, skipped = self._products(model, context)
        plan = Plan()
        rows = []
        for factor, rank in zip(products, self._ranks(model, products, context), strict=True):
            full = len(factor.spectrum)
            if not worthwhile(factor, rank):
                skipped.append(Skipped(factor.name, f"two products of rank {rank} would be no smaller or no faster"))
                continue
            rows.append(LayerOutcome(factor.name, type(factor.layer).__name__, before=full, after=rank))
            plan.add(factor, rank)
        old = built_layers(model)
        model, made = rebuild(model, self.use, plan.replace)
        for layer in old:
            if id(layer) in plan.fill:
                plan.fill[id(layer)]()
            else:
                for source, target in zip(layer.variables, made[id(layer)].variables, strict=True):
                    target.assign(source.numpy())
        if self.epochs and rows:
            train(model, context, self)
        after = context.score(model)
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "leave": list(self.leave)},
            weight_bytes_before=bytes_before,
            weight_bytes_after=weight_bytes(model),
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=tuple(skipped),
            layers=tuple(rows),
        )
        return model, outcome

    def _products(self, model: Any, context: Context) -> tuple[list[Any], list[Skipped]]:
        from ..structure.factors import factors
        from ..structure.graph import built_layers
        from ..structure.moments import moments

        flow = moments(model, context)
        found, skipped = [], []
        for layer in built_layers(model):
            if any(fnmatchcase(layer.name, pattern) for pattern in self.leave):
                continue
            products = factors(layer, flow)
            if isinstance(products, str):
                skipped += [Skipped(layer.name, products)] if products else []
            else:
                found += products
        return found, skipped

    def _ranks(self, model: Any, products: list[Any], context: Context) -> list[int]:
        from ..structure.lowrank import energy_for_size, rank_for_energy, rounded

        def at(energy: float) -> list[int]:
            return [rounded(rank_for_energy(p.spectrum, energy), self.multiple, len(p.spectrum)) for p in products]

        if self.rank_by == "sensitivity":
            return [self._judged(model, product, context) for product in products]
        if self.rank_by == "energy":
            return at(self.energy)
        whole: int = model.count_params()

        def parameters(energy: float) -> int:
            pairs = list(zip(products, at(energy), strict=True))
            return whole - sum(int(p.now - p.parameters(rank)) for p, rank in pairs if worthwhile(p, rank))

        return at(energy_for_size(parameters, int(self.size * whole)))

    def _judged(self, model: Any, product: Any, context: Context) -> int:
        from dataclasses import replace

        from ..structure.lowrank import rounded, smallest_rank

        judge = replace(context, test=context.train.take(_JUDGED, context.seed))
        own = [(variable, variable.numpy()) for variable in product.layer.variables]
        limit = judge.score(model).loss
        full = len(product.spectrum)
        if limit is None:
            return full

        def loss(rank: int) -> float:
            product.write(*product.at(rank))
            return judge.score(model).loss or 0.0

        try:
            ranks = sorted({rounded(rank, self.multiple, full) for rank in range(1, full + 1)})
            return smallest_rank(loss, ranks, limit + self.tolerance)
        finally:
            for variable, value in own:
                variable.assign(value)


def worthwhile(product: Any, rank: int) -> bool:
    """Whether it is smaller, and, where it splits a product in two or narrows one, faster too."""
    if product.largest or product.extra:
        return bool(product.parameters(rank) < product.now)
    return bool(product.parameters(rank) <= _WORTH * product.now)
