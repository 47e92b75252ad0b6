"""The commands of ``python -m edgewright_runtime``: each takes the parsed arguments and returns one JSON document.

Imports are inside: a command pays, in time and memory, for what it needs and nothing else.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bundle import Bundle
from .errors import InputError

if TYPE_CHECKING:
    from .store import Store


def info(arguments: Namespace) -> dict[str, Any]:
    from shutil import disk_usage

    from . import __version__
    from .engines import installed_engines
    from .facts import board_facts, board_state

    document: dict[str, Any] = {
        "runtime": {"version": __version__},
        "engines": installed_engines(),
        "board": board_facts(),
        "state": board_state(),
    }
    if arguments.home is not None:
        from .store import Store

        if not arguments.home.is_dir():
            raise InputError(f"There is no folder {arguments.home}: run `edgewright device setup` for this device.")
        free = disk_usage(arguments.home).free
        document["home"] = {"path": str(arguments.home), "free_bytes": free, "models": Store(arguments.home).models()}
    return document


def verify(arguments: Namespace) -> dict[str, Any]:
    bundle = _bundle(arguments, arguments.path)
    bundle.verify()
    return {**_about(bundle), **_check(bundle, arguments.engine, arguments.threads, arguments.budget)}


def run(arguments: Namespace) -> dict[str, Any]:
    from .answer import classify, compute
    from .model import load_model

    bundle = _bundle(arguments, arguments.path)
    with load_model(bundle, arguments.engine, arguments.threads) as engine:
        if arguments.text is not None:
            answer: dict[str, Any] = {"labels": classify(bundle, engine, arguments.text, arguments.top)}
        else:
            answer = {"outputs": compute(engine, arguments.inputs)}
        return {**_about(bundle), "engine": engine.name, **answer}


def bench(arguments: Namespace) -> dict[str, Any]:
    from .bench import bench as measure
    from .claim import hold
    from .plan import Plan

    plan = Plan(**{name: getattr(arguments, name) for name in Plan.__dataclass_fields__})
    bundles = [_bundle(arguments, path) for path in arguments.paths]
    for path in arguments.data:
        hold(path)
    data = arguments.data * len(bundles) if len(arguments.data) == 1 else arguments.data
    results = measure(bundles, plan, data, _report if arguments.progress else None)
    return {"results": [result.to_document() for result in results]}


def store_install(arguments: Namespace) -> dict[str, Any]:
    from .claim import claim
    from .deploy import install
    from .errors import storage_errors
    from .request import parse_request

    request = parse_request(sys.stdin.buffer.read())
    with _locked_store(arguments) as store:
        installed = install(store, request)
        if not installed["missing"]:
            with storage_errors(f"claim {installed['path']}"):
                claim(Path(installed["path"]))
        return installed


def store_flash(arguments: Namespace) -> dict[str, Any]:
    from .deploy import flash
    from .request import parse_request

    request = parse_request(sys.stdin.buffer.read())
    with _locked_store(arguments) as store:
        return flash(store, request, _checker(arguments), _teller(arguments))


def store_rollback(arguments: Namespace) -> dict[str, Any]:
    from .deploy import roll_back

    with _locked_store(arguments) as store:
        return roll_back(store, arguments.name, _checker(arguments), _teller(arguments))


def store_gc(arguments: Namespace) -> dict[str, Any]:
    from .garbage import collect

    with _locked_store(arguments) as store:
        return collect(store, arguments.dry_run)


def store_list(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    return {"models": Store(arguments.home).models()}


@contextmanager
def _locked_store(arguments: Namespace) -> "Iterator[Store]":
    from .lock import locked
    from .store import Store

    tell = _teller(arguments)
    with locked(arguments.home, arguments.host, arguments.wait, lambda holder: tell(f"waiting for {holder}")):
        yield Store(arguments.home)


def _teller(arguments: Namespace) -> Callable[[str], None]:
    """Steps of no known length: each says what begins."""
    return (lambda step: _report(0, 1, step)) if arguments.progress else lambda step: None


def _checker(arguments: Namespace) -> Callable[[Path], dict[str, Any]]:
    """Checks a release in a process of its own: an engine that crashes must not leave anything half done."""
    from .isolated import isolated

    def check(release: Path) -> dict[str, Any]:
        bundle = Bundle.open(release)
        budget = any(limit is not None for limit in bundle.manifest.budget)
        return isolated(lambda: _check(bundle, arguments.engine, 1, budget))

    return check


def _check(bundle: Bundle, engine_name: str, threads: int, budget: bool) -> dict[str, Any]:
    from .check import check_budget, check_golden
    from .model import load_model

    with load_model(bundle, engine_name, threads) as engine:
        return {
            "engine": engine.name,
            "golden": check_golden(engine, bundle),
            "budget": check_budget(engine, bundle) if budget else None,
        }


def _bundle(arguments: Namespace, path: str) -> Bundle:
    """The path is a bundle's or, with --home, the name of a model on the device. It stays until this process ends."""
    from .claim import hold

    place = Path(path)
    if arguments.home is not None:
        from .store import Store

        place = Store(arguments.home).current(path)
    hold(place)
    return Bundle.open(place)


def _about(bundle: Bundle) -> dict[str, Any]:
    return {"bundle": {"id": bundle.id, "name": bundle.manifest.name}}


def _report(done: int, total: int, what: str) -> None:
    print(json.dumps({"done": done, "total": total, "what": what}), file=sys.stderr, flush=True)
