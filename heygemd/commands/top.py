"""`heygemd top`."""

from typing import Annotated

import typer

from heygemd.commands.console import explained, out
from heygemd.commands.options import ConfigOption, RootOption, StateOption, set_up_log, settings_of


def top(
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    interval: Annotated[float, typer.Option("--interval", "-n", min=0.2, help="Seconds between two pictures.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Draw one picture and end, as without a terminal.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="The daemon's latest vitals as JSON, once.")] = False,
) -> None:
    """Watch films, workers and devices while they work; keys: h for help, q to quit."""
    from heygemd.acts.asking import asker  # noqa: PLC0415
    from heygemd.lookout import find_place, latest_vitals  # noqa: PLC0415
    from heygemd.terminal import forgive  # noqa: PLC0415
    from heygemd.top.live import is_live, show_once, watch  # noqa: PLC0415
    from heygemd.vitals import to_text  # noqa: PLC0415

    with explained(as_json=json_output):
        settings = settings_of(config, root, state_dir)
        set_up_log(settings, level="error")
        place = find_place(settings)
    console = out()
    forgive(console)
    if json_output:
        vitals = latest_vitals(place.state_dir)
        typer.echo("null" if vitals is None else to_text(vitals).decode())
    elif once or not is_live(console):
        show_once(place, console)
    else:
        raise typer.Exit(watch(place, console, interval_s=interval, by=asker()))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(top)
