"""Training on: what other passes cost in accuracy, more epochs on the same data win back."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..outcome import Outcome
from .base import Context
from .training import TrainingOptions, train


@dataclass(frozen=True, kw_only=True)
class Finetune(TrainingOptions):
    """The options of every training; the learning rate is a tenth of the model's own by default."""

    use: ClassVar[str] = "finetune"
    before: ClassVar[tuple[str, ...]] = (
        "distill", "prune-structured", "factorize", "lora", "finetune", "prune", "cluster", "qat", "quantize",
    )  # fmt: skip

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        """The same model with other weights. Raises ModelError without labels."""
        before = context.score(model)
        train(model, context, self)
        after = context.score(model)
        size = sum(weight.dtype.itemsize * weight.size for weight in model.get_weights())
        return model, Outcome(
            use=self.use,
            options=asdict(self),
            weight_bytes_before=size,
            weight_bytes_after=size,
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
        )
