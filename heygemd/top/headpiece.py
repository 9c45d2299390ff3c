"""The top of the picture: who runs, since when, what is wrong, what was done, and the devices. Pure."""

from collections.abc import Iterator
from datetime import tzinfo

from rich.text import Text

from heygemd.jobs.states import JobState
from heygemd.language import said
from heygemd.lookout import Glance, Standing
from heygemd.terminal import HOUR_S, Part, bytes_words, clipped, fitted, length_words, meter, moment_words
from heygemd.top.style import BAD, DIM, GOOD, HEAD, WARN, Glyphs
from heygemd.vitals import DeviceVitals, RootVitals, Vitals

HOT_C = 83
"""Graphics cards begin to slow down about here."""
_WIDE_CELLS = 110


def title(glance: Glance, cells: int, zone: tzinfo | None = None) -> Text:
    """Return the first line: program, state, process, and the time."""
    vitals = glance.vitals
    words = {
        Standing.RUNNING: (said("running", "运行中"), GOOD),
        Standing.STARTING: (said("starting", "正在启动"), WARN),
        Standing.SILENT: (said("HANGS?", "无响应？"), BAD),
        Standing.STOPPED: (said("NOT RUNNING", "未运行"), BAD),
        Standing.NEVER: (said("NOT RUNNING", "未运行"), BAD),
    }[glance.standing]
    text = Text(no_wrap=True)
    text.append(f"heygemd {vitals.version if vitals else ''}".strip(), style=HEAD)
    text.append(" ")
    text.append(f" {words[0]} ", style=words[1] + " reverse")
    if vitals is not None and glance.standing in (Standing.RUNNING, Standing.SILENT):
        up = length_words((glance.at - vitals.started_at).total_seconds())
        about = f" {vitals.host} · pid {vitals.pid} · {said('up', '已运行')} {up}"
    else:
        about = f" {glance.holder or glance.state_dir}"
    clock = f"{glance.at.astimezone(zone):%H:%M:%S}"
    text.append(fitted(about, cells - text.cell_len - len(clock) - 1))
    text.append(f" {clock}", style=DIM)
    return text


def numbers(glance: Glance, cells: int, zone: tzinfo | None = None) -> list[Text]:
    """Return what stands and what was done, in one line or two."""
    vitals = glance.vitals
    told = {state: getattr(vitals.counts, state.value) for state in JobState} if vitals else {}
    counts = glance.counts or told

    stands = [
        (said("in work", "制作中"), JobState.RUNNING, "cyan"), (said("waiting", "排队"), JobState.QUEUED, ""),
        (said("done", "完成"), JobState.DONE, GOOD), (said("failed", "失败"), JobState.FAILED, BAD),
        (said("cancelled", "取消"), JobState.CANCELLED, WARN),
    ]  # fmt: skip
    first = Text(no_wrap=True)
    for words, state, style in stands:
        number = counts.get(state, 0)
        first.append(f"{words} ", style=DIM)
        first.append(f"{number}  ", style=f"bold {style}".strip() if number else DIM)
    if vitals is None or glance.standing is Standing.STOPPED:
        return [_cut(first, cells)]
    stuck = sum(root.needs_you for root in vitals.roots)
    if stuck:
        first.append(said(f"{stuck} need you", f"{stuck} 项需要处理"), style=BAD)
    return [_cut(first, cells), Text(clipped(_rates(glance, vitals, zone), cells), no_wrap=True)]


def _rates(glance: Glance, vitals: Vitals, zone: tzinfo | None) -> str:
    counts = vitals.counts
    up_s = max(1.0, min(HOUR_S, (vitals.written_at - vitals.started_at).total_seconds()))
    pace = counts.film_s_last_hour / up_s
    films, length = counts.films_last_hour, length_words(counts.film_s_last_hour)
    parts = [said(
        f"last hour {films} film{'' if films == 1 else 's'}, {length} ({pace:.2f} s/s)",
        f"最近一小时 {films} 个视频，共 {length}（{pace:.2f} 秒/秒）",
    )]  # fmt: skip
    if vitals.queue_ends_at is not None and vitals.queue_ends_at > glance.at:
        left = length_words((vitals.queue_ends_at - glance.at).total_seconds())
        at = moment_words(vitals.queue_ends_at, glance.at, zone)
        parts.append(said(f"queue ends {at} (in {left})", f"队列预计 {at} 完成（还需 {left}）"))
    elif counts.oldest_queued_s:
        oldest = length_words(counts.oldest_queued_s)
        parts.append(said(f"the oldest waits for {oldest}", f"最早的已等待 {oldest}"))
    return " · ".join(parts)


