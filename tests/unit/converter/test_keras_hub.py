"""KerasHub's models, randomly initialised: inputs as a dict, layers that only that package knows."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.errors import ModelError
from edgewright_converter.load import load_model

pytestmark = pytest.mark.slow

LENGTH, WORDS = 8, 40
PASSES = """
[[passes]]
use = "factorize"
epochs = 1

[[passes]]
use = "qat"
epochs = 1

[[passes]]
use = "quantize"
mode = "int8"
"""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed: pip install --no-deps keras-hub")
    backbone = hub.models.BertBackbone(
        vocabulary_size=WORDS, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=LENGTH
    )
    path = tmp_path_factory.mktemp("hub") / "bert.keras"
    hub.models.BertTextClassifier(backbone=backbone, num_classes=3, preprocessor=None).save(path)
    return path


def samples() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    ids = rng.integers(1, WORDS, (48, LENGTH)).astype(np.int32)
    ids[:, 6:] = 0
    x = {"token_ids": ids, "padding_mask": (ids > 0).astype(np.int32), "segment_ids": np.zeros_like(ids)}
    y = (ids[:, 0] % 3).astype(np.int32)
    return {"x_train": x, "y_train": y, "x_test": {name: array[:16] for name, array in x.items()}, "y_test": y[:16]}


def test_a_classifier_goes_through_passes_and_conversion(classifier: Path, tmp_path: Path) -> None:
    from edgewright_converter.pipeline import convert

    (tmp_path / "small.toml").write_text('name = "small"\n' + PASSES)
    done = convert(classifier, data=samples(), recipe=tmp_path / "small.toml", output=tmp_path / "bert.ewb")
    assert [outcome.use for outcome in done.outcomes] == ["factorize", "qat", "quantize"]
    assert done.difference < 0.05
    assert {spec.name for spec in done.manifest.variant().inputs} == {"token_ids", "padding_mask", "segment_ids"}


def test_a_backbone_gets_a_new_head_and_takes_ids_alone(classifier: Path) -> None:
    from edgewright_converter.language.training.transfer import freeze, weighted, with_new_heads

    own = load_model(str(classifier), trust=False)
    model = with_new_heads(own, {"mood": 4}, LENGTH, 0.1)
    ids = samples()["x_train"]["token_ids"]
    assert model.predict(ids, verbose=0).shape == (48, 4)
    assert [tensor.name for tensor in model.inputs] == ["tokens"]
    kept = freeze(model, ["mood"], -1)
    assert len(kept) == len(weighted(own)) - 1  # all but its own head
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == 16 * 4 + 4


def test_without_the_package_it_says_what_to_install(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ModelError, match="pip install --no-deps keras-hub"):
        load_model(str(classifier), trust=False)
