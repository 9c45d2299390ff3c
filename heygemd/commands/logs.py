"""`heygemd logs`: the log of the daemon, of all or about one film, wherever it is kept."""

import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from heygemd.commands import options
from heygemd.commands.completion import complete_job
from heygemd.commands.console import explained, out, usage
from heygemd.commands.options import ConfigOption, RootOption, StateOption, config_file, set_up_log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heygemd.logbook import Query
    from heygemd.logline import Entry
    from heygemd.roster.finding import Found

_STYLES = {"debug": "dim", "warning": "yellow", "error": "bold red", "critical": "bold red"}


class Level(StrEnum):
    """The least level that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Source(StrEnum):
    """Where the log is read."""

    AUTO = "auto"
    JOURNAL = "journal"
    FILE = "file"


def logs(
    job: Annotated[
        str | None,
        typer.Argument(
            help="Only lines about this film or manifest: id, some of its random characters, name or path.",
            autocompletion=complete_job,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is logged next.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", "-s", help="Only since then: 30m, 24h, 7d, 2025-01-31.")
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option("--lines", "-n", min=1, help="Only the last so many (100, unless since or a film is given)."),
    ] = None,
    level: Annotated[Level, typer.Option("--level", "-l", help="The least that is shown.")] = Level.DEBUG,
    explain: Annotated[bool, typer.Option("--explain", "-x", help="Say what each line means and what to do.")] = False,
    source: Annotated[
        Source, typer.Option(help="auto: the journal if heygemd is a service, else files.")
    ] = Source.AUTO,
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the log, of all or about one film."""
    from heygemd.commands.stores import find_store  # noqa: PLC0415
    from heygemd.logbook import DEFAULT_LINES, LogBook, Query, has_journal, journal_command  # noqa: PLC0415

    with explained(as_json=json_output, on_interrupt=" "):
        is_service = root is None and state_dir is None and config_file(config) == options.INSTALLED_CONFIG
        ask_journal = source is Source.JOURNAL or (source is Source.AUTO and is_service and has_journal())
        jobs, batches = _meant(job, config, root, state_dir)
        query = Query(
            jobs=jobs,
            batches=batches,
            level=level.value,
            since=_moment(since),
            lines=lines if lines or since or job else DEFAULT_LINES,
            follow=follow,
            explain=explain,
            as_json=json_output,
        )
        if ask_journal:
            _exec(journal_command(query))
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="warning")
        _show(LogBook(where.settings.log_file, where.state_dir).read(query), query)


def _meant(
    word: str | None, config: Path | None, root: list[Path] | None, state_dir: Path | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of the jobs that are meant, or of the batches; a whole id needs no store that can be read."""
    if word is None:
        return (), ()
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415
    from heygemd.errors import HeygemdError  # noqa: PLC0415
    from heygemd.jobs.ids import is_job_id  # noqa: PLC0415
    from heygemd.roster.finding import NOTHING, find  # noqa: PLC0415

    found: Found = NOTHING
    try:
        where = find_store(config, root, state_dir)
        with opened(where) as store:
            found = find(store, word, where.roots)
    except HeygemdError:
        if not is_job_id(word):
            raise
    if found.jobs:
        return found.jobs, ()
    if found.batches:
        return (), found.batches
    if is_job_id(word):
        return (word,), ()
    usage(f"there is no film or manifest {word!r}; heygemd jobs lists them")


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    from heygemd.roster.listing import read_since  # noqa: PLC0415

    try:
        return read_since(since, datetime.now(UTC)).astimezone(UTC)
    except ValueError as error:
        usage(f"--since: {error}")


def _exec(command: tuple[str, ...]) -> NoReturn:
    """Become journalctl, which has its own pager and knows how to be interrupted."""
    from heygemd.errors import SetupError  # noqa: PLC0415

    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise SetupError("E401", f"{command[0]} cannot be run: {error.strerror}; try --source file") from error


def _show(entries: "Iterable[Entry]", query: "Query") -> None:
    from heygemd.logbook import told  # noqa: PLC0415
    from heygemd.logline import json_line  # noqa: PLC0415

    console = out()
    try:
        for entry in entries:
            if query.as_json:
                typer.echo(json_line(entry).decode(), nl=False)
            else:
                _print(console, told(entry, explain=query.explain), str(entry.get("level")))
    except KeyboardInterrupt:  # the way out of --follow
        return


def _print(console: Console, lines: list[str], level: str) -> None:
    first, *others = (Text(line) for line in lines)
    first.stylize(_STYLES.get(level, ""), len("2026-07-13 09:30:00 "), len("2026-07-13 09:30:00 ") + len(level))
    console.print(first, *others, sep="\n", highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)
