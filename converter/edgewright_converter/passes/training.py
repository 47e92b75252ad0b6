"""Training as every pass does it that trains: the options they share, and one call of `model.fit`.

Loss, metrics and optimizer are the model's own where it was compiled; else the loss follows from labels and outputs,
and the optimizer is Adam. The learning rate falls linearly to zero. The model itself is neither compiled nor changed
in anything but its weights: `fit` runs on a second keras.Model around the same layers, unless the model has a
train_step of its own. After each epoch its whole state is saved (checkpoint.py), and the order of the samples follows
from seed and epoch alone, so that a training that was killed goes on as if nothing had happened.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConversionError, ModelError
from .base import Context, are_probabilities
from .checkpoint import TrainingState, keep_state

OWN_RATE = 1e-3  # Keras' default for Adam, where the model was not compiled
STRATEGIES = ("", "mirrored", "one-device")
_HELD_OUT = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """epochs; learning_rate: at the start, default a tenth of the model's own (of its schedule's largest); batch;
    steps: batches in an epoch, default all (200 of an endless pipeline). patience: stop after so many epochs without a
    better loss on a tenth of the training samples, held out for it, and take the best epoch; 0: train all epochs.
    seed: default that of the conversion. mixed_precision: a Keras policy such as "mixed_bfloat16" to train in.
    strategy: "mirrored" or "one-device", the tf.distribute strategy in whose scope the model is loaded.
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
            raise ValueError(f'strategy must be "mirrored" or "one-device", not {self.strategy!r}')
        if self.mixed_precision not in ("", "mixed_float16", "mixed_bfloat16"):
            raise ValueError(
                f'mixed_precision must be "mixed_float16" or "mixed_bfloat16", not {self.mixed_precision!r}'
            )

    @property
    def needs_data(self) -> bool:
        """Whether the pass cannot do without training samples."""
        return True


def strategy_scope(name: str) -> Any:
    """The scope in which a model is to be loaded for that strategy, a context manager."""
    import contextlib

    import tensorflow as tf

    if name == "mirrored":
        return tf.distribute.MirroredStrategy().scope()
    return tf.distribute.OneDeviceStrategy("/cpu:0").scope() if name == "one-device" else contextlib.nullcontext()


def train(
    model: Any, context: Context, options: TrainingOptions, callbacks: Sequence[Any] = (), loss: Any = None
) -> None:
    """Train in place. loss: instead of the model's own. callbacks: Keras'; one whose state is not in the weights may
    have a method ``resumed(steps)``, called before a training that goes on after so many batches.

    Raises ConversionError where the loss becomes NaN, ModelError where there are no labels.
    """
    import keras

    seed = context.seed if options.seed is None else options.seed
    keras.utils.set_random_seed(seed)
    strategy = model.distribute_strategy
    state = TrainingState(context.folder / f"training-{next(context.trainings)}.npz", options.patience)
    with strategy.scope() if strategy is not None else _nothing(), _precision(model, options.mixed_precision):
        batches = _batches(context, options, loss or _own_loss(model) or _default_loss(model, context), seed)
        trainee = _trainee(model)
        total = options.epochs * batches.steps
        trainee.compile(
            optimizer=_optimizer(model, options, total),
            loss=batches.loss,
            metrics=_own_metrics(model),
            jit_compile=False,
        )
        validates = bool(options.patience) and batches.held_out is not None
        first = state.begin(trainee)
        for callback in callbacks if first else ():
            getattr(callback, "resumed", lambda steps: None)(first * batches.steps)
        watch = [keras.callbacks.TerminateOnNaN(), _progress(context, total, first * batches.steps)]
        history = trainee.fit(
            batches.train(first),
            initial_epoch=first,
            epochs=options.epochs,
            steps_per_epoch=batches.steps,
            validation_data=batches.held_out if validates else None,
            callbacks=[*watch, *callbacks, keep_state(state)],
            shuffle=False,
            verbose=0,
        )
        state.end(trainee)
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


