"""The command line: one module a group of commands, in `heygemd.commands`. Loads no pixel stack."""

from typing import Annotated

import typer

from heygemd import __version__
from heygemd.commands import (
    acts,
    configuration,
    doctor,
    jobs,
    logs,
    models,
    prune,
    render,
    roots,
    run,
    show,
    status,
    submit,
    top,
)

app = typer.Typer(
    help="Drop a voice and a face into a folder, find a finished film.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (run, render, submit, status, top, jobs, show, acts, prune, logs, doctor, configuration, models, roots):
    group.register(app)


def main() -> None:
    """Entry point of the `heygemd` command."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heygemd {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
