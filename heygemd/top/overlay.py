"""What lies over the lists when it is asked for: everything about one film, and the keys. Pure."""

from collections.abc import Iterator

from rich.text import Text

from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.language import advice_of, said
from heygemd.lookout import Glance
from heygemd.terminal import bytes_words, fitted, length_words, moment_words, wrapped
from heygemd.top.films import stage_words, state_words
from heygemd.top.observer import Details
from heygemd.top.style import BAD, DIM, GOOD, HEAD, HEADING, WARN
from heygemd.top.tables import Look

_LABEL_CELLS = 14
_STATE_STYLES = {JobState.DONE: GOOD, JobState.FAILED: BAD, JobState.CANCELLED: WARN, JobState.RUNNING: "cyan"}


def details_lines(details: Details, glance: Glance, look: Look) -> list[Text]:
    """Return all about one film, line by line."""
    job = details.job
    lines = [Text(fitted(f" {job.name}", look.cells), style=HEADING)]
    for label, words, style in _facts(details, glance, look):
        if words:
            first, *more = wrapped(words, look.cells - _LABEL_CELLS, 4)
            line = Text(fitted(label, _LABEL_CELLS), style=DIM, no_wrap=True)
            lines.append(line.append(first, style=style or "default"))
            lines += [Text(" " * _LABEL_CELLS + rest, style=style) for rest in more]
    lines.append(Text(fitted(f" {said('HISTORY', '经过')}", look.cells), style=HEADING))
    for event in details.events:
        line = Text(f"{event.at.astimezone(look.zone):%m-%d %H:%M:%S}  ", style=DIM, no_wrap=True)
        line.append(fitted(state_words(event.state), 10), style=_STATE_STYLES.get(event.state, "default"))
        why = f"{event.error_code} {event.error_message or ''}" if event.error_code else ""
        first, *more = wrapped(why, look.cells - line.cell_len, 3) or [""]
        indent = " " * line.cell_len
        lines.append(line.append(first, style="default"))
        lines += [Text(indent + rest) for rest in more]
    return lines


def _facts(details: Details, glance: Glance, look: Look) -> Iterator[tuple[str, str, str]]:
    job = details.job
    yield said("job", "任务"), job.id, ""
    yield said("state", "状态"), state_words(job.state), _STATE_STYLES.get(job.state, "")
    running = next((one for one in (glance.vitals.jobs if glance.vitals else ()) if one.job == job.id), None)
    if running is not None:
        frames = f"{running.frames_done}/{running.frames_total}"
        left = "" if running.left_s is None else said(
            f", {length_words(running.left_s)} left", f"，还需 {length_words(running.left_s)}"
        )  # fmt: skip
        yield said("progress", "进度"), f"{stage_words(running.stage)} {frames}{left}, {running.device}", "cyan"
    yield from _outcome(job, glance)
    folder = "/".join(part for part in (str(details.root or ""), "inbox", job.folder) if part)
    yield said("folder", "文件夹"), folder, ""
    for file, label in ((job.video, said("picture", "画面")), (job.audio, said("sound", "声音"))):
        if file is not None:
            yield label, f"{file.name} ({bytes_words(file.size_bytes)})", ""
    yield said("film", "视频"), _media(job), ""
    options = job.options
    yield said("options", "选项"), f"{options.engine}, {options.length}, crf {options.crf}, {options.preset}", ""
    place = f"{said('priority', '优先级')} {job.priority}, {said('attempts', '尝试次数')} {job.attempts}"
    row = f", {said('manifest row', '清单行')} {job.row.number}" if job.row else ""
    yield said("queue", "队列"), f"{moment_words(job.queued_at, look.now, look.zone)}, {place}{row}", ""
    if job.duplicate_of:
        yield said("same as", "与此相同"), job.duplicate_of, ""


def _outcome(job: Job, glance: Glance) -> Iterator[tuple[str, str, str]]:
    """Yield what came of it, where that lies, and what to do."""
    results = {one.job: one for root in glance.roots if root.told for one in root.told.results}
    told = results.get(job.id)
    if job.error_code:
        title, todo = advice_of(job.error_code)
        yield said("why", "原因"), f"{job.error_code} {title} {job.error_message or ''}", BAD
        yield said("to do", "处理办法"), todo, ""
    if told is not None and told.reason_file:
        yield said("more in", "详见"), told.reason_file, ""
    if job.published_name:
        yield said("result", "结果"), (told.film if told is not None and told.film else job.published_name), GOOD
    expected = glance.queued.get(job.id)
    if expected is not None and expected.waits_for:
        yield said("waits for", "等待"), expected.waits_for, WARN


def _media(job: Job) -> str:
    if job.media is None:
        return ""
    video, film_s = job.media.video, job.film_s
    length = "" if film_s is None else f", {length_words(film_s)}"
    return f"{video.width_px} x {video.height_px}, {float(video.fps):g} fps{length}"


def help_lines(look: Look) -> list[Text]:
    """Return what the keys and the colours mean."""
    glyphs = look.glyphs
    keys = (
        ("q  F10  Ctrl-C", said("quit", "退出")),
        (f"{glyphs.up_down}  j k  PgUp PgDn  g G", said("select a film", "选择视频")),
        (f"{glyphs.enter}", said("all about the selected film, with its history", "所选视频的全部信息与经过")),
        ("Tab  1 2 3", said("films, workers, failures", "视频、工作进程、失败")),
        ("s  F6", said("sort: as they start, name, folder, length", "排序：开始顺序、名称、文件夹、时长")),
        ("/  f  F4", said("filter by name, folder or code; Esc ends it", "按名称、文件夹或代码筛选；Esc 取消")),
        ("c  F9", said("cancel the selected film (asks first)", "取消所选视频（会先询问）")),
        ("r", said("try a failed or cancelled film again (asks first)", "重试失败或已取消的视频（会先询问）")),
        (said("Space", "空格"), said("freeze the picture, and go on", "定格画面，再按继续")),
    )
    lines = [Text(fitted(f" {said('KEYS', '按键')}", look.cells), style=HEADING)]
    for key, words in keys:
        lines.append(Text(fitted(key, 26), style=HEAD, no_wrap=True).append(words, style="default"))
    lines.append(Text(fitted(f" {said('MEMORY OF A DEVICE', '设备内存')}", look.cells), style=HEADING))
    for glyph, style, words in (
        (glyphs.ours, "green", said("held by our workers", "本程序已占用")),
        (glyphs.others, "yellow", said("held by others", "其他程序占用")),
        (glyphs.granted, "blue", said("granted to our workers, not used yet", "已分配给工作进程，尚未使用")),
        (glyphs.free, DIM, said("free", "空闲")),
    ):
        lines.append(Text(glyph * 4, style=style, no_wrap=True).append(f"  {words}", style="default"))
    return lines
