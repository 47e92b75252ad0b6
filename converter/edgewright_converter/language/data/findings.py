"""What a reader of a report on data should do something about, as sentences with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import ClassReport, DataReport

_FEW = 10  # texts of a class below which its accuracy says little
_IMBALANCE = 10.0
_UNKNOWN = 0.1
_CUT = 0.05
_NAMED = 5


def findings(report: DataReport) -> list[str]:
    """Sentences, the worst first."""
    found = []
    for pair, same in report.shared_exact.items():
        alike = report.shared_near[pair]
        if same or alike:
            earlier, later = pair.split("/")
            size = next(part.texts for part in report.parts if part.name == later)
            found.append(
                f"{same + alike:,} of {size:,} {later} texts are in {earlier} too ({same:,} to the letter): scores "
                "there are too good; split again (--split), or take them out."
            )
    if report.contradictions:
        found.append(
            f"{report.contradictions:,} texts repeat an earlier one with another label: no model can get both right."
        )
    for head in dict.fromkeys(entry.head for entry in report.classes):
        found += _class_findings(report, [entry for entry in report.classes if entry.head == head], head)
    for part in report.parts:
        of = f" of {part.texts:,} {part.name} texts" if len(report.parts) > 1 else f" of {part.texts:,} texts"
        if part.empty:
            found.append(f"{part.empty:,}{of} have no word: take them out, or label them as such.")
        if part.replaced:
            found.append(
                f"{part.replaced:,}{of} hold U+FFFD, where a decoder lost a character: read the source in its encoding."
            )
        if part.unnormalized:
            found.append(f"{part.unnormalized:,}{of} are not in Unicode NFC: let the cleaning normalize them.")
        if part.unknown_tokens is not None and part.unknown_tokens > _UNKNOWN:
            found.append(
                f"The tokenizer does not know {part.unknown_tokens:.0%} of the tokens of {part.name}: a larger "
                "vocabulary, or subwords (bpe, unigram), would."
            )
        if part.cut is not None and part.cut > _CUT:
            found.append(
                f"{part.cut:.0%}{of} are longer than the tokenizer's max_length: raise it, or pool windows."
            )
    return found


def _class_findings(report: DataReport, classes: list[ClassReport], head: str) -> list[str]:
    found = []
    first = report.parts[0].name
    if len(classes) == 1:
        return [f"There is one {head} only, {classes[0].name!r}: a classifier needs two classes at least."]
    unlearned = [entry.name for entry in classes if not entry.texts[first]]
    if len(report.parts) > 1 and unlearned:
        found.append(f"{_named(unlearned)} of {head} have no text in {first}: no model can learn them.")
    for part in report.parts[1:]:
        absent = [entry.name for entry in classes if entry.texts[first] and not entry.texts[part.name]]
        if absent:
            found.append(f"{_named(absent)} of {head} have no text in {part.name}: nothing is said about them there.")
    counts = [entry.texts[first] for entry in classes if entry.texts[first]]
    if max(counts) > _IMBALANCE * min(counts):
        found.append(
            f"The most frequent {head} has {max(counts):,} texts in {first}, the rarest {min(counts):,}: use class "
            "weights, and look at the macro F1, not at the accuracy alone."
        )
    few = [entry.name for entry in classes if 0 < entry.texts[first] < _FEW]
    if few:
        found.append(f"{_named(few)} of {head} have fewer than {_FEW} texts in {first}: augment them, or collect more.")
    return found


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} classes ({', '.join(names[:_NAMED])}{more})"