def _trainee(model: Any) -> Any:
    import keras

    if type(model).train_step is not keras.Model.train_step:
        return model

    class Trainee(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.inner(inputs, training=training)

    return Trainee()


def _optimizer(model: Any, options: TrainingOptions, steps: int) -> Any:
    import keras

    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate(model, options), max(1, steps), 0.0)
    own = getattr(model, "optimizer", None)
    if own is None:
        return keras.optimizers.Adam(rate)
    own = getattr(own, "inner_optimizer", own)  # of a LossScaleOptimizer, which compile adds by itself
    return type(own).from_config({**own.get_config(), "learning_rate": rate})


def _own_loss(model: Any) -> Any:
    return getattr(model, "loss", None) if getattr(model, "compiled", False) else None


def _own_metrics(model: Any) -> Any:
    compiled = getattr(model, "_compile_metrics", None)
    return getattr(compiled, "_user_metrics", None)


def _default_loss(model: Any, context: Context) -> Any:
    """Cross-entropy for classes, from probabilities or logits as the model gives them; squared error for numbers."""
    import keras

    samples = context.train.take(64, context.seed)
    if samples.y is None:
        raise ModelError("The data has no y_train, and training needs labels: give some.")
    if samples.classes is None:
        return keras.losses.MeanSquaredError()
    outputs = context.ask(model, samples.x)
    logits = not are_probabilities(outputs)
    if outputs.shape[-1] == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


@dataclass(frozen=True)
class _Batches:
    """train: the epoch that comes next → a tf.data pipeline of (x, y) from there on; steps: batches in an epoch."""

    train: Callable[[int], Any]
    held_out: Any
    steps: int
    loss: Any


def _batches(context: Context, options: TrainingOptions, loss: Any, seed: int) -> _Batches:
    import tensorflow as tf

    if context.pipeline is not None:
        count = int(context.pipeline.cardinality())
        if count == tf.data.UNKNOWN_CARDINALITY:
            count = sum(1 for _ in context.pipeline)
        steps = options.steps or (count if count > 0 else 200)
        return _Batches(lambda epoch: context.pipeline.repeat().skip(epoch * steps), None, steps, loss)
    samples = context.train
    y = _labels_for(loss, samples.y, samples.classes)
    rows = np.random.default_rng(seed).permutation(len(samples))
    held = rows[: int(len(rows) * _HELD_OUT)] if options.patience else rows[:0]
    rows = rows[len(held) :]
    batch = min(options.batch, len(rows))
    steps = options.steps or math.ceil(len(rows) / batch)

    def pick(chosen: Any) -> tuple[Any, Any]:
        x = [tf.gather(tf.constant(array), chosen) for array in samples.x]
        return context.interface.pack(x), tf.gather(tf.constant(y), chosen)

    def pipeline(epoch: int) -> Any:
        order = [rows[epoch_order(len(rows), steps * batch, seed, e)] for e in range(epoch, options.epochs)]
        chosen = np.concatenate([*order, rows[:0]])
        return tf.data.Dataset.from_tensor_slices(chosen).batch(batch, drop_remainder=True).map(pick).prefetch(2)

    held_out = tf.data.Dataset.from_tensor_slices(held).batch(batch).map(pick) if len(held) else None
    return _Batches(pipeline, held_out, steps, loss)


def epoch_order(samples: int, count: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(count,) int64: the samples of that epoch in their order, each once before any comes twice."""
    rng = np.random.default_rng((seed, epoch))
    rounds = [rng.permutation(samples) for _ in range(math.ceil(count / samples))]
    return np.concatenate([*rounds, np.zeros(0, np.int64)])[:count]


def _labels_for(loss: Any, y: Any, classes: Any) -> Any:
    """Labels in the form that the loss takes: whole numbers or one-hot rows."""
    if y is None:
        raise ModelError("The data has no y_train, and training needs labels: give some.")
    name = (loss if isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)).lower().replace("_", "")
    if classes is None:
        return y
    if "sparse" in name:
        return classes
    if "categorical" in name and y.shape == classes.shape:
        return np.eye(int(classes.max()) + 1, dtype=np.float32)[classes]
    return y.astype(np.float32) if "binary" in name else y


def _progress(context: Context, total: int, done: int) -> Any:
    import keras

    def batch_ended(batch: int, logs: Any) -> None:
        nonlocal done
        done += 1
        context.report(done / max(1, total))

    return keras.callbacks.LambdaCallback(on_train_batch_end=batch_ended)
