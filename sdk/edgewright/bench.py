"""Measure bundles on a device: one process there for each, one after the other."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file
from edgewright_runtime.result import BenchResult

from .devices import Device
from .errors import InputError
from .flash import install
from .folders import temporary_folder
from .progress import Progress, part, silent
from .remote import Remote, connected

_SCORING_TIMEOUT_S = 3600.0


def bench(
    bundles: str | Path | Sequence[str | Path],
    device: str | Device | Remote,
    *,
    data: Any = None,
    engine: str = "auto",
    threads: int = 1,
    min_runs: int = 50,
    min_seconds: float = 1.0,
    progress: Progress = silent,
) -> list[BenchResult]:
    """Measure start, latency, memory and, with data, accuracy of each bundle. What the device uses stays in use.

    data: as ``convert`` takes it; x_test and y_test are scored, or x_train and y_train where there is no test part.
    Raises InputError, BundleError, EngineError, DeviceError, StorageError.
    """
    paths = [bundles] if isinstance(bundles, str | Path) else list(bundles)
    opened = [Bundle.open(path) for path in paths]  # all, before the first one is measured
    results = []
    with connected(device) as remote, temporary_folder() as folder:
        for index, bundle in enumerate(opened):
            step = part(progress, index / len(opened), (index + 1) / len(opened), f"{bundle.manifest.name}: ")
            release = install(bundle, remote, part(step, 0.0, 0.2)).path
            scored = [] if data is None else ["--data", _send_data(data, bundle, remote, folder)]
            document = remote.call(
                "bench",
                release,
                *("--engine", engine, "--threads", str(threads)),
                *("--min-runs", str(min_runs), "--min-seconds", str(min_seconds)),
                *scored,
                "--progress",
                timeout_s=_SCORING_TIMEOUT_S + min_seconds,
                progress=_phases(step, scored=data is not None),
            )
            results.append(BenchResult.from_document(document))
    return results


def _phases(progress: Progress, scored: bool) -> Progress:
    """The device tells each phase from 0 to 1: after the installation they share what is left."""
    timed = 0.6 if scored else 1.0
    phases = {"bench": part(progress, 0.2, timed), "score": part(progress, timed, 1.0)}
    return lambda what, fraction: phases.get(what, silent)(what, fraction)


def _send_data(data: Any, bundle: Bundle, remote: Remote, folder: Path) -> str:
    """Have the samples on the device, under their SHA-256, in the form that its bench reads; returns the path there."""
    packed = folder / "data.npz"
    packed.write_bytes(pack_data(data, bundle))
    name = f"data/{hash_file(packed)}.npz"
    if not remote.bootstrap("holds", name)["there"]:
        remote.transport.put(packed, remote.home / name)
    return str(remote.home / name)


def pack_data(data: Any, bundle: Bundle) -> bytes:
    """An .npz with x.<input name> (n, *shape without the batch) and y (n, …), if there are labels.

    Raises InputError where the data is malformed or does not name the model's inputs.
    """
    import numpy as np

    from edgewright_converter.data import load_data

    dataset = load_data(data, bundle.tokenizer(), bundle.labels())
    x, y = (dataset.x_test, dataset.y_test) if dataset.x_test else (dataset.x_train, dataset.y_train)
    if y is None:
        raise InputError("The data has no labels to score by: give y_test (or y_train), or leave out the data.")
    names = [spec.name for spec in bundle.manifest.variant().inputs]
    if set(x) == {""} and len(names) == 1:
        x = {names[0]: x[""]}
    if set(x) != set(names):
        given = ", ".join(name or "one without a name" for name in x)
        raise InputError(
            f"The data has the inputs {given}; {bundle.manifest.name} takes {', '.join(names)}: name them so."
        )
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"y": y, **{f"x.{name}": array for name, array in x.items()}}
    np.savez(buffer, **arrays)
    return buffer.getvalue()
