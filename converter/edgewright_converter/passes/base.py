"""What every pass on the Keras model is given and gives back.

A recipe lists its passes in order; those before `quantize` change the Keras model, one after the other, before it is
traced. Such a pass is a frozen dataclass of its options (each a bool, int, float, string or list of strings, checked in
`__post_init__`, which raises ValueError with a sentence) with two class variables and one method:

    @dataclass(frozen=True)
    class Shrink(TrainingOptions):                   # the options of training.py, where the pass trains
        use: ClassVar[str] = "shrink"                # the name in a recipe
        before: ClassVar[tuple[str, ...]] = ("qat", "quantize")     # which passes may follow; () for none

        def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]: ...

`apply` may change the model in place or build another one. What it does to layers beyond their weights, and what must
not outlive the conversion, it takes back with `context.undo`; the weights of a live model are put back for it. Its
maths is NumPy in a file of its own; TensorFlow and Keras are imported inside functions.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ..data import Array
from ..fitting import predicted
from ..outcome import Outcome
from ..targets import Target

if TYPE_CHECKING:
    from ..interface import Interface
    from .quantize import Quantize


@dataclass(frozen=True)
class Samples:
    """x: one array (samples, *shape) for each input, in the model's order; y: labels as the user gave them, or None.

    classes: whole numbers (samples, …) where y says which class is right, None for a regression or without labels.
    heads: y and classes of each output, in the model's order, where it has several and there are labels, else ().
    """

    x: tuple[Array, ...]
    y: Array | None
    classes: Array | None
    heads: tuple[tuple[Array, Array | None], ...] = ()

    def __len__(self) -> int:
        return len(self.x[0]) if self.x else 0

    def take(self, count: int, seed: int) -> "Samples":
        """A random choice of that many, or all."""
        rows = np.random.default_rng(seed).permutation(len(self))[:count]

        def part(array: Array | None) -> Array | None:
            return None if array is None else array[rows]

        heads = tuple((y[rows], part(classes)) for y, classes in self.heads)
        return Samples(tuple(x[rows] for x in self.x), part(self.y), part(self.classes), heads)


@dataclass(frozen=True)
class Context:
    """All that a pass may use.

    interface: the model's inputs, and ``interface.pack(arrays)`` as model.fit wants them. train, test: the user's
    samples, of length 0 where there are none. pipeline: the user's own tf.data pipeline of (x, y) batches, which goes
    before ``train`` in training. quantize: how the numbers are stored in the end. target: the board. seed: for all that
    is drawn by chance. folder: for checkpoints and what takes long to compute again; it outlives the conversion where
    the user said where. report: called with the fraction of this pass that is done. undo: an ExitStack that is unwound
    once the model is traced, or at once where the pass is rolled back. unlabelled: more inputs, () where there are no
    more. outputs: the names of the model's; widths: the sizes of their last axes, None where there is no axis but the
    batch. trust: whether model files may hold Python code. trainings: numbers the
    trainings of this pass.
    """

    interface: "Interface"
    train: Samples
    test: Samples
    pipeline: Any
    quantize: "Quantize"
    target: Target
    seed: int
    folder: Path
    report: Callable[[float], None]
    undo: ExitStack
    unlabelled: tuple[Array, ...] = ()
    trust: bool = False
    outputs: tuple[str, ...] = ()
    widths: tuple[int | None, ...] = ()
    trainings: Iterator[int] = field(default_factory=count)

    def score(self, model: Any) -> "Score":
        """The model's accuracy and loss on the test samples; both None without labelled test samples."""
        truth = self.test.classes
        if truth is None:
            return Score()
        outputs = self.ask(model, self.test.x)
        return Score(float((predicted(outputs) == truth).mean()), cross_entropy(outputs, truth))

    def ask(self, model: Any, x: tuple[Array, ...]) -> Array:
        """The answers (samples, …) of a model with one output, in inference mode."""
        return self.asker(model)(x)

    def asker(self, model: Any, batch: int = 128) -> Callable[[tuple[Array, ...]], Array]:
        """``ask`` for many calls, since each first one traces the model."""
        import keras
        import tensorflow as tf

        if not self.interface.batched:
            batch = self.interface.inputs[0].shape[0]
        step = tf.function(lambda tensors: model(self.interface.pack(list(tensors)), training=False), autograph=False)

        def ask(x: tuple[Array, ...]) -> Array:
            found = []
            for start in range(0, len(x[0]), batch):
                rows = np.minimum(np.arange(start, start + batch), len(x[0]) - 1)  # one shape, so one trace
                (answer,) = keras.tree.flatten(step(tuple(tf.constant(array[rows]) for array in x)))
                found.append(tf.cast(answer, tf.float32).numpy()[: len(x[0]) - start])
            return np.concatenate(found)

        return ask


@dataclass(frozen=True)
class Score:
    """accuracy: fraction of right answers; loss: mean cross-entropy in nats per label, whose exp is the perplexity."""

    accuracy: float | None = None
    loss: float | None = None


class ModelPass(Protocol):
    """See the top of this file."""

    use: ClassVar[str]
    before: ClassVar[tuple[str, ...]]

    @property
    def needs_data(self) -> bool: ...

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]: ...


def cross_entropy(outputs: Array, truth: Array) -> float:
    """outputs: (samples, …, classes) probabilities or logits, told apart by their sums; truth: (samples, …) classes."""
    outputs = outputs.astype(np.float64)
    if outputs.shape[-1] == 1:  # one probability, or one logit
        p = outputs[..., 0] if are_probabilities(outputs) else 1 / (1 + np.exp(-outputs[..., 0]))
        outputs = np.stack([1 - p, p], -1)
    elif not are_probabilities(outputs):
        outputs = np.exp(outputs - outputs.max(-1, keepdims=True))
        outputs /= outputs.sum(-1, keepdims=True)
    right = np.take_along_axis(outputs, truth[..., None], -1)
    return float(-np.log(np.maximum(right, 1e-7)).mean())  # Keras' own floor


def are_probabilities(outputs: Array) -> bool:
    """Whether these are answers of a softmax (or, where there is one class, of a sigmoid), not logits."""
    if outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return False
    return bool(outputs.shape[-1] == 1 or np.allclose(outputs.sum(-1), 1, atol=0.05))  # int8 answers sum up to 0.96
