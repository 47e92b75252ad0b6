"""The commands as a user types them: words, exit codes, stdout for data and stderr for talk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from unit.models import tiny_bundle

from edgewright.cli.main import COMMANDS, LazyGroup, cli, main
from edgewright.devices import Device, add_device, list_devices
from edgewright.engines import ENGINES
from edgewright.remote import Remote
from edgewright_runtime.hashing import sha256_hex


def _commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        inner = f"{path} {name}"
        found += _commands(command, inner) if isinstance(command, click.Group) else [(inner, command)]
    return found


def _run(*arguments: str | Path) -> Result:
    """Parsed as on the command line; errors pass through, for their class to be seen."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def _exit(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.fixture
def local_kitchen(home: Path) -> Path:
    """The device "kitchen" of the inventory, with this environment's Python in place of its own."""
    (home / "venv" / "bin").mkdir(parents=True)
    wrapper = home / "venv" / "bin" / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    add_device(Device("kitchen", f"local:{home}"))
    return home


@pytest.mark.parametrize(("path", "command"), _commands(cli), ids=lambda value: str(value).strip())
def test_each_command_has_help_with_an_example(path: str, command: click.Command) -> None:
    result = _run(*path.split(), "--help")
    assert result.exit_code == 0
    assert command.help
    assert "Example" in result.stdout
    assert path.strip() in result.stdout.partition("Example")[2]


def test_the_examples_name_options_that_exist() -> None:
    for path, command in _commands(cli):
        known = {option for parameter in command.params for option in parameter.opts}
        words = [word for word in (command.epilog or "").split() if word.startswith("-") and word.strip("-")]
        assert set(words) <= known, path


def test_every_command_that_prints_a_result_can_print_json() -> None:
    silent = {" completion", " device add", " device console", " device remove"}
    for path, command in _commands(cli):
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (path not in silent), path


