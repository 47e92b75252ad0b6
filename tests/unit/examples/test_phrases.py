"""Phrases are both translations of one key, plain ones alone, each once, by the integration that says them."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import phrases
import pytest

from edgewright.cache import Cache

CATALOGUES = {
    "door": {
        "en": {"name": "Garage door", "open": "The {name} is open", "log": "See https://a.b", "brand": "Go Lo"},
        "es": {"name": "Puerta de garaje", "open": "{name} abierta", "log": "Véase https://a.b", "brand": "Go Lo"},
    },
    "fan": {
        "en": {"mode": {"low": "Low speed", "two": "Two\nlines"}, "one": "Fan", "long": "A b c d e f g", "x": "A b"},
        "es": {"mode": {"low": "Velocidad baja", "two": "Dos\nlíneas"}, "one": "Ventilador", "long": "Todo lo demás"},
    },
    "hood": {"en": {"a": "Low speed", "b": "Low\u00a0speed"}, "es": {"a": "Baja velocidad", "b": "Baja velocidad"}},
}


def test_phrases_are_plain_pairs_by_integration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))
    cache = Cache("corpora")
    with cache.workspace() as folder:
        with zipfile.ZipFile(folder / "homeassistant-0-py3-none-any.whl", "w") as wheel:
            for integration, sides in CATALOGUES.items():
                for language, catalogue in sides.items():
                    path = f"homeassistant/components/{integration}/translations/{language}.json"
                    wheel.writestr(path, json.dumps(catalogue))
            wheel.writestr("homeassistant/components/fan/translations/de.json", "not read")
        cache.add(folder / "homeassistant-0-py3-none-any.whl")
    package = replace(phrases.HOME_ASSISTANT, file="homeassistant-0", sha256=None)
    monkeypatch.setattr(phrases, "HOME_ASSISTANT", package)
    corpus = phrases.phrases()
    assert corpus.texts == ("Garage door", "Low speed")
    assert corpus.targets == ("Puerta de garaje", "Baja velocidad")  # which two of three say
    assert corpus.groups == ("door", "fan")
