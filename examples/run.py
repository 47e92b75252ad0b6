"""One example, whole: data, training, conversion, flashing, and every test text asked on the device.

    python examples/run.py intents-eu
    python examples/run.py spam --device kitchen -o spam/

Prints accuracy in Keras, of the flatbuffer here, on the device; what a linear model makes of the same texts; bytes.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import baselines
import keywords
import numpy as np
from tasks import TASKS, Task

from edgewright.devices import Device
from edgewright.evaluate import Evaluation, evaluate
from edgewright.provision import setup
from edgewright.remote import connected
from edgewright_converter.beside import beside
from edgewright_converter.language.data import Splits
from edgewright_converter.language.metrics import Measure, Translation, modelling, proportion, translation
from edgewright_converter.language.training import Trained, train
from edgewright_converter.pipeline import convert
from edgewright_runtime.errors import EdgewrightError
from edgewright_runtime.task import make_task
from edgewright_runtime.text import Tokenizer

_GIVEN = ("tokenizer", "labels", "data", "features", "task")  # of what a training leaves beside its model
FIGURES = {"classify": "accuracy", "spot": "accuracy", "generate": "bits per byte", "translate": "BLEU"}


@dataclass(frozen=True)
class Row:
    """What an example reached. figure: accuracy and BLEU are better where larger, bits per byte where smaller.

    train, test: texts; classes: or units of a language model; keras, device, other: the figure in Keras (None where
    Keras has no steps), of the bundle on the device, and of what one would use instead. unequal_inputs,
    unequal_answers: test texts that the device encodes or answers otherwise than this process, out of ``test``.
    device_chrf, other_chrf: of translations, 0 to 100, larger is better.
    """

    name: str
    kind: str
    train: int
    test: int
    classes: int
    bundle_bytes: int
    bytes_limit: int
    keras: Measure | None
    device: Measure
    other: Measure
    unequal_inputs: int | None
    unequal_answers: int
    device_chrf: Measure | None = None
    other_chrf: Measure | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """What does not hold of what an example promises."""
        said = []
        if self.bundle_bytes > self.bytes_limit:
            said.append(f"{self.bundle_bytes:,} bytes, {self.bytes_limit:,} wanted")
        ours, others = self.device.value, self.other.value
        if ours >= others if self.kind == "generate" else ours < others:
            said.append(f"{FIGURES[self.kind]} {self.device.value:.4f}, instead of it {self.other.value:.4f}")
        if self.unequal_inputs or self.unequal_answers:
            said.append(f"{self.unequal_inputs} inputs and {self.unequal_answers} answers differ on the device")
        return tuple(said)


def example(task: Task, folder: Path, device: str | None = None, splits: Splits | None = None) -> Row:
    """Train, convert, flash and evaluate. device: by default a folder of this machine; splits: by default its own."""
    model = folder / f"{task.name}.keras"
    sources: Splits | Sequence[str]
    if task.kind == "spot":
        recordings = folder / "recordings"
        if not recordings.is_dir():
            keywords.synthesize(recordings, keywords.SPEAKERS)
        sources = [str(recordings)]
    else:
        sources = splits = splits or task.load()
    trained = train(sources, model, task.settings)
    left = vars(beside(model))
    own = {name: str(left[name]) for name in _GIVEN if left.get(name) is not None}
    if task.answers:  # how the device answers unless it is asked otherwise: a bundle says so itself
        (folder / "task.json").write_bytes(make_task(task.kind, task.answers).to_json())
        own["task"] = str(folder / "task.json")
    bundle = convert(model, output=model.with_suffix(".ewb"), recipe=task.recipe, **own).path
    # Recordings are asked of the table that the training has left, texts as they are.
    asked = trained.files["test"] if splits is None else splits.test
    with connected(device or Device("examples", f"local:{folder / 'device'}")) as remote:
        setup(remote)
        found = evaluate(bundle, data=asked, devices=[remote], resamples=200)
    if splits is None:
        return _heard(task, bundle, trained, found)
    return _read(task, bundle, trained, found, splits)


def _read(task: Task, bundle: Path, trained: Trained, found: Evaluation, splits: Splits) -> Row:
    (agreement,) = found.agreements
    scores: Any = found.scores[agreement.second]
    keras = device_chrf = other_chrf = None
    tokenizer = Tokenizer.from_json(trained.files["tokenizer"].read_bytes())
    classes = tokenizer.size
    if task.kind == "generate":
        device, other = scores.bits_per_byte, _kneser_ney(tokenizer, splits)
        keras = Measure(**trained.metrics["test"]["bits_per_byte"])
    elif task.kind == "translate":
        nearest = _nearest(splits)
        device, other, device_chrf, other_chrf = scores.bleu, nearest.bleu, scores.chrf, nearest.chrf
    else:
        right = baselines.linear(splits.train, splits.test)
        device, other = scores.accuracy, proportion(int(right.sum()), len(right))
        (figures,) = trained.metrics["test"].values()
        keras, classes = Measure(**figures["accuracy"]), len(splits.train.class_names())
    return Row(
        name=task.name,
        kind=task.kind,
        train=len(splits.train),
        test=len(splits.test),
        classes=classes,
        bundle_bytes=bundle.stat().st_size,
        bytes_limit=task.bytes_limit,
        keras=keras,
        device=device,
        other=other,
        unequal_inputs=agreement.unequal_inputs,
        unequal_answers=agreement.unequal_answers,
        device_chrf=device_chrf,
        other_chrf=other_chrf,
    )


def _kneser_ney(tokenizer: Tokenizer, splits: Splits) -> Measure:
    """Bits per byte of the test texts, each from its begin to its end, over the tokenizer's units."""
    assert tokenizer.begin_id is not None
    assert tokenizer.end_id is not None
    texts = [tokenizer.ids(text) for text in splits.test.texts]
    model = baselines.KneserNey(
        [tokenizer.ids(text) for text in splits.train.texts],
        size=tokenizer.size,
        begin=tokenizer.begin_id,
        end=tokenizer.end_id,
    )
    nats = np.array([model.nats(ids) for ids in texts])
    sizes = np.array([len(text.encode()) for text in splits.test.texts])
    return modelling(nats, np.array([len(ids) + 1 for ids in texts]), sizes).bits_per_byte


