"""`heygemd jobs`: the films there are, the newest first."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from heygemd.commands.completion import complete_root, complete_state
from heygemd.commands.console import emit_json, err, explained, out, usage
from heygemd.commands.options import ConfigOption, JsonOption, StateOption, set_up_log
from heygemd.language import said

DEFAULT_LIMIT = 50

JobStates = Annotated[
    list[str] | None,
    typer.Option(
        "--state", "-s", help="queued, running, done, failed or cancelled; may be repeated.",
        autocompletion=complete_state,
    ),
]  # fmt: skip
FolderFilter = Annotated[str | None, typer.Option("--folder", help="Sub-folder of the inbox, with those below it.")]
CodeFilter = Annotated[str | None, typer.Option("--code", help="Error code with which they failed, such as E131.")]
RootsGiven = Annotated[
    list[Path] | None,
    typer.Option("--root", help="Only films of this root; may be repeated.", autocompletion=complete_root),
]


def jobs(
    state: JobStates = None,
    root: RootsGiven = None,
    folder: FolderFilter = None,
    name: Annotated[str | None, typer.Option("--name", help="Pattern of the film's name: 'ep*'.")] = None,
    code: CodeFilter = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Only rows of this manifest or job folder.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only those that came or changed since then: 24h, 7d, 2025-01-31.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = DEFAULT_LIMIT,
    show_all: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """List films: queued, in work, done, failed; the newest first."""
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415
    from heygemd.roster.listing import list_jobs  # noqa: PLC0415

    now = datetime.now(UTC)
    most = -1 if show_all else limit
    with explained(as_json=json_output):
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="warning")
        wanted_roots = tuple(one.uuid for one in where.chosen) or (None,)
        with opened(where) as store:
            batch_id = batch_of(store, batch) if batch else None
            rows: list[dict[str, Any]] = []
            for uuid in wanted_roots:
                wanted = filter_of(
                    states=state, folder=folder, name=name, code=code, batch=batch_id, since=since, now=now, root=uuid
                )
                asked = most + 1 if most > 0 else -1
                rows += list_jobs(store, wanted, limit=asked, roots=where.roots, vitals=where.vitals)
    rows.sort(key=lambda row: str(row["id"]), reverse=True)
    shown = rows if most < 0 else rows[:most]
    if json_output:
        emit_json(shown)
        return
    _print(shown, now)
    if len(shown) < len(rows):
        more = f"the newest {len(shown)} are shown; all of them with --all"
        err.print(said(more, f"仅显示最新 {len(shown)} 个，用 --all 显示全部"), highlight=False, style="dim")


def filter_of(
    *,
    states: list[str] | None,
    folder: str | None = None,
    name: str | None = None,
    code: str | None = None,
    batch: str | None = None,
    since: str | None = None,
    now: datetime,
    root: str | None = None,
) -> Any:  # noqa: ANN401  # JobFilter, which is loaded only now
    """Return the filter that the words of the command line ask for; ends with 2 when they cannot be understood."""
    from heygemd.errors import ADVICE  # noqa: PLC0415
    from heygemd.jobs.listing import JobFilter  # noqa: PLC0415
    from heygemd.jobs.states import JobState  # noqa: PLC0415
    from heygemd.roster.listing import read_since  # noqa: PLC0415

    chosen = frozenset(JobState(_one_of(word, [*JobState], "--state")) for word in states or ())
    wanted_code = _one_of(code.upper(), list(ADVICE), "--code") if code else None
    if wanted_code is not None and not chosen:
        chosen = frozenset({JobState.FAILED, JobState.CANCELLED})
    try:
        moment = read_since(since, now) if since else None
    except ValueError as error:
        usage(f"--since: {error}")
    return JobFilter(
        states=chosen, root=root, folder=folder.strip("/") if folder else None, name=name, code=wanted_code,
        batch=batch, since=moment,
    )  # fmt: skip


def batch_of(store: Any, word: str) -> str:  # noqa: ANN401  # JobStore, which is loaded only by those who need it
    """Return the id of the batch that is meant; ends with 2 when that is not clear."""
    from heygemd.roster.finding import find  # noqa: PLC0415

    found = find(store, word).batches
    if len(found) > 1:
        usage(f"--batch: {word!r} may be " + ", ".join(found))
    if not found:
        usage(f"--batch: there is no manifest or job folder {word!r}")
    return found[0]


def _one_of(word: str, known: list[str], option: str) -> str:
    import difflib  # noqa: PLC0415

    if word in known:
        return word
    close = difflib.get_close_matches(word.lower(), [str(one).lower() for one in known], n=1)
    hint = f" (did you mean {close[0].upper() if close[0][0] == 'e' else close[0]}?)" if close else ""
    usage(f"{option}: there is no {word!r}{hint}")


def _print(rows: list[dict[str, Any]], now: datetime) -> None:
    from heygemd.commands.tables import Column, print_table, state_text  # noqa: PLC0415
    from heygemd.terminal import moment_words  # noqa: PLC0415

    if not rows:
        err.print(said("no films", "没有符合条件的任务"), highlight=False)
        return
    console = out()
    columns = (
        Column(title=said("state", "状态"), is_whole=True),
        Column(title=said("film", "视频")),
        Column(title=said("what", "情况")),
        Column(title=said("came", "收到"), is_whole=True),
        Column(title=said("job", "任务"), is_whole=True),
    )
    print_table(
        console,
        columns,
        (
            (
                state_text(row["state"]),
                "/".join(part for part in (row["folder"], row["name"]) if part),
                what_of(row),
                moment_words(datetime.fromisoformat(row["queued_at"]), now)
                if console.is_terminal
                else row["queued_at"],
                row["id"] if _has_room(console.width, is_terminal=console.is_terminal) else id8_of(row["id"]),
            )
            for row in rows
        ),
    )


def what_of(row: dict[str, Any]) -> str:
    """Return how a job stands in one line."""
    from heygemd.commands.tables import duration, local_time, told_error  # noqa: PLC0415

    if row["error_code"]:
        return told_error(row["error_code"], row["error_message"])
    if row["stage"]:
        frames = f" {row['frames_done']}/{row['frames_total']}" if row["frames_total"] else ""
        left = row["left_s"]
        eta = said(f", {duration(left)} left", f"，剩余 {duration(left)}") if left is not None else ""
        return f"{row['stage']}{frames}{eta}"
    if row["output"]:
        return str(row["output"])
    if row["state"] == "queued":
        if row["duplicate_of"]:
            return said(f"waits for the film of {row['duplicate_of']}", f"等待任务 {row['duplicate_of']} 的成片")
        if row["not_before"]:
            tried, again = row["attempts"], local_time(row["not_before"])
            return said(f"tried {tried} times, again at {again}", f"已尝试 {tried} 次，下次 {again}")
    return ""


def id8_of(job_id: str) -> str:
    """Return the short id that names of folders carry, too."""
    return job_id.rpartition("-")[2][:8]


WHOLE_IDS_COLUMNS = 100


def _has_room(columns: int, *, is_terminal: bool) -> bool:
    return not is_terminal or columns >= WHOLE_IDS_COLUMNS


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(jobs)
