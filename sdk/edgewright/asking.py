"""The same samples asked of a bundle on this machine, of Keras, and of a device, each in a process of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_runtime.border import load_arrays
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file
from edgewright_runtime.predict import pieces

from .flash import install
from .progress import Progress, part
from .questions import Questions
from .remote import Remote

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

KERAS, FLATBUFFER = "keras", "flatbuffer"
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Answers:
    """place: KERAS, FLATBUFFER or a device's name; engine: with its version. outputs: by name (n, …), real numbers;
    inputs: what that place made of texts or sound, by input (rows, …), {} where it was given arrays; windows: (n,) how
    many rows each sample has. texts: of a model that translates."""

    place: str
    engine: str
    outputs: "dict[str, Array]"
    inputs: "dict[str, Array]"
    windows: "Array | None" = None
    texts: tuple[str, ...] = ()


def pack(questions: Questions, folder: Path) -> Path:
    import numpy as np

    path = folder / "samples.npz"
    arrays: dict[str, Any] = questions.arrays
    np.savez_compressed(path, **arrays)
    return path


def ask_here(bundle: Bundle, samples: Path, folder: Path, progress: Progress) -> Answers:
    """In a process of its own, as on a device: an engine that crashes ends that."""
    from edgewright_converter.isolation import run_isolated

    answers = folder / "answers-here.npz"
    arguments = (str(bundle.path), str(samples), str(answers))
    engine = run_isolated(_answer_in_child, arguments, _TIMEOUT_S, progress, "evaluation")
    return _read_answers(FLATBUFFER, engine, answers)


def _answer_in_child(bundle: str, samples: str, answers: str, tell: Progress) -> str:
    from edgewright_runtime.predict import predict

    report = lambda done, total: tell("answering", done / total)  # noqa: E731
    told = predict(Bundle.open(bundle), Path(samples), Path(answers), progress=report)["engine"]
    return f"{told['name']} {told['version']}"


def ask_keras(
    source: str | Path, here: Answers, questions: Questions, bundle: Bundle, trust: bool, progress: Progress
) -> Answers:
    """Keras has no tokenizer: it gets what was made of the samples here."""
    from importlib.metadata import version

    from edgewright_converter.language.answers import keras_answers
    from edgewright_runtime.pooling import pool

    inputs = here.inputs or {name[2:]: array for name, array in questions.arrays.items()}
    outputs = keras_answers(source, inputs, trust=trust, timeout_s=_TIMEOUT_S, progress=progress)
    if here.windows is not None:
        tokenizer = bundle.tokenizer()
        pooling = tokenizer.pooling if tokenizer is not None else None
        outputs = {name: pool(output, here.windows.tolist(), pooling) for name, output in outputs.items()}
    return Answers(KERAS, f"keras {version('keras')}", outputs, {})


def ask_device(
    bundle: Bundle, samples: Path, remote: Remote, engine: str, folder: Path, progress: Progress
) -> Answers:
    release = install(bundle, remote, part(progress, 0.0, 0.2)).path
    name = f"data/{hash_file(samples)}"
    if not remote.bootstrap("holds", f"{name}.npz")["there"]:
        remote.transport.put(samples, remote.home / f"{name}.npz")
    place = remote.home / f"{name}.answers-{bundle.id[:12]}.npz"
    document = remote.call(
        "predict",
        release,
        f"--samples={remote.home / name}.npz",
        f"--answers={place}",
        f"--engine={engine}",
        "--progress",
        timeout_s=_TIMEOUT_S,
        progress=part(progress, 0.3, 0.9),
    )
    answers = folder / f"answers-{remote.name.replace('/', '-')}.npz"
    remote.transport.get(place, answers)
    used = document["engine"]
    return _read_answers(remote.name, f"{used['name']} {used['version']}", answers)


def _read_answers(place: str, engine: str, path: Path) -> Answers:
    arrays = load_arrays(path)
    outputs, inputs = (
        {name[2:]: array for name, array in arrays.items() if name.startswith(prefix)} for prefix in ("y.", "x.")
    )
    texts: tuple[str, ...] = ()
    if "text" in arrays:
        texts = tuple(piece.tobytes().decode("utf-8", "replace") for piece in pieces(arrays, "text", path))
    return Answers(place, engine, outputs, inputs, arrays.get("windows"), texts)
