"""An augmentation as one writes it on a command line: "swap=0.1,delete=0.05,synonyms=0.2:th_de.dat"."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edgewright_runtime.errors import InputError

from .lexicon import read_embedding, read_synonyms
from .text import PROBABILITIES, Augmenter

_WITH_FILE = {"synonyms": "lexicon", "neighbours": "embedding", "fill": "slots"}


def parse_augmentation(text: str) -> Augmenter:
    """Names and probabilities of ``Augmenter``; synonyms, neighbours and fill take a file after a colon.

    keyboard=qwertz is understood too. fill's file is TOML: each slot a list of its fillers. Raises InputError.
    """
    found: dict[str, Any] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, equals, value = entry.partition("=")
        number, colon, file = value.partition(":")
        if name == "keyboard":
            found[name] = value
            continue
        if name not in PROBABILITIES or not equals or (colon and name not in _WITH_FILE):
            near = get_close_matches(name, PROBABILITIES, n=1)
            hint = f"did you mean {near[0]}?" if near and near[0] != name else f"expected {', '.join(PROBABILITIES)}."
            raise InputError(f"The augmentation {entry!r} is not NAME=PROBABILITY: {hint}")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise InputError(f"The augmentation {entry!r} has no number: write {name}=0.1.") from error
        if colon:
            found[_WITH_FILE[name]] = _SOURCES[name](Path(file))
    if not any(name in PROBABILITIES for name in found):
        raise InputError("The augmentation is empty: write for example swap=0.1,delete=0.05.")
    return Augmenter(**found)


def _read_slots(path: Path) -> dict[str, list[str]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The slots {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The slots {path} are no TOML ({error}).") from error
    for slot, fillers in table.items():
        if not isinstance(fillers, list) or not all(isinstance(filler, str) and filler for filler in fillers):
            raise InputError(f'The slot {slot} of {path} is no list of texts: write {slot} = ["kitchen", "garage"].')
    return table


_SOURCES = {"synonyms": read_synonyms, "neighbours": read_embedding, "fill": _read_slots}
