"""``edgewright run``: ask a model on a device one question."""

from pathlib import Path

import click

from .common import complete_devices, json_option, print_json, progress_bar


@click.command(
    short_help="Ask a model on a device one question.",
    epilog="Examples:\n\n\b\n"
    'edgewright run kitchen.ewb kitchen --text "turn the lights off"\n'
    "edgewright run intents kitchen --inputs samples.npz",
)
@click.argument("model", metavar="BUNDLE|MODEL")
@click.argument("device", shell_complete=complete_devices)
@click.option("--text", help="A sentence to classify.")
@click.option("--inputs", type=click.Path(path_type=Path), help="An .npz with one array for each input's name.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many labels to show.")
@click.option("--engine", default="auto", show_default=True, help="litert, tflite, or auto.")
@json_option
def run(model: str, device: str, text: str | None, inputs: Path | None, top: int, engine: str, as_json: bool) -> None:
    """Let a bundle file, or a model in use on DEVICE, answer one sentence or one set of arrays there."""
    from edgewright.run import run as ask

    if (text is None) == (inputs is None):
        raise click.UsageError("Give either --text or --inputs.")
    with progress_bar() as progress:
        answer = ask(model, device, text=text, inputs=inputs, top=top, engine=engine, progress=progress)
    if as_json:
        print_json("run", **answer)
        return
    for best in answer.get("labels", ()):
        click.echo(f"{best['probability']:.4f}  {best['label']}")
    for output in answer.get("outputs", ()):
        click.echo(f"{output['name']} {output['dtype']} {output['shape']}\n{output['values']}")
