"""A training from data, from the files to the files, in a process of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime import __version__
from edgewright_runtime.errors import InputError
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.text import Cleaning, Tokenizer

from ...isolation import run_isolated
from ...passes.training import worker_of
from ..data import Splits, join, read, split
from ..tokenization import read_tokenizer, train_tokenizer
from ..zoo import ZOO, entry
from . import classify, linear, modelling, pretrain, translating
from .backbone import Backbone
from .course import Course
from .files import StateFolder, companion, write
from .settings import Settings
from .spot import hearing
from .trainer import learn

Progress = Callable[[str, float], None]

DEFAULT_MODEL = "text-cnn"
_ROW = 64  # ids that a language model reads at once
_LONGEST = 128  # ids of a text, where the length follows from the data
_COVERED = 98  # percent of the training texts that are not cut


@dataclass(frozen=True)
class Trained:
    """model: the .keras file; beside it lie files, by what they are ("tokenizer", "labels", "data", "test" …).

    sizes: a sentence on the data; notes: on the split; metrics: part → head → figures, as in train.json; parameters: of
    the model; resumed: whether it went on where an earlier one ended; transferred, pretrained, frozen: layers that came
    from the backbone, that learned from bare text first, and that kept their weights.
    """

    model: Path
    files: Mapping[str, Path]
    sizes: str
    notes: tuple[str, ...]
    metrics: Mapping[str, Any]
    parameters: int
    architecture: str
    resumed: bool
    transferred: tuple[str, ...] = ()
    pretrained: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()


def train(
    sources: Sequence[str] | Splits,
    output: Path,
    settings: Settings,
    *,
    resume: bool = False,
    timeout_s: float = 24 * 3600.0,
    progress: Progress = lambda step, fraction: None,
) -> Trained:
    """Train a model on texts and write it to ``output`` (.keras) with what belongs to it.

    sources: files or "intents:<language>", joined and split; or a split. Raises InputError, ConversionError where the
    child crashes, the loss becomes NaN or the time is over, StorageError. Then no file is left but the state of the
    training, which ``resume`` goes on with.
    """
    if output.suffix != ".keras":
        raise InputError(f"The model is written to {output}: expected a name that ends in .keras.")
    if settings.model is not None:
        entry(settings.model)
    output = output.absolute()
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} does not exist: create it, or choose another output.")
    arguments = (sources if isinstance(sources, Splits) else tuple(sources), output, settings, resume)
    trained: Trained = run_isolated(_train, arguments, timeout_s, progress, "training")
    return trained


def _train(sources: Any, output: Path, settings: Settings, resume: bool, tell: Progress) -> Trained:
    tell("read the data", 0.0)
    if settings.model is not None and entry(settings.model).task == "spot":
        settings = _with_rate(settings)
        heard = hearing(sources, settings)
        key = _key(heard.splits, (), heard.features.to_json(), settings)
        backbone = Backbone.of(settings)
        return _taught(heard.splits, heard.course, backbone, None, (), {}, key, output, settings, resume, tell)
    splits = sources if isinstance(sources, Splits) else _split(sources, settings)
    bare = splits.train.texts
    if settings.corpus:
        bare += join([read(file) for file in settings.corpus]).texts
    backbone = Backbone.of(settings)
    settings = backbone.complete(settings)
    if settings.model is None and settings.backbone is None:
        settings = replace(settings, model=DEFAULT_MODEL)
    if settings.model is not None and ZOO[settings.model].solved:
        linear.check(settings, len(splits.train.labels))
    settings = _with_rate(settings)
    tell("train the tokenizer", 0.02)
    tokenizer = backbone.tokenizer or _tokenizer(settings, splits, bare)
    _agree(tokenizer, settings)
    tell("encode the texts", 0.04)
    course = _course(splits, tokenizer, settings)
    key = _key(splits, bare, tokenizer.to_json(), settings)
    files = {"tokenizer.json": tokenizer.to_json(), **_parts(splits)}
    return _taught(splits, course, backbone, tokenizer, bare, files, key, output, settings, resume, tell)


def _with_rate(settings: Settings) -> Settings:
    """With the model's own learning rate, where none is given; a model that is solved reads its texts whole."""
    if settings.model is not None and ZOO[settings.model].solved:
        settings = replace(settings, token_dropout=0.0, token_deletion=0.0)
    if settings.learning_rate is not None or settings.model is None:
        return settings
    return replace(settings, learning_rate=ZOO[settings.model].rate)


def _taught(
    splits: Splits,
    course: Course,
    backbone: Backbone,
    tokenizer: Tokenizer | None,
    bare: Sequence[str],
    files: Mapping[str, bytes],
    key: str,
    output: Path,
    settings: Settings,
    resume: bool,
    tell: Progress,
) -> Trained:
    if settings.model is not None and settings.pretrain:
        pretrain.require(settings.model, settings.pretrain)
    worker = worker_of(settings.strategy)
    state = StateFolder(output, key, resume, worker)
    try:
        learned = learn(settings, course, backbone, tokenizer, bare, state.path, tell)
    except InputError:  # before anything was learned
        if not state.resumed:
            state.remove()
        raise
    tell("judge the model", 0.96)
    metrics = course.judge(learned.model)
    parameters = learned.model.count_params()
    record = {
        "schema": 1,
        "kind": "train",
        "edgewright": __version__,
        "architecture": _architecture(settings, course),
        "settings": settings.to_dict(),
        "sizes": course.sizes,
        "notes": list(splits.notes),
        "heads": course.outputs,
        "parameters": parameters,
        "epochs": learned.epochs,
        "transferred": list(learned.transferred),
        "pretrained": list(learned.pretrained),
        "frozen": list(learned.frozen),
        "metrics": metrics,
    }
    files = {**course.files, **files}
    if worker == 0:
        write(learned.model, output, files, course.arrays, record)
    state.remove()
    names = [*files, *(["data.npz"] if course.arrays else []), "train.json"]
    return Trained(
        model=output,
        files={name.partition(".")[0]: companion(output, name) for name in names},
        sizes=course.sizes,
        notes=splits.notes,
        metrics=metrics,
        parameters=parameters,
        architecture=settings.model or f"the body of {settings.backbone}",
        resumed=state.resumed,
        transferred=learned.transferred,
        pretrained=learned.pretrained,
        frozen=learned.frozen,
    )


