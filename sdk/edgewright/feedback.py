"""The log of what a model in use was unsure of: turned on for a device, looked at, brought back as data, cleared."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.disk import replacing

from .devices import Device
from .errors import InputError
from .remote import Remote, connected


@dataclass(frozen=True)
class Log:
    """One model's log on one device. on: whether it grows; texts: whether the texts are kept; below: answers less
    probable than this are noted, None for the model's own threshold; entries, with_text: how many; since: the oldest's
    time in UTC, None for an empty log."""

    model: str
    on: bool
    texts: bool
    below: float | None
    max_bytes: int
    entries: int
    with_text: int
    size_bytes: int
    since: str | None


@dataclass(frozen=True)
class Pulled:
    """path: what was written; entries: uncertain answers on the device; texts: different ones that were written."""

    path: Path
    entries: int
    texts: int


def turn_on(
    device: str | Device | Remote,
    model: str,
    *,
    texts: bool = False,
    below: float | None = None,
    max_kib: float = 256,
) -> Log:
    """Note from now on what the model in use answers uncertainly; with texts what it was asked, too.

    The device keeps max_kib at most, the newest. Raises InputError, DeviceError, StorageError.
    """
    options = [*(["--texts"] if texts else []), *([] if below is None else [f"--below={below}"])]
    (log,) = _ask(device, "on", model, *options, f"--max-kib={max_kib}")["logs"]
    return Log(**log)


def turn_off(device: str | Device | Remote, model: str) -> Log:
    """What was noted stays until it is cleared."""
    (log,) = _ask(device, "off", model)["logs"]
    return Log(**log)


def status(device: str | Device | Remote, model: str | None = None) -> list[Log]:
    """Of one model, or of all that have a log."""
    return [Log(**log) for log in _ask(device, "status", *_named(model))["logs"]]


def clear(device: str | Device | Remote, model: str | None = None) -> int:
    """Delete what was noted; returns the bytes that it took."""
    return sum(int(entry["freed_bytes"]) for entry in _ask(device, "clear", *_named(model))["cleared"])


def pull(device: str | Device | Remote, output: Path, model: str | None = None) -> Pulled:
    """Write the texts that were noted as JSON lines: text, guess, probability, times, at, model.

    A text that was asked several times is one line, with the last guess. Read them with the guesses for labels (`train
    --label guess`), or better: put the right label in. Raises InputError where the log holds no text: it is off, empty,
    or texts were not opted in to. What is on the device stays there.
    """
    if output.suffix != ".jsonl":
        raise InputError(f"What is pulled is written as JSON lines: give {output.stem}.jsonl, not {output.name}.")
    logs = _ask(device, "read", *_named(model))["logs"]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    count = 0
    for log in logs:
        for entry in log["entries"]:
            count += 1
            text = entry.get("text")
            if isinstance(text, str) and text.strip():
                key = (log["model"], text)
                times = found[key]["times"] + 1 if key in found else 1
                found[key] = {
                    "text": text,
                    **{name: entry[name] for name in ("guess", "probability")},
                    "times": times,
                    "at": entry["at"],
                    "model": log["model"],
                }
    if not found:
        name = device if isinstance(device, str) else device.name
        reason = "nothing was noted" if not count else f"{count} answers were noted without their texts"
        raise InputError(
            f"There is no text to bring back from {name}: {reason}. `edgewright feedback on {name} MODEL --texts` "
            "notes texts from then on."
        )
    with replacing(output) as out:
        for line in found.values():
            out.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return Pulled(output, count, len(found))


def _named(model: str | None) -> list[str]:
    return [] if model is None else [model]


def _ask(device: str | Device | Remote, action: str, *arguments: str) -> dict[str, Any]:
    with connected(device) as remote:
        return remote.call("feedback", "--home", remote.home, action, *arguments)
