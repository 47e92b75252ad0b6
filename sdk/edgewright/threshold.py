"""Below which probability an answer is none: given, or chosen on validation data for the precision that is wanted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_runtime.archive import write_archive
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import FileEntry, Manifest
from edgewright_runtime.task import make_task

from .asking import ask_here, pack
from .errors import InputError
from .folders import temporary_folder
from .progress import Progress, silent
from .questions import read_questions
from .verdicts import probabilities

if TYPE_CHECKING:
    import numpy as np

    from edgewright_converter.language.metrics import Measure
    from edgewright_converter.pipeline import Conversion

    Array = np.ndarray[Any, Any]

TASK = "task.json"


@dataclass(frozen=True)
class Threshold:
    """precision: of the answers that reach the value, with its 95 % interval; coverage: the share that does; samples:
    that it was chosen on. None and 0 where the value was given."""

    value: float
    precision: "Measure | None" = None
    coverage: float | None = None
    samples: int = 0

    def __str__(self) -> str:
        if self.precision is None or self.coverage is None:
            return f"threshold {self.value:g}"
        return (
            f"threshold {self.value:.4f}: {self.coverage:.1%} of {self.samples:,} validation samples are answered, and "
            f"{self.precision} of these answers are right"
        )


def parse_threshold(text: str) -> tuple[float | None, float | None]:
    """ "0.8" → (0.8, None), the probability; "precision=0.95" → (None, 0.95), what is wanted. Raises InputError."""
    name, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1 or (equals and name != "precision"):
        raise InputError(f"The threshold {text!r} is no probability: write 0.8, or precision=0.95.")
    return (None, value) if equals else (value, None)


def choose(confidence: "Array", right: "Array", wanted: float) -> Threshold:
    """The lowest threshold whose answers are right as often as wanted, so that most are answered.

    confidence: (n,) of each sample's best label; right: (n,) bool. The value lies in the middle between the last answer
    that counts and the next one; where all count, it is the least of them, for nothing is known of what is below.
    Raises InputError where no threshold is enough.
    """
    import numpy as np

    from edgewright_converter.language.metrics import proportion

    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, hits = confidence[order], np.cumsum(right[order])
    counts = np.arange(1, len(order) + 1)
    # Equal ones are answered together, or none of them.
    ends = np.append(sorted_confidence[:-1] > sorted_confidence[1:], True)
    enough = np.flatnonzero(ends & (hits >= wanted * counts))
    if not len(enough):
        best = (hits / counts)[ends].max()
        raise InputError(
            f"No threshold makes {wanted:g} of the answers right on these {len(order)} samples (the best makes "
            f"{best:.3f}): ask for less, or train a better model."
        )
    last = int(enough[-1])
    below = sorted_confidence[min(last + 1, len(order) - 1)]
    value = float((sorted_confidence[last] + below) / 2)
    return Threshold(value, proportion(int(hits[last]), last + 1), (last + 1) / len(order), len(order))


def choose_for(bundle: Bundle, data: Any, wanted: float, progress: Progress = silent) -> Threshold:
    """On validation data, which neither trained the model nor tests it: with the flatbuffer's answers on this machine.

    data: as ``evaluate`` takes it. Raises as ``choose`` and ``evaluate``.
    """
    questions = read_questions(data, bundle)
    with temporary_folder() as folder:
        answers = ask_here(bundle, pack(questions, folder), folder, progress)
    found = probabilities(answers, None, bundle)
    if questions.truth is None or found.shape[:-1] != questions.truth.shape or found.ndim != 2:
        raise InputError(f"A threshold is for one label for each sample, the model answers {found.shape[1:]}.")
    return choose(found.max(-1), found.argmax(-1) == questions.truth, wanted)


def with_threshold(source: Path, output: Path, value: float, unknown: str | None = None) -> Manifest:
    """Write the same bundle with a threshold in its task. Raises InputError where the task has none, StorageError."""
    bundle = Bundle.open(source)
    manifest, task = bundle.manifest, bundle.task()
    kind = task.kind if task is not None else "spot" if manifest.features is not None else "classify"
    options = {**(task.options if task is not None else {}), "threshold": round(value, 6)}
    if unknown is not None:
        options["unknown"] = unknown
    content = make_task(kind, options).to_json()
    path = manifest.task or TASK
    files = {entry.path: bundle.read(entry.path) for entry in manifest.files} | {path: content}
    entries = [entry for entry in manifest.files if entry.path != path]
    changed = manifest._replace(files=(*entries, FileEntry(path, len(content), sha256_hex(content))), task=path)
    write_archive(changed, files, output)
    return changed


def convert_with_threshold(
    convert: "Callable[[Path], Conversion]",
    threshold: str,
    validation: Any,
    output: Path | None,
    unknown: str | None = None,
    progress: Progress = silent,
) -> "tuple[Conversion, Threshold]":
    """Convert somewhere else first, so that nothing is written where no threshold can be found.

    convert: writes the bundle to the path that it is given. threshold: as ``parse_threshold`` takes it; validation:
    data to choose it on. output: the bundle to write, "<name>.ewb" by default.
    """
    from edgewright_converter.pipeline import writable

    value, wanted = parse_threshold(threshold)
    if wanted is not None and validation is None:
        raise InputError(
            "A threshold for a precision is chosen on validation data, and there is none beside the model: give some "
            "(--validation FILE), or a number (--threshold 0.8)."
        )
    if output is not None:
        writable(output)
    with temporary_folder() as folder:
        conversion = convert(folder / "model.ewb")
        bundle = Bundle.open(folder / "model.ewb")
        chosen = Threshold(value) if value is not None else choose_for(bundle, validation, wanted or 1.0, progress)
        path = writable(output if output is not None else Path(f"{bundle.manifest.name}.ewb"))
        manifest = with_threshold(folder / "model.ewb", path, chosen.value, unknown)
    return replace(conversion, path=path, manifest=manifest), chosen
