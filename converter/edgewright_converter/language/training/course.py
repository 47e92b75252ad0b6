"""What a training needs to know of its task: the samples of each epoch, the loss, and how the model is judged.

A lesson gives the samples of an epoch: how many there are, and a function from rows to a batch as model.fit takes it,
(x, y) or (x, y, weights) of arrays. Whatever it draws by chance follows from the epoch's number, so that a training
that was killed goes on as if nothing had happened.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...data import Array
from ...passes.batches import Batches, epoch_order
from ...passes.training import TrainingOptions
from ..data import Corpus, Splits

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
    weights together may be, None: as long as it is.
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


def judging(splits: Splits, judged: Callable[[Any, Corpus], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The trained model → the figures of each part that did not train it, where it has a text."""
    return lambda model: {name: judged(model, part) for name, part in splits.items() if name != "train" and len(part)}


def batches(lesson: Lesson, held_out: tuple[Any, ...] | None, options: TrainingOptions) -> Batches:
    """The lesson's epochs one after the other, each in an order that follows from seed and epoch."""
    import tensorflow as tf

    count, pick = lesson(0)
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
                for start in range(0, len(order), batch):
                    yield pick(order[start : start + batch])

        example = pick(epoch_order(count, batch, 0, 0))
        signature = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), example)
        return tf.data.Dataset.from_generator(generate, output_signature=signature).with_options(shard).prefetch(2)

    validation = None
    if held_out is not None:
        validation = tf.data.Dataset.from_tensor_slices(held_out).batch(options.batch).with_options(shard)
    return Batches(train, validation, steps)
