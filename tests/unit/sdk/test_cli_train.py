"""`edgewright models` and `edgewright train` as they are typed: budgets, options, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgewright.cli.main import cli
from edgewright.cli.train_tables import figures
from edgewright.errors import InputError


def models(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(cli, ["models", "--json", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return found


@pytest.mark.parametrize("mode", ["float32", "int8", "int8-fast"])
def test_every_model_fits_the_budget_and_the_next_width_does_not(mode: str) -> None:
    from edgewright_converter.language.zoo import estimate

    sizes: dict[str, int] = {"vocabulary": 1000, "length": 24, "classes": 5}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    found = models("--max-bytes", "60k", "--mode", mode, "--task", "classify", *options)
    assert {"bag-of-embeddings", "text-cnn", "transformer"} <= {model["name"] for model in found}
    for model in found:
        assert model["estimate"]["bytes"][mode] <= 60_000
        wider = estimate(model["name"], **sizes, width=model["width"] + 4, depth=model["depth"])
        assert wider.bytes[mode] > 60_000 or (model["name"], model["width"]) == ("linear", 4)  # of 5 classes


def test_without_a_budget_each_model_is_shown_once() -> None:
    names = [model["name"] for model in models()]
    assert len(names) == len(set(names)) >= 8
    assert {model["task"] for model in models("--task", "generate")} == {"generate"}
    done = CliRunner().invoke(cli, ["models"], catch_exceptions=False)
    assert "text-cnn" in done.stdout


def test_a_budget_that_nothing_fits_is_told() -> None:
    done = CliRunner().invoke(cli, ["models", "--max-bytes", "100"])
    assert done.exit_code == 0
    assert "No model fits" in done.stderr
    for wrong in ("many", "-5", "5x"):
        done = CliRunner().invoke(cli, ["models", "--max-bytes", wrong])
        assert done.exit_code == 2
        assert "is no size" in done.stderr
    with pytest.raises(InputError, match="no mode 'int3': choose one of float32"):
        CliRunner().invoke(cli, ["models", "--mode", "int3"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--freeze", "some"], "neither a number of layers nor all"),
        (["--option", "kernels"], "is not NAME=VALUE"),
        (["--tokenizer-option", "whole"], "is not NAME=VALUE"),
        (["--pretrain", "often"], "'often' is not one of"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["train", "a.csv", "-o", "a.keras", *arguments])
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.h5"], "ends in .keras"),
        (["-o", "a.keras", "--model", "bert"], "no model 'bert': choose one of bag-of-embeddings"),
        (["-o", "missing/a.keras"], "does not exist: create it"),
        (["-o", "a.keras", "--freeze", "all"], "give --backbone"),
    ],
)
def test_what_cannot_be_is_refused_before_tensorflow_starts(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        CliRunner().invoke(cli, ["train", "a.csv", *arguments], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_tables_show_the_figures_that_there_are() -> None:
    own = {"value": 0.5, "low": 0.25, "high": 0.75}
    classified = {"test": {"label": {"accuracy": own, "f1": {"macro": own, "weighted": own}}}}
    (table,) = figures(classified)
    assert table.row_count == 3
    (table,) = figures({"test": {"perplexity": own, "bits_per_byte": own, "tokens": 4}})
    assert list(table.columns[1].cells) == ["perplexity", "bits per byte"]
    (table,) = figures({"test": {"label": {"accuracy": own}, "room": {"accuracy": own}}})
    assert list(table.columns[0].cells) == ["test label", "test room"]
    assert list(figures({})) == []
