"""`heygemd status`."""

from typing import Annotated

import typer

from heygemd.commands.console import emit_json, explained, out
from heygemd.commands.options import ConfigOption, JsonOption, RootOption, StateOption, set_up_log, settings_of

EXIT_NOT_RUNNING = 3
"""As the init scripts of LSB say it."""
EXIT_UNKNOWN = 4
"""A daemon is there, but hangs."""


def status(
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 3 when no daemon runs, and with 4 when it hangs.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Show what the daemon is doing, what waits, and what came out."""
    from heygemd.status.reading import read_status  # noqa: PLC0415
    from heygemd.status.showing import show_status  # noqa: PLC0415
    from heygemd.terminal import forgive  # noqa: PLC0415

    with explained(as_json=json_output):
        settings = settings_of(config, root, state_dir)
        set_up_log(settings, level="error")
        found = read_status(settings)
    if json_output:
        emit_json(found)
    else:
        console = out()
        forgive(console)
        show_status(found, console)
    if exit_code:
        ends = {"stopped": EXIT_NOT_RUNNING, "never": EXIT_NOT_RUNNING, "silent": EXIT_UNKNOWN}
        raise typer.Exit(ends.get(found["standing"], 0))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
