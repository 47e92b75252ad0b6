"""The main job as a user does it, on a device that is in the inventory: every command once, on the real thing."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from unit.models import tiny_bundle
from unit.speaking_models import speaking_bundle

from edgewright.cli.main import cli
from edgewright.devices import list_devices
from edgewright.run import run


def call(*arguments: str | Path) -> str:
    """A command's stdout; it must succeed."""
    done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def document(*arguments: str | Path) -> dict[str, Any]:
    return dict(json.loads(call(*arguments, "--json")))


def whole_job(name: str, engine: str, tmp_path: Path) -> dict[str, Any]:
    """probe → setup → flash → bench → run → rollback → gc → show → remove --purge. Returns the bench's result."""
    bundles = [tiny_bundle(tmp_path / f"{seed}.ewb", name="tiny", seed=seed) for seed in (1, 2)]
    assert document("device", "probe", name)["fits"]["requirements"]
    assert document("device", "setup", name, "--engine", engine)["changes"]
    assert document("device", "setup", name, "--engine", engine)["changes"] == []
    ids = [document("flash", bundle, name)["reports"][0]["bundle_id"] for bundle in bundles]
    assert document("flash", bundles[1], name)["reports"][0]["sent_bytes"] == 0
    (result,) = document("bench", bundles[0], name, "--min-seconds", "0.1")["results"]
    assert result["engine"]["name"] == engine
    assert len(result["latency_ns"]) >= 50
    answers = document("run", "tiny", name, "--text", "turn the lights on")
    assert answers["bundle"]["id"] == ids[1]
    assert abs(sum(label["probability"] for label in answers["labels"]) - 1) < 1e-3
    heard: list[dict[str, Any]] = []
    said = run(speaking_bundle(tmp_path / "speaker.ewb"), name, text="ab", max_tokens=6, heard=heard.append)
    assert [part["token"] for part in heard] == said["tokens"]
    assert "".join(part["text"] for part in heard) == said["text"]
    call("rollback", "tiny", name)
    assert document("run", "tiny", name, "--text", "turn the lights on")["bundle"]["id"] == ids[0]
    call("gc", name)
    (model,) = [m for m in document("device", "show", name)["home"]["models"] if m["name"] == "tiny"]
    assert (model["current"], model["previous"]) == (ids[0], ids[1])
    call("device", "remove", name, "--purge")
    assert name not in [device.name for device in list_devices()]
    return dict(result)
