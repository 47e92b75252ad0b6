"""``edgewright run``: ask a model on a device one question."""

import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import click

from .common import complete_devices, json_option, print_json, progress_bar


@click.command(
    short_help="Ask a model on a device one question.",
    epilog="Examples:\n\n\b\n"
    'edgewright run kitchen.ewb kitchen --text "turn the lights off"\n'
    "edgewright run intents kitchen --text - <letter.txt\n"
    "edgewright run intents kitchen --inputs samples.npz\n"
    "edgewright run keywords kitchen --audio recording.wav\n"
    'edgewright run stories kitchen --text "Once upon" --temperature 0.8 --stop "."\n'
    "edgewright run keywords kitchen --audio - <recording.wav",
)
@click.argument("model", metavar="BUNDLE|MODEL")
@click.argument("device", shell_complete=complete_devices)
@click.option("--text", metavar="TEXT|-", help="What to classify, to translate or to go on from; - for stdin.")
@click.option("--inputs", type=click.Path(path_type=Path), help="An .npz with one array for each input's name.")
@click.option("--audio", metavar="FILE.wav|-", help="A recording to find keywords in; - for one on stdin.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many labels to show.")
@click.option("--max-tokens", type=click.IntRange(1), help="Say no more than that.  [default: the model's, or 64]")
@click.option("--temperature", type=click.FloatRange(0), help="0 takes the likeliest token; higher: more chance.")
@click.option("--top-k", type=click.IntRange(0), help="Draw from so many of the likeliest tokens; 0: from all.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Draw from those of this probability in all.")
@click.option("--stop", multiple=True, help="End before this text; may be given several times.")
@click.option("--seed", type=int, help="The same answer each time.")
@click.option("--beams", type=click.IntRange(1), help="How many translations to follow side by side.")
@click.option("--prompt-cache", is_flag=True, help="Keep the state after this text on the device, for the next time.")
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto.")
@json_option
def run(
    model: str,
    device: str,
    text: str | None,
    inputs: Path | None,
    audio: str | None,
    top: int,
    engine: str,
    as_json: bool,
    **saying: Any,
) -> None:
    """Let a bundle file, or a model in use on DEVICE, answer one sentence, one set of arrays or a recording there."""
    from edgewright.folders import temporary_folder
    from edgewright.run import run as ask

    if sum(question is not None for question in (text, inputs, audio)) != 1:
        raise click.UsageError("Give one of --text, --inputs and --audio.")
    words = None if text is None else sys.stdin.buffer.read() if text == "-" else os.fsencode(text)
    heard = None if as_json else _show
    saying["stop"] = list(saying["stop"]) or None
    with progress_bar() as progress, temporary_folder() as folder:
        sound = None if audio is None else _piped(folder) if audio == "-" else Path(audio)
        answer = ask(
            model,
            device,
            text=words,
            inputs=inputs,
            sound=sound,
            top=top,
            engine=engine,
            progress=progress,
            heard=heard,
            **saying,
        )
    if as_json:
        print_json("run", **answer)
        return
    if answer.get("spotted") == []:
        click.echo("No keyword was heard.", err=True)
    if "text" in answer:
        click.echo()
    labels, threshold = answer.get("labels", ()), answer.get("threshold")
    if threshold is not None and labels[0]["probability"] < threshold:
        click.echo(f"        {answer['answer']}: no label reaches {threshold:g}")
    for best in labels:
        click.echo(f"{best['probability']:.4f}  {best['label']}")
    for output in answer.get("outputs", ()):
        click.echo(f"{output['name']} {output['dtype']} {output['shape']}\n{output['values']}")


def _piped(folder: Path) -> Path:
    """What comes on stdin, to its end, as a file: a WAV by its first letters, else raw samples."""
    content = sys.stdin.buffer.read()
    path = folder / ("stdin.wav" if content[:4] == b"RIFF" else "stdin.raw")
    path.write_bytes(content)
    return path


def _show(part: dict[str, Any]) -> None:
    """Each keyword as soon as it is heard, each token as soon as it is said."""
    if "text" in part:
        click.echo("".join(map(_harmless, part["text"])), nl=False)
        return
    spotted = part["spotted"]
    click.echo(f"{spotted['at_s']:7.2f} s  {spotted['probability']:.4f}  {spotted['label']}")


def _harmless(character: str) -> str:
    """A model may say what a terminal would obey."""
    return "\ufffd" if unicodedata.category(character) == "Cc" and character not in "\n\t" else character
