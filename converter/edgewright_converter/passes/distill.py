"""A small model learns what a large one answers (Hinton et al. 2015).

The teacher is the model that is given, or its mean with further ones. The student comes by name from the zoo
(language/zoo), from a file, or out of the teacher itself (derive.py). The teacher answers the transfer data once: the
training samples, `x_unlabelled`, and `copies` of both with tokens dropped, deleted and swapped; the student then trains
on its answers and, where there is one, the label. Of many classes (language models) only the largest are kept.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edgewright_runtime.errors import storage_errors

from ..data import Array
from ..errors import ModelError
from ..function import is_function
from ..language.zoo import ZOO, build
from ..outcome import Outcome, Skipped
from . import soft_labels
from .augment import augment
from .base import Context, Samples, are_probabilities
from .derive import derive
from .matching import Pairs, matched
from .training import TrainingOptions, strategy_scope, train

DERIVED = "derived"
STUDENTS = tuple(name for name, entry in ZOO.items() if entry.task == "classify" and not entry.solved)
SEQUENCES = tuple(name for name in STUDENTS if ZOO[name].per_token)  # those that can answer for each token
_MANY_CLASSES = 256
_MOST_NUMBERS = 1 << 24  # of a teacher's answers that are in memory at once


@dataclass(frozen=True, kw_only=True)
class Distill(TrainingOptions):
    """student: a name of STUDENTS, a .keras file, file.py:function, or "derived". width, depth: of a named student
    numbers of units and layers (32 and 1), of a derived one shares of the teacher's (greater than 0, at most 1).
    teachers: files of further models, whose answers are averaged with the given model's.

    temperature; hard_weight: of the label against the teacher, 0 to 1. top_k: classes of each answer that are kept, by
    default all up to 256, else 32. copies: how often each sample is changed and answered again (needs one input of
    token ids and one answer for all of it); token_dropout, token_deletion, token_swap: the shares of tokens that
    change; unknown: the id of what a tokenizer does not know. hidden, attention: "teacher's layer=student's layer",
    whose outputs or attention are matched with hidden_weight and attention_weight. dropout: of a named student.
    """

    use: ClassVar[str] = "distill"
    before: ClassVar[tuple[str, ...]] = (
        "prune-structured", "factorize", "lora", "finetune", "prune", "cluster", "qat", "quantize",
    )  # fmt: skip

    student: str = DERIVED
    width: float | None = None
    depth: float | None = None
    teachers: tuple[str, ...] = ()
    temperature: float = 2.0
    hard_weight: float = 0.1
    top_k: int | None = None
    copies: int = 0
    token_dropout: float = 0.1
    token_deletion: float = 0.05
    token_swap: float = 0.05
    unknown: int = 1
    hidden: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()
    hidden_weight: float = 1.0
    attention_weight: float = 1.0
    dropout: float = 0.1
    epochs: int = 20
    learning_rate: float | None = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        named = self.student in STUDENTS
        a_file = is_function(self.student) or self.student.endswith((".keras", ".h5"))
        if not named and self.student != DERIVED and not a_file:
            known = ", ".join((*STUDENTS, DERIVED))
            raise ValueError(f"student must be one of {known}, a .keras file or file.py:function")
        for key in ("width", "depth"):
            value = getattr(self, key)
            if value is None:
                continue
            if self.student == DERIVED and not 0 < value <= 1:
                raise ValueError(f"{key} of a derived student is a share of the teacher's: greater than 0, at most 1")
            if named and (value < 1 or value != int(value)):
                raise ValueError(f"{key} of the student {self.student} is a whole number from 1")
            if a_file:
                raise ValueError(f"{key} goes with a student by name or with {DERIVED!r}, not with a file")
        if self.student == DERIVED and self.width is None and self.depth is None:
            raise ValueError("student: give one (by name or as a file), or width and depth to derive it")
        if not 0 < self.temperature <= 100:
            raise ValueError("temperature must be greater than 0 and at most 100")
        for key in ("hard_weight", "token_dropout", "token_deletion", "token_swap", "dropout"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key} must be from 0 to 1, not {getattr(self, key)!r}")
        for key in ("copies", "unknown", "top_k", "hidden_weight", "attention_weight"):
            if (getattr(self, key) or 0) < 0:
                raise ValueError(f"{key} must be 0 or more, not {getattr(self, key)!r}")
        for key in ("hidden", "attention"):
            if any(pair.count("=") != 1 for pair in getattr(self, key)):
                raise ValueError(f'{key} must list pairs such as "teacher_layer=student_layer"')

    @property
    def needs_data(self) -> bool:
        return True  # the teacher answers samples, however long the student learns

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        """The trained student. Raises ModelError where the teacher cannot be asked or the student does not fit."""
        teachers = [model, *(_load(file, context) for file in self.teachers)]
        small = context.train.take(64, context.seed).x
        if len(context.outputs) > 1:
            raise ModelError(
                f"Model {model.name} has the outputs {', '.join(context.outputs)}: distill takes a teacher with one."
            )
        if context.train.y is not None and context.train.classes is None:
            raise ModelError("distill takes a teacher of classes, and the labels y_train are other numbers.")
        answers = [context.ask(teacher, small) for teacher in teachers]
        _same_shape(answers, self.teachers)
        strategy = model.distribute_strategy
        with strategy.scope() if strategy is not None else strategy_scope(""):
            learner, skipped = self._student(model, answers[0], context)
        own = context.ask(learner, small)
        if own.shape != answers[0].shape:
            raise ModelError(
                f"The student answers with the shape {own.shape[1:]}, its teacher with {answers[0].shape[1:]}: "
                "give a student with the same output."
            )
        table = self._table(teachers, answers[0], context)
        trainee = self._with_hints(learner, model)
        classes = own.shape[-1]
        loss = soft_labels.loss(
            classes, self.temperature, self.hard_weight, self._kept(classes), are_probabilities(own)
        )
        labelled = replace(context, train=table, pipeline=None)
        train(trainee, labelled, self, loss=loss)
        before, after = context.score(model), context.score(learner)
        return learner, Outcome(
            use=self.use,
            options={key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()},
            weight_bytes_before=_bytes(model),
            weight_bytes_after=_bytes(learner),
            accuracy_before=before.accuracy,
            accuracy_after=after.accuracy,
            loss_before=before.loss,
            loss_after=after.loss,
            skipped=skipped,
        )

    def _student(self, teacher: Any, answer: Array, context: Context) -> tuple[Any, tuple[Skipped, ...]]:
        import keras

        keras.utils.set_random_seed(context.seed if self.seed is None else self.seed)
        if self.student == DERIVED:
            learner, gone = derive(teacher, self.width or 1.0, self.depth or 1.0)
            return learner, tuple(Skipped(name, "left with its block, as depth says") for name in gone)
        if self.student not in STUDENTS:
            return _load(self.student, context), ()
        inputs = context.interface.inputs
        per_token = answer.ndim == 3
        if len(inputs) != 1 or inputs[0].ids is None or len(inputs[0].shape) != 2:
            has = ", ".join(f"{i.name} {i.dtype} {i.shape[1:]}" for i in inputs)
            raise ModelError(
                f"A student by name takes one input of token ids, the model has {has}: "
                "derive the student (width, depth), or give a file."
            )
        if answer.ndim > 3 or (per_token and (self.student not in SEQUENCES or answer.shape[1] != inputs[0].shape[1])):
            raise ModelError(
                f"The student {self.student} has one answer for a sentence, the model's has the shape "
                f"{answer.shape[1:]}: use one of {', '.join(SEQUENCES)}, or give a file."
            )
        (spec,) = inputs
        learner = build(
            self.student,
            vocabulary=spec.ids,  # type: ignore[arg-type]  # checked above
            length=spec.shape[1],
            heads={context.outputs[0]: answer.shape[-1]},
            width=int(self.width or 32),
            depth=int(self.depth or 1),
            activation="softmax" if are_probabilities(answer) else None,
            answers="tokens" if per_token else "text",
            causal=per_token,
            dropout=self.dropout,
            dtype=spec.dtype,
            entrance=spec.name,
        )
        return learner, ()

    def _kept(self, classes: int) -> int:
        """0 for all."""
        return self.top_k if self.top_k is not None else (32 if classes > _MANY_CLASSES else 0)

    def _table(self, teachers: list[Any], answer: Array, context: Context) -> Samples:
        """The transfer data with the teachers' answers, kept in a file where the conversion may be resumed."""
        x, hard = self._transfer(answer, context)
        file = context.folder / "soft-labels.npy"
        if file.is_file():
            return Samples(x, np.load(file, allow_pickle=False), None)
        classes = answer.shape[-1]
        askers = [context.asker(teacher) for teacher in teachers]
        size = max(1, _MOST_NUMBERS // max(1, int(np.prod(answer.shape[1:]))))
        parts = []
        for start in range(0, len(x[0]), size):
            rows = slice(start, start + size)
            logits = [soft_labels.as_logits(ask(tuple(array[rows] for array in x))) for ask in askers]
            soft = np.mean([soft_labels.soften(one, self.temperature) for one in logits], 0)
            parts.append(soft_labels.table(soft, None if hard is None else hard[rows], self._kept(classes)))
        found = np.concatenate(parts)
        part = file.with_suffix(".part")
        with storage_errors(f"write the teacher's answers into {file}"):
            with part.open("wb") as out:
                np.save(out, found)
            part.replace(file)
        return Samples(x, found, None)

    def _transfer(self, answer: Array, context: Context) -> tuple[tuple[Array, ...], Array | None]:
        """Inputs and labels, -1 where there is none; None without any label."""
        x, hard = context.train.x, context.train.classes
        if context.unlabelled:
            x = tuple(np.concatenate(pair) for pair in zip(x, context.unlabelled, strict=True))
            if hard is not None:
                rest = np.full((len(context.unlabelled[0]), *hard.shape[1:]), -1, hard.dtype)
                hard = np.concatenate([hard, rest])
        if not self.copies:
            return x, hard
        inputs = context.interface.inputs
        if len(inputs) != 1 or inputs[0].ids is None or answer.ndim != 2:
            raise ModelError("copies changes sentences of token ids, and takes a model of one such input: set it to 0.")
        if self.unknown >= inputs[0].ids:
            raise ModelError(f"unknown is {self.unknown}, and the model's embedding has {inputs[0].ids} rows.")
        rng = np.random.default_rng(context.seed)
        changed = [self._changed(x[0], rng) for _ in range(self.copies)]
        if hard is not None:
            hard = np.concatenate([hard] * (self.copies + 1))
        return (np.concatenate([x[0], *changed]),), hard

    def _changed(self, tokens: Array, rng: np.random.Generator) -> Array:
        return augment(
            tokens,
            rng,
            unknown=self.unknown,
            dropout=self.token_dropout,
            deletion=self.token_deletion,
            swap=self.token_swap,
        )

    def _with_hints(self, learner: Any, teacher: Any) -> Any:
        if not self.hidden and not self.attention:
            return learner
        pairs: Callable[[tuple[str, ...]], Pairs] = lambda texts: [  # noqa: E731
            (text.split("=")[0].strip(), text.split("=")[1].strip()) for text in texts
        ]
        return matched(
            learner, teacher, pairs(self.hidden), pairs(self.attention), self.hidden_weight, self.attention_weight
        )


def _load(file: str, context: Context) -> Any:
    from ..load import load_model

    model = load_model(file, context.trust)
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{file} is a SavedModel, whose layers Keras does not know: give a .keras file.")
    return model


def _same_shape(answers: list[Array], files: tuple[str, ...]) -> None:
    for file, answer in zip(files, answers[1:], strict=True):
        if answer.shape != answers[0].shape:
            raise ModelError(
                f"The teacher {file} answers with the shape {answer.shape[1:]}, the model with {answers[0].shape[1:]}."
            )


def _bytes(model: Any) -> int:
    return sum(int(np.prod(w.shape)) * np.dtype("float32").itemsize for w in model.weights)
