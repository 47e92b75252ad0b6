"""Unstructured pruning: the smallest weights become zero, step by step while the model trains, and stay zero after.

Zeros alone make nothing faster and no flatbuffer smaller: they help on a compressed way. Blocks of four in float32 are
another matter: with ``sparse`` the flatbuffer stores them as sparse tensors, and the engine has a kernel for those.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..outcome import LayerOutcome, Outcome
from ..weights.masks import PATTERNS, masks, polynomial
from .base import Context
from .training import TrainingOptions, train

_UPDATES = 16  # of the masks, until the final sparsity is reached


@dataclass(frozen=True, kw_only=True)
class Prune(TrainingOptions):
    """sparsity: the fraction of zeros in the end; pattern: "unstructured", "2:4" (always half), "1x4" or "1x16".

    schedule: "polynomial": from none to all over the first ``ramp`` of the training; "constant": at once. scope:
    "layer": each weight by itself; "global": one threshold for all. sparse: store sparse tensors, which goes with "1x4"
    and float32. leave: layers or weights by name or pattern.
    """

    use: ClassVar[str] = "prune"
    before: ClassVar[tuple[str, ...]] = ("finetune", "cluster", "qat", "quantize")

    sparsity: float = 0.75
    pattern: str = "unstructured"
    schedule: str = "polynomial"
    ramp: float = 0.6
    scope: str = "layer"
    sparse: bool = False
    leave: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sparsity < 1:
            raise ValueError(f"sparsity must be greater than 0 and less than 1, not {self.sparsity!r}")
        if self.pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, not {self.pattern!r}")
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise ValueError(f"sparsity must be 0.5 with the pattern 2:4, not {self.sparsity!r}")
        if self.schedule not in ("polynomial", "constant"):
            raise ValueError(f'schedule must be "polynomial" or "constant", not {self.schedule!r}')
        if not 0 < self.ramp <= 1:
            raise ValueError(f"ramp must be greater than 0 and at most 1, not {self.ramp!r}")
        if self.scope not in ("layer", "global"):
            raise ValueError(f'scope must be "layer" or "global", not {self.scope!r}')
        if self.scope == "global" and self.pattern == "2:4":
            raise ValueError(
                'scope must be "layer" with the pattern 2:4, which has the same number of zeros everywhere'
            )
        if self.sparse and self.pattern != "1x4":
            raise ValueError('sparse goes with pattern = "1x4", the blocks of the engine\'s float32 kernel')

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from ..structure.graph import weight_bytes
        from ..weights.held import hold, kernels

        before = context.score(model)
        chosen, skipped = kernels(model, self.leave)
        held = _Held(chosen, self)
        for (variable, _), mask in zip(chosen, held.masks, strict=True):
            hold(variable, partial(_masked, mask), context)
        if self.schedule == "constant" or not self.epochs:
            held.update(self.sparsity)
        train(model, context, self, [held.callback()])
        after = context.score(model)
        hints: tuple[str, ...] = ()
        if self.sparse and context.quantize.mode != "float32":
            hints = (f"The engine has no sparse kernel for {context.quantize.mode}: zeros are stored as any weight.",)
        size = weight_bytes(model)
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "leave": list(self.leave)},
            weight_bytes_before=size,
            weight_bytes_after=size,
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=tuple(skipped),
            layers=tuple(_row(variable) for variable, _ in chosen),
            hints=hints,
        )
        return model, outcome


def _masked(mask: Any, weights: Any) -> Any:
    return weights * mask


def _row(variable: Any) -> LayerOutcome:
    value = variable.numpy()
    return LayerOutcome(variable.path, "weights", before=value.size, after=int(np.count_nonzero(value)))


class _Held:
    """The masks of one model, as TensorFlow variables that a traced training step reads."""

    def __init__(self, chosen: list[tuple[Any, int]], options: Prune) -> None:
        import tensorflow as tf

        self.variables, self.axes = [v for v, _ in chosen], [axis for _, axis in chosen]
        self.options = options
        self.masks = [tf.Variable(tf.ones(v.shape), trainable=False) for v in self.variables]

    def update(self, sparsity: float) -> None:
        """New masks from the weights as they are now; what is zero already stays so, for nothing is smaller."""
        values = [variable.numpy() for variable in self.variables]
        found = masks(values, self.axes, self.options.pattern, sparsity, self.options.scope == "global")
        for variable, value, mask, held in zip(self.variables, values, found, self.masks, strict=True):
            held.assign(mask.astype(np.float32))
            variable.assign(value * mask)

    def callback(self) -> Any:
        import keras

        held, options = self, self.options

        class Schedule(keras.callbacks.Callback):  # type: ignore[misc]
            done = 0

            def resumed(self, steps: int) -> None:
                self.done = steps

            def on_train_begin(self, logs: Any = None) -> None:
                total = self.params["epochs"] * self.params["steps"]
                last = max(1, int(options.ramp * total))
                self.steps = sorted({round(last * (i + 1) / _UPDATES) for i in range(_UPDATES)} | {last})
                if self.done and options.schedule == "polynomial":
                    passed = max((step for step in self.steps if step <= self.done), default=0)
                    held.update(polynomial(passed / last, options.sparsity))

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                self.done += 1
                if options.schedule == "polynomial" and self.done in self.steps:
                    held.update(polynomial(self.done / self.steps[-1], options.sparsity))

        return Schedule()
