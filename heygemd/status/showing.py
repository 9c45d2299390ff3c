"""What `heygemd status` shows to people: what they need first comes first."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from heygemd.language import advice_of, said
from heygemd.naming import printable
from heygemd.status.shares import Line, Row, root_lines, todo_in
from heygemd.status.waiting import fix_of, reason_of
from heygemd.terminal import bytes_words, length_words, moment_words

JOBS_SHOWN, RESULTS_SHOWN, WAITING_SHOWN = 10, 10, 10
UNIT_FILES = (Path("/etc/systemd/system/heygemd.service"), Path("/lib/systemd/system/heygemd.service"))
"""Where a unit lies if the daemon was installed."""


def show_status(found: Row, console: Console, now: datetime | None = None) -> None:
    """Print it in the person's language."""
    at = datetime.now(UTC) if now is None else now
    for words, style in (*_head(found, at), *_counts(found, at), *_devices(found)):
        _print(console, words, style)
    running = [row for row in found["jobs"] if row["state"] == "running"]
    waiting = [row for row in found["jobs"] if row["state"] != "running"]
    _show_running(running, console)
    _show_waiting(waiting, console, at)
    _show_needs(found["needs_you"], console)
    _show_results(found["results"], console, at)
    for path, root in found["roots"].items():
        for words, style in root_lines(path, root):
            _print(console, words, style)


def _print(console: Console, words: str, style: str = "") -> None:
    console.print(Text(printable(words), style=style), soft_wrap=True)


# The daemon ----------------------------------------------------------------------------------------------------------


def _head(found: Row, at: datetime) -> Iterator[Line]:
    vitals, age_s = found["vitals"], found["vitals_age_s"]
    name = said("daemon", "守护进程")
    if found["standing"] in ("stopped", "never"):
        yield f"{name}: {said('not running', '未运行')}{_last_seen(found, at)}", "bold red"
        yield f"  {said('start it', '启动')}: {_how_to_start(found)}", ""
        return
    if found["standing"] == "starting" or vitals is None:
        yield f"{name}: {said('starting', '正在启动')}, {found['holder']}", "yellow"
        return
    since = datetime.fromisoformat(vitals["started_at"])
    up = length_words((at - since).total_seconds())
    begun = moment_words(since, at)
    about = f"{found['holder']}, heygemd {vitals['version']}"
    if found["standing"] == "silent":
        silent = length_words(age_s)
        yield (
            said(
                f"daemon: HANGS? it has said nothing for {silent}, {about}",
                f"守护进程：无响应？已 {silent} 没有消息，{about}",
            ),
            "bold red",
        )
        yield (
            said(
                "  see journalctl -u heygemd -n 50, then: sudo systemctl restart heygemd",
                "  请查看 journalctl -u heygemd -n 50，然后：sudo systemctl restart heygemd",
            ),
            "",
        )
    else:
        yield (
            said(f"daemon: running since {begun} ({up}), {about}", f"守护进程：运行中，自 {begun}（{up}），{about}"),
            "green",
        )
    yield from _troubles(vitals)


def _troubles(vitals: Row) -> Iterator[Line]:
    if vitals["paused"]:
        yield f"  {said('paused', '已暂停')}: {vitals['paused']}", "bold red"
        yield from ((f"    {todo}", "") for todo in todo_in(vitals["paused"]))
    if vitals["reload_error"]:
        words = said("the new configuration was refused, the old one holds", "新配置被拒绝，沿用旧配置")
        yield f"  {words}: {vitals['reload_error']}", "bold red"
    if vitals["needs_restart"]:
        words = said("changed, but holds only after a restart", "已修改，重启后生效")
        restart = "sudo systemctl restart heygemd"
        yield f"  {', '.join(vitals['needs_restart'])}: {words}: {restart}", "yellow"


def _last_seen(found: Row, at: datetime) -> str:
    if found["standing"] == "never":
        return said(f" (it has never run with {found['state_dir']})", f"（从未使用过 {found['state_dir']}）")
    if found["vitals"] is None:
        return ""
    seen = datetime.fromisoformat(found["vitals"]["written_at"])
    ago = length_words(found["vitals_age_s"])
    return said(f" (last seen {moment_words(seen, at)}, {ago} ago)", f"（最后在线 {moment_words(seen, at)}，{ago} 前）")


def _how_to_start(found: Row) -> str:
    if any(file.exists() for file in UNIT_FILES):
        why = said("why it ended", "停止原因")
        return f"sudo systemctl start heygemd; {why}: journalctl -u heygemd -n 50"
    config = (found["vitals"] or {}).get("config")
    if config:
        return f"heygemd run --config {config}"
    return " ".join(("heygemd run", *(f"--root {path}" for path in found["roots"])))


def _counts(found: Row, at: datetime) -> Iterator[Line]:
    names = {
        "queued": said("queued", "排队"), "running": said("running", "制作中"), "done": said("done", "完成"),
        "failed": said("failed", "失败"), "cancelled": said("cancelled", "已取消"),
    }  # fmt: skip
    told = ", ".join(f"{number} {names.get(state, state)}" for state, number in found["counts"].items() if number)
    yield f"{said('jobs', '任务')}: {told or said('none', '无')}", ""
    if found["standing"] not in ("running", "silent"):
        return
    vitals = found["vitals"]
    counts = vitals["counts"]
    if counts["films_last_hour"]:
        length = length_words(counts["film_s_last_hour"])
        films = counts["films_last_hour"]
        yield said(f"  last hour: {films} films, {length} of film", f"  最近一小时：{films} 个视频，共 {length}"), ""
    if vitals["queue_ends_at"]:
        ends = datetime.fromisoformat(vitals["queue_ends_at"])
        left = length_words((ends - at).total_seconds())
        yield (
            said(
                f"  the queue ends about {moment_words(ends, at)} (in {left})",
                f"  队列预计 {moment_words(ends, at)} 完成（还需 {left}）",
            ),
            "",
        )