def _nearest(splits: Splits) -> Translation:
    """Of answering with the translation of the training text that is nearest by TF-IDF."""
    assert splits.train.targets is not None
    assert splits.test.targets is not None
    nearest = baselines.nearest(splits.train.texts, splits.test.texts)
    return translation([splits.train.targets[at] for at in nearest], splits.test.targets)


def _heard(task: Task, bundle: Path, trained: Trained, found: Evaluation) -> Row:
    (agreement,) = found.agreements
    scores: Any = found.scores[agreement.second]
    with np.load(trained.files["data"]) as archive:
        data = {name: archive[name] for name in archive.files}
    right = baselines.linear_sounds(data["x_train"], data["y_train"], data["x_test"], data["y_test"])
    (figures,) = trained.metrics["test"].values()
    return Row(
        name=task.name,
        kind=task.kind,
        train=len(data["x_train"]),
        test=len(data["x_test"]),
        classes=int(data["y_train"].max()) + 1,
        bundle_bytes=bundle.stat().st_size,
        bytes_limit=task.bytes_limit,
        keras=Measure(**figures["accuracy"]),
        device=scores.accuracy,
        other=proportion(int(right.sum()), len(right)),
        unequal_inputs=agreement.unequal_inputs,
        unequal_answers=agreement.unequal_answers,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--device", help="a name of the inventory or a URI; default: a folder of this machine")
    parser.add_argument("-o", "--output", type=Path, help="keep model and bundle in this folder")
    arguments = parser.parse_args()
    try:
        with TemporaryDirectory() as temporary:
            folder = arguments.output or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            row = example(TASKS[arguments.task], folder, arguments.device)
    except EdgewrightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(asdict(row) | {"failures": row.failures}, indent=2))
    return 1 if row.failures else 0


if __name__ == "__main__":
    sys.exit(main())
