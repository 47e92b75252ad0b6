"""What a bundle is evaluated on: samples in the form that a device reads, and the right answer to each."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_runtime.bundle import Bundle

from .errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from edgewright_converter.language.data import Corpus

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Questions:
    """arrays: as ``edgewright_runtime.predict`` reads them. truth: (n, …) int64, the class of each; labels: the names
    of the classes, in the order of the output. references: of texts to translate, what people made of each. None and ()
    where the task has none."""

    arrays: "dict[str, Array]"
    truth: "Array | None" = None
    labels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


def read_questions(data: Any, bundle: Bundle, head: str | None = None, target: str | None = None) -> Questions:
    """Texts from a table or a Corpus, recordings from a folder of them, which the device encodes itself; arrays from an
    .npz, a function or a mapping.

    The part "test" is asked where the data says what that is, else all of it. head: the column of the labels, by
    default "label"; target: the column of the translations, by default "target". Raises InputError where the data
    cannot be read, has no labels, or does not fit the bundle.
    """
    from edgewright_converter.function import is_function
    from edgewright_converter.language.data import Corpus, read

    task = bundle.task()
    if task is not None and task.kind in ("generate", "translate"):
        column = (target or "target") if task.kind == "translate" else None
        return _of_texts(data if isinstance(data, Corpus) else read(data, target=column), task.kind)
    labels, features = class_names(bundle, head), bundle.features()
    if isinstance(data, str | Path) and not is_function(data) and Path(data).suffix != ".npz":
        if features is not None:
            return _from_recordings(Path(data), features.rate_hz, bundle, labels)
        data = read(data, labels=None if head is None else (head,))
    if isinstance(data, Corpus):
        return _from_corpus(data, bundle, labels, head)
    return _from_arrays(data, bundle, labels)


def class_names(bundle: Bundle, head: str | None) -> tuple[str, ...]:
    """The bundle's, or numbers where it has none."""
    outputs = bundle.manifest.variant().outputs
    spec = next((spec for spec in outputs if spec.name == head), outputs[0])
    count = max(2, spec.shape[-1])
    return tuple(bundle.labels() or map(str, range(count)))


def _from_corpus(corpus: "Corpus", bundle: Bundle, labels: tuple[str, ...], head: str | None) -> Questions:
    corpus = _test_part(corpus)
    return Questions(_packed(corpus), _numbers(corpus, bundle, labels, head), labels)


def _of_texts(corpus: "Corpus", kind: str) -> Questions:
    """To be found probable, or to be translated."""
    corpus = _test_part(corpus)
    if kind == "translate" and corpus.targets is None:
        raise InputError(f"{corpus.source} has no translations: name their column (--target).")
    return Questions(_packed(corpus), references=corpus.targets or ())


def _test_part(corpus: "Corpus") -> "Corpus":
    if corpus.parts is None or "test" not in corpus.parts:
        return corpus
    return corpus.take(index for index, part in enumerate(corpus.parts) if part == "test")


def _packed(corpus: "Corpus") -> "dict[str, Array]":
    import numpy as np

    from edgewright_runtime.predict import pack_pieces

    texts = [np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8) for text in corpus.texts]
    return pack_pieces("text", texts)


def _from_recordings(path: Path, rate_hz: int, bundle: Bundle, labels: tuple[str, ...]) -> Questions:
    from edgewright_converter.language.recordings import read_recordings
    from edgewright_runtime.predict import pack_pieces

    recordings = read_recordings(path, rate_hz)
    sound = pack_pieces("sound", recordings.of(recordings.corpus))
    return Questions(sound, _numbers(recordings.corpus, bundle, labels, None), labels)


def _numbers(corpus: "Corpus", bundle: Bundle, labels: tuple[str, ...], head: str | None) -> "Array":
    """(n,) int64: the class of each label."""
    import numpy as np

    numbers = {name: number for number, name in enumerate(labels)}
    given = corpus.labels.get(head or "label")
    if given is None:
        known = ", ".join(corpus.labels) or "none"
        raise InputError(f"{corpus.source} has no column {head or 'label'} (labels there: {known}): say which it is.")
    unknown = sorted(set(given) - set(numbers))
    if unknown:
        raise InputError(
            f"{corpus.source} has the label {unknown[0]!r}, which {bundle.manifest.name} does not know: "
            f"it has {_some(labels)}. Take the data that belongs to this model, or another column (--label)."
        )
    return np.array([numbers[label] for label in given], np.int64)


def _from_arrays(data: Any, bundle: Bundle, labels: tuple[str, ...]) -> Questions:
    import numpy as np

    from .bench import labelled_arrays

    x, y = labelled_arrays(data, bundle)
    truth = np.asarray(y)
    if truth.dtype.kind == "f" and (truth != np.round(truth)).any():
        raise InputError("The labels are no whole numbers: give the number of each sample's class.")
    if truth.ndim > 1 and truth.shape[-1] == len(labels) > 1 and (truth.sum(axis=-1) == 1).all():
        truth = truth.argmax(axis=-1)
    if truth.ndim > 1 and truth.shape[-1] == 1:
        truth = truth[..., 0]
    if truth.size == 0 or truth.min() < 0 or truth.max() >= len(labels):
        wrong = "none" if truth.size == 0 else int(truth.min() if truth.min() < 0 else truth.max())
        raise InputError(f"The data has the label {wrong}, {bundle.manifest.name} has classes 0 to {len(labels) - 1}.")
    return Questions({f"x.{name}": array for name, array in x.items()}, truth.astype(np.int64), labels)


def _some(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
