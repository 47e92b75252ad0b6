"""Which operators, versions and types each engine has kernels for, as benchmarks/kernels.py measured it."""

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

_VARIADIC = ("CONCATENATION", "PACK")  # any number of inputs of one type


def highest_version(engine: str, operator: str) -> int | None:
    """The newest version that the engine has; 0 where it has none, None for an operator of no known name."""
    row = _versions().get(operator)
    return None if row is None else int(row[engine])


@dataclass(frozen=True)
class _Measured:
    """domains: what was tried, for each form of the operator the types of each tensor, or the number of the one whose
    type it shares; accepted: by engine."""

    domains: tuple[tuple[int, tuple[str, ...]], ...]
    accepted: dict[str, frozenset[str]]


def takes(engine: str, operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> bool | None:
    """Whether the engine computes the operator on these types; None where that was not measured."""
    measured = _types().get(operator)
    if measured is None:
        return None
    inputs, outputs = _normalized(operator, tuple(inputs), tuple(outputs))
    if not any(_tried(count, roles, inputs, outputs) for count, roles in measured.domains):
        return None
    return "+".join(inputs) + ">" + "+".join(outputs) in measured.accepted[engine]


def types_taken(engine: str, operator: str, inputs: int) -> tuple[str, ...]:
    """The types of the first input with which the engine computes the operator, for so many inputs."""
    measured = _types()[operator]
    accepted = (signature.partition(">")[0].split("+") for signature in measured.accepted[engine])
    first = 1 if operator == "SPLIT" else 0
    return tuple(sorted({types[first] for types in accepted if len(types) == inputs or operator in _VARIADIC}))


def _normalized(
    operator: str, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As many tensors as were measured, where there may be any number of a kind."""
    if operator in _VARIADIC and len(set(inputs)) == 1:
        inputs = (inputs[0],) * 2
    if operator in ("SPLIT", "SPLIT_V") and len(set(outputs)) == 1:
        outputs = (outputs[0],) * 2
    if operator == "UNPACK" and len(set(outputs)) == 1:
        outputs = outputs[:1]
    return inputs, outputs


def _tried(count: int, roles: tuple[str, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bool:
    if len(inputs) != count or len(inputs) + len(outputs) != len(roles):
        return False
    types = inputs + outputs
    return all(
        dtype == types[int(role)] if role.isdecimal() else dtype in role.split("|")
        for dtype, role in zip(types, roles, strict=True)
    )


@functools.cache
def _versions() -> dict[str, dict[str, str]]:
    return {row["operator"]: row for row in _rows("engine_versions.csv")}


@functools.cache
def _types() -> dict[str, _Measured]:
    found = {}
    for row in _rows("engine_types.csv"):
        domains = []
        for form in row.pop("measured").split(";"):
            inputs, _, outputs = form.partition(">")
            domains.append((len(inputs.split("+")), (*inputs.split("+"), *outputs.split("+"))))
        accepted = {engine: frozenset(row[engine].split()) for engine in row if engine != "operator"}
        found[row["operator"]] = _Measured(tuple(domains), accepted)
    return found


def _rows(name: str) -> list[dict[str, str]]:
    with resources.files(__package__).joinpath(name).open(encoding="ascii") as file:
        return list(csv.DictReader(file))
