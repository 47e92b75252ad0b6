"""What answers are worth, by the task of their bundle: figures with intervals, and how far two places differ."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgewright_runtime.bundle import Bundle

from .asking import Answers
from .errors import InputError
from .questions import Questions

if TYPE_CHECKING:
    import numpy as np

    from edgewright_converter.language.metrics import Classification, Measure, Modelling, Translation

    Array = np.ndarray[Any, Any]
    Scores = Classification | Modelling | Translation

FEATURES_ATOL = 1e-5
NATS_ATOL = 1e-3  # per token: above it two places do not find a text equally probable


@dataclass(frozen=True)
class Selective:
    """What the bundle's threshold does: the share of samples that reach it, and the share of these that are right, None
    where none does."""

    threshold: float
    answered: "Measure"
    right: "Measure | None"


@dataclass(frozen=True)
class Agreement:
    """How two places differ. unequal_answers: samples with another class, another translation, or another probability
    (by more than NATS_ATOL for each token); max_difference: of the outputs in real units, of nats per token, None of
    translations; unequal_inputs: samples that were encoded differently, None where there was nothing to encode;
    samples: that were compared."""

    first: str
    second: str
    samples: int
    unequal_answers: int
    max_difference: float | None
    unequal_inputs: int | None


class Verdict(Protocol):
    """One task's way to judge. Raises InputError where answers and questions do not fit."""

    def scores(self, answers: Answers) -> "Scores": ...

    def differences(self, first: Answers, second: Answers) -> "tuple[Array, float | None]":
        """(n,) bool, which samples differ; and by how much at most."""
        ...

    def selective(self, answers: Answers) -> Selective | None:
        """None where the bundle has no threshold."""
        ...


class Classes:
    """Labels of samples, or of their parts. head: the output that is asked about."""

    def __init__(self, bundle: Bundle, questions: Questions, head: str | None, resamples: int, seed: int) -> None:
        self._bundle, self._questions, self._head = bundle, questions, head
        self._resamples, self._seed = resamples, seed
        task = bundle.task()
        self._threshold = task.options.get("threshold") if task is not None else None

    def scores(self, answers: Answers) -> "Scores":
        from edgewright_converter.language.metrics import classification

        output, truth, labels = self._probabilities(answers), self._questions.truth, self._questions.labels
        assert truth is not None
        if truth.shape != output.shape[:-1] or output.shape[-1] != len(labels):
            raise InputError(
                f"There are {truth.shape} labels of {len(labels)} classes for answers of {output.shape}: give the "
                "labels of this output (--label)."
            )
        flat = output.reshape(-1, output.shape[-1])
        return classification(
            truth.ravel(), flat.argmax(-1), labels, flat, resamples=self._resamples, seed=self._seed
        )

    def differences(self, first: Answers, second: Answers) -> "tuple[Array, float | None]":
        import numpy as np

        one, two = self._probabilities(first), self._probabilities(second)
        return (one.argmax(-1) != two.argmax(-1)).reshape(len(one), -1).any(-1), float(np.abs(one - two).max())

    def selective(self, answers: Answers) -> Selective | None:
        from edgewright_converter.language.metrics import proportion

        if self._threshold is None:
            return None
        output = self._probabilities(answers)
        reach = output.max(-1) >= self._threshold
        right = (output.argmax(-1) == self._questions.truth)[reach]
        return Selective(
            self._threshold,
            proportion(int(reach.sum()), reach.size),
            proportion(int(right.sum()), right.size) if right.size else None,
        )

    def _probabilities(self, answers: Answers) -> "Array":
        return probabilities(answers, self._head, self._bundle)