def alarms(glance: Glance) -> Iterator[tuple[str, str]]:
    """Yield what a person must know first, worst first: words and style."""
    vitals, age = glance.vitals, length_words(glance.age_s or 0.0)
    if glance.standing is Standing.SILENT:
        yield (
            said(
                f"the daemon hangs? It has said nothing for {age}. See: journalctl -u heygemd -n 50; "
                "then: systemctl restart heygemd",
                f"守护进程无响应？已 {age} 没有消息。请查看：journalctl -u heygemd -n 50；"
                "然后：systemctl restart heygemd",
            ),
            BAD,
        )
    elif glance.standing is Standing.STOPPED:
        seen = said(f"; below is how it stood {age} ago", f"；以下为 {age} 前的状态") if vitals else ""
        yield (
            said(
                f"no daemon runs: systemctl start heygemd, or heygemd run{seen}",
                f"守护进程未运行：systemctl start heygemd，或 heygemd run{seen}",
            ),
            BAD,
        )
    elif glance.standing is Standing.NEVER:
        yield said(f"no daemon has ever run with {glance.state_dir}", f"从未有守护进程使用过 {glance.state_dir}"), BAD
    elif glance.standing is Standing.STARTING:
        yield said("the daemon holds its lock and has said nothing yet", "守护进程已加锁，尚未报告状态"), WARN
    if glance.trouble:
        yield glance.trouble, BAD
    if vitals is not None and glance.standing in (Standing.RUNNING, Standing.SILENT):
        yield from _told(vitals)


def _told(vitals: Vitals) -> Iterator[tuple[str, str]]:
    if vitals.paused:
        yield f"{said('paused', '已暂停')}: {vitals.paused}", BAD
    for root in vitals.roots:
        if root.state != "online":
            yield f"{clipped(root.path, 40, keep_end=True)} {root_state_words(root)}: {root.reason}", BAD
    if vitals.reload_error:
        yield f"{said('the new configuration was refused', '新配置被拒绝')}: {vitals.reload_error}", BAD
    if vitals.needs_restart:
        words = said("changed, but holds only after a restart", "已修改，重启后生效")
        yield f"{', '.join(vitals.needs_restart)}: {words}", WARN


def root_state_words(root: RootVitals) -> str:
    """Say whether work on a root goes on."""
    words = {
        "online": said("online", "在线"), "offline": said("offline", "离线"), "paused": said("paused", "已暂停"),
    }  # fmt: skip
    return words.get(root.state, root.state)


def device(one: DeviceVitals, cells: int, label_cells: int, glyphs: Glyphs) -> Text:
    """Return one device as a line: a meter of its memory, its load, its heat, its workers."""
    wide = cells >= _WIDE_CELLS
    text = Text(no_wrap=True)
    text.append(fitted(one.label, label_cells), style="cyan")
    if one.is_lost:
        return _cut(text.append(f" {said('LOST', '丢失')}: {clipped(one.name, cells // 2)}", style=BAD), cells)
    used = f"{bytes_words(one.total_bytes - one.free_bytes, short=True)}/{bytes_words(one.total_bytes, short=True)}"
    tail = _device_tail(one, glyphs, wide=wide)
    name = f" {fitted(one.name, 22)}" if wide else ""
    bar_cells = max(6, cells - label_cells - len(name) - len(used) - tail.cell_len - 5)
    text.append(name)
    text.append(" [")
    granted = max(0, one.granted_bytes - one.held_bytes)
    parts = (
        Part(one.held_bytes, glyphs.ours, "green"), Part(one.others_bytes, glyphs.others, "yellow"),
        Part(granted, glyphs.granted, "blue"),
    )  # fmt: skip
    text.append_text(meter(parts, one.total_bytes, bar_cells, rest=glyphs.free))
    text.append("] ")
    text.append(used)
    return _cut(text.append_text(tail), cells)


def _device_tail(one: DeviceVitals, glyphs: Glyphs, *, wide: bool) -> Text:
    text = Text(no_wrap=True)
    if one.utilisation is not None:
        text.append(" ")
        if wide:
            text.append_text(meter((Part(one.utilisation, glyphs.bar, "cyan"),), 1.0, 8, rest=glyphs.free))
        text.append(f"{min(one.utilisation, 1.0) * 100:4.0f}%")
    if one.temperature_c is not None:
        text.append(f" {one.temperature_c}°C", style=BAD if one.temperature_c >= HOT_C else "")
    if one.throttle:
        text.append(f" {said('slowed', '降频')}: {clipped(', '.join(one.throttle), 24)}", style=BAD)
    workers = said("workers", "工作进程") if wide else said("w", "进程")
    return text.append(f" {workers} {one.busy_workers}/{one.most_workers}")


def root_line(root: RootVitals, cells: int) -> Text:
    """Return one root: is it there, what waits in it."""
    text = Text(no_wrap=True)
    style = GOOD if root.state == "online" else BAD
    text.append(clipped(root.path, max(12, cells // 2), keep_end=True), style="cyan")
    text.append(f" {root_state_words(root)}", style=style)
    if root.waiting_files:
        text.append(said(f" · {root.waiting_files} in the inbox", f" · inbox 中 {root.waiting_files} 个"))
    if root.batches:
        text.append(said(f" · {root.batches} manifests", f" · {root.batches} 个清单"))
    if root.needs_you:
        text.append(said(f" · {root.needs_you} need you", f" · {root.needs_you} 项需要处理"), style=BAD)
    if root.watcher == "dead":
        text.append(said(" · watcher dead, looks on schedule", " · 监视失效，定时扫描"), style=WARN)
    if root.reason and root.state != "online":
        text.append(f" · {clipped(root.reason, cells)}", style=BAD)
    return _cut(text, cells)


def _cut(text: Text, cells: int) -> Text:
    text.truncate(max(0, cells), overflow="ellipsis")
    return text
