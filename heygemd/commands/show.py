"""`heygemd show`: everything about one film, or about one manifest or job folder."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from heygemd.commands.completion import complete_job
from heygemd.commands.console import EXIT_USAGE, emit_json, err, explained, out
from heygemd.commands.options import ConfigOption, JsonOption, RootOption, StateOption, set_up_log
from heygemd.language import advice_of, said

if TYPE_CHECKING:
    from heygemd.commands.stores import Whereabouts
    from heygemd.jobs.roots import Root
    from heygemd.jobs.store import JobStore
    from heygemd.roster.finding import Found

Row = dict[str, Any]


def show(
    job: Annotated[
        str,
        typer.Argument(
            help="Id, 4 to 10 of its random characters, name or path of the film or of its folder; also of a manifest.",
            autocompletion=complete_job,
        ),
    ],
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """Tell everything about one film, or how the rows of a manifest stand."""
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415
    from heygemd.roster import dossier  # noqa: PLC0415
    from heygemd.roster.finding import find  # noqa: PLC0415

    with explained(as_json=json_output):
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="warning")
        with opened(where) as store:
            found = find(store, job, where.roots)
            if not found.is_clear:
                _unclear(store, job, found, json_output=json_output)
            if found.jobs:
                known = store.get(found.jobs[0])
                told = dossier.describe_job(store, known, _reachable(where, known.root), where.vitals) if known else {}
            else:
                batch = store.get_batch(found.batches[0])
                told = dossier.describe_batch(store, batch, where.root_of(batch.root)) if batch else {}
    if json_output:
        emit_json(told)
    elif "rows" in told:
        _print_batch(told, out())
    else:
        _print_job(told, out())


def _reachable(where: "Whereabouts", uuid: str) -> "Root | None":
    """Return the root unless the daemon has just said that it is away: a look at a dead share may hang."""
    from heygemd.roster.listing import is_fresh  # noqa: PLC0415

    vitals = where.vitals
    if vitals is not None and is_fresh(vitals):
        away = {one.uuid for one in vitals.roots if one.state == "offline"}
        if uuid in away:
            return None
    return where.root_of(uuid)


def _unclear(store: "JobStore", word: str, found: "Found", *, json_output: bool) -> None:
    """List what could be meant, and end with 2."""
    candidates = [
        {"job": one.id, "name": one.name, "state": one.state.value} for one in map(store.get, found.jobs) if one
    ]
    batches = [{"batch": one.id, "name": one.name} for one in map(store.get_batch, found.batches) if one]
    if json_output:
        emit_json({"candidates": [*candidates, *batches]})
    if not candidates and not batches:
        message = f"there is no job {word!r}; heygemd jobs lists them (a file that still lies in the inbox is none yet)"
        err.print(said(message, f"没有任务 {word!r}；用 heygemd jobs 查看（仍在 inbox 中的文件还不是任务）"),
                  highlight=False, markup=False, soft_wrap=True)  # fmt: skip
        raise typer.Exit(EXIT_USAGE)
    from heygemd.naming import printable  # noqa: PLC0415

    err.print(said(f"{word!r} may be one of these:", f"{word!r} 可能是："), highlight=False, markup=False)
    for one in candidates:
        err.print(
            printable(f"  {one['job']}  {one['state']:<9} {one['name']}"), highlight=False, markup=False, soft_wrap=True
        )
    for one in batches:
        err.print(
            printable(f"  {one['batch']}  manifest  {one['name']}"), highlight=False, markup=False, soft_wrap=True
        )
    raise typer.Exit(EXIT_USAGE)


class _Sheet:
    """Lines of `what  text`, below headings."""

    def __init__(self, console: Console) -> None:
        from heygemd.commands.tables import wide  # noqa: PLC0415

        self._console = wide(console)

    def head(self, text: str) -> None:
        """Begin a part."""
        self._console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)

    def line(self, what: str, text: object, style: str = "") -> None:
        """Say one thing; nothing when there is nothing to say."""
        from heygemd.naming import printable  # noqa: PLC0415

        if text in (None, "", [], ()):
            return
        padded = what + " " * max(2, 14 - _columns(what))
        self._console.print(Text.assemble((f"  {padded}", "dim"), (printable(str(text)), style)), soft_wrap=True)


def _print_job(told: Row, console: Console) -> None:
    from heygemd.commands.tables import local_time, state_text, told_error, wide  # noqa: PLC0415
    from heygemd.naming import printable  # noqa: PLC0415

    sheet = _Sheet(console)
    name = "/".join(part for part in (told["folder"], told["name"]) if part)
    title = Text.assemble((printable(name), "bold"), "  ", state_text(told["state"]), f"  {told['id']}")
    wide(console).print(title, soft_wrap=True)
    if error := told["error"]:
        means, todo = advice_of(error["code"])
        sheet.head(said("what is wrong", "问题"))
        sheet.line(error["code"], means, "bold red")
        sheet.line(said("details", "详情"), told_error("", error["message"]))
        sheet.line(said("what to do", "如何处理"), todo, "bold")
    _print_progress(told, sheet)
    sheet.head(said("inputs", "输入"))
    for role, file in told["inputs"].items():
        if file:
            sheet.line(said(role, {"video": "画面", "audio": "声音"}[role]), _input_line(file))
            sheet.line("", f"sha256 {file['sha256']}", "dim")
            sheet.line("", "; ".join(file["evidence"]), "dim")
    _print_media(told, sheet)
    sheet.head(said("files now", "文件位置"))
    if not told["looked_at_share"]:
        sheet.line(said("not looked at", "未查看"), said("the root is away or not known", "根目录不可用或未知"))
    for what, path in told["files"].items():
        sheet.line(said(what, _PLACES_ZH.get(what, what)), path)
    sheet.head(said("history", "经过"))
    for step in told["history"]:
        why = told_error(step["error_code"], step["error_message"])
        tried = said(f"attempt {step['attempts']}", f"第 {step['attempts']} 次") if step["attempts"] else ""
        sheet.line(local_time(step["at"]), "  ".join(part for part in (step["state"], tried, why) if part))
    _print_report(told["report"], sheet)


_PLACES_ZH = {
    "inputs": "输入", "film": "成片", "report": "报告", "sheet": "缩略图", "failed": "失败文件夹", "reason": "原因",
    "originals": "原始文件",
}  # fmt: skip


def _print_progress(told: Row, sheet: _Sheet) -> None:
    from heygemd.commands.jobs import what_of  # noqa: PLC0415
    from heygemd.commands.tables import local_time  # noqa: PLC0415

    sheet.head(said("how it stands", "状态"))
    if not told["error"]:
        sheet.line(said("now", "现在"), what_of(told))
    if place := told["place"]:
        text = said(
            f"{place['in_folder']} in its folder, {place['among_all']} among all (folders are served in turn)",
            f"本文件夹第 {place['in_folder']} 位，全部第 {place['among_all']} 位（各文件夹轮流处理）",
        )
        sheet.line(said("place", "队列位置"), text)
    sheet.line(said("came", "收到"), local_time(told["queued_at"]))
    sheet.line(said("ended", "结束"), local_time(told["ended_at"]))
    sheet.line(said("attempts", "次数"), told["attempts"] or "")
    sheet.line(said("priority", "优先级"), told["priority"] or "")
    sheet.line(said("duplicate of", "重复于"), told["duplicate_of"])
    if told["batch"]:
        called = f" ({told['row_id']})" if told["row_id"] else ""
        sheet.line(said("row", "行"), f"{told['row']}{called}, {told['batch']}")
    sheet.line(said("options", "选项"), "  ".join(f"{key}={value}" for key, value in told["options"].items()))


def _input_line(file: Row) -> str:
    from heygemd.terminal import bytes_words  # noqa: PLC0415

    return f"{file['name']}  {bytes_words(file['size_bytes'])}"


def _print_media(told: Row, sheet: _Sheet) -> None:
    from fractions import Fraction  # noqa: PLC0415

    from heygemd.commands.tables import duration  # noqa: PLC0415

    media = told["media"]
    if not media:
        return
    video, audio = media["video"], media["audio"]
    shape = f"{video['width_px']}x{video['height_px']} {video['codec']} {float(Fraction(video['fps'])):g} fps"
    kind = said("a still", "静态图片") if video["is_still"] else duration(video["duration_s"])
    sheet.line(said("picture", "画面信息"), f"{shape}, {kind}")
    sheet.line(said("sound", "声音信息"), f"{audio['codec']} {audio['rate_hz']} Hz, {duration(_seconds(audio))}")
    for warning in (*video["warnings"], *audio["warnings"]):
        sheet.line(said("mind", "注意"), warning, "yellow")


def _seconds(audio: Row) -> float:
    return float(audio["sample_count"]) / float(audio["rate_hz"])


def _print_report(report: Row | None, sheet: _Sheet) -> None:
    from heygemd.commands.tables import duration  # noqa: PLC0415
    from heygemd.terminal import bytes_words  # noqa: PLC0415

    if not report:
        return
    sheet.head(said("how it was made", "制作过程"))
    sheet.line(said("engine", "引擎"), f"{report.get('engine', '')} {report.get('engine_version', '')}".strip())
    sheet.line(said("encoder", "编码器"), report.get("encoder"))
    sheet.line(said("device", "设备"), report.get("device"))
    for stage, seconds in report.get("stage_s", {}).items():
        sheet.line(stage, duration(seconds))
    sheet.line(said("in all", "总计"), duration(report.get("wall_s")))
    factor = report.get("realtime_factor")
    sheet.line(said("speed", "速度"), factor and said(f"{factor} s for 1 s of film", f"每秒成片用时 {factor} 秒"))
    sheet.line(said("known before", "已缓存"), ", ".join(report.get("cached", ())))
    sheet.line(said("size", "大小"), bytes_words(report["size_bytes"]) if "size_bytes" in report else "")
    for warning in report.get("warnings", ()):
        sheet.line(said("mind", "注意"), warning, "yellow")


def _print_batch(told: Row, console: Console) -> None:
    from heygemd.commands.tables import Column, local_time, print_table, state_text, told_error, wide  # noqa: PLC0415
    from heygemd.naming import printable  # noqa: PLC0415

    name = "/".join(part for part in (told["folder"], told["name"]) if part)
    stopped = said("  stopped", "  已停止") if told["stopped"] else ""
    kind = said({"manifest": "manifest", "folder": "job folder"}[told["kind"]], "清单")
    wide(console).print(Text.assemble((printable(name), "bold"), f"  {kind}{stopped}  {told['batch']}"), soft_wrap=True)
    totals = ", ".join(f"{count} {state_text(state)}" for state, count in told["totals"].items() if count)
    wide(console).print(Text(f"{local_time(told['accepted_at'])}  {totals}"), soft_wrap=True)
    columns = (
        Column(title=said("row", "行"), is_whole=True, is_number=True),
        Column(title=said("state", "状态"), is_whole=True),
        Column(title=said("film", "视频")),
        Column(title=said("what", "情况")),
        Column(title=said("job", "任务"), is_whole=True),
    )
    rows = (
        (
            str(row["number"]), state_text(row["state"]), row["output"] or row["id"] or row["audio"] or "",
            told_error(row["error_code"], row["message"]), row["job"] or "",
        )
        for row in told["rows"]
    )  # fmt: skip
    print_table(console, columns, rows)


def _columns(text: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(text)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)