def _split(sources: Sequence[str], settings: Settings) -> Splits:
    corpora = [
        read(
            source,
            text=settings.text,
            labels=settings.labels,
            group=settings.group,
            target=settings.target,
            encoding=settings.encoding,
            format=settings.format,
        )
        for source in sources
    ]
    corpus = corpora[0] if len(corpora) == 1 else join(corpora)
    return split(corpus, test=settings.test, validation=settings.validation, seed=settings.seed)


def _tokenizer(settings: Settings, splits: Splits, bare: Sequence[str]) -> Tokenizer:
    """Learned from the texts, and the translations. Language models have capital letters and parts of words, and
    classifiers neither, where nothing is said."""
    kind = settings.tokenizer
    if kind is not None and kind.endswith(".json"):
        return read_tokenizer(Path(kind))
    task = ZOO[settings.model].task if settings.model else "classify"
    speaks = task in ("generate", "translate")
    special = ("begin", "end") if speaks else ("mask",) if settings.pretrain == "masked" else ()
    texts = (*bare, *(splits.train.targets or ())) if task == "translate" else bare
    kind = kind or ("bpe" if speaks else "words")
    windows = {"truncation": settings.truncation, "pooling": settings.pooling, "stride": settings.stride}

    def learned(length: int) -> Tokenizer:
        return train_tokenizer(
            texts,
            kind=kind,
            size=settings.vocabulary or (4000 if kind == "words" else 1000),
            max_length=length,
            cleaning=settings.cleaning or Cleaning(lowercase=not speaks),
            special=special,
            **settings.tokenizer_options,
        )

    if settings.length is not None or task == "generate":
        probe = learned(settings.length or _ROW)
        return Tokenizer(probe.model, probe.max_length, cleaning=probe.cleaning, **windows)  # type: ignore[arg-type]
    probe = learned(_LONGEST)
    lengths = [len(probe.ids(text)) + probe.max_length - probe.room for text in texts]
    length = min(_LONGEST, max(4, int(np.ceil(np.percentile(lengths, _COVERED) / 4)) * 4))
    return Tokenizer(probe.model, length, cleaning=probe.cleaning, **windows)  # type: ignore[arg-type]


def _agree(tokenizer: Tokenizer, settings: Settings) -> None:
    if settings.length is not None and tokenizer.max_length != settings.length:
        raise InputError(
            f"The tokenizer gives {tokenizer.max_length} ids, and the length asked for is {settings.length}: leave "
            "--length out, or give another tokenizer."
        )


def _course(splits: Splits, tokenizer: Tokenizer, settings: Settings) -> Course:
    task = ZOO[settings.model].task if settings.model else "classify"
    if task == "classify" and not splits.train.labels and settings.pretrain:
        return pretrain.course(splits, tokenizer, settings)
    if task != "classify":
        for name in _OF_CLASSES:
            if getattr(settings, name):
                raise InputError(
                    f"--{name.replace('_', '-')} is for models that tell classes apart, and {settings.model} does not: "
                    "leave it out."
                )
    return _COURSES[task](splits, tokenizer, settings)


_OF_CLASSES = ("token_deletion", "augment", "class_weights", "pretrain", "pooling")
_COURSES = {"classify": classify.course, "generate": modelling.course, "translate": translating.course}


def _parts(splits: Splits) -> dict[str, bytes]:
    from ..data.writing import to_csv

    return {f"{name}.csv": to_csv(part) for name, part in splits.items() if name != "train" and len(part)}


def _key(splits: Splits, unlabelled: Sequence[str], reading: bytes, settings: Settings) -> str:
    """Of all that the trained weights depend on. reading: the tokenizer, or the features of sound."""
    digest = sha256_hex(repr((__version__, sorted(settings.to_dict().items(), key=str))).encode("utf-8", "replace"))
    for part in (splits.train, splits.validation):
        content = (digest, part.texts, sorted(part.labels.items()), part.targets)
        digest = sha256_hex(repr(content).encode("utf-8", "replace"))
    backbone = Path(settings.backbone).read_bytes() if settings.backbone else b""
    return sha256_hex(repr((digest, tuple(unlabelled))).encode("utf-8", "replace") + reading + backbone)


def _architecture(settings: Settings, course: Course) -> dict[str, Any]:
    """What ``build`` needs to make the same model again; {} where it is not of the zoo."""
    if settings.model is None:
        return {}
    return {
        "model": settings.model,
        "width": settings.width,
        "depth": settings.depth,
        "options": {**course.options, **settings.options},
        "vocabulary": course.vocabulary,
        "length": course.length,
    }
