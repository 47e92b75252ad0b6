"""Keywords in a stream of sound: a window slides over it, its answers are averaged, and one word is told once.

A window of the clip's length moves on by ``hop_s``; the mean of its last ``smooth`` answers decides. A label is told
where that mean reaches the threshold, unless it is one of the background (silence, other words), and not again within
``refractory_s``: the next windows hear the same word. Sainath and Parada, "Convolutional neural networks for
small-footprint keyword spotting" (2015), and Warden, "Speech Commands" (2018), section 7, do it so.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple, Optional

import numpy as np

from ..border import from_border, to_border
from ..bundle import Bundle
from ..engines import Array, Engine
from ..errors import InputError
from .features import Extractor, Features, Stream
from .wav import RAW_SUFFIXES, stream

THRESHOLD, UNKNOWN = 0.6, "unknown"
BACKGROUND = ("silence", "unknown", "_silence_", "_unknown_", "_background_noise_")
HOP_S, SMOOTH, REFRACTORY_S = 0.1, 3, 1.0


class Spotted(NamedTuple):
    """at_s: where the window ended in which it was decided; probability: the mean."""

    at_s: float
    label: str
    probability: float


class Settings(NamedTuple):
    """threshold: from 0 to 1; background: labels that are never told; the others: as the module says."""

    threshold: float = THRESHOLD
    background: tuple[str, ...] = BACKGROUND
    hop_s: float = HOP_S
    smooth: int = SMOOTH
    refractory_s: float = REFRACTORY_S


def settings_of(options: dict[str, Any]) -> Settings:
    """From the options of a bundle's task; what they leave out has the defaults."""
    known = {name: options[name] for name in Settings._fields if name in options}
    if "background" in known:
        known["background"] = tuple(known["background"])
    return Settings(**known)


class Spotter:
    """Decides as the sound comes. ask: (frames, features) float32 → (classes,) probabilities."""

    def __init__(
        self, features: Features, labels: list[str], ask: Callable[[Array], Array], settings: Optional[Settings] = None
    ) -> None:
        self.clip_samples = features.clip_samples
        self._features, self._labels, self._ask = features, labels, ask
        self._settings = settings or Settings()
        self._stream = Stream(Extractor(features))
        self._frames = np.zeros((0, features.shape[1]), np.float32)  # those of the window, and what has not yet been
        self._hop = min(features.frames, max(1, round(self._settings.hop_s * features.rate_hz / features.hop)))
        self._answers: deque[Array] = deque(maxlen=self._settings.smooth)
        self._begins = 0  # the frame at which the window begins
        self._told_s: Optional[float] = None

    def feed(self, samples: Array) -> Iterator[Spotted]:
        """(samples,) int16: the next piece; what is decided by its end."""
        size = self._features.frames
        self._frames = np.concatenate([self._frames, self._stream.feed(samples)])
        while len(self._frames) >= size:
            self._answers.append(self._ask(self._frames[:size]))
            found = self._decide()
            self._frames = self._frames[self._hop :]
            self._begins += self._hop
            if found is not None:
                yield found

    def _decide(self) -> Optional[Spotted]:
        features, settings = self._features, self._settings
        at_s = (self._begins * features.hop + features.clip_samples) / features.rate_hz
        mean = np.mean(self._answers, axis=0)
        best = int(mean.argmax())
        if mean[best] < settings.threshold or self._labels[best] in settings.background:
            return None
        if self._told_s is not None and at_s - self._told_s < settings.refractory_s:
            return None
        self._told_s = at_s
        return Spotted(round(at_s, 3), self._labels[best], float(mean[best]))


def listen(bundle: Bundle, engine: Engine, sound: str, raw: bool = False) -> Iterator[Spotted]:
    """What a bundle's model hears in a recording, or with "-" in what comes on the standard input, as it comes.

    raw: samples without a WAV's header, which a file's suffix tells. Raises InputError where the model hears nothing,
    or the recording is not as it was trained on.
    """
    features, labels = bundle.features(), bundle.labels()
    if features is None or labels is None:
        raise InputError(f"The model {bundle.manifest.name} hears nothing (no features or labels): give it --inputs.")
    entrance, exit = engine.inputs[0], engine.outputs[0]

    def ask(frames: Array) -> Array:
        shaped = frames.reshape(entrance.shape)
        return from_border(engine.invoke([to_border(shaped, entrance)])[0], exit).reshape(-1)

    if entrance.shape[:1] != (1,) or exit.shape != (1, len(labels)) or len(engine.inputs) + len(engine.outputs) > 2:
        raise InputError(f"The model answers {exit.shape} for {len(labels)} labels: convert it again.")
    task = bundle.task()
    spotter = Spotter(features, labels, ask, settings_of(task.options if task is not None else {}))
    with ExitStack() as files:
        try:
            file: IO[bytes] = sys.stdin.buffer if sound == "-" else files.enter_context(Path(sound).open("rb"))
        except OSError as error:
            raise InputError(f"Cannot read the recording {sound} ({error.strerror}): check the path.") from error
        raw = raw or Path(sound).suffix.lower() in RAW_SUFFIXES
        yield from spot(spotter, stream(file, features.rate_hz, sound, raw=raw, whole=sound != "-"))


def spot(spotter: Spotter, pieces: Iterable[Array]) -> Iterator[Spotted]:
    """All that is found in a stream of pieces, as soon as it is decided. Silence makes a clip of what is shorter."""
    heard = 0
    for piece in pieces:
        heard += len(piece)
        yield from spotter.feed(piece)
    yield from spotter.feed(np.zeros(max(0, spotter.clip_samples - heard), np.int16))
