"""`heygemd doctor`."""

from typing import Annotated

import typer

from heygemd.commands.console import EXIT_SETUP, emit_json, explained, out
from heygemd.commands.options import (
    ConfigOption,
    JsonOption,
    RootOption,
    StateOption,
    config_file,
    settings_of,
)
from heygemd.errors import SetupError
from heygemd.log import LogChoice, configure
from heygemd.settings import Settings


def doctor(
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without torch and without hashing large files.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Check the set-up and say how to mend it. Exit status 78 when something is broken."""
    from heygemd.doctor.examination import examine, is_sound  # noqa: PLC0415  # commands load only what they need
    from heygemd.doctor.sheet import show  # noqa: PLC0415

    configure(LogChoice(level="error"))  # what rooms would log while they are looked at is among the findings
    with explained(as_json=json_output):
        settings: Settings | SetupError
        try:
            settings = settings_of(config, root, state_dir)
        except SetupError as error:  # the first finding, and no reason to see nothing else
            settings = error
        file = config_file(config, has_roots=bool(root))
        findings = examine(settings, config=file, is_quick=quick)
    if json_output:
        emit_json([finding.as_dict() for finding in findings])
    else:
        show(findings, out())
    raise typer.Exit(0 if is_sound(findings) else EXIT_SETUP)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