class Surprise:
    """How probable a language model finds texts."""

    def __init__(self, resamples: int, seed: int) -> None:
        self._resamples, self._seed = resamples, seed

    def scores(self, answers: Answers) -> "Scores":
        from edgewright_converter.language.metrics import modelling

        nats, tokens, size_bytes = (answers.outputs[name] for name in ("nats", "tokens", "bytes"))
        kept = tokens > 0
        if not kept.any():
            raise InputError("No text has two tokens, and of one alone there is nothing to predict: give longer texts.")
        return modelling(nats[kept], tokens[kept], size_bytes[kept], resamples=self._resamples, seed=self._seed)

    def differences(self, first: Answers, second: Answers) -> "tuple[Array, float | None]":
        import numpy as np

        one, two = (answers.outputs["nats"] / np.maximum(answers.outputs["tokens"], 1) for answers in (first, second))
        apart = np.abs(one - two)
        return apart > NATS_ATOL, float(apart.max())

    def selective(self, answers: Answers) -> Selective | None:
        return None


class Translations:
    """Texts in another language, beside those of people."""

    def __init__(self, references: tuple[str, ...], resamples: int) -> None:
        self._references, self._resamples = references, resamples

    def scores(self, answers: Answers) -> "Scores":
        from edgewright_converter.language.metrics import translation

        return translation(answers.texts, self._references, resamples=self._resamples)

    def differences(self, first: Answers, second: Answers) -> "tuple[Array, float | None]":
        import numpy as np

        return np.array([one != two for one, two in zip(first.texts, second.texts, strict=True)]), None

    def selective(self, answers: Answers) -> Selective | None:
        return None


def verdict_for(
    kind: str, bundle: Bundle, questions: Questions, head: str | None, resamples: int, seed: int
) -> Verdict:
    """The way to judge a task of that kind."""
    if kind == "generate":
        return Surprise(resamples, seed)
    if kind == "translate":
        return Translations(questions.references, resamples)
    return Classes(bundle, questions, head, resamples, seed)


def agreement(verdict: Verdict, here: Answers, other: Answers) -> Agreement:
    """Of two places, what they made of the samples included."""
    unequal, apart = verdict.differences(here, other)
    encoded = None
    if here.inputs and other.inputs:
        pairs = zip(_by_sample(here), _by_sample(other), strict=True)
        encoded = sum(not _same(one, two) for one, two in pairs)
    return Agreement(here.place, other.place, len(unequal), int(unequal.sum()), apart, encoded)


def probabilities(answers: Answers, head: str | None, bundle: Bundle) -> "Array":
    """(n, classes) or (n, …, classes) probabilities, of the output that is asked about."""
    import numpy as np

    outputs = answers.outputs
    if len(outputs) > 1 and head not in outputs:
        raise InputError(
            f"The model {bundle.manifest.name} has the outputs {', '.join(outputs)}: say which one the labels are of "
            "(--label)."
        )
    output = outputs[head] if head in outputs and head is not None else next(iter(outputs.values()))
    if output.ndim < 2:
        raise InputError(f"The model {bundle.manifest.name} gives one number for each sample, no classes to score.")
    output = output.astype(np.float64)
    if output.shape[-1] == 1:  # of the second of two classes
        output = 1 / (1 + np.exp(-output)) if _are_logits(output) else output
        return np.concatenate([1 - output, output], -1)
    if not _are_logits(output):
        return output
    raised = np.exp(output - output.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def _are_logits(output: "Array") -> bool:
    """Whether the model was built without a softmax at its end. A quantized one exceeds 1 by a step at most."""
    return bool((output < -0.01).any() or (output > 1.01).any())


def _by_sample(answers: Answers) -> "list[Array]":
    """What was made of each: texts and sound have one input."""
    import numpy as np

    assert answers.windows is not None
    return np.split(next(iter(answers.inputs.values())), np.cumsum(answers.windows)[:-1])


def _same(one: "Array", two: "Array") -> bool:
    """Ids are equal; features are numbers, whose last digits depend on the processor."""
    import numpy as np

    return one.shape == two.shape and bool((np.abs(one - two) <= (FEATURES_ATOL if one.dtype.kind == "f" else 0)).all())