def _devices(found: Row) -> Iterator[Line]:
    if found["standing"] not in ("running", "silent"):
        return
    for one in found["vitals"]["devices"]:
        name = f"{said('device', '设备')} {one['label']} {one['name']}"
        if one["is_lost"]:
            yield f"{name}: {said('LOST', '丢失')}", "bold red"
            continue
        used = one["total_bytes"] - one["free_bytes"]
        memory = said(
            f"{bytes_words(used)} of {bytes_words(one['total_bytes'])} used, ours {bytes_words(one['held_bytes'])}, "
            f"granted {bytes_words(one['granted_bytes'])}",
            f"已用 {bytes_words(used)} / {bytes_words(one['total_bytes'])}，本程序 {bytes_words(one['held_bytes'])}，"
            f"已分配 {bytes_words(one['granted_bytes'])}",
        )
        load = "" if one["utilisation"] is None else f", {one['utilisation'] * 100:.0f} %"
        heat = "" if one["temperature_c"] is None else f", {one['temperature_c']} °C"
        slowed = f", {said('slowed', '降频')}: {', '.join(one['throttle'])}" if one["throttle"] else ""
        busy, most = one["busy_workers"], one["most_workers"]
        workers = said(f", {busy} of {most} workers busy", f"，工作进程 {busy}/{most}")
        yield f"{name}: {memory}{load}{heat}{slowed}{workers}", "bold red" if one["throttle"] else ""


# Films ---------------------------------------------------------------------------------------------------------------


def _show_running(rows: Sequence[Row], console: Console) -> None:
    if rows:
        table = _table(said("in work", "制作中"), said("progress", "进度"), said("job", "任务"))
        for row in rows:
            table.add_row(_film(row), _progress(row), _short(row))
        console.print(table)


def _show_waiting(rows: Sequence[Row], console: Console, at: datetime) -> None:
    if not rows:
        return
    table = _table(said("next", "排队"), said("starts", "开始"), said("waits for", "等待"), said("job", "任务"))
    for row in rows[:JOBS_SHOWN]:
        starts = moment_words(datetime.fromisoformat(row["starts_at"]) if row["starts_at"] else None, at)
        table.add_row(_film(row), starts, _text(row["waits_for"] or said("its turn", "轮到它")), _short(row))
    console.print(table)
    _show_more(rows, JOBS_SHOWN, "heygemd jobs --state queued", console)


def _show_results(rows: Sequence[Row], console: Console, at: datetime) -> None:
    if not rows:
        return
    table = _table(
        said("last results", "最近结果"),
        said("state", "状态"),
        said("at", "时间"),
        said("result", "结果"),
        said("job", "任务"),
    )
    names = {"done": said("done", "完成"), "failed": said("failed", "失败"), "cancelled": said("cancelled", "已取消")}
    styles = {"done": "green", "failed": "bold red", "cancelled": "yellow"}
    for row in rows[:RESULTS_SHOWN]:
        state = Text(names[row["state"]], style=styles[row["state"]])
        table.add_row(
            _film(row), state, moment_words(datetime.fromisoformat(row["ended_at"]), at), _result(row), _short(row)
        )
    console.print(table)


def _show_more(rows: Sequence[Row], shown: int, command: str, console: Console) -> None:
    if rows[shown:]:
        more = len(rows) - shown
        _print(console, said(f"  and {more} more: {command}", f"  另有 {more} 个：{command}"), "dim")


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="bold cyan", pad_edge=False, expand=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _film(row: Row) -> Text:
    return _text("/".join(part for part in (row["folder"], row["name"]) if part))


def _short(row: Row) -> str:
    """Return the random characters of an id: every command takes them for the whole."""
    return str(row["id"]).rpartition("-")[2]


def _text(words: str) -> Text:
    return Text(printable(words))


def _progress(row: Row) -> Text:
    if not row["stage"]:
        return _text(said("no worker has it", "没有工作进程在处理"))
    frames = f" {row['frames_done']}/{row['frames_total']}" if row["frames_total"] else ""
    left_s = row["eta_s"] if row["left_s"] is None else row["left_s"]
    left = "" if left_s is None else said(f", {length_words(left_s)} left", f"，还需 {length_words(left_s)}")
    device = f", {row['device']}" if row["device"] else ""
    return _text(f"{row['stage']}{frames}{left}{device}")


def _result(row: Row) -> Text:
    if row["error_code"]:
        title, todo = advice_of(row["error_code"])
        told = _text(f"{row['error_code']} {title} {' '.join((row['error_message'] or '').split())}".strip())
        return told.append(f"\n→ {todo}", style="dim") if todo else told
    return _text(row["film"] or row["output"] or "")


def _show_needs(rows: Sequence[Row], console: Console) -> None:
    if not rows:
        return
    _print(console, said(f"needs you ({len(rows)})", f"需要您处理（{len(rows)}）"), "bold red")
    for row in rows[:WAITING_SHOWN]:
        _print(console, f"  {row['path']}: {reason_of(row['why'], row['reason'])}")
        fix = fix_of(row["why"])
        if fix:
            _print(console, f"    → {fix}", "dim")
    _show_more(rows, WAITING_SHOWN, "status/index.html", console)
