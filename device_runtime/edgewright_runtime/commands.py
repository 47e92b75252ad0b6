"""The commands of ``python -m edgewright_runtime``: each takes the parsed arguments and returns one JSON document.

Imports are inside: a command pays, in time and memory, for what it needs and nothing else.
"""

import json
import sys
from argparse import Namespace
from typing import Any

from .bundle import Bundle
from .errors import InputError


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
    from .check import check_budget, check_golden
    from .model import load_model

    bundle = _bundle(arguments)
    bundle.verify()
    with load_model(bundle, arguments.engine, arguments.threads) as engine:
        document = {**_about(bundle), "engine": engine.name, "golden": check_golden(engine, bundle), "budget": None}
        if arguments.budget:
            document["budget"] = check_budget(engine, bundle)
    return document


def run(arguments: Namespace) -> dict[str, Any]:
    from .answer import classify, compute
    from .model import load_model

    bundle = _bundle(arguments)
    with load_model(bundle, arguments.engine, arguments.threads) as engine:
        if arguments.text is not None:
            answer: dict[str, Any] = {"labels": classify(bundle, engine, arguments.text, arguments.top)}
        else:
            answer = {"outputs": compute(engine, arguments.inputs)}
        return {**_about(bundle), "engine": engine.name, **answer}


def bench(arguments: Namespace) -> dict[str, Any]:
    from .bench import bench as measure

    return measure(
        _bundle(arguments),
        engine=arguments.engine,
        threads=arguments.threads,
        min_runs=arguments.min_runs,
        min_seconds=arguments.min_seconds,
        data=arguments.data,
        progress=_report if arguments.progress else None,
    ).to_document()


def store_missing(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    try:
        hashes = json.load(sys.stdin)
    except (ValueError, RecursionError) as error:
        raise InputError("The standard input is no JSON: give a list of SHA-256.") from error
    if not isinstance(hashes, list) or not all(isinstance(sha256, str) for sha256 in hashes):
        raise InputError("The standard input is no list of SHA-256: give a JSON list of strings.")
    return {"missing": Store(arguments.home).missing(hashes)}


def store_install(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    release = Store(arguments.home).install(sys.stdin.buffer.read())
    return {"id": release.name, "name": release.parent.name, "path": str(release)}


def store_activate(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    previous = Store(arguments.home).activate(arguments.name, arguments.id)
    return {"name": arguments.name, "current": arguments.id, "previous": previous}


def store_rollback(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    return {"name": arguments.name, "current": Store(arguments.home).rollback(arguments.name)}


def store_list(arguments: Namespace) -> dict[str, Any]:
    from .store import Store

    return {"models": Store(arguments.home).models()}


def _bundle(arguments: Namespace) -> Bundle:
    """PATH is a bundle or, with --home, the name of a model on the device."""
    if arguments.home is None:
        return Bundle.open(arguments.path)
    from .store import Store

    return Bundle.open(Store(arguments.home).current(arguments.path))


def _about(bundle: Bundle) -> dict[str, Any]:
    return {"bundle": {"id": bundle.id, "name": bundle.manifest.name}}


def _report(done: int, total: int, what: str) -> None:
    print(json.dumps({"done": done, "total": total, "what": what}), file=sys.stderr, flush=True)
