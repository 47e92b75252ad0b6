"""An evaluation as tables, for the terminal and Markdown alike, and as a file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_runtime.disk import replacing

from .errors import InputError
from .quantities import NOTHING
from .sections import Section

if TYPE_CHECKING:
    from edgewright_converter.language.metrics import Classification, Measure

    from .evaluate import Evaluation
    from .verdicts import Agreement, Scores

SUFFIXES = (".md", ".json")
_MATRIX_CLASSES = 12  # more make a table that no terminal holds: then the most frequent confusions are listed
_CONFUSIONS = 12
_FIGURES = {  # title → where it is in the scores
    "accuracy": "accuracy",
    "precision, macro": "precision.macro",
    "precision, weighted": "precision.weighted",
    "recall, macro": "recall.macro",
    "recall, weighted": "recall.weighted",
    "F1, macro": "f1.macro",
    "F1, weighted": "f1.weighted",
    "calibration error": "calibration_error",
    "perplexity": "perplexity",
    "bits per byte": "bits_per_byte",
    "BLEU": "bleu",
    "chrF": "chrf",
}
_INTERVALS = (
    "In brackets: 95 % intervals over samples like these, Wilson's for the accuracy, by resampling for the others."
)


def tables(evaluation: "Evaluation") -> Iterator[Section]:
    """The figures of all places side by side, how far the places agree, and for the last one the classes."""
    from edgewright_converter.language.metrics import Classification

    yield _figures(evaluation)
    if evaluation.agreements:
        yield _agreements(evaluation.agreements)
    place, last = list(evaluation.scores.items())[-1]
    if not isinstance(last, Classification):
        return
    yield _classes(place, last)
    yield _matrix(place, last) if len(last.classes) <= _MATRIX_CLASSES else _confusions(place, last)


def to_markdown(evaluation: "Evaluation") -> str:
    """All tables."""
    from .report import markdown_table

    lines: list[str] = []
    for section in tables(evaluation):
        if section.title:
            lines.append(f"\n## {section.title}\n")
        lines += markdown_table(section.columns, section.lines)
        if section.note:
            lines.append(f"\n{section.note}")
    lines += [f"\n{warning}" for warning in evaluation.warnings]
    return "\n".join(lines) + "\n"


def check_output(path: Path) -> None:
    """Whether ``save`` could write there: to be asked before a long evaluation. Raises InputError."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"An evaluation is written as {', '.join(SUFFIXES)}, not as {path.name}: choose one of them.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} to: make it first.")


def save(path: Path, evaluation: "Evaluation") -> None:
    """Write the tables (.md) or everything (.json). Raises InputError, StorageError."""
    check_output(path)
    if path.suffix == ".md":
        text = to_markdown(evaluation)
    else:
        text = json.dumps({"schema": 1, "kind": "evaluation", **evaluation.to_dict()}) + "\n"
    with replacing(path) as out:
        out.write(text.encode("utf-8"))


def _figures(evaluation: "Evaluation") -> Section:
    places = list(evaluation.scores)
    found = list(evaluation.scores.values())
    rows = list(_rows(found))
    if evaluation.selective:
        with_threshold = list(evaluation.selective.values())
        title = f"threshold {with_threshold[0].threshold:g}"
        rows.append((f"{title}: answered", [found.answered for found in with_threshold]))
        rows.append((f"{title}: right of these", [found.right for found in with_threshold]))
    lines = [(title, *map(_cell, measures)) for title, measures in rows]
    name, mode = evaluation.bundle["name"], evaluation.bundle["mode"]
    engines = "; ".join(f"{place}: {evaluation.engines[place]}" for place in places)
    note = f"{_counts(found[0])}. {engines}. {_INTERVALS}"
    return Section("", (name if mode in name else f"{name} {mode}", *places), tuple(lines), note)


def _rows(found: "Sequence[Scores]") -> "Iterator[tuple[str, list[Measure | None]]]":
    """What there is of the figures, in this order, each with its value at every place."""
    for title, path in _FIGURES.items():
        values: list[Any] = list(found)
        for key in path.split("."):
            values = [getattr(value, key, None) for value in values]
        if any(value is not None for value in values):
            yield title, values


def _counts(scores: "Scores") -> str:
    from edgewright_converter.language.metrics import Classification, Modelling

    if isinstance(scores, Classification):
        return f"{scores.samples:,} samples, {len(scores.classes)} classes"
    if isinstance(scores, Modelling):
        return f"{scores.texts:,} texts, {scores.tokens:,} tokens, {scores.bytes:,} bytes"
    return f"{scores.sentences:,} sentences; {scores.signature}"


def _agreements(agreements: "tuple[Agreement, ...]") -> Section:
    lines = tuple(
        (
            f"{agreement.first} and {agreement.second}",
            f"{agreement.unequal_answers:,} of {agreement.samples:,}",
            NOTHING if agreement.max_difference is None else f"{agreement.max_difference:.2g}",
            NOTHING if agreement.unequal_inputs is None else f"{agreement.unequal_inputs:,}",
        )
        for agreement in agreements
    )
    columns = ("places", "unequal answers", "largest difference", "encoded differently")
    return Section("Where the answers differ", columns, lines)


def _classes(place: str, scores: "Classification") -> Section:
    lines = tuple(
        (row.name, f"{row.support:,}", f"{row.predicted:,}", _cell(row.precision), _cell(row.recall), _cell(row.f1))
        for row in scores.per_class
        if row.support or row.predicted
    )
    left_out = len(scores.per_class) - len(lines)
    note = f"{left_out} classes are neither in the data nor among the answers." if left_out else ""
    return Section(f"Classes, {place}", ("class", "samples", "answers", "precision", "recall", "F1"), lines, note)


def _matrix(place: str, scores: "Classification") -> Section:
    rows = zip(scores.classes, scores.confusion.tolist(), strict=True)
    lines = tuple((name, *(f"{count:,}" for count in counts)) for name, counts in rows)
    return Section(f"Confusion, {place}", ("true class / answer", *scores.classes), lines)


def _confusions(place: str, scores: "Classification") -> Section:
    wrong = [
        (count, true, answer)
        for true, counts in zip(scores.classes, scores.confusion.tolist(), strict=True)
        for answer, count in zip(scores.classes, counts, strict=True)
        if count and true != answer
    ]
    wrong.sort(key=lambda entry: (-entry[0], entry[1:]))
    lines = tuple((true, answer, f"{count:,}") for count, true, answer in wrong[:_CONFUSIONS])
    more = len(wrong) - len(lines)
    note = f"{more} pairs more; --json has the whole matrix." if more else ""
    return Section(f"Confusion, {place}", ("true class", "answer", "samples"), lines, note)


def _cell(measure: "Measure | None") -> str:
    return NOTHING if measure is None else str(measure)
