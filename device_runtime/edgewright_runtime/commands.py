"""The commands of ``python -m edgewright_runtime``: each takes the parsed arguments and returns one JSON document.

Imports are inside: a command pays, in time and memory, for what it needs and nothing else.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from .bundle import Bundle
from .errors import InputError

if TYPE_CHECKING:
    from .engines import Engine
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
    from .answer import compute
    from .model import load_model

    bundle = _bundle(arguments, arguments.path)
    with load_model(bundle, arguments.engine, arguments.threads) as engine:
        if arguments.sound is not None:
            answer: dict[str, Any] = {"spotted": _spotted(bundle, engine, arguments)}
        elif arguments.text is not None:
            arguments.text = sys.stdin.buffer.read() if arguments.text == "-" else arguments.text
            answer = _answered(bundle, engine, arguments)
        else:
            answer = {"outputs": compute(engine, arguments.inputs)}
        return {**_about(bundle), "engine": engine.name, **answer}


def _answered(bundle: Bundle, engine: "Engine", arguments: Namespace) -> dict[str, Any]:
    task = bundle.task()
    if task is not None and task.kind in ("generate", "translate"):
        from .generation.command import say

        return say(bundle, engine, task, arguments, _tell_token if arguments.stream else lambda token, text: None)
    from .answer import classify, decide

    labels = classify(bundle, engine, arguments.text, arguments.top)
    answer = {"labels": labels, **decide(labels[0], task)}
    if arguments.home is not None:
        _note(arguments.home, bundle, arguments.text, labels[0], answer["threshold"])
    return answer


def _note(
    home: Path, bundle: Bundle, text: Union[str, bytes], best: dict[str, Any], threshold: Optional[float]
) -> None:
    """For the next training, where the user of this device has asked for it."""
    from .feedback import Feedback

    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    log = Feedback(home, bundle.manifest.name)
    log.note(bundle.id, text, best["label"], best["probability"], threshold)


def feedback(arguments: Namespace) -> dict[str, Any]:
    from .feedback import Feedback, Settings, models
    from .store import Store

    if arguments.action in ("on", "off") and arguments.model is None:
        raise InputError(f"To turn feedback {arguments.action} takes the name of a model: give it.")
    names = [arguments.model] if arguments.model is not None else models(arguments.home)
    if arguments.action == "on":
        Store(arguments.home).current(arguments.model)  # a log of no model would wait forever
        kept = Settings(arguments.texts, arguments.below, round(arguments.max_kib * 1024))
        Feedback(arguments.home, arguments.model).turn_on(kept)
    elif arguments.action == "off":
        Feedback(arguments.home, arguments.model).turn_off()
    logs = [Feedback(arguments.home, name) for name in names]
    if arguments.action == "read":
        return {"logs": [{"model": log.model, "entries": log.entries()} for log in logs]}
    if arguments.action == "clear":
        return {"cleared": [{"model": log.model, "freed_bytes": log.clear()} for log in logs]}
    return {"logs": [log.status() for log in logs]}


def _tell_token(token: int, text: str) -> None:
    print(json.dumps({"token": token, "text": text}), file=sys.stderr, flush=True)


def _spotted(bundle: Bundle, engine: "Engine", arguments: Namespace) -> list[dict[str, Any]]:
    from .audio.spot import listen

    found = []
    for spotted in listen(bundle, engine, arguments.sound, arguments.raw):
        found.append(spotted._asdict())
        if arguments.stream:
            print(json.dumps({"spotted": found[-1]}), file=sys.stderr, flush=True)
    return found


def predict(arguments: Namespace) -> dict[str, Any]:
    from .predict import predict as answer

    bundle = _bundle(arguments, arguments.path)
    tell = _percents("answering") if arguments.progress else None
    options = (arguments.engine, arguments.threads, tell)
    return {**_about(bundle), **answer(bundle, arguments.samples, arguments.answers, *options)}


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
    from .model import load_encoder, load_model

    with load_model(bundle, engine_name, threads) as engine:
        golden = check_golden(engine, bundle)
        if bundle.manifest.encoder is not None:
            with load_encoder(bundle, engine.name, threads) as encoder:
                golden += check_golden(encoder, bundle, encoder=True)
        return {
            "engine": engine.name,
            "golden": golden,
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


def _percents(what: str) -> Callable[[int, int], None]:
    """Tells each hundredth once: a serial line has better things to carry."""
    told = -1

    def tell(done: int, total: int) -> None:
        nonlocal told
        if 100 * done // total > told:
            told = 100 * done // total
            _report(done, total, what)

    return tell


def _report(done: int, total: int, what: str) -> None:
    print(json.dumps({"done": done, "total": total, "what": what}), file=sys.stderr, flush=True)
