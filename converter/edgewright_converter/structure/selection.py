"""Which channels go: from a score for each, by set of tied channels. NumPy.

Sets of channels that are tied to each other at any place (a Transformer's residual stream; a dense layer's units) form
one component, in which channels compete. Pinned ones stay and count as kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data import Array
from .channels import Channels

KINDS = ("units", "filters", "heads", "head-units", "recurrent", "embedding")
_LEAST = 0.1  # of a component stays, however small its scores beside the others'


@dataclass(frozen=True)
class Component:
    """name: of the layer that made most of it; kind: that of the most delicate part; roots: (n,) that may go; total:
    with the pinned ones; reason: why none may go, or ""; layers: all that made a part of it."""

    name: str
    kind: str
    roots: Array
    total: int
    reason: str = ""
    layers: tuple[str, ...] = ()


def components(channels: Channels) -> list[Component]:
    """In the order in which the model makes them."""
    spaces = [s for s in channels.spaces if s.kind != "fixed"]
    pinned = channels.pinned()
    owners: dict[int, list[int]] = {}
    for index, space in enumerate(spaces):
        for root in channels.roots(np.arange(space.first, space.first + space.count)).tolist():
            owners.setdefault(root, []).append(index)
    parent = list(range(len(spaces)))

    def find(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for indices in owners.values():
        for other in indices[1:]:
            a, b = sorted((find(indices[0]), find(other)))
            parent[b] = a
    found: list[Component] = []
    for first in sorted({find(index) for index in range(len(spaces))}):
        members = [space for index, space in enumerate(spaces) if find(index) == first]
        kinds = {space.kind for space in members}
        kind = "embedding" if "embedding" in kinds else members[0].kind
        roots = sorted(root for root, indices in owners.items() if find(indices[0]) == first)
        free = np.array([root for root in roots if root not in pinned], np.int64)
        reason = next((pinned[root] for root in roots if root in pinned), "") if not len(free) else ""
        names = list(dict.fromkeys(space.layer for space in members))
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} tied to it"
        taken = {part.name for part in found}
        name = next(n for n in (name, *(f"{name} ({i})" for i in range(2, 10000))) if n not in taken)
        found.append(Component(name, kind, free, len(roots), reason, tuple(names)))
    return found


def chosen(
    parts: list[Component],
    scores: Mapping[int, float],
    keep: float,
    multiple: int,
    least: Mapping[str, int],
    share: bool,
) -> set[int]:
    """The roots to remove, least important first. keep: fraction of ``least[name]`` channels that is to stay.

    least: how many channels a component had at first, by name; multiple: kept numbers are rounded up to it (where there
    are that many). share: one ranking over all components, each score relative to the mean of its component.
    """
    gone: set[int] = set()
    if not share:
        for part in parts:
            order = part.roots[np.argsort([scores[int(root)] for root in part.roots], kind="stable")]
            wanted = _rounded(keep * least[part.name], multiple)
            gone.update(order[: max(0, part.total - max(1, wanted))][: len(part.roots)].tolist())
        return gone
    ranked = []
    for part in parts:
        values = np.array([scores[int(root)] for root in part.roots])
        relative = values / max(values.mean(), 1e-30) if len(values) else values
        ranked += [(score, part, int(root)) for score, root in zip(relative, part.roots, strict=True)]
    ranked.sort(key=lambda entry: entry[0])
    total = sum(least[part.name] for part in parts)
    over = sum(part.total for part in parts) - math.ceil(keep * total)
    left = {part.name: part.total for part in parts}
    for _, part, root in ranked:
        if len(gone) >= over:
            break
        if left[part.name] > max(1, _LEAST * least[part.name]):
            left[part.name] -= 1
            gone.add(root)
    for part in parts:  # give back what a rounded number has room for, the best first
        own = [root for _, other, root in reversed(ranked) if other is part and root in gone]
        back = min(part.total, _rounded(left[part.name], multiple)) - left[part.name]
        gone.difference_update(own[: max(0, back)])
    return gone


def _rounded(wanted: float, multiple: int) -> int:
    """Up to the multiple; small numbers (heads) to the next whole one."""
    whole = math.ceil(wanted - 1e-9)
    return math.ceil(whole / multiple) * multiple if whole >= 2 * multiple else whole
