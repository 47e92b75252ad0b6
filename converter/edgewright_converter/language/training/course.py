"""What a training needs to know of its task: the samples of each epoch, the loss, and how the model is judged.

A lesson gives the samples of an epoch: how many there are, and a function from rows to a batch as model.fit takes it,
(x, y) or (x, y, weights) of arrays. Whatever it draws by chance follows from the epoch's number, so that a training
that was killed goes on as if nothing had happened.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...data import Array
from ...passes.batches import Batches, epoch_order
from ...passes.training import TrainingOptions
from ..data import Corpus, Splits
from .lengths import alike

Lesson = Callable[[int], tuple[int, Callable[[Array], tuple[Any, ...]]]]


@dataclass(frozen=True)
class Course:
    """heads: name → class names, {} where the model answers with tokens. outputs: name → size, as ``build`` takes them.

    samples: of an epoch without augmentation. held_out: validation samples, the same all epochs, or None. loss: as
    keras.Model.compile takes it; saved_loss: with which the model is saved, where that is another. judge: the trained
    model → metrics as JSON takes them, {} without test texts.
    files: suffix → content of what belongs beside the model. arrays: what `convert --data` takes. sizes: a sentence.
    vocabulary, length: of the model's input; options: of the model, by what the data demands.
    is_pretraining: whether the course is to learn from bare text itself. clip: the longest that the gradient of all
    weights together may be, None: as long as it is. tokens: (samples,) of each, (batch, length) arrays alone: then
    batches are of samples that are about as long, and no longer than the longest of these; None: all have the length.
    """

    vocabulary: int
    length: int
    heads: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, int]
    samples: int
    lesson: Lesson
    held_out: tuple[Any, ...] | None
    loss: Callable[[], Any]
    judge: Callable[[Any], dict[str, Any]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    sizes: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_pretraining: bool = False
    saved_loss: Callable[[], Any] | None = None
    clip: float | None = None
    tokens: Array | None = None


def judging(splits: Splits, judged: Callable[[Any, Corpus], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The trained model → the figures of each part that did not train it, where it has a text."""
    return lambda model: {name: judged(model, part) for name, part in splits.items() if name != "train" and len(part)}


def batches(
    lesson: Lesson, held_out: tuple[Any, ...] | None, options: TrainingOptions, tokens: Array | None = None
) -> Batches:
    """The lesson's epochs one after the other, each in an order that follows from seed and epoch. tokens: Course's."""
    import tensorflow as tf

    count, first_pick = lesson(0)
    batch = min(options.batch, count)
    steps = options.steps or math.ceil(count / batch)
    shard = tf.data.Options()
    # Every worker can draw all samples: each takes its share of them, not of files that do not exist.
    shard.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA

    def train(first: int) -> Any:
        def generate() -> Any:
            for epoch in range(first, options.epochs):
                count, pick = lesson(epoch)
                order = epoch_order(count, steps * batch, options.seed or 0, epoch)
                if tokens is not None:
                    order = alike(order, tokens, batch, np.random.default_rng((options.seed or 0, 2, epoch)))
                for start in range(0, len(order), batch):
                    rows = order[start : start + batch]
                    yield pick(rows) if tokens is None else cut(pick(rows), int(tokens[rows].max()))

        def specification(array: Array) -> Any:
            return tf.TensorSpec(array.shape if tokens is None else (len(array), None), array.dtype)

        signature = tf.nest.map_structure(specification, first_pick(epoch_order(count, batch, 0, 0)))
        return tf.data.Dataset.from_generator(generate, output_signature=signature).with_options(shard).prefetch(2)

    def cut(samples: tuple[Any, ...], longest: int) -> Any:
        return tf.nest.map_structure(lambda array: array[:, :longest], samples)

    validation = None
    if held_out is not None:
        validation = tf.data.Dataset.from_tensor_slices(held_out).batch(options.batch).with_options(shard)
    return Batches(train, validation, steps)
