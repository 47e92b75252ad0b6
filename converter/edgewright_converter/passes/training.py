"""Training as every pass does it that trains: the options they share, and one call of `model.fit`.

Loss, metrics and optimizer are the model's own where it was compiled; else the loss follows from labels and outputs,
and the optimizer is Adam. The learning rate falls linearly to zero. The model itself is neither compiled nor changed
in anything but its weights: `fit` runs on a second keras.Model around the same layers, unless the model has a
train_step of its own. After each epoch its whole state is saved (checkpoint.py), and the order of the samples follows
from seed and epoch alone, so that a training that was killed goes on as if nothing had happened.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

from ..errors import ConversionError
from .base import Context
from .batches import Batches, batches_of
from .checkpoint import TrainingState, keep_state
from .losses import loss_of, loss_weights_of
from .teacher import Teacher
from .trainee import trainee_of

OWN_RATE = 1e-3  # Keras' default for Adam, where the model was not compiled
STRATEGIES = ("", "mirrored", "multiworker", "one-device")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """epochs; learning_rate: at the start, default a tenth of the model's own (of its schedule's largest); batch;
    steps: batches in an epoch, default all (200 of an endless pipeline). patience: stop after so many epochs without a
    better loss on a tenth of the training samples, held out for it, and take the best epoch; 0: train all epochs.
    seed: default that of the conversion. mixed_precision: a Keras policy such as "mixed_bfloat16" to train in.
    strategy: "mirrored", "multiworker" (its workers are named in the environment variable TF_CONFIG) or "one-device",
    the tf.distribute strategy in whose scope the model is loaded.
    """

    epochs: int = 2
    learning_rate: float | None = None
    batch: int = 64
    steps: int | None = None
    patience: int = 0
    seed: int | None = None
    mixed_precision: str = ""
    strategy: str = ""

    def __post_init__(self) -> None:
        for key, least in (("epochs", 0), ("batch", 1), ("patience", 0), ("steps", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key} must be {least} or more, not {value!r}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 100:
            raise ValueError(f"learning_rate must be greater than 0 and less than 100, not {self.learning_rate!r}")
        if self.strategy not in STRATEGIES:
            raise ValueError(f'strategy must be "mirrored", "multiworker" or "one-device", not {self.strategy!r}')
        if self.mixed_precision not in ("", "mixed_float16", "mixed_bfloat16"):
            raise ValueError(
                f'mixed_precision must be "mixed_float16" or "mixed_bfloat16", not {self.mixed_precision!r}'
            )

    @property
    def needs_data(self) -> bool:
        """Whether the pass cannot do without training samples: all that it does with them is to train."""
        return self.epochs > 0


def strategy_scope(name: str) -> Any:
    """The scope in which a model is to be loaded for that strategy, a context manager."""
    import contextlib

    import tensorflow as tf

    if name == "mirrored":
        return tf.distribute.MirroredStrategy().scope()
    if name == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return tf.distribute.OneDeviceStrategy("/cpu:0").scope() if name == "one-device" else contextlib.nullcontext()


def worker_of(strategy: str) -> int:
    """Which of the workers that TF_CONFIG names this process is; 0 is the one that writes, or is alone.

    Raises InputError for a TF_CONFIG that says nothing of the kind.
    """
    if strategy != "multiworker":
        return 0
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        task, has_chief = config.get("task", {}), "chief" in config.get("cluster", {})
        index = int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError('TF_CONFIG is not what tf.distribute takes: expected {"cluster": …, "task": …}.') from error
    return 0 if task.get("type") == "chief" else index + has_chief


def train(
    model: Any,
    context: Context,
    options: TrainingOptions,
    callbacks: Sequence[Any] = (),
    loss: Any = None,
    teacher: Teacher | None = None,
) -> None:
    """Train in place. loss: instead of the model's own. teacher: whose answers are learned beside the labels, or alone.
    callbacks: Keras'; one whose state is not in the weights may have a method ``resumed(steps)``, called before a
    training that goes on after so many batches.

    Raises ConversionError where the loss becomes NaN, ModelError where there are no labels.
    """
    if not options.epochs:
        return
    options = replace(options, seed=context.seed if options.seed is None else options.seed)
    alone = teacher is not None and teacher.alone
    own = None if alone else loss or loss_of(model, context)
    fit(
        model,
        lambda: batches_of(context, options, own),
        options,
        optimizer=lambda steps: _optimizer(model, options, steps),
        loss=own,
        loss_weights=None if alone else loss_weights_of(model, context),
        metrics=None if alone or len(context.outputs) > 1 else _own_metrics(model),
        teacher=teacher,
        state=context.folder / f"training-{next(context.trainings)}.npz",
        report=context.report,
        callbacks=callbacks,
    )


def fit(
    model: Any,
    batches: Callable[[], Batches],
    options: TrainingOptions,
    *,
    optimizer: Callable[[int], Any],
    loss: Any,
    loss_weights: Any = None,
    metrics: Any = None,
    teacher: Teacher | None = None,
    state: Path,
    report: Callable[[float], None],
    callbacks: Sequence[Any] = (),
) -> None:
    """Train in place, from where the file ``state`` says that an earlier call ended. optimizer: from the number of all
    steps; report: called with the fraction that is done. loss, loss_weights, metrics: as keras.Model.compile takes
    them; loss may be None where the ``teacher`` is alone.

    Raises ConversionError where the loss becomes NaN.
    """
    import keras

    keras.utils.set_random_seed(options.seed or 0)
    strategy = model.distribute_strategy
    kept = TrainingState(state, options.patience)
    with strategy.scope() if strategy is not None else _nothing(), _precision(model, options.mixed_precision):
        data = batches()
        trainee = trainee_of(model, teacher)
        total = options.epochs * data.steps
        trainee.compile(optimizer(total), loss, loss_weights, metrics, jit_compile=False)
        first = kept.begin(trainee)
        for callback in callbacks if first else ():
            getattr(callback, "resumed", lambda steps: None)(first * data.steps)
        watch = [keras.callbacks.TerminateOnNaN(), _progress(report, total, first * data.steps)]
        if trainee is not model and first < options.epochs:
            trainee._symbolic_build(data_batch=next(iter(data.train(first))))
        history = trainee.fit(
            data.train(first),
            initial_epoch=first,
            epochs=options.epochs,
            steps_per_epoch=data.steps,
            validation_data=data.held_out if options.patience else None,
            callbacks=[*watch, *callbacks, keep_state(kept)],
            shuffle=False,
            verbose=0,
        )
        kept.end(trainee)
    losses = history.history.get("loss", [])
    if not np.isfinite(losses).all():
        raise ConversionError(
            f"The training diverged (its loss became {losses[-1]}): set learning_rate to a third of what it was "
            f"({learning_rate(model, options):.2g})."
        )


def learning_rate(model: Any, options: TrainingOptions) -> float:
    """The rate at the start: the option, else a tenth of the model's own."""
    if options.learning_rate is not None:
        return options.learning_rate
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return OWN_RATE / 10
    own = optimizer.get_config()["learning_rate"]
    if isinstance(own, dict):  # a schedule: the largest of the rates that it names
        config = own["config"]
        rates = [config.get(key) for key in ("warmup_target", "initial_learning_rate")]
        rates += config.get("values", [])
        own = max((rate for rate in rates if isinstance(rate, int | float)), default=OWN_RATE)
    return float(own) / 10


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _precision(model: Any, policy: str) -> Iterator[None]:
    """Inside of this block every float32 layer computes by that policy."""
    layers = [layer for layer in model._flatten_layers() if policy and layer.dtype_policy.name == "float32"]
    own = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, before in zip(layers, own, strict=True):
            layer.dtype_policy = before


def _optimizer(model: Any, options: TrainingOptions, steps: int) -> Any:
    import keras

    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate(model, options), max(1, steps), 0.0)
    own = getattr(model, "optimizer", None)
    if own is None:
        return keras.optimizers.Adam(rate)
    own = getattr(own, "inner_optimizer", own)  # of a LossScaleOptimizer, which compile adds by itself
    return type(own).from_config({**own.get_config(), "learning_rate": rate})


def _own_metrics(model: Any) -> Any:
    compiled = getattr(model, "_compile_metrics", None)
    return getattr(compiled, "_user_metrics", None)


def _progress(report: Callable[[float], None], total: int, done: int) -> Any:
    import keras

    def batch_ended(batch: int, logs: Any) -> None:
        nonlocal done
        done += 1
        report(done / max(1, total))

    return keras.callbacks.LambdaCallback(on_train_batch_end=batch_ended)
