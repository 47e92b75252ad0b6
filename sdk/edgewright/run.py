"""Ask a model on a device one question."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file

from .devices import Device
from .errors import InputError
from .flash import install
from .progress import Progress, sending, silent
from .remote import Remote, connected

_TIMEOUT_S = 3600.0  # of a long recording, on the slowest board


def run(
    model: str | Path,
    device: str | Device | Remote,
    *,
    text: str | bytes | None = None,
    inputs: str | Path | None = None,
    sound: str | Path | None = None,
    top: int = 5,
    engine: str = "auto",
    progress: Progress = silent,
    heard: Callable[[dict[str, Any]], None] | None = None,
    prompt_cache: bool = False,
    **saying: Any,
) -> dict[str, Any]:
    """The answer of a bundle file, or of a model in use on the device, to a text, to arrays or to a recording.

    inputs: an .npz with one array for each input's name. sound: a .wav, or raw 16-bit samples in a .raw. Returns
    "labels" (label and probability, best first), "answer" and "threshold" for a text, "outputs" (name, shape, dtype,
    values) for arrays, "spotted" (at_s, label, probability) for a recording; of a model that generates or translates
    "text", "tokens", "stopped" and more (docs/generation.md). heard: called with {"spotted": …}, or {"token": id,
    "text": …} as soon as it is there. saying: max_tokens, temperature, top_k, top_p, stop (a list), seed, beams,
    length_penalty. prompt_cache: keep the model's state after this text on the device. Raises InputError, BundleError,
    EngineError, DeviceError.
    """
    if sum(question is not None for question in (text, inputs, sound)) != 1:
        raise InputError("A question is a text, inputs, or a recording: give one of them.")
    with connected(device) as remote:
        if Path(model).suffix == ".ewb" or Path(model).exists():
            place = [str(install(Bundle.open(model), remote, progress).path)]
        else:
            place = ["--home", str(remote.home), str(model)]
        content = b""
        if text is not None:  # by way of stdin: no list of arguments holds a megabyte, or a NUL
            question = ["--text=-", *(["--stream"] if heard is not None else []), *_options(saying)]
            content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            question += [f"--prompt-cache={remote.home / 'prompts'}"] if prompt_cache else []
        elif sound is not None:
            question = ["--stream", "--sound", _send(Path(sound), remote, progress)]
        else:
            question = ["--inputs", _send(Path(str(inputs)), remote, progress)]
        options = ("--top", str(top), "--engine", engine)
        answer = remote.call("run", *place, *question, *options, input=content, timeout_s=_TIMEOUT_S, heard=heard)
        return {key: value for key, value in answer.items() if key not in ("schema", "kind")}


def _options(saying: dict[str, Any]) -> list[str]:
    """As the runtime's command line takes them; what is None is left to the model's task."""
    options = {f"--{name.replace('_', '-')}": value for name, value in saying.items() if value is not None}
    stops = [f"--stop={text}" for text in options.pop("--stop", ())]
    return [f"{option}={value}" for option, value in options.items()] + stops


def _send(file: Path, remote: Remote, progress: Progress) -> str:
    """Its path on the device; the suffix says what it is."""
    if not file.is_file():
        raise InputError(f"There is no file {file}: check the path.")
    place = remote.home / "data" / f"{hash_file(file)}{file.suffix.lower()}"
    remote.transport.put(file, place, on_sent=sending(progress, f"sending {file.name}"))
    return str(place)
