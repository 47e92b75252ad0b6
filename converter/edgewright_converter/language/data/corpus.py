"""Texts with what is known of them: labels of one or several heads, groups that belong together, translations."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgewright_runtime.errors import InputError


@dataclass(frozen=True)
class Corpus:
    """texts: (n). labels: head name → one label for each text, {} where nothing is labelled; the usual head is "label".

    groups: one for each text; texts of one group (a template, a document, a speaker) never part in a split.
    targets: their translations. parts: the part of the split ("train", "validation", "test") that the data itself says.
    source: where it comes from, for messages. Raises InputError where the lengths differ.
    """

    texts: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    source: str = "data"
    parts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        columns = {"groups": self.groups, "targets": self.targets, "parts": self.parts, **self.labels}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.texts):
                raise InputError(
                    f"{self.source} has {len(column):,} {name} for {len(self.texts):,} texts: expected one for each."
                )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> "Corpus":
        """The texts at those places, in that order, with all that is known of them."""
        chosen = list(indices)

        def column(values: Sequence[str]) -> tuple[str, ...]:
            return tuple(values[index] for index in chosen)

        return Corpus(
            texts=column(self.texts),
            labels={head: column(values) for head, values in self.labels.items()},
            groups=None if self.groups is None else column(self.groups),
            targets=None if self.targets is None else column(self.targets),
            source=self.source,
            parts=None if self.parts is None else column(self.parts),
        )

    def class_names(self, head: str = "label") -> tuple[str, ...]:
        """Sorted. Raises InputError for a head that the corpus does not have."""
        return tuple(sorted(set(self._head(head))))

    def class_counts(self, head: str = "label") -> dict[str, int]:
        """Texts of each class, in the order of ``class_names``."""
        counts = Counter(self._head(head))
        return {name: counts[name] for name in sorted(counts)}

    def class_weights(self, head: str = "label") -> dict[str, float]:
        """Texts / (classes × texts of the class): what makes each class weigh the same; their mean over texts is 1."""
        counts = self.class_counts(head)
        return {name: len(self) / (len(counts) * count) for name, count in counts.items()}

    def _head(self, head: str) -> tuple[str, ...]:
        if head not in self.labels:
            has = f"has the labels {', '.join(self.labels)}" if self.labels else "has no labels"
            raise InputError(f"{self.source} {has}: expected {head!r}.")
        return self.labels[head]


def join(corpora: Sequence[Corpus], source: str | None = None) -> Corpus:
    """One after the other; what not all of them know (labels of a head, groups, …) is dropped.

    Groups of the same name stay one group. Raises InputError for none at all.
    """
    if not corpora:
        raise InputError("There is no data: give one file at least.")

    def column(name: str) -> tuple[str, ...] | None:
        columns = [getattr(corpus, name) for corpus in corpora]
        return None if any(values is None for values in columns) else tuple(v for values in columns for v in values)

    heads = [head for head in corpora[0].labels if all(head in corpus.labels for corpus in corpora)]
    return Corpus(
        texts=tuple(text for corpus in corpora for text in corpus.texts),
        labels={head: tuple(label for corpus in corpora for label in corpus.labels[head]) for head in heads},
        groups=column("groups"),
        targets=column("targets"),
        source=source or " and ".join(corpus.source for corpus in corpora),
        parts=column("parts"),
    )
