"""The doctor's look at a bundle that is on its way, with what the device told about itself when it was asked.

No round trip is made for it: the device says what it is in the answer that names what it lacks, and where it lacks
nothing, nothing is sent and nothing needs to be judged beforehand. The doctor's code is loaded while the device is
waited for.
"""

from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from edgewright_runtime.bundle import Bundle

from .errors import BundleError, CheckError, EngineError, StorageError
from .progress import Progress

if TYPE_CHECKING:
    from edgewright_converter.doctor import Finding

_KINDS = {"memory": CheckError, "storage": StorageError, "integrity": BundleError, "bundle": BundleError}


class Doctor:
    """For one bundle on one device. engine: as for ``flash``."""

    def __init__(self, bundle: Bundle, device: str, engine: str = "auto") -> None:
        self._bundle, self._device, self._engine = bundle, device, engine
        self._loading: Thread | None = None

    def during(self, progress: Progress) -> Progress:
        """The same progress; with its first step, when the device is at work, the doctor's code begins to load."""

        def tell(step: str, fraction: float) -> None:
            if self._loading is None:
                self._loading = Thread(target=import_module, args=("edgewright_converter.doctor",), daemon=True)
                self._loading.start()
            progress(step, fraction)

        return tell

    def judge(self, facts: dict[str, Any]) -> tuple[str, ...]:
        """The warnings, as sentences. Raises EngineError, CheckError or StorageError where it will not run there."""
        if self._loading is not None:
            self._loading.join()
        from edgewright_converter.doctor import WARNING, examine
        from edgewright_converter.targets import RUNTIMES, Target

        installed = [name for name in RUNTIMES if name in facts["engines"]]
        engine = self._engine if self._engine in RUNTIMES else next(iter(installed), None)
        if engine is None:
            return ()  # the device itself says that it has none
        memory_bytes = facts["memory_bytes"]
        target = Target(
            name=self._device,
            engine=engine,
            runtime=RUNTIMES[engine],
            machine=facts["machine"],
            memory_mb=None if memory_bytes is None else memory_bytes // 1_000_000,
            board=self._device,
            storage_mb=facts["free_bytes"] // 1_000_000,
        )
        manifest = self._bundle.manifest
        graphs = [manifest.variant()] + ([] if manifest.encoder is None else [manifest.encoder.variant])
        findings = [finding for graph in graphs for finding in examine(self._bundle.read(graph.path), target)]
        _refuse(findings, manifest.name, self._device)
        return tuple(f"{finding}." for finding in findings if finding.severity == WARNING)


def _refuse(findings: "list[Finding]", name: str, device: str) -> None:
    """Raise the error of the worst finding, if it is one: of the same kind as the device itself would raise."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: run `edgewright check`)" if len(errors) > 1 else ""
        kind = _KINDS.get(errors[0].check, EngineError)
        raise kind(f"{name} will not run on {device}, so nothing was sent. {errors[0]}{more}.")
