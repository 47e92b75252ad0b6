"""What is in the data, before a model hides it: sizes, balance, vocabulary, lengths, duplicates, and what to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from unicodedata import is_normalized

import numpy as np

from edgewright_runtime.text.words import words

from .corpus import Corpus
from .duplicates import near_duplicates
from .findings import findings
from .splitting import Splits

if TYPE_CHECKING:
    from edgewright_runtime.text import Tokenizer

_PERCENTILES = (5, 50, 95, 99, 100)


@dataclass(frozen=True)
class PartReport:
    """One part of the data.

    lengths: unit ("characters", "words", "bytes", and "tokens" with a tokenizer) → its 5th, 50th, 95th, 99th and 100th
    percentile over the texts. empty: texts without a word. unnormalized: not in Unicode's NFC. replaced: with U+FFFD,
    which stands where a decoder lost a character. unseen_words: the share of its words, counted as often as they stand
    there, that training has not; None for training itself. unknown_tokens, cut: the tokenizer's share of unknown ids,
    and of texts longer than its max_length; None without one.
    """

    name: str
    texts: int
    lengths: Mapping[str, tuple[int, ...]]
    distinct_words: int
    words_seen_once: int
    empty: int
    unnormalized: int
    replaced: int
    unseen_words: float | None = None
    unknown_tokens: float | None = None
    cut: float | None = None


@dataclass(frozen=True)
class ClassReport:
    """One class of a head. texts: part → how many."""

    head: str
    name: str
    texts: Mapping[str, int]


@dataclass(frozen=True)
class DataReport:
    """exact, near: texts that repeat an earlier one to the letter, or nearly. contradictions: texts that repeat one
    with another label (of the first head). shared_exact, shared_near: "a/b" → texts of b that an earlier part a has
    too. evenness: head → entropy of the classes over that of equal ones, 1 where all are as frequent. notes: of the
    split; findings: what a reader should do something about.
    """

    source: str
    parts: tuple[PartReport, ...]
    classes: tuple[ClassReport, ...]
    evenness: Mapping[str, float]
    exact: int
    near: int
    contradictions: int
    shared_exact: Mapping[str, int]
    shared_near: Mapping[str, int]
    groups: int | None
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def describe(data: Corpus | Splits | Mapping[str, Corpus], tokenizer: Tokenizer | None = None) -> DataReport:
    """Look at a corpus, its split, or named parts; the first part is what the others are compared with."""
    notes = data.notes if isinstance(data, Splits) else ()
    if isinstance(data, Corpus):
        data = {"all": data}
    elif isinstance(data, Splits):
        data = {name: part for name, part in data.items() if len(part)}
    corpora = list(data.values())
    training = _word_counts(corpora[0].texts)
    parts = [
        _part(name, corpus, training if place else None, tokenizer)
        for place, (name, corpus) in enumerate(data.items())
    ]
    heads = [head for head in corpora[0].labels if all(head in corpus.labels for corpus in corpora)]
    classes, evenness = [], {}
    for head in heads:
        counts = {name: Counter(corpus.labels[head]) for name, corpus in data.items()}
        total = sum(counts.values(), Counter())
        for label in sorted(total):
            classes.append(ClassReport(head, label, {name: count[label] for name, count in counts.items()}))
        evenness[head] = _evenness(list(total.values()))
    repeated = _repetitions(data, heads)
    grouped = all(corpus.groups is not None for corpus in corpora)
    groups = len({group for corpus in corpora for group in corpus.groups or ()}) if grouped else None
    report = DataReport(
        source=corpora[0].source,
        parts=tuple(parts),
        classes=tuple(classes),
        evenness=evenness,
        groups=groups,
        notes=notes,
        **repeated,
    )
    return replace(report, findings=tuple(findings(report)))


def _part(name: str, corpus: Corpus, training: Counter[str] | None, tokenizer: Tokenizer | None) -> PartReport:
    texts = corpus.texts
    counts = _word_counts(texts)
    lengths = {
        "characters": [len(text) for text in texts],
        "words": [sum(1 for _ in words(text)) for text in texts],
        "bytes": [len(text.encode("utf-8", "surrogatepass")) for text in texts],
    }
    unknown = cut = None
    if tokenizer is not None:
        ids = [tokenizer.ids(text) for text in texts]
        lengths["tokens"] = [len(row) for row in ids]
        all_ids = sum(lengths["tokens"])
        if tokenizer.unknown_id is not None:
            unknown = sum(row.count(tokenizer.unknown_id) for row in ids) / max(1, all_ids)
        cut = float(np.mean([len(row) > tokenizer.max_length for row in ids])) if ids else 0.0
    unseen = None
    if training is not None:
        unseen = sum(count for word, count in counts.items() if word not in training) / max(1, counts.total())
    return PartReport(
        name=name,
        texts=len(texts),
        lengths={unit: _percentiles(values) for unit, values in lengths.items()},
        distinct_words=len(counts),
        words_seen_once=sum(1 for count in counts.values() if count == 1),
        empty=sum(1 for length in lengths["words"] if not length),
        unnormalized=sum(1 for text in texts if not is_normalized("NFC", text)),
        replaced=sum(1 for text in texts if "\ufffd" in text),
        unseen_words=unseen,
        unknown_tokens=unknown,
        cut=cut,
    )


def _word_counts(texts: Sequence[str]) -> Counter[str]:
    return Counter(word.casefold() for text in texts for word in words(text))


def _percentiles(values: Sequence[int]) -> tuple[int, ...]:
    if not values:
        return (0,) * len(_PERCENTILES)
    return tuple(int(value) for value in np.percentile(values, _PERCENTILES, method="inverted_cdf"))


def _evenness(counts: Sequence[int]) -> float:
    if len(counts) < 2:
        return 1.0
    total = sum(counts)
    return -sum(count / total * math.log(count / total) for count in counts) / math.log(len(counts))


def _repetitions(data: Mapping[str, Corpus], heads: Sequence[str]) -> dict[str, Any]:
    texts = [text for corpus in data.values() for text in corpus.texts]
    clusters = near_duplicates(texts)
    labels = [label for corpus in data.values() for label in corpus.labels[heads[0]]] if heads else []
    seen: dict[str, int] = {}
    exact = near = contradictions = 0
    for index, (text, leader) in enumerate(zip(texts, clusters, strict=True)):
        if text in seen:
            exact += 1
        elif leader != index:
            near += 1
        first = seen.setdefault(text, index)
        contradictions += bool(heads) and labels[index] != labels[first]
    bounds = np.cumsum([0, *(len(corpus) for corpus in data.values())])
    spans = dict(zip(data, zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True), strict=True))
    shared_exact, shared_near = {}, {}
    names = list(data)
    for place, earlier in enumerate(names):
        own_texts = set(texts[slice(*spans[earlier])])
        own_clusters = set(clusters[slice(*spans[earlier])])
        for later in names[place + 1 :]:
            low, high = spans[later]
            same = sum(text in own_texts for text in texts[low:high])
            alike = sum(cluster in own_clusters for cluster in clusters[low:high])
            shared_exact[f"{earlier}/{later}"], shared_near[f"{earlier}/{later}"] = same, alike - same
    return {
        "exact": exact,
        "near": near,
        "contradictions": contradictions,
        "shared_exact": shared_exact,
        "shared_near": shared_near,
    }
