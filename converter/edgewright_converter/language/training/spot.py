"""Recordings and their words as a course: features of a clip of each, made anew in every epoch where they are changed.

Changes (--augment): noise, pitch, rate and shift of the sound, as augment/audio.py has them, and masks (SpecAugment) of
the features, each with the probability that a recording gets it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright_runtime.audio.features import Extractor, Features
from edgewright_runtime.errors import InputError
from edgewright_runtime.task import Task

from ...data import Array
from ..data import Corpus, Splits, split
from ..metrics import classification
from ..recordings import Recordings, read_recordings
from .course import Course, Lesson
from .settings import Settings

if TYPE_CHECKING:
    from ..augment.audio import AudioAugmenter

HEAD = "label"
_SOUND = ("noise", "pitch", "rate", "shift")


@dataclass(frozen=True)
class Hearing:
    """What a course is made of. features: how the recordings are heard."""

    splits: Splits
    course: Course
    features: Features


def hearing(sources: Sequence[str], settings: Settings) -> Hearing:
    """Raises InputError where a recording cannot be read, or there is nothing to tell apart."""
    if settings.pretrain or settings.backbone:
        raise InputError(f"The model {settings.model} hears: it has no --pretrain and no --backbone.")
    if settings.token_dropout:
        raise InputError(f"The model {settings.model} hears, and sound has no tokens: leave --token-dropout out.")
    if len(sources) != 1:
        raise InputError(f"A model that hears takes one folder of recordings, not {len(sources)}.")
    features = _features(settings.features)
    recordings = read_recordings(sources[0], features.rate_hz)
    splits = split(recordings.corpus, test=settings.test, validation=settings.validation, seed=settings.seed)
    names = splits.require_classes(HEAD)
    extractor = Extractor(features)

    def clips(part: Corpus) -> Array:
        return np.stack([extractor.clip(samples) for samples in recordings.of(part)])

    def truth(part: Corpus) -> Array:
        return np.array([names.index(label) for label in part.labels[HEAD]], np.int64)

    def judged(model: Any, part: Corpus) -> dict[str, dict[str, Any]]:
        answers = model.predict(clips(part), batch_size=256, verbose=0).astype(np.float32)
        figures = classification(truth(part), answers.argmax(-1), names, answers).to_dict()
        del figures["confusion"]
        return {HEAD: figures}

    held_out = None
    if len(splits.validation):
        held_out = (clips(splits.validation), np.eye(len(names), dtype=np.float32)[truth(splits.validation)])
    arrays = {
        f"{kind}_{name}": make(part)
        for name, part in (("train", splits.train), ("test", splits.test))
        for kind, make in (("x", clips), ("y", lambda part: truth(part).astype(np.int32)))
        if len(part)
    }
    parts = [(name, part) for name, part in splits.items() if name != "train" and len(part)]
    course = Course(
        vocabulary=features.shape[1],
        length=features.frames,
        heads={HEAD: names},
        outputs={HEAD: len(names)},
        samples=len(splits.train),
        lesson=_lesson(recordings, splits.train, extractor, arrays["x_train"], truth(splits.train), names, settings),
        held_out=held_out,
        loss=lambda: _loss(settings.smoothing(0.1)),
        judge=lambda model: {name: judged(model, part) for name, part in parts},
        files={
            "labels.json": json.dumps(names, ensure_ascii=False).encode("utf-8") + b"\n",
            "features.json": features.to_json(),
            "task.json": Task("spot").to_json(),
            **{f"{name}.csv": recordings.to_csv(part) for name, part in parts},
        },
        arrays=arrays,
        sizes=f"{sources[0]}: {len(names)} words; recordings: {', '.join(_sizes(splits))}",
    )
    return Hearing(splits, course, features)


def _features(path: str | None) -> Features:
    if path is None:
        return Features()
    try:
        return Features.from_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"The features {path} cannot be read: {error.strerror}.") from error


def _lesson(
    recordings: Recordings,
    train: Corpus,
    extractor: Extractor,
    clips: Array,
    truth: Array,
    names: Sequence[str],
    settings: Settings,
) -> Lesson:
    changes = parse_sound_augmentation(settings.augment) if settings.augment else None
    sounds = [samples.astype(np.float32) / 32768.0 for samples in recordings.of(train)]
    weights = None
    if settings.class_weights:
        own = train.class_weights(HEAD)
        weights = np.array([own[label] for label in train.labels[HEAD]], np.float32)

    def lesson(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        x = clips
        if changes is not None:
            rng = np.random.default_rng((settings.seed, 2, epoch))
            x = np.stack([_changed(sound, *changes, extractor, rng) for sound in sounds])

        def pick(rows: Array) -> tuple[Any, ...]:
            classes = np.eye(len(names), dtype=np.float32)[truth[rows]]
            return (x[rows], classes) if weights is None else (x[rows], classes, weights[rows])

        return len(x), pick

    return lesson


def _changed(
    sound: Array, change: "AudioAugmenter", masks: float, extractor: Extractor, rng: np.random.Generator
) -> Array:
    from ..augment.audio import spec_augment

    louder = np.clip(np.round(change(sound, rng) * 32768.0), -32768, 32767).astype(np.int16)
    features = extractor.clip(louder)
    return spec_augment(features, rng, band_width=2) if rng.random() < masks else features


def parse_sound_augmentation(text: str) -> "tuple[AudioAugmenter, float]":
    """ "noise=0.5,shift=0.3,masks=0.5" → what changes the sound, and the probability of masks. Raises InputError."""
    from ..augment.audio import AudioAugmenter

    found: dict[str, Any] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, number = entry.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if name not in (*_SOUND, "masks") or not 0 <= found[name] <= 1:
            raise InputError(
                f"The augmentation {entry!r} is not NAME=PROBABILITY of sound: expected {', '.join(_SOUND)}, masks, "
                "each with a number from 0 to 1."
            )
    masks: float = found.pop("masks", 0.0)
    return AudioAugmenter(**found), masks


def _loss(smoothing: float) -> Any:
    import keras

    return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)


def _sizes(splits: Splits) -> list[str]:
    verbs = {"train": "train on", "validation": "validate", "test": "test"}
    return [f"{len(part):,} to {verbs[name]}" for name, part in splits.items() if len(part)]
