"""What stands in the columns of each list. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Generic, TypeVar

from heygemd.jobs.states import JobState
from heygemd.language import said
from heygemd.terminal import Part, bytes_words, meter, moment_words, stopwatch
from heygemd.top.films import Film, stage_words, state_words, title_of
from heygemd.top.grid import Cell, Column, Frame, frame_of
from heygemd.top.style import BAD, DIM, GOOD, HEADING, OTHER_HEADING, WARN, Glyphs
from heygemd.vitals import WorkerVitals

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What every list needs to know."""

    cells: int
    now: datetime
    glyphs: Glyphs
    selected: int
    """Number of the selected row, counted through all lists of the tab; -1: none."""
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """Columns, and how a row fills them."""

    frame: Frame
    cells: Callable[[Row], list[Cell]]
    nothing: str
    """Said when there is no row."""
    heading: str = OTHER_HEADING
    """Style of the titles."""


def _name(film: Film) -> str:
    return f"{film.folder}/{film.name}" if film.folder else film.name


def running_table(title: str, look: Look) -> Table[Film]:
    """Films in work: how far, how fast, how long still."""
    bar_title = said("FRAMES", "帧")
    frame = frame_of(
        (
            Column(title=title, cells=14, weight=3, keep_end=True),
            Column(title=said("STAGE", "阶段"), cells=9),
            Column(title=bar_title, cells=10, weight=2),
            Column(title="", cells=12, right=True, from_cells=78),
            Column(title=said("FPS", "帧率"), cells=5, right=True),
            Column(title=said("LEFT", "剩余"), cells=7, right=True),
            Column(title=said("LENGTH", "时长"), cells=7, right=True, from_cells=100),
            Column(title=said("ON", "设备"), cells=7, from_cells=74),
            Column(title=said("TRY", "次数"), cells=4, right=True, from_cells=110),
        ),
        look.cells,
    )  # fmt: skip
    width = frame.width_of(bar_title)

    def cells(film: Film) -> list[Cell]:
        bar = meter(
            (Part(film.frames_done, look.glyphs.bar, "green"),), film.frames_total, width, rest=look.glyphs.free
        )
        frames = f"{film.frames_done}/{film.frames_total}" if film.frames_total else "-"
        stage = stage_words(film.stage) if film.stage else said("stopped", "已中断")
        fps = "-" if film.fps is None else f"{film.fps:.1f}" if film.fps < 100 else f"{film.fps:.0f}"  # noqa: PLR2004
        return [
            Cell(_name(film)), Cell(stage, "cyan" if film.stage else WARN), Cell(drawing=bar), Cell(frames), Cell(fps),
            Cell(stopwatch(film.left_s)), Cell(stopwatch(film.film_s)), Cell(film.device or "-"),
            Cell(str(film.attempts), WARN if film.attempts > 1 else ""),
        ]  # fmt: skip

    return Table(frame, cells, said("nothing is being made", "没有正在制作的视频"), HEADING)


def waiting_table(title: str, look: Look) -> Table[Film]:
    """Films that wait: for how long, until when, for what."""
    frame = frame_of(
        (
            Column(title=title, cells=14, weight=3, keep_end=True),
            Column(title=said("PRIO", "优先级"), cells=6, right=True),
            Column(title=said("LENGTH", "时长"), cells=7, right=True),
            Column(title=said("WAITED", "已等待"), cells=7, right=True, from_cells=90),
            Column(title=said("STARTS", "开始"), cells=11, right=True),
            Column(title=said("WAITS FOR", "等待原因"), cells=10, weight=2),
        ),
        look.cells,
    )  # fmt: skip

    def cells(film: Film) -> list[Cell]:
        waited = None if film.queued_at is None else (look.now - film.queued_at).total_seconds()
        starts = moment_words(film.starts_at, look.now, look.zone)
        style = "bold yellow" if film.priority > 0 else DIM if film.priority < 0 else ""
        why = film.waits_for or said("its turn", "轮到它")
        return [
            Cell(_name(film)), Cell(f"{film.priority:+d}" if film.priority else "0", style),
            Cell(stopwatch(film.film_s)), Cell(stopwatch(waited)), Cell(starts),
            Cell(why, WARN if film.waits_for else DIM),
        ]  # fmt: skip

    return Table(frame, cells, said("nothing waits", "没有排队的视频"))


_STATE_STYLE = {JobState.DONE: GOOD, JobState.FAILED: BAD, JobState.CANCELLED: WARN}


