"""Sentences for intent classification, drawn from the templates of the home-assistant-intents package.

A template such as ``<turn> on [<the>] {area} <light>`` stands for thousands of sentences. All sentences of one template
are one group of the corpus: a split between them would leave near-copies of the training data in the test set.

The package has no names of rooms, devices or floors, since those belong to a user's home. ``slots.toml`` beside this
file holds ours: English names, and for every other language names that many languages share.
"""

import importlib.resources
import random
import tomllib
from typing import Any

from edgewright_runtime.errors import InputError

from .corpus import Corpus

DRAWS_PER_TEMPLATE = 18


def languages() -> list[str]:
    """Language codes of the installed package, sorted."""
    folder = importlib.resources.files(_package()) / "data"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def require_language(language: str) -> None:
    """Raises InputError, with the list, for a language that the package does not have."""
    if language not in languages():
        raise InputError(f"There are no sentences for language {language!r}: choose one of {', '.join(languages())}.")


def read(language: str = "en", *, seed: int = 0, draws_per_template: int = DRAWS_PER_TEMPLATE) -> Corpus:
    """Draw the sentences of one language: labels are intents, groups are templates, "HassTurnOn/7".

    A sentence that several templates can produce is in the corpus once, with the first of them that did. The same
    arguments give the same sentences. Raises InputError for a language that the package does not have.
    """
    require_language(language)
    from hassil.intents import Intents
    from home_assistant_intents import get_intents

    raw: dict[str, Any] = get_intents(language)  # type: ignore[assignment]
    intents = Intents.from_dict(raw)
    sampler = _Sampler(intents, _slot_names(language), random.Random(f"{language}/{seed}"))
    drawn: dict[str, tuple[str, str]] = {}
    for intent in sorted(intents.intents):
        templates = [(block, sentence) for block in intents.intents[intent].data for sentence in block.sentences]
        for number, (block, sentence) in enumerate(templates):
            rules = {**intents.expansion_rules, **(block.expansion_rules or {})}
            for _ in range(draws_per_template):
                text = " ".join(sampler.draw(sentence.expression, rules, block.slot_lists).split())
                if text:
                    drawn.setdefault(text, (intent, f"{intent}/{number}"))
    labels, groups = zip(*drawn.values(), strict=True)
    return Corpus(tuple(drawn), {"label": labels}, groups=groups, source=f"intents:{language}")


class _Sampler:
    """Draws one random sentence of an expression; hassil's own sampler can only enumerate them all."""

    def __init__(self, intents: Any, names: dict[str, list[str]], rng: random.Random) -> None:
        self._lists = intents.slot_lists
        self._names = names
        self._rng = rng

    def draw(self, expression: Any, rules: dict[str, Any], local_lists: dict[str, Any] | None) -> str:
        """Text of one random walk; may hold runs of blanks."""
        from hassil import expression as e

        if isinstance(expression, e.TextChunk):
            return str(expression.original_text)
        if isinstance(expression, e.Alternative):
            return self.draw(self._rng.choice(expression.items), rules, local_lists)  # an optional has an empty item
        if isinstance(expression, e.Permutation):
            items = list(expression.items)
            self._rng.shuffle(items)
            return " ".join(self.draw(item, rules, local_lists) for item in items)
        if isinstance(expression, e.Group):
            return "".join(self.draw(item, rules, local_lists) for item in expression.items)
        if isinstance(expression, e.RuleReference):
            return self.draw(rules[expression.rule_name].expression, rules, local_lists)
        if isinstance(expression, e.ListReference):
            return self._draw_slot(expression.list_name, rules, local_lists)
        raise InputError(f"Unknown template part {type(expression).__name__}: install the pinned version of hassil.")

    def _draw_slot(self, name: str, rules: dict[str, Any], local_lists: dict[str, Any] | None) -> str:
        from hassil.intents import RangeSlotList, TextSlotList

        slot = (local_lists or {}).get(name) or self._lists.get(name)
        if isinstance(slot, TextSlotList) and slot.values:
            return self.draw(self._rng.choice(slot.values).text_in, rules, local_lists)
        if isinstance(slot, RangeSlotList):
            return str(self._rng.randrange(slot.start, slot.stop + 1, slot.step))
        return self._rng.choice(self._names.get(name) or self._names["free_text"])


def _slot_names(language: str) -> dict[str, list[str]]:
    text = (importlib.resources.files(__package__) / "slots.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, list[str]]] = tomllib.loads(text)
    return table["shared"] | table.get(language, {})


def _package() -> str:
    try:
        import hassil
        import home_assistant_intents
    except ImportError as error:
        raise InputError(
            f"The sentences come from packages that are not installed ({error.name}): pip install 'edgewright[demo]'."
        ) from error
    del hassil
    return str(home_assistant_intents.__name__)
