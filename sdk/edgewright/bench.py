"""Measure bundles on a device, where one process for each takes turns with the others."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.hashing import hash_file
from edgewright_runtime.plan import Plan
from edgewright_runtime.result import BenchResult

from .devices import Device
from .errors import InputError
from .flash import install
from .folders import temporary_folder
from .progress import Progress, part, silent
from .remote import Remote, connected

_OTHER_TIMEOUT_S = 3600.0  # what is not timing: starting the models, scoring, profiling, on the slowest board


def bench(
    bundles: str | Path | Sequence[str | Path],
    device: str | Device | Remote,
    *,
    data: Any = None,
    progress: Progress = silent,
    **plan: Any,
) -> list[BenchResult]:
    """Measure start, latency, memory and, with data, accuracy of each bundle. What the device uses stays in use.

    data: as ``convert`` takes it; x_test and y_test are scored, or x_train and y_train where there is no test part.
    plan: the fields of ``edgewright_runtime.plan.Plan``: engine, threads, cpus, min_runs, min_seconds, launches,
    inputs, seed, single_stream, throughput, profile, energy. Raises InputError, BundleError, EngineError,
    DeviceError, StorageError.
    """
    asked = Plan(**plan)
    paths = [bundles] if isinstance(bundles, str | Path) else list(bundles)
    opened = [Bundle.open(path) for path in paths]  # all, before the first one is measured
    with connected(device) as remote, temporary_folder() as folder:
        releases, scored = [], []
        for index, bundle in enumerate(opened):
            step = part(progress, 0.2 * index / len(opened), 0.2 * (index + 1) / len(opened))
            releases.append(install(bundle, remote, part(step, 0, 1, f"{bundle.manifest.name}: ")).path)
            if data is not None:
                scored += ["--data", _send_data(data, bundle, remote, folder)]
        document = remote.call(
            "bench",
            *releases,
            *_options(asked),
            *scored,
            "--progress",
            timeout_s=_OTHER_TIMEOUT_S * len(opened) + asked.min_seconds * (1 + asked.throughput) * len(opened),
            progress=_phases(progress, scored=data is not None),
        )
        return [
            replace(BenchResult.from_document(result), device=remote.name, operators=_operators(bundle))
            for result, bundle in zip(document["results"], opened, strict=True)
        ]


def _options(plan: Plan) -> list[str]:
    """As the runtime's command line takes them."""
    options = [f"--{name}={getattr(plan, name)}" for name in ("engine", "threads", "inputs", "seed", "throughput")]
    options += [f"--min-runs={plan.min_runs}", f"--min-seconds={plan.min_seconds}"]
    if plan.cpus is not None:
        options.append(f"--cpus={','.join(map(str, plan.cpus))}")
    if plan.launches is not None:
        options.append(f"--launches={plan.launches}")
    return options + [
        f"--{name.replace('_', '-')}" for name in ("single_stream", "profile", "energy") if getattr(plan, name)
    ]


def _phases(progress: Progress, scored: bool) -> Progress:
    """The device tells each phase from 0 to 1: after the installation they share what is left."""
    timed = 0.8 if scored else 1.0
    phases = {"bench": part(progress, 0.2, timed), "score": part(progress, timed, 1.0)}
    return lambda what, fraction: phases.get(what, silent)(what, fraction)


def _operators(bundle: Bundle) -> list[dict[str, Any]]:
    """Those of the main graph, in their order. A constant counts for the first that reads it; what the bodies of loops
    and branches hold counts for the first operator that runs one."""
    from edgewright_converter.flatbuffer import read

    main, *inner = read(bundle.read(bundle.manifest.variant().path)).subgraphs
    found: list[dict[str, Any]] = []
    counted: set[int] = set()
    inner_bytes = sum(tensor.size_bytes for graph in inner for tensor in graph.tensors)
    for node in main.nodes:
        constants = {index for index in node.inputs if index >= 0} - counted
        counted |= constants
        size_bytes = sum(main.tensors[index].size_bytes for index in constants)
        if node.operator in ("WHILE", "IF", "CALL_ONCE", "STABLEHLO_COMPOSITE"):
            size_bytes, inner_bytes = size_bytes + inner_bytes, 0
        name = main.tensors[node.outputs[0]].name if node.outputs else ""
        found.append({"operator": node.operator, "name": name, "bytes": size_bytes})
    return found


def _send_data(data: Any, bundle: Bundle, remote: Remote, folder: Path) -> str:
    """Have the samples on the device, under their SHA-256, in the form that its bench reads; returns the path there."""
    packed = folder / "data.npz"
    packed.write_bytes(pack_data(data, bundle))
    name = f"data/{hash_file(packed)}.npz"
    if not remote.bootstrap("holds", name)["there"]:
        remote.transport.put(packed, remote.home / name)
    return str(remote.home / name)


def pack_data(data: Any, bundle: Bundle) -> bytes:
    """An .npz with x.<input name> (n, *shape without the batch) and y (n, …), the labels. Texts for a bundle that reads
    long ones in windows travel as they are.

    Raises InputError as ``labelled_arrays``.
    """
    import numpy as np

    from edgewright_converter.table import TABLE_SUFFIXES

    from .questions import read_questions

    tokenizer = bundle.tokenizer()
    if tokenizer is not None and tokenizer.pooling is not None and Path(str(data)).suffix in TABLE_SUFFIXES:
        questions = read_questions(data, bundle)
        arrays: dict[str, Any] = {"y": questions.truth, **questions.arrays}
    else:
        x, y = labelled_arrays(data, bundle)
        arrays = {"y": y, **{f"x.{name}": array for name, array in x.items()}}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def labelled_arrays(data: Any, bundle: Bundle) -> tuple[dict[str, Any], Any]:
    """The samples by the name of their input, (n, *shape without the batch), and their labels (n, …): of the test part
    where there is one.

    Raises InputError where the data is malformed, has no labels, or does not name the model's inputs.
    """
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
    return x, y
