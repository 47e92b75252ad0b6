"""``edgewright device emulate``: a board in a box, for those without one."""

from dataclasses import asdict

import click

from .common import complete_devices, json_option, print_json, progress_bar


@click.command(
    short_help="Boot an emulated arm64 board, as a device.",
    epilog="Examples:\n\n\b\n"
    "edgewright device emulate box          # builds it on first use, boots it, registers it\n"
    "edgewright device emulate box --stop\n"
    "edgewright device emulate --list",
)
@click.argument("name", required=False, shell_complete=complete_devices)
@click.option("--stop", "action", flag_value="stop", help="Shut the board down; what is on it stays.")
@click.option("--remove", "action", flag_value="remove", help="Delete the board and forget the device.")
@click.option("--list", "action", flag_value="list", help="Show all emulated boards.")
@click.option("--memory", "memory_mb", default=1024, show_default=True, type=click.IntRange(256), help="MB, when made.")
@click.option("--cpus", default=2, show_default=True, type=click.IntRange(1), help="Cores, when made.")
@click.option("--network", is_flag=True, help="Let it reach the network (made with it): for `device setup --online`.")
@json_option
def emulate(name: str | None, action: str | None, memory_mb: int, cpus: int, network: bool, as_json: bool) -> None:
    """Boot a Debian arm64 virtual machine, and register it as the SSH device NAME.

    It runs the same wheels as a 64-bit Raspberry Pi. Times measured on it say nothing about a real board; its
    results say so.
    """
    from edgewright import emulator
    from edgewright.enroll import dismiss, enroll_board

    if action == "list":
        if name is not None:
            raise click.UsageError("--list takes no name.")
        boards = emulator.list_boards()
        if as_json:
            print_json("emulated-boards", boards=[_document(board) for board in boards])
            return
        for board in boards:
            click.echo(f"{board.name}\t{'running' if board.running else 'stopped'}\t{board.memory_mb} MB")
        return
    if name is None:
        raise click.UsageError("Give the board a name.")
    if action == "stop":
        emulator.stop(name)
        return
    if action == "remove":
        from edgewright.devices import list_devices

        emulator.remove(name)
        if name in [device.name for device in list_devices()]:
            dismiss(name)
        return
    with progress_bar() as progress:
        if name in [board.name for board in emulator.list_boards()]:
            board = emulator.start(name)
        else:
            board = emulator.create(name, memory_mb=memory_mb, cpus=cpus, network=network, progress=progress)
    enrolled = enroll_board(board)
    if as_json:
        print_json("emulated-board", **_document(board), uri=enrolled.uri)
        return
    click.echo(f"{name} is {enrolled.uri}, console {board.serial}. Next: edgewright device setup {name}", err=True)


def _document(board: object) -> dict[str, object]:
    return {key: value if isinstance(value, (int, str)) else str(value) for key, value in asdict(board).items()}  # type: ignore[call-overload]
