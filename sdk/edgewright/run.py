"""Ask a model on a device one question."""

from pathlib import Path
from typing import Any

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file

from .devices import Device
from .errors import InputError
from .flash import install
from .progress import Progress, silent
from .remote import Remote, connected


def run(
    model: str | Path,
    device: str | Device | Remote,
    *,
    text: str | None = None,
    inputs: str | Path | None = None,
    top: int = 5,
    engine: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """The answer of a bundle file, or of a model in use on the device, to a sentence or to arrays.

    inputs: an .npz with one array for each input's name. Returns "labels" (label and probability, best first) for a
    text, "outputs" (name, shape, dtype, values) for arrays. Raises InputError, BundleError, EngineError, DeviceError.
    """
    if (text is None) == (inputs is None):
        raise InputError("A question is either a text or inputs: give one of them.")
    with connected(device) as remote:
        if Path(model).suffix == ".ewb" or Path(model).exists():
            place = [str(install(Bundle.open(model), remote, progress).path)]
        else:
            place = ["--home", str(remote.home), str(model)]
        question = [f"--text={text}"] if text is not None else ["--inputs", _send(Path(str(inputs)), remote)]
        answer = remote.call("run", *place, *question, "--top", str(top), "--engine", engine)
        return {key: answer[key] for key in ("bundle", "engine", "labels", "outputs") if key in answer}


def _send(inputs: Path, remote: Remote) -> str:
    if not inputs.is_file():
        raise InputError(f"There is no file {inputs}: check the path.")
    place = remote.home / "data" / f"{hash_file(inputs)}.npz"
    remote.transport.put(inputs, place)
    return str(place)
