"""Phrases of a home's user interface in English and Spanish: what Home Assistant's integrations call things and say.

The package is wanted for the translations inside of it alone, and nothing of it is run. Taken are phrases of a few
words, both translations of the same key. Left out is what is no plain phrase (placeholders, markup, addresses, several
lines), and what is the same in both languages, for that is a name or not translated.

Integrations have much in common. A phrase that several have is kept once, in the first of them by alphabet, with the
translation that most of them give it. The integration is its group: its phrases ("Zone 1 temperature", "Zone 2
temperature") do not part in a split, and what repeats a training phrase of another integration but for capitals,
punctuation or digits is left out of the test part by the split itself (language/data/splitting.py).
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from packages import Package

from edgewright_converter.language.data import Corpus

HOME_ASSISTANT = Package(
    *("pip", "homeassistant==2026.11.0", "homeassistant-2026.11.0"),
    sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
)
_WORDS = (2, 6)  # of the English phrase, at least and at most
_FILE = re.compile(r"homeassistant/components/(\w+)/translations/(en|es)\.json")
_NOT_PLAIN = re.compile(r"[{}<>\[\]`|\\\n_*@#]|://|\w[./]\w*[./]\w")
_LETTERS = re.compile(r"[^\W\d_]{2}")


def phrases() -> Corpus:
    """texts: English; targets: Spanish; groups: integrations."""
    sides: dict[str, dict[tuple[str, ...], str]] = {"en": {}, "es": {}}
    for path, content in HOME_ASSISTANT.files(_FILE.fullmatch):
        integration, language = _FILE.fullmatch(path).groups()  # type: ignore[union-attr]
        sides[language].update(_texts(json.loads(content), (integration,)))
    english, spanish = sides["en"], sides["es"]
    translations: dict[str, Counter[str]] = defaultdict(Counter)
    integrations: dict[str, str] = {}
    for key in sorted(english.keys() & spanish.keys()):
        text, target = english[key], spanish[key]
        is_pair = _is_plain(text) and _is_plain(target) and text.casefold() != target.casefold()
        if is_pair and _WORDS[0] <= len(text.split()) <= _WORDS[1]:
            translations[text][target] += 1
            integrations.setdefault(text, key[0])
    return Corpus(
        tuple(translations),
        groups=tuple(integrations[text] for text in translations),
        targets=tuple(max(sorted(counts), key=counts.__getitem__) for counts in translations.values()),
        source="en-es",
    )


def _texts(entry: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts of a catalogue, by the names that lead to them."""
    if isinstance(entry, str):
        yield key, entry.replace("\u00a0", " ")
    elif isinstance(entry, dict):
        for name, inner in entry.items():
            yield from _texts(inner, (*key, name))


def _is_plain(text: str) -> bool:
    return text == text.strip() and _LETTERS.search(text) is not None and _NOT_PLAIN.search(text) is None
