"""How good a bundle's answers are: in Keras, as a flatbuffer on this machine, and on devices, side by side.

Everywhere the same samples are asked. A device gets the texts or the sound itself: it encodes them with its own code,
and returns what it made of them with its answers, raw. All figures are computed here, so they can differ only where the
answers do.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_runtime.bundle import Bundle

from .asking import FLATBUFFER as FLATBUFFER
from .asking import KERAS as KERAS
from .asking import Answers, ask_device, ask_here, ask_keras, pack
from .devices import Device, find_device
from .errors import InputError
from .folders import temporary_folder
from .progress import Progress, part, silent
from .questions import Questions, read_questions
from .remote import Remote, connected
from .verdicts import Agreement, Selective, agreement, verdict_for

if TYPE_CHECKING:
    from .verdicts import Scores


@dataclass(frozen=True)
class Evaluation:
    """scores: by place, in the order in which they were asked; agreements: of the flatbuffer with every other place;
    selective: by place, {} for a bundle without a threshold."""

    bundle: dict[str, str]
    task: str
    scores: "dict[str, Scores]"
    engines: dict[str, str]
    agreements: tuple[Agreement, ...]
    selective: dict[str, Selective]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "bundle": self.bundle,
            "task": self.task,
            "places": [
                {"place": place, "engine": self.engines[place], **scores.to_dict()}
                for place, scores in self.scores.items()
            ],
            "selective": {place: asdict(found) for place, found in self.selective.items()},
            "agreements": [asdict(agreement) for agreement in self.agreements],
            "warnings": list(self.warnings),
        }


def evaluate(
    path: str | Path,
    *,
    data: Any,
    devices: Sequence[str | Device | Remote] = (),
    keras: str | Path | None = None,
    head: str | None = None,
    target: str | None = None,
    engine: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
    trust: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Ask the same samples of a bundle's flatbuffer here, of the Keras model it came from, and of devices.

    data: a table of texts and labels, a Corpus, or whatever ``convert`` takes; its test part, where it has one.
    keras: the model's source; head: the column of the labels, and the output they belong to; target: of translations;
    engine: on the devices; resamples, seed: for the intervals; trust: run Lambda layers. What the devices use stays in
    use. A model that generates is judged by how probable it finds the texts.
    Raises InputError, BundleError, EngineError, ModelError, ConversionError, DeviceError, StorageError.
    """
    if resamples < 100:
        raise InputError(f"An interval takes 100 resamples at least, not {resamples}.")
    bundle = Bundle.open(path)
    task = bundle.task()
    kind = task.kind if task is not None else "classify"
    if keras is not None and kind in ("generate", "translate"):
        raise InputError(f"A model to {kind} is evaluated step by step, which Keras does not take: leave --keras out.")
    names = [KERAS, FLATBUFFER, *(_name(device) for device in devices)]
    if len(set(names)) < len(names):
        raise InputError("A device is asked once: give each of them one time, and none the name keras or flatbuffer.")
    questions = read_questions(data, bundle, head, target)
    places = 1 + (keras is not None) + len(devices)
    steps = [part(progress, index / places, (index + 1) / places) for index in range(places)]
    with temporary_folder() as folder:
        samples = pack(questions, folder)
        here = ask_here(bundle, samples, folder, part(steps.pop(0), 0, 1, "here: "))
        found = [here]
        if keras is not None:
            found.insert(0, ask_keras(keras, here, questions, bundle, trust, part(steps.pop(0), 0, 1, "Keras: ")))
        for device in devices:
            with connected(device) as remote:
                step = part(steps.pop(0), 0, 1, f"{remote.name}: ")
                found.append(ask_device(bundle, samples, remote, engine, folder, step))
    verdict = verdict_for(kind, bundle, questions, head, resamples, seed)
    selective = {answers.place: verdict.selective(answers) for answers in found}
    return Evaluation(
        bundle={"id": bundle.id, "name": bundle.manifest.name, "mode": bundle.manifest.variant().mode},
        task=kind,
        scores={answers.place: verdict.scores(answers) for answers in found},
        engines={answers.place: answers.engine for answers in found},
        agreements=tuple(agreement(verdict, here, other) for other in found if other is not here),
        selective={place: what for place, what in selective.items() if what is not None},
        warnings=tuple(_warnings(questions, here)),
    )


def _name(device: str | Device | Remote) -> str:
    return find_device(device).name if isinstance(device, str) else device.name


def _warnings(questions: Questions, here: Answers) -> list[str]:
    import numpy as np

    if "unknown" in here.outputs and (share := here.outputs["unknown"].sum() / max(1, here.outputs["tokens"].sum())):
        return [f"{share:.1%} of the tokens are unknown ones, which stand for nothing in particular: that flatters."]
    if questions.truth is None:
        return []
    present = np.unique(questions.truth)
    if len(present) == 1:
        name = questions.labels[int(present[0])]
        return [f"Every sample has the label {name}: these figures say nothing about the other classes."]
    return []
