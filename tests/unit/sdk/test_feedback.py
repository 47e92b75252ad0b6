"""From an uncertain answer on a device to data for the next training."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner
from unit.models import TASK, tiny_bundle

from edgewright.cli.main import cli
from edgewright.errors import InputError
from edgewright.feedback import clear, pull, status, turn_off, turn_on
from edgewright.flash import flash
from edgewright.remote import Remote
from edgewright.run import run
from edgewright_converter.language.data import read


@pytest.fixture
def in_use(kitchen: Remote, tmp_path: Path) -> Remote:
    """A model with the threshold 0.9, and an answer below it for what it does not know."""
    flash(tiny_bundle(tmp_path / "tiny.ewb", task=TASK), kitchen)
    return kitchen


def test_below_the_threshold_the_answer_is_unknown(in_use: Remote) -> None:
    known = run("tiny", in_use, text="turn the lights on")
    assert (known["answer"], known["threshold"]) == ("lights_on", 0.9)
    unknown = run("tiny", in_use, text="zzz")
    assert unknown["answer"] == "none of these"
    assert unknown["labels"][0]["probability"] < 0.9


def test_a_bundle_without_a_threshold_always_answers(kitchen: Remote, bundle: Path) -> None:
    answer = run(bundle, kitchen, text="zzz")
    assert (answer["answer"], answer["threshold"]) == (answer["labels"][0]["label"], None)


def test_the_loop_from_an_uncertain_answer_to_data(in_use: Remote, tmp_path: Path) -> None:
    run("tiny", in_use, text="before it was on")
    assert turn_on(in_use, "tiny", texts=True).on
    for text in ("zzz", "turn the lights on", "വെളിച്ചം, \"quoted\"\nand more", "zzz"):
        run("tiny", in_use, text=text)
    (log,) = status(in_use)
    assert (log.entries, log.with_text) == (3, 3)
    pulled = pull(in_use, tmp_path / "new.jsonl")
    assert (pulled.entries, pulled.texts) == (3, 2)
    lines = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text("utf-8").splitlines()]
    assert [(line["text"], line["times"]) for line in lines] == [
        ("zzz", 2),
        ("വെളിച്ചം, \"quoted\"\nand more", 1),
    ]
    corpus = read(tmp_path / "new.jsonl", labels=("guess",))
    assert corpus.texts == tuple(line["text"] for line in lines)
    assert set(corpus.labels["guess"]) <= {"lights_on", "lights_off", "weather"}
    assert read(tmp_path / "new.jsonl").labels == {}
    assert clear(in_use) > 0
    assert status(in_use)[0].entries == 0
    assert not turn_off(in_use, "tiny").on
    run("tiny", in_use, text="zzz")
    assert status(in_use, "tiny")[0].entries == 0


def test_what_cannot_be_pulled(in_use: Remote, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no text to bring back from kitchen: nothing was noted"):
        pull(in_use, tmp_path / "new.jsonl")
    turn_on(in_use, "tiny")
    run("tiny", in_use, text="zzz")
    with pytest.raises(InputError, match="1 answers were noted without their texts"):
        pull(in_use, tmp_path / "new.jsonl")
    with pytest.raises(InputError, match=r"give new\.jsonl, not new\.csv"):
        pull(in_use, tmp_path / "new.csv")
    with pytest.raises(InputError, match="There is no model nothing on this device"):
        turn_on(in_use, "nothing")
    assert not (tmp_path / "new.jsonl").exists()


def test_the_commands(in_use: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.feedback.connected", lambda device: nullcontext(in_use))

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["feedback", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "tiny: on, with texts; below 0.99" in call("on", "kitchen", "tiny", "--texts", "--below", "0.99")
    run("tiny", in_use, text="zzz")
    assert "1 answers (1 with text)" in call("status", "kitchen")
    assert "1 different texts of 1 uncertain answers" in call("pull", "kitchen", "-o", str(tmp_path / "n.jsonl"))
    assert "bytes deleted" in call("clear", "kitchen", "tiny")
    assert json.loads(call("off", "kitchen", "tiny", "--json"))["logs"][0]["on"] is False


def test_a_megabyte_and_a_nul_reach_the_device(kitchen: Remote, bundle: Path) -> None:
    answer = run(bundle, kitchen, text="weather " + "the " * 300_000, top=1)
    assert answer["labels"][0]["label"] == "weather"
    assert run(bundle, kitchen, text="weather\0weather", top=1)["labels"][0]["label"] == "weather"
    assert run(bundle, kitchen, text=b"weather \xff\xfe", top=1)["labels"][0]["label"] == "weather"
