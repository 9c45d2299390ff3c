"""`heygemd prune`: deletes what is old now, or says what that would be."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heygemd.commands.acts import DryRunOption, WaitOption, interrupted, tell
from heygemd.commands.console import emit_json, explained, out
from heygemd.commands.options import ConfigOption, JsonOption, RootOption, StateOption, set_up_log
from heygemd.language import said

if TYPE_CHECKING:
    from heygemd.acts.rehearsal import Rehearsal
    from heygemd.commands.stores import Whereabouts


def prune(
    done_days: Annotated[
        int | None, typer.Option("--done-days", min=1, help="Originals of films older than this; else as configured.")
    ] = None,
    failed_days: Annotated[
        int | None, typer.Option("--failed-days", min=1, help="Inputs of failed jobs older than this; else configured.")
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Also empty the caches of face tracks and speech.")] = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete old originals and failed inputs now, on every root; films in the outbox are never touched."""
    from heygemd.acts.asking import WAIT_S, ask  # noqa: PLC0415
    from heygemd.commands.stores import find_store  # noqa: PLC0415
    from heygemd.jobs.requests import Act  # noqa: PLC0415

    with explained(as_json=json_output, on_interrupt=interrupted()):
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="error" if dry_run else "warning")
        if dry_run:
            _rehearse(where, done_days=done_days, failed_days=failed_days, cache=cache, json_output=json_output)
            return
        options = {"done_days": done_days, "failed_days": failed_days, "cache": cache}
        wait_s = WAIT_S if wait else 0.0
        answers = ask(where.store, Act.PRUNE, [""], options, lock=where.lock, wait_s=wait_s)
    tell(answers, {"": said("prune", "清理")}, json_output=json_output)


def _rehearse(
    where: "Whereabouts", *, done_days: int | None, failed_days: int | None, cache: bool, json_output: bool
) -> None:
    from heygemd.acts.rehearsal import cache_bytes, rehearse  # noqa: PLC0415
    from heygemd.commands.stores import opened  # noqa: PLC0415

    retention = where.settings.retention
    with opened(where) as store:
        rehearsals = [
            rehearse(
                root,
                today=datetime.now(UTC).date(),
                done_days=retention.done_days if done_days is None else done_days,
                failed_days=retention.failed_days if failed_days is None else failed_days,
                keeps=store.keeps(root.uuid),
            )
            for root in where.roots
        ]
    cached = cache_bytes(where.state_dir) if cache else None
    if json_output:
        emit_json(_plain(rehearsals, cached))
        return
    _print_rehearsals(rehearsals, cached)


def _plain(rehearsals: "list[Rehearsal]", cached: int | None) -> dict[str, Any]:
    return {
        "roots": [
            {
                "root": str(one.root.path), "reports": one.reports, "kept": list(one.kept),
                "folders": [{"path": str(gone.path), "size_bytes": gone.size_bytes} for gone in one.folders],
            }
            for one in rehearsals
        ],
        "cache_bytes": cached,
    }  # fmt: skip


def _print_rehearsals(rehearsals: "list[Rehearsal]", cached: int | None) -> None:
    from heygemd.commands.tables import Column, print_table  # noqa: PLC0415
    from heygemd.naming import printable  # noqa: PLC0415
    from heygemd.terminal import bytes_words  # noqa: PLC0415

    gone = [folder for one in rehearsals for folder in one.folders]
    if gone:
        columns = (
            Column(title=said("size", "大小"), is_whole=True, is_number=True),
            Column(title=said("would be deleted", "将删除")),
        )
        print_table(out(), columns, ((bytes_words(one.size_bytes), str(one.path)) for one in gone))
    total = bytes_words(sum(one.size_bytes for one in gone))
    reports = sum(one.reports for one in rehearsals)
    text = said(
        f"folders that would be deleted: {len(gone)}, reports: {reports}; {total} freed; nothing was changed",
        f"将删除 {len(gone)} 个文件夹和 {reports} 份报告，释放 {total}；未作任何更改",
    )
    out().print(text, highlight=False, soft_wrap=True)
    if cached is not None:
        out().print(
            said(f"the caches would be emptied: {bytes_words(cached)}", f"将清空缓存：{bytes_words(cached)}"),
            highlight=False,
        )
    for place in (place for one in rehearsals for place in one.kept):
        text = said("stays, because somebody put a file there", "保留（其中有他人放入的文件）")
        out().print(f"{printable(place)}: {text}", highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(prune)
