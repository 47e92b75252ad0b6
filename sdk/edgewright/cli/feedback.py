"""``edgewright feedback``: what a model in use was unsure of, as data for the next training."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import complete_devices, json_option, print_json

if TYPE_CHECKING:
    from edgewright.feedback import Log

_device = click.argument("device", shell_complete=complete_devices)
_model = click.argument("model", required=False)


@click.group(short_help="What a model in use was unsure of, as data for the next training.")
def feedback() -> None:
    """The log of uncertain answers on a device: off by default, bounded in size, with texts only where asked for.

    \b
    edgewright feedback on kitchen intents --texts
    edgewright feedback pull kitchen -o new.jsonl
    edgewright feedback clear kitchen
    """


@feedback.command(
    short_help="Note uncertain answers from now on.", epilog="Example: edgewright feedback on kitchen intents --texts"
)
@_device
@click.argument("model")
@click.option("--texts", is_flag=True, help="Note what was asked, too: whoever uses the device must agree to that.")
@click.option(
    "--below", type=click.FloatRange(0, 1), help="Note what is less probable.  [default: the model's threshold, or 0.5]"
)
@click.option("--max-kib", default=256.0, show_default=True, help="Of the log; the newest stays.")
@json_option
def on(device: str, model: str, texts: bool, below: float | None, max_kib: float, as_json: bool) -> None:
    """Note from now on what MODEL, the one in use on DEVICE, answers uncertainly."""
    from edgewright.feedback import turn_on

    _show([turn_on(device, model, texts=texts, below=below, max_kib=max_kib)], as_json)


@feedback.command(
    short_help="Note nothing any more.", epilog="Example: edgewright feedback off kitchen intents"
)
@_device
@click.argument("model")
@json_option
def off(device: str, model: str, as_json: bool) -> None:
    """Note nothing any more; what was noted stays until it is cleared."""
    from edgewright.feedback import turn_off

    _show([turn_off(device, model)], as_json)


@feedback.command(
    short_help="What is noted, and how much.", epilog="Example: edgewright feedback status kitchen"
)
@_device
@_model
@json_option
def status(device: str, model: str | None, as_json: bool) -> None:
    """The logs of DEVICE, or of one MODEL there."""
    from edgewright.feedback import status as ask

    _show(ask(device, model), as_json)


@feedback.command(
    short_help="Bring the texts back as data.", epilog="Example: edgewright feedback pull kitchen -o new.jsonl"
)
@_device
@_model
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .jsonl to write.")
@json_option
def pull(device: str, model: str | None, output: Path, as_json: bool) -> None:
    """Write the texts that were noted on DEVICE as JSON lines: text, guess, probability, times, at, model.

    Correct the guesses, then train on them beside the old data; or take them as they are with --label guess.
    """
    from edgewright.feedback import pull as bring

    pulled = bring(device, output, model)
    if as_json:
        print_json("feedback-pull", path=str(pulled.path), entries=pulled.entries, texts=pulled.texts)
    else:
        click.echo(f"{pulled.path}: {pulled.texts:,} different texts of {pulled.entries:,} uncertain answers")


@feedback.command(
    short_help="Delete what was noted.", epilog="Example: edgewright feedback clear kitchen intents"
)
@_device
@_model
@json_option
def clear(device: str, model: str | None, as_json: bool) -> None:
    """Delete what was noted on DEVICE, of all models or of one."""
    from edgewright.feedback import clear as delete

    freed_bytes = delete(device, model)
    if as_json:
        print_json("feedback-clear", freed_bytes=freed_bytes)
    else:
        click.echo(f"{freed_bytes:,} bytes deleted")


def _show(logs: "list[Log]", as_json: bool) -> None:
    if as_json:
        print_json("feedback", logs=[vars(log) for log in logs])
        return
    if not logs:
        click.echo("No model has a log there: `edgewright feedback on DEVICE MODEL` begins one.", err=True)
    for log in logs:
        what = "off" if not log.on else "on, with texts" if log.texts else "on, without texts"
        below = "the model's threshold" if log.below is None else f"{log.below:g}"
        since = "" if log.since is None else f", since {log.since}"
        click.echo(
            f"{log.model}: {what}; below {below}; {log.entries:,} answers ({log.with_text:,} with text){since}; "
            f"{log.size_bytes:,} of {log.max_bytes:,} bytes"
        )
