"""Free what no model in use, and none in use before, needs on a device."""

from dataclasses import dataclass

from .devices import Device
from .flash import change
from .progress import Progress, silent
from .remote import Remote, connected


@dataclass(frozen=True)
class GcReport:
    """removed: paths in the device's folder; freed_bytes: what their content took; fresh: how many files and releases
    stay for now, because they may be on their way into use or are being measured; dry_run: then nothing was deleted."""

    device: str
    removed: tuple[str, ...]
    freed_bytes: int
    fresh: int
    dry_run: bool


def collect_garbage(device: str | Device | Remote, *, dry_run: bool = False, progress: Progress = silent) -> GcReport:
    """Delete releases, content and data that are in no use. Raises DeviceError, StorageError."""
    with connected(device) as remote:
        document = change(remote, "store-gc", *(["--dry-run"] if dry_run else []), progress=progress)
        progress("done", 1.0)
        return GcReport(remote.name, tuple(document["removed"]), document["freed_bytes"], document["fresh"], dry_run)
