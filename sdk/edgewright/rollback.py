"""Back to the model in use before, as whole and as checked as when it was flashed."""

from dataclasses import dataclass

from .devices import Device
from .flash import change
from .progress import Progress, silent
from .remote import Remote, connected


@dataclass(frozen=True)
class RollbackReport:
    """bundle_id: what is in use now; previous: what was in use before, and a second rollback brings back."""

    device: str
    name: str
    bundle_id: str
    previous: str
    max_difference: float


def rollback(
    name: str, device: str | Device | Remote, *, engine: str = "auto", progress: Progress = silent
) -> RollbackReport:
    """Use the model's previous release once more, after it has passed its check on the device again.

    Raises InputError where there is none, and what ``flash`` raises for the device and its check. After any of them
    the model in use before is still in use.
    """
    with connected(device) as remote:
        document = change(remote, "store-rollback", "--engine", engine, name, progress=progress)
        progress("done", 1.0)
        return RollbackReport(
            device=remote.name,
            name=name,
            bundle_id=document["id"],
            previous=document["previous"],
            max_difference=max(output["max_difference"] for output in document["golden"]),
        )
