"""``edgewright completion``: the script that teaches a shell edgewright's words."""

import click
from click.shell_completion import get_completion_class


@click.command(
    short_help="Print a shell's completion script.",
    epilog="Examples:\n\n\b\n"
    "bash   echo 'eval \"$(edgewright completion bash)\"' >> ~/.bashrc\n"
    "zsh    echo 'eval \"$(edgewright completion zsh)\"' >> ~/.zshrc\n"
    "fish   edgewright completion fish > ~/.config/fish/completions/edgewright.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    from .main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "edgewright", "_EDGEWRIGHT_COMPLETE").source())