def ended_table(title: str, look: Look) -> Table[Film]:
    """Films that have ended: when, how, what came of it."""
    frame = frame_of(
        (
            Column(title=title, cells=14, weight=3, keep_end=True),
            Column(title=said("STATE", "状态"), cells=9),
            Column(title=said("AT", "时间"), cells=11, right=True),
            Column(title=said("LENGTH", "时长"), cells=7, right=True, from_cells=90),
            Column(title=said("RESULT", "结果"), cells=12, weight=4),
        ),
        look.cells,
    )  # fmt: skip

    def cells(film: Film) -> list[Cell]:
        if film.state is JobState.FAILED:
            result = Cell(f"{film.code} {title_of(film.code) or film.message}".strip(), BAD)
        elif film.is_copy:
            result = Cell(f"{film.output} ({said('copy of an earlier film', '与先前的视频相同')})")
        else:
            result = Cell(film.output)
        return [
            Cell(_name(film)), Cell(state_words(film.state), _STATE_STYLE.get(film.state, "")),
            Cell(moment_words(film.ended_at, look.now, look.zone)), Cell(stopwatch(film.film_s)), result,
        ]  # fmt: skip

    return Table(frame, cells, said("nothing has ended yet", "暂无结果"))


def failed_table(title: str, look: Look) -> Table[Film]:
    """Failed films: when, and why."""
    frame = frame_of(
        (
            Column(title=title, cells=14, weight=3, keep_end=True),
            Column(title=said("AT", "时间"), cells=11, right=True),
            Column(title=said("CODE", "代码"), cells=4),
            Column(title=said("TRY", "次数"), cells=4, right=True, from_cells=90),
            Column(title=said("WHY", "原因"), cells=12, weight=5),
        ),
        look.cells,
    )  # fmt: skip

    def cells(film: Film) -> list[Cell]:
        return [
            Cell(_name(film)), Cell(moment_words(film.ended_at, look.now, look.zone)), Cell(film.code, BAD),
            Cell(str(film.attempts)), Cell(f"{title_of(film.code)} {film.message}".strip()),
        ]  # fmt: skip

    return Table(frame, cells, said("nothing has failed", "没有失败的视频"), HEADING)


def worker_table(look: Look, names: dict[str, str]) -> Table[WorkerVitals]:
    """Workers: where, at what, how far, and what they hold."""
    bar_title = said("FRAMES", "帧")
    frame = frame_of(
        (
            Column(title=said("PID", "进程号"), cells=7, right=True),
            Column(title=said("ON", "设备"), cells=7),
            Column(title=said("ENGINE", "引擎"), cells=11, from_cells=70),
            Column(title=said("STATE", "状态"), cells=8),
            Column(title=said("FILM", "视频"), cells=12, weight=3, keep_end=True),
            Column(title=said("TASK", "任务"), cells=10),
            Column(title=bar_title, cells=8, weight=2, from_cells=90),
            Column(title="%", cells=4, right=True),
            Column(title=said("FPS", "帧率"), cells=5, right=True, from_cells=84),
            Column(title=said("TIME", "用时"), cells=7, right=True),
            Column(title=said("GRANTED", "已分配"), cells=7, right=True, from_cells=110),
            Column(title=said("MEM", "内存"), cells=6, right=True),
            Column(title=said("TASKS", "任务数"), cells=6, right=True, from_cells=120),
        ),
        look.cells,
    )  # fmt: skip
    width = frame.width_of(bar_title)
    words = {
        "busy": (said("busy", "工作"), GOOD), "idle": (said("idle", "空闲"), DIM),
        "starting": (said("starts", "启动"), WARN), "leaving": (said("leaves", "退出"), WARN),
    }  # fmt: skip

    def cells(one: WorkerVitals) -> list[Cell]:
        state, style = words.get(one.state, (one.state, ""))
        share = f"{min(100, 100 * one.frames_done // one.frames_total)}" if one.frames_total > 0 else "-"
        fps = f"{one.frames_done / one.task_s:.1f}" if one.task_s > 0 and one.frames_done else "-"
        bar = meter((Part(one.frames_done, look.glyphs.bar, "green"),), one.frames_total, width, rest=look.glyphs.free)
        part = "" if one.segment is None else f" {one.segment + 1}"
        return [
            Cell("-" if one.pid is None else str(one.pid)), Cell(one.device), Cell(one.engine), Cell(state, style),
            Cell(names.get(one.job, one.job)), Cell(stage_words(one.task) + part, "cyan"), Cell(drawing=bar),
            Cell(share), Cell(fps), Cell(stopwatch(one.task_s) if one.task else "-"),
            Cell(bytes_words(one.granted_bytes, short=True)),
            Cell(bytes_words(one.rss_bytes, short=True) if one.rss_bytes else "-"), Cell(str(one.tasks_taken)),
        ]  # fmt: skip

    return Table(frame, cells, said("no worker runs", "没有运行中的工作进程"), HEADING)
