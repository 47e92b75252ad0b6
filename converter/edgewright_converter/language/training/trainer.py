"""Build the model, let it learn from bare text where that is asked for, then let it learn its task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from ...passes.training import fit, strategy_scope
from ..zoo import build, entry
from . import linear, pretrain
from .backbone import Backbone
from .course import Course, batches
from .lengths import any_length
from .optimizer import adam_w, schedule
from .settings import Settings
from .transfer import copy_weights, freeze, rate_scales

_PRETRAINING = 0.4  # of the time, where there is any


@dataclass(frozen=True)
class Learned:
    """transferred: layers that came from the backbone; pretrained: layers that learned from bare text first."""

    model: Any
    transferred: tuple[str, ...]
    pretrained: tuple[str, ...]
    frozen: tuple[str, ...]
    epochs: int


def learn(
    settings: Settings,
    course: Course,
    backbone: Backbone,
    tokenizer: Tokenizer | None,
    bare: Sequence[str],
    folder: Path,
    tell: Callable[[str, float], None],
) -> Learned:
    """bare: texts for pre-training; folder: of the trainings' states."""
    import keras

    keras.utils.set_random_seed(settings.seed)
    options = {**settings.options, **course.options}
    first = bool(settings.pretrain) and not course.is_pretraining
    with strategy_scope(settings.strategy):
        model, transferred = backbone.model(settings, course.vocabulary, course.length, course.outputs, options)
        pupil = _pupil(settings, course, options) if first else None
    pretrained: tuple[str, ...] = ()
    if pupil is not None and tokenizer is not None:
        copy_weights(model, pupil)
        report = lambda share: tell("pre-train", 0.05 + _PRETRAINING * share)  # noqa: E731
        _pretrain(pupil, settings, tokenizer, bare, folder, report)
        pretrained = copy_weights(pupil, model).layers
    begin = 0.05 + (_PRETRAINING if first else 0.0)
    heads = [layer.name for layer in model.layers if layer.name in model.output_names]
    frozen = freeze(model, heads, settings.freeze)
    if settings.model is not None and entry(settings.model).solved:
        passes = linear.solve(model, course, settings, lambda share: tell("solve", 0.05 + 0.9 * share))
        model.compile(adam_w(settings.rate, settings.weight_decay), course.loss(), jit_compile=False)
        return Learned(model, (), (), (), passes)
    training = settings.training(course.samples, settings.epochs, course.is_pretraining)
    scales = rate_scales(model, heads, settings.rate_decay)
    fit(
        model if course.tokens is None else any_length(model),
        lambda: batches(course.lesson, course.held_out, training, course.tokens),
        training,
        optimizer=lambda steps: adam_w(schedule(settings.rate, steps), settings.weight_decay, scales, course.clip),
        loss=course.loss(),
        state=folder / "training-1.npz",
        report=lambda share: tell("train", begin + (0.95 - begin) * share),
    )
    for layer in frozen:
        layer.trainable = True
    # What trains the model on (a pass of a recipe) finds how it was trained, at the rate that it was trained with.
    loss = (course.saved_loss or course.loss)()
    model.compile(adam_w(settings.rate, settings.weight_decay), loss, jit_compile=False)
    return Learned(model, transferred, pretrained, tuple(layer.name for layer in frozen), training.epochs)


def _pupil(settings: Settings, course: Course, options: Mapping[str, Any]) -> Any:
    """The same body with a head that says a token, for each token."""
    name = settings.model or "text-cnn"
    pretrain.require(name, settings.pretrain)
    if settings.model is None and settings.backbone is not None:
        raise InputError("Pre-training takes a model of the zoo: say which, with --model.")
    own = {**options, **pretrain.answering(name, settings.pretrain)}
    return build(
        name,
        vocabulary=course.vocabulary,
        length=course.length,
        heads={pretrain.HEAD: course.vocabulary},
        width=settings.width,
        depth=settings.depth,
        **own,
    )


def _pretrain(
    pupil: Any,
    settings: Settings,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    folder: Path,
    report: Callable[[float], None],
) -> None:
    name = settings.model or "text-cnn"
    samples, lesson = pretrain.lesson(tokenizer, texts, name, settings.pretrain, settings.seed)
    training = settings.training(samples, settings.pretrain_epochs, is_pretraining=True)
    fit(
        pupil,
        lambda: batches(lesson, None, training),
        training,
        optimizer=lambda steps: adam_w(schedule(settings.rate, steps), settings.weight_decay),
        loss=pretrain.loss(name, settings.pretrain),
        state=folder / "training-0.npz",
        report=report,
    )
