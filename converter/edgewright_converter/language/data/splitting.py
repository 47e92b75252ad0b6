"""A split that does not leak: what belongs together, or says the same, is on one side.

The unit is the group where the corpus has groups, else a cluster of near duplicates. Units are dealt out class by class
(of the first head), so that each class has its share on each side as far as whole units allow. Where groups repeat each
other's sentences, the repetition is left out of the test and validation parts, for a group cannot be torn apart.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edgewright_runtime.errors import InputError

from .corpus import Corpus
from .duplicates import near_duplicates

PARTS = ("train", "validation", "test")
_VALIDATION_UNITS = 5  # a class with fewer needs them to learn from
_NAMED = 8  # classes listed in a note


@dataclass(frozen=True)
class Splits:
    """notes: a sentence for each thing that the split could not do, or that the reader should know."""

    train: Corpus
    validation: Corpus
    test: Corpus
    notes: tuple[str, ...] = ()

    def items(self) -> tuple[tuple[str, Corpus], ...]:
        """(name, part) of the three."""
        return tuple((name, getattr(self, name)) for name in PARTS)

    def require_classes(self, head: str = "label") -> tuple[str, ...]:
        """The class names to learn, sorted. Raises InputError for one class alone, or one that training lacks."""
        names = self.train.class_names(head)
        if len(names) < 2:
            raise InputError(
                f"Every training text of {self.train.source} has the {head} {names[0]!r}: a classifier needs two "
                "classes at least, so add texts of another."
                if names
                else f"{self.train.source} has no training text: expected some of two classes at least."
            )
        for part in (self.validation, self.test):
            if unseen := sorted(set(part.labels.get(head, ())) - set(names)):
                raise InputError(
                    f"No training text of {self.train.source} has the {head} {_listed(unseen)}, which others have: "
                    "no model can learn it, so move some of its texts to the training part."
                )
        return names


def split(corpus: Corpus, *, test: float = 0.18, validation: float = 0.1, seed: int = 0) -> Splits:
    """Deal the corpus out. test, validation: shares of the texts, 0 for none. The same arguments give the same split.

    A corpus that says itself which part a text belongs to is split as it says; only a missing validation part is taken
    from its training texts. Raises InputError for impossible shares and where no text is left to train on.
    """
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise InputError(f"The shares test {test:g} and validation {validation:g} must be from 0 to below 1 together.")
    if not len(corpus):
        raise InputError(f"{corpus.source} has no text: there is nothing to split.")
    if corpus.parts is None:
        places, notes = _deal(corpus, {"test": test, "validation": validation}, seed)
    else:
        places = {part: [i for i, own in enumerate(corpus.parts) if own == part] for part in PARTS}
        notes = []
        if not places["validation"] and validation and places["train"]:
            inner, notes = _deal(corpus.take(places["train"]), {"validation": validation}, seed)
            original = places["train"]
            places |= {part: [original[index] for index in inner[part]] for part in ("train", "validation")}
    if not places["train"]:
        raise InputError(f"{corpus.source} leaves no text to train on: give more data, or smaller test and validation.")
    train, validation_part, test_part = (corpus.take(places[part]) for part in PARTS)
    return Splits(train, validation_part, test_part, tuple(notes))


def _deal(corpus: Corpus, shares: dict[str, float], seed: int) -> tuple[dict[str, list[int]], list[str]]:
    """Part → sorted places, and notes."""
    clusters = near_duplicates(corpus.texts)
    keys: Sequence[object] = clusters if corpus.groups is None else corpus.groups
    head = next(iter(corpus.labels), None)
    labels = corpus.labels[head] if head is not None else ("",) * len(corpus)
    units: dict[object, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        units[key].append(index)
    classes: dict[str, list[list[int]]] = defaultdict(list)
    for members in units.values():
        # A unit with several classes counts for its most frequent one, of equal ones the first by alphabet.
        counts = Counter(labels[index] for index in members)
        classes[min(counts, key=lambda label: (-counts[label], label))].append(members)
    rng = random.Random(f"split/{seed}")
    places: dict[str, list[int]] = {part: [] for part in PARTS}
    for label in sorted(classes):
        for part, members in _deal_class(classes[label], shares, rng):
            places[part].extend(members)
    notes = []
    if corpus.groups is not None:
        notes += _drop_repetitions(places, clusters)
    if head is not None:
        notes += _absent(places, labels, shares, sorted(classes))
    return {part: sorted(indices) for part, indices in places.items()}, notes


def _deal_class(
    units: list[list[int]], shares: dict[str, float], rng: random.Random
) -> list[tuple[str, list[int]]]:
    """(part, unit) of all units of a class. One unit at least stays to train on, one at least goes to the test."""
    rest = list(units)
    rng.shuffle(rest)
    total, count = sum(map(len, units)), len(units)
    dealt: list[tuple[str, list[int]]] = []
    for part, share in shares.items():
        wanted, taken = share * total, 0
        for unit in list(rest):
            if len(rest) > 1 and taken + len(unit) / 2 <= wanted:
                taken += len(unit)
                rest.remove(unit)
                dealt.append((part, unit))
        enough = count >= (_VALIDATION_UNITS if part == "validation" else 2)
        if share and not taken and enough and len(rest) > 1:
            smallest = min(rest, key=len)
            rest.remove(smallest)
            dealt.append((part, smallest))
    return dealt + [("train", unit) for unit in rest]


def _drop_repetitions(places: dict[str, list[int]], clusters: list[int]) -> list[str]:
    """Take out of test what training says too, and out of validation what either says."""
    seen = {clusters[index] for index in places["train"]}
    notes = []
    for part in ("test", "validation"):
        kept = [index for index in places[part] if clusters[index] not in seen]
        if dropped := len(places[part]) - len(kept):
            notes.append(
                f"{dropped:,} of {len(places[part]):,} {part} texts are left out: other groups, on other sides, "
                "say the same."
            )
        places[part] = kept
        seen |= {clusters[index] for index in kept}
    return notes


def _absent(
    places: dict[str, list[int]], labels: Sequence[str], shares: dict[str, float], classes: list[str]
) -> list[str]:
    notes = []
    for part, share in shares.items():
        present = {labels[index] for index in places[part]}
        if share and (absent := [label for label in classes if label not in present]):
            notes.append(
                f"{len(absent)} of {len(classes)} classes have no {part} text, for they have too few groups of texts "
                f"that belong together: {_listed(absent)}."
            )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
