"""What a bundle's model is for, and how it is asked unless the question says otherwise: task.json.

kind         the answer to a question                           options
classify     labels of a text                                   threshold, unknown
generate     a text that goes on                                max_tokens, temperature, top_k, top_p, stop
translate    the text in another language                       max_tokens, beams, length_penalty
spot         keywords in a stream of sound                      threshold, background, hop_s, smooth, refractory_s
tag          a label for each token                             threshold, unknown
"""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from .errors import InputError


def _whole(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 1_000_000


def _count(value: Any) -> bool:
    return (value == 0 and type(value) is int) or _whole(value)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value) and value >= 0


def _share(value: Any) -> bool:
    return _number(value) and value <= 1


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


def _names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 100 and all(map(_name, value))


Check = tuple[Callable[[Any], bool], str]
WHOLE: Check = (_whole, "a whole number from 1")
COUNT: Check = (_count, "a whole number, 0 for none")
NUMBER: Check = (_number, "a number from 0")
SHARE: Check = (_share, "a number from 0 to 1")
NAME: Check = (_name, "a text")
NAMES: Check = (_names, "a list of texts")

_DECISION = {"threshold": SHARE, "unknown": NAME}
OPTIONS: dict[str, dict[str, Check]] = {
    "classify": _DECISION,
    "generate": {"max_tokens": WHOLE, "temperature": NUMBER, "top_k": COUNT, "top_p": SHARE, "stop": NAMES},
    "translate": {"max_tokens": WHOLE, "beams": WHOLE, "length_penalty": NUMBER},
    "spot": {"threshold": SHARE, "background": NAMES, "hop_s": NUMBER, "smooth": WHOLE, "refractory_s": NUMBER},
    "tag": _DECISION,
}


class Task(NamedTuple):
    """kind: one of OPTIONS; options: those that are not left to their defaults, by name. Made by ``make_task``."""

    kind: str
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed: a task is frozen once it is made

    def to_json(self) -> bytes:
        """Canonical: the same task gives the same bytes."""
        return json.dumps(self._asdict(), sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def make_task(kind: Any, options: Any = None) -> Task:
    """Raises InputError for an unknown kind or option, or a value that is none."""
    if not isinstance(kind, str) or kind not in OPTIONS:
        raise InputError(f"There is no task {kind!r}: expected one of {', '.join(OPTIONS)}, or a JSON file.")
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise InputError(f"The options of the task {kind} are no JSON object: expected names with their values.")
    known = OPTIONS[kind]
    for name, value in options.items():
        if name not in known:
            raise InputError(f"The task {kind} has no option {name!r}: expected {', '.join(known)}.")
        holds, expected = known[name]
        if not holds(value):
            raise InputError(f"The option {name} of the task {kind} is {value!r}: expected {expected}.")
    return Task(kind, options)


def parse_task(raw: bytes) -> Task:
    """Read what ``to_json`` writes, or the like of a person: {"kind": …, "options": {…}}. Raises InputError."""
    try:
        document = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError('The task is not readable as JSON: expected {"kind": "classify", "options": {}}.') from error
    if not isinstance(document, dict) or not {"kind"} <= set(document) <= {"kind", "options"}:
        raise InputError('The task is no JSON object of "kind" and "options": expected {"kind": "classify"}.')
    return make_task(document["kind"], document.get("options"))
