"""Quantization-aware training: the model learns on the grids that the integer kernels will have, from its float self.

Ranges are measured on training samples; then the model trains with rounded weights and activations (gradients pass as
if nothing were rounded), while the ranges are measured again now and then, and stand still for the last epochs; then
the weights are put onto their grids for good. What is traced has a FakeQuantWithMinMaxVars with constant ranges at each
quantized activation, and kernels that the converter's own quantization brings back to the same integers.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from ..fakequant.observers import OBSERVERS
from ..outcome import Outcome, Skipped
from ..targets import has_quick_integers, has_slow_products
from .base import Context, Samples
from .teacher import Teacher, teacher_of
from .trainee import has_own_steps
from .training import TrainingOptions, train

_MEASUREMENTS = 4  # of the ranges, before they stand still
_BATCHES, _BATCH = 8, 64  # that the ranges are measured on
_MIXED = ("int8-fast", "int4")  # modes that have integers between convolutions, and floats elsewhere
_REPORTED = 64  # samples for the table


@dataclass(frozen=True, kw_only=True)
class Qat(TrainingOptions):
    """weights: 8 or 4 bits, 0: as the mode of `quantize` stores them; the activations' bits are those of the mode.

    observer: "moving-average", "percentile" or "mse". frozen_epochs: the last epochs, in which ranges stand still.
    leave: layers that stay float, by name or pattern such as "block_0/*". distillation: the share of the float model's
    own answers in the loss, 0 to 1, against the labels; 1 needs no labels. epochs = 0 measures and rounds without
    training.
    """

    use: ClassVar[str] = "qat"
    before: ClassVar[tuple[str, ...]] = ("quantize",)

    weights: int = 0
    observer: str = "moving-average"
    frozen_epochs: int = 1
    leave: tuple[str, ...] = ()
    distillation: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights not in (0, 4, 8):
            raise ValueError(f"weights must be 4 or 8 bits, not {self.weights!r}")
        if self.observer not in OBSERVERS:
            raise ValueError(f"observer must be one of {', '.join(OBSERVERS)}, not {self.observer!r}")
        if self.frozen_epochs < 0:
            raise ValueError(f"frozen_epochs must be 0 or more, not {self.frozen_epochs!r}")
        if not 0 <= self.distillation <= 1:
            raise ValueError(f"distillation must be from 0 to 1, not {self.distillation!r}")

    @property
    def needs_data(self) -> bool:
        return True  # ranges are measured on samples, trained or not

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        from ..fakequant import report
        from ..fakequant.attach import Settings, attach, feed
        from ..fakequant.layers import has_convolutions

        before = context.score(model)
        pack, weight_bytes = context.interface.pack, context.interface.weight_bytes
        batches = [pack(list(x)) for x in _some(context.train, context)]
        between = has_quick_integers(context.target) and has_convolutions(model)
        weight_bits, activation_bits = self.bits(context.quantize.mode, between)
        # The Edge TPU's compiler asks for one scale in a dense layer.
        target = context.target
        mixed = activation_bits and context.quantize.mode in _MIXED
        floats, ends = _float_layers(model, context) if mixed else (frozenset(), frozenset())
        settings = Settings(
            weight_bits, activation_bits, self.leave, target.edgetpu, has_slow_products(target), floats, ends
        )
        teacher, untaught = self._teacher(model, context, batches[0])
        attached = attach(model, batches[0], settings)
        context.undo.callback(attached.detach)
        places = attached.places
        measure = feed(model, batches)
        places.calibrate(measure, self.observer)
        places.on = True
        if self.epochs:
            again = _measure_again(lambda: places.calibrate(measure, self.observer), self)
            with places.unrounded(attached.answers if teacher else ()):
                train(model, context, self, callbacks=[again], teacher=teacher)
        (few,) = _some(context.test if len(context.test) else context.train, context, count=1, batch=_REPORTED)
        rows = report.table(attached, pack(list(few)))
        sentences = report.hints(attached, rows, pack(list(few)), self.observer)
        places.snap()
        after = context.score(model)
        # The converter takes no ranges of 16 bits; those that it measures itself lose nothing.
        places.on = activation_bits != 16
        outcome = Outcome(
            use=self.use,
            options={**asdict(self), "leave": list(self.leave), "weights": weight_bits},
            weight_bytes_before=weight_bytes,
            weight_bytes_after=weight_bytes,
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=(*attached.skipped, *untaught),
            layers=rows,
            hints=sentences,
        )
        return model, outcome

    def _teacher(self, model: Any, context: Context, few: Any) -> tuple[Teacher | None, tuple[Skipped, ...]]:
        """The float model; or None, and why where it was wanted."""
        if not self.epochs or not self.distillation:
            return None, ()
        if has_own_steps(model):
            return None, (Skipped("distillation", "the model has a train_step of its own, and learns what that says"),)
        return teacher_of(model, context, few, self.distillation), ()

    def bits(self, mode: str, between: bool) -> tuple[int, int]:
        """Of weights and activations; 0 where the mode keeps activations in float, or rounds them on the fly.

        between: whether int8-fast and int4 have integers between the model's convolutions, which is all they have.
        """
        weights = self.weights or (4 if mode == "int4" else 8)
        if mode in ("int8", "int16x8"):
            return weights, 8 if mode == "int8" else 16
        return weights, 8 if between and mode in _MIXED else 0


def _float_layers(model: Any, context: Context) -> tuple[frozenset[str], frozenset[str]]:
    """What will compute in floats, as the lowering decides it, and what of that gives integers."""
    from ..export import freeze
    from ..lower import float_layers

    frozen = freeze(model, context.interface, context.quantize.mode, context.target)
    return float_layers(frozen, context.quantize, context.target)


def _some(samples: Samples, context: Context, count: int = _BATCHES, batch: int = _BATCH) -> list[tuple[Any, ...]]:
    """Random batches; of the model's own size, where that is fixed."""
    interface = context.interface
    size = min(batch, len(samples)) if interface.batched else interface.inputs[0].shape[0]
    rows = np.random.default_rng(context.seed).permutation(len(samples))
    rows = np.resize(rows, max(size, min(count * size, len(rows) // size * size)))
    return [tuple(x[part] for x in samples.x) for part in rows.reshape(-1, size)]


def _measure_again(measure: Any, options: Qat) -> Any:
    """A callback that measures the ranges a few times before the last epochs."""
    import keras

    class MeasureAgain(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            moving = max(0, options.epochs - options.frozen_epochs) * self.params["steps"]
            self._due = {round(moving * (n + 1) / _MEASUREMENTS) for n in range(_MEASUREMENTS)} if moving else set()
            self._step = self._before

        _before = 0

        def resumed(self, steps: int) -> None:
            measure()  # of the weights that are there now
            self._before = steps

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._step += 1
            if self._step in self._due:
                measure()

    return MeasureAgain()
