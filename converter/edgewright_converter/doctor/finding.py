"""What the doctor finds: how bad, where, what it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """severity: "error" (it will not run there), "warning" (it will, with a loss) or "note" (a fact to know).

    check: the kind, for scripts; where: the operator and its layer, the file, or the board; problem, remedy: sentences
    without a full stop.
    """

    severity: str
    check: str
    where: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" + (f": {self.remedy}" if self.remedy else "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, in the order of severity, and within one in the order in which they were found."""
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def layer_of(tensor: str) -> str:
    """The layer by the user's name, in a tensor's name: the path of layers that made it; "" where there is none.

    Operations that were fused into one have their names joined by semicolons.
    """
    parts = tensor.split(";")[0].split("/")
    return "/".join(parts[1:-1]) if len(parts) > 2 else parts[0] if len(parts) == 2 else ""


def places(names: list[str]) -> str:
    """ "dense, dense_1 and 3 more"."""
    names = list(dict.fromkeys(names))
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"