def test_the_group_names_its_commands_and_exit_codes() -> None:
    result = _run("--help")
    assert all(f"  {name} " in result.stdout for name in COMMANDS)
    assert "130 Ctrl-C" in result.stdout
    assert isinstance(cli, LazyGroup)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["flash"],
        ["bench", "one.ewb"],
        ["run", "a.ewb", "kitchen"],
        ["run", "a.ewb", "kitchen", "--text", "x", "--inputs", "y"],
        ["convert", "m.keras", "--shape", "tokens"],
        ["convert", "m.keras", "--shape", "tokens=0"],
        ["bench", "a.ewb", "kitchen", "--threads", "0"],
        ["bench", "a.ewb", "kitchen", "--cpus", "first"],
        ["bench", "a.ewb", "kitchen", "--inputs", "mine"],
        ["report"],
        ["compare", "old.json"],
        ["completion", "powershell"],
    ],
)
def test_wrong_usage_is_exit_code_2(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = _exit(capfd, *arguments)
    assert code == 2
    assert out == ""
    assert "Usage: edgewright" in err


def test_errors_are_one_sentence_and_the_exit_code_of_their_branch(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, bundle: Path, local_kitchen: Path
) -> None:
    damaged = tmp_path / "damaged.ewb"
    damaged.write_bytes(bundle.read_bytes()[:-3])
    failing = tiny_bundle(tmp_path / "failing.ewb", golden_error=0.5)
    capfd.readouterr()  # the engine that made it is talkative
    for arguments, expected in (
        (("flash", tmp_path / "missing.ewb", "kitchen"), 3),
        (("flash", damaged, "kitchen"), 6),
        (("bench", bundle, "kitchen", "--engine", "tflite"), 7),
        (("flash", bundle, "nowhere"), 8),
        (("flash", failing, "kitchen"), 9),
        (("bench", bundle, "kitchen", "-o", tmp_path / "report.pdf"), 3),
        (("device", "add", "attic", "ssh://pi@attic"), 8),
    ):
        code, out, err = _exit(capfd, *arguments)
        assert (code, out) == (expected, ""), arguments
        assert err.startswith("edgewright: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_an_error_is_json_too(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = _exit(capfd, "inspect", tmp_path / "missing.ewb", "--json")
    document = json.loads(out)
    assert code == 3
    assert (document["schema"], document["kind"], document["error"]) == (1, "error", "InputError")
    assert "missing.ewb" in document["message"]
    code, out, _ = _exit(capfd, "inspect", "--json")
    assert (code, json.loads(out)["error"]) == (2, "UsageError")


def test_debug_shows_the_traceback(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = _exit(capfd, "--debug", "inspect", tmp_path / "missing.ewb")
    assert code == 3
    assert "Traceback" in err


def test_a_defect_is_a_sentence_and_a_file(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("edgewright.devices.list_devices", lambda: 1 / 0)
    code, out, err = _exit(capfd, "device", "list")
    assert (code, out) == (1, "")
    assert "a defect of edgewright (ZeroDivisionError: division by zero)" in err
    (report,) = tmp_path.glob("edgewright-*.txt")
    assert "Traceback" in report.read_text()
    assert str(report) in err


def test_devices_from_end_to_end(tmp_path: Path) -> None:
    assert "no devices yet" in _run("device", "list").stderr
    assert _run("device", "add", "kitchen", f"local:{tmp_path}").exit_code == 0
    assert _run("device", "list").stdout == f"kitchen\tlocal:{tmp_path}\n"
    listed = json.loads(_run("device", "list", "--json").stdout)
    assert listed["devices"] == [{"name": "kitchen", "uri": f"local:{tmp_path}", "identity": None}]
    assert _run("device", "remove", "kitchen").exit_code == 0
    assert list_devices() == []


def test_flash_run_and_show(bundle: Path, local_kitchen: Path) -> None:
    assert "is in use (5 files," in _run("flash", bundle, "kitchen").stdout
    assert "0 files, 0 bytes" in _run("flash", bundle, "kitchen").stdout
    (report,) = json.loads(_run("flash", bundle, "kitchen", "--json").stdout)["reports"]
    assert report["previous"] == report["bundle_id"]
    assert _run("run", "tiny", "kitchen", "--text", "lights off", "--top", "1").stdout.endswith("  lights_off\n")
    shown = _run("device", "show", "kitchen").stdout
    assert f"tiny: {report['bundle_id'][:12]}" in shown
    document = json.loads(_run("device", "show", "kitchen", "--json").stdout)
    assert (document["kind"], document["device"]) == ("device-show", "kitchen")


def test_bench_prints_a_table_and_writes_a_report(bundle: Path, local_kitchen: Path, tmp_path: Path) -> None:
    quick = ("--min-runs", "5", "--min-seconds", "0", "--launches", "1")
    result = _run("bench", bundle, bundle, "kitchen", *quick, "-o", tmp_path / "report.html")
    assert "tiny float32" in result.stdout
    assert "1.00×" in result.stdout
    assert "report.html" in result.stderr
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    document = json.loads(_run("bench", bundle, "kitchen", *quick, "--json").stdout)
    assert len(document["results"][0]["latency_ns"]) >= 5


def test_results_become_a_report_and_pass_a_gate(
    capfd: pytest.CaptureFixture[str], bundle: Path, local_kitchen: Path, tmp_path: Path
) -> None:
    old, slower = tmp_path / "old.json", tmp_path / "slower.json"
    _run("bench", bundle, "kitchen", "--min-runs", "40", "--min-seconds", "0", "--seed", "3", "-o", old)
    document = json.loads(old.read_text())
    for kind in ("latency_ns", "call_ns"):
        document["results"][0][kind] = [2 * time_ns for time_ns in document["results"][0][kind]]
    slower.write_text(json.dumps(document))

    shown = _run("report", old).stdout
    for text in ("tiny float32", "Latency", "Cold start", "first answer", "harness", "0 GATHER"):
        assert text in shown
    summary = json.loads(_run("report", old, slower, "--json").stdout)
    assert [entry["device"] for entry in summary["results"]] == ["kitchen", "kitchen"]
    for suffix, start in ((".html", "<!DOCTYPE html>"), (".md", "| model |"), (".csv", "model,device,")):
        _run("report", old, "-o", tmp_path / f"report{suffix}")
        assert (tmp_path / f"report{suffix}").read_text().startswith(start)

    assert "2.000×" in _run("compare", old, slower).stdout
    assert _exit(capfd, "compare", old, old, "--fail-above", "5%")[0] == 0
    code, out, err = _exit(capfd, "compare", old, slower, "--fail-above", "5%")
    assert code == 9
    assert "worse than allowed" in out
    assert "edgewright: Worse than allowed: tiny float32: p50 ns +100.0%." in err
    code, out, err = _exit(capfd, "compare", old, slower, "--fail-above", "0.05", "--json")
    assert (code, json.loads(out)["changes"][0]["fails"]) == (9, True)
    assert _exit(capfd, "compare", old, bundle)[0] == 3
    assert _exit(capfd, "compare", old, slower, "--fail-above", "much")[0] == 2


def test_a_run_that_throttled_is_refused_after_it_was_saved(
    capfd: pytest.CaptureFixture[str],
    bundle: Path,
    local_kitchen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "vcgencmd's"
    folder.mkdir()
    (folder / "vcgencmd").write_text("#!/bin/sh\necho throttled=0x4\n")
    (folder / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    quick = ("bench", bundle, "kitchen", "--min-runs", "4", "--min-seconds", "0", "--strict")
    code, out, err = _exit(capfd, *quick, "-o", tmp_path / "hot.json")
    assert code == 9
    assert "tiny float32" in out
    assert "edgewright: The measurement is not steady (On kitchen, the board reported throttled)" in err
    assert json.loads((tmp_path / "hot.json").read_text())["results"]
    code, out, err = _exit(capfd, *quick, "--json")
    assert (code, json.loads(out)["kind"]) == (9, "bench-list")


def test_inspect_shows_what_is_inside(bundle: Path) -> None:
    shown = _run("inspect", bundle, "--tensors").stdout
    for text in (
        "GATHER",
        "weights of FULLY_CONNECTED",
        "tokens int32[1, 8]",
        "words, 11 ids, texts of 8 ids, the head of longer ones",
        "every one verified",
    ):
        assert text in shown
    document = json.loads(_run("inspect", bundle, "--json").stdout)
    assert document["kind"] == "inspect"
    assert [document["tokenizer"][name] for name in ("kind", "size", "max_length")] == ["words", 11, 8]


def test_inspect_shows_what_the_passes_did(tmp_path: Path) -> None:
    from edgewright_converter.outcome import LayerOutcome, Outcome, Skipped

    layer = LayerOutcome("block/[dense]", "Dense", 8, 8, -1.5, 2.0, 38.26, 21.04)
    hint = "block/[dense] moves the output by 21.0 dB, most by its weights: train longer (epochs)."
    outcome = Outcome("qat", {}, 400, 400, 0.5, 0.75, (Skipped("own", "not known"),), 1.0, 0.5, (layer,), (hint,))
    cut = Outcome("prune-structured", {}, 4096, 2048, layers=(LayerOutcome("expand", "units", before=1024, after=512),))
    made = {"outcomes": [outcome.to_dict(), cut.to_dict(), {"use": "of another version"}]}
    shown = _run("inspect", tiny_bundle(tmp_path / "a.ewb", provenance=made)).stdout
    for text in ("qat: weights 400 bytes", "0.5000 → 0.7500", "1.0000 → 0.5000", "-1.5 … 2", "38.3", hint, "not known"):
        assert text in shown
    assert "block/[dense]  Dense" in shown
    assert "weights 4,096 → 2,048 bytes" in shown
    assert ["expand", "units", "1,024", "512"] in [line.split() for line in shown.splitlines()]
    assert "in a form that this version does not know" in shown


def test_setup_says_what_it_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add_device(Device("kitchen", f"local:{tmp_path / 'kitchen'}"))
    result = CliRunner().invoke(cli, ["device", "setup", "kitchen", "--engine", "none"])
    assert isinstance(result.exception, Exception)
    assert ", ".join(ENGINES) in str(result.exception)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_EDGEWRIGHT_COMPLETE" in _run("completion", shell).stdout


def test_completion_knows_devices_and_recipes() -> None:
    add_device(Device("kitchen", "local:"))
    for words, expected in (
        ("edgewright flash model.ewb kit", "kitchen"),
        ("edgewright convert model.keras --recipe dyn", "dynamic-int8"),
        ("edgewright convert model.keras --target rpi-", "rpi-zero2"),
    ):
        environment = {**os.environ, "_EDGEWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
        completed = subprocess.run(_program(), env=environment, capture_output=True, text=True, check=False)
        assert f"plain,{expected}" in completed.stdout.splitlines()


def test_help_imports_nothing_heavy() -> None:
    heavy = ("tensorflow", "keras", "matplotlib", "rich.table", "rich.progress", "jinja2", "numpy")
    source = (
        "import sys\nfrom edgewright.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
        f"    print([name for name in {heavy!r} if name in sys.modules])"
    )
    completed = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert completed.stdout.endswith("[]\n")


def test_a_reader_that_goes_away_is_no_error(bundle: Path) -> None:
    process = subprocess.Popen(_program("inspect", str(bundle)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_leaves_no_process(
    bundle: Path, local_kitchen: Path, number: signal.Signals, code: int
) -> None:
    python = local_kitchen / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho $$ > "{local_kitchen}/pid"\nexec sleep 60\n')
    process = subprocess.Popen(
        _program("flash", str(bundle), "kitchen"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pid_file = local_kitchen / "pid"
    while not pid_file.is_file() or not pid_file.read_text().strip():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, b"")
    assert b"Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from edgewright.cli import main; main()", *arguments]


def test_convert_passes_every_option_on(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    from edgewright_converter import pipeline

    given: dict[str, Any] = {}

    def convert(model: str, **options: Any) -> Any:
        given.update(options, model=model)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "convert", convert)
    CliRunner().invoke(cli, ["convert", "m.keras", "--shape", "tokens=24", "--shape", "image=9,9,3", "--batch", "4"])
    assert given["shapes"] == {"tokens": (24,), "image": (9, 9, 3)}
    assert (given["model"], given["batch"], given["recipe"], given["trust"]) == ("m.keras", 4, "float32", False)


def test_the_runtime_archive_is_named_by_its_content(kitchen: Remote) -> None:
    from edgewright.runtime_archive import runtime_archive

    assert runtime_archive().digest == sha256_hex(runtime_archive().content)
