"""Low-rank adapters: adapt a pre-trained model to the data by a few of its parameters, and merge them into it.

The model has the same size afterwards; what is small is what was learned (see adapters.py for keeping it apart).
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..outcome import LayerOutcome, Outcome
from .base import Context
from .training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Lora(TrainingOptions):
    """rank: of the adapters; alpha: they count alpha / rank, by default 1; targets: layers by name or pattern."""

    use: ClassVar[str] = "lora"
    before: ClassVar[tuple[str, ...]] = (
        "distill",
        "prune-structured",
        "factorize",
        "lora",
        "finetune",
        "prune",
        "cluster",
        "qat",
        "quantize",
    )

    rank: int = 4
    alpha: float | None = None
    targets: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ValueError(f"rank must be 1 or more, not {self.rank!r}")
        if self.alpha is not None and self.alpha <= 0:
            raise ValueError(f"alpha must be greater than 0, not {self.alpha!r}")

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from ..adapters import Adapters
        from ..structure.graph import weight_bytes

        before = context.score(model)
        size, parameters = weight_bytes(model), int(model.count_params())
        seed = context.seed if self.seed is None else self.seed
        adapters = Adapters.attach(model, rank=self.rank, alpha=self.alpha, targets=self.targets, seed=seed)
        try:
            trained = adapters.parameters
            train(model, context, self)
            skipped = adapters.skipped
            adapters.merge()
        except BaseException:
            adapters.detach()
            raise
        after = context.score(model)
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "targets": list(self.targets)},
            weight_bytes_before=size,
            weight_bytes_after=weight_bytes(model),
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=skipped,
            layers=(LayerOutcome("trained parameters", "adapters", before=parameters, after=trained),),
        )
        return model, outcome
