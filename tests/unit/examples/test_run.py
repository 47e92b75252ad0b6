"""An example of few texts and one epoch, whole: trained, converted, flashed to a folder, asked there."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from run import example
from tasks import TASKS

from edgewright_converter.language.data import Corpus, split
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.task import parse_task

pytestmark = pytest.mark.slow


def test_a_translation_is_judged_on_the_device_with_the_beams_of_its_task(tmp_path: Path) -> None:
    pairs = {
        f"{left} {right}": f"{other} {more}"
        for (left, more), (right, other) in itertools.product(
            {"Garage": "de garaje", "Kitchen": "de cocina", "Cellar": "de sótano", "Attic": "de ático"}.items(),
            {"door": "Puerta", "lamp": "Lámpara", "fan": "Ventilador", "window": "Ventana"}.items(),
        )
    }
    corpus = Corpus(tuple(pairs), targets=tuple(pairs.values()), source="en-es")
    full = TASKS["en-es"]
    task = replace(full, settings=replace(full.settings, width=16, vocabulary=300, length=12, epochs=1))
    row = example(task, tmp_path, splits=split(corpus, test=0.3, validation=0.1))
    assert (row.unequal_inputs, row.unequal_answers) in ((0, 0), (None, 0))
    assert row.device_chrf is not None
    assert row.other_chrf is not None
    assert row.other_chrf.value > 10  # of the nearest text, which has a word of it
    bundle = Bundle.open(tmp_path / "en-es.ewb")
    assert bundle.manifest.task is not None
    assert parse_task(bundle.read(bundle.manifest.task)).options == {"beams": 4}
