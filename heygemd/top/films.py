"""The films of a glance as rows: which of them are shown, in which order, and what each says. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.language import advice_of, said
from heygemd.lookout import Ended, Glance, Standing
from heygemd.outbox.status import QueuedJob
from heygemd.top.screen import Order, Screen, Selectable, Tab
from heygemd.vitals import JobVitals, WorkerVitals


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One row."""

    job: str
    name: str
    folder: str
    state: JobState
    stage: str = ""
    frames_done: int = 0
    frames_total: int = 0
    fps: float | None = None
    left_s: float | None = None
    device: str = ""
    attempts: int = 0
    film_s: float | None = None
    priority: int = 0
    queued_at: datetime | None = None
    starts_at: datetime | None = None
    waits_for: str = ""
    ended_at: datetime | None = None
    output: str = ""
    code: str = ""
    message: str = ""
    is_copy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What the person has chosen to see of a glance."""

    running: tuple[Film, ...] = ()
    waiting: tuple[Film, ...] = ()
    waiting_count: int = 0
    """Of all that wait; only the first of them are listed."""
    ended: tuple[Film, ...] = ()
    workers: tuple[WorkerVitals, ...] = ()
    names: dict[str, str]
    """Names of films by job id, for the workers."""

    def selectable(self, tab: Tab) -> list[Selectable]:
        """Return the rows of a tab from top to bottom."""
        if tab is Tab.WORKERS:
            running = {film.job: film.state for film in self.running}
            rows = [(one.job, self.names.get(one.job, one.job), running.get(one.job)) for one in self.workers]
            return [Selectable(job=job, name=name, state=state) for job, name, state in rows]
        films = self.ended if tab is Tab.FAILURES else (*self.running, *self.waiting, *self.ended)
        return [Selectable(job=film.job, name=film.name, state=film.state) for film in films]


def lists_of(glance: Glance, screen: Screen) -> Lists:
    """Return what is shown: of the tab, with the filter, in the order."""
    vitals, expected = glance.vitals, glance.queued
    now_running = glance.standing in (Standing.RUNNING, Standing.SILENT) and vitals is not None
    over = {one.job.id for one in glance.ended}
    if vitals is not None and now_running:
        running = [_running(job) for job in vitals.jobs if job.job not in over]  # the store is read later
    else:
        running = [_interrupted(job) for job in glance.running]
    at_work = {film.job for film in running}
    waiting = [_waiting(job, expected.get(job.id)) for job in glance.queue if job.id not in at_work]
    ended = [_ended(one) for one in glance.ended]
    if screen.tab is Tab.FAILURES:
        ended = [film for film in ended if film.state is JobState.FAILED]
    workers = tuple(vitals.workers) if vitals is not None and now_running else ()
    wanted = screen.filter.casefold()
    return Lists(
        running=tuple(_sorted(_fitting(running, wanted), screen.order)),
        waiting=tuple(_sorted(_fitting(waiting, wanted), screen.order)),
        waiting_count=_count_waiting(glance) if not wanted else 0,
        ended=tuple(_fitting(ended, wanted)),
        workers=tuple(sorted(workers, key=lambda one: (one.device, one.pid or 0))),
        names={film.job: film.name for film in running},
    )


def stage_words(stage: str) -> str:
    """Say what a running film is at."""
    words = {
        "analyse": said("analyse", "分析"), "render": said("render", "生成"), "finish": said("join", "合成"),
        "publish": said("hand over", "交付"),
    }  # fmt: skip
    return words.get(stage, stage)


def state_words(state: JobState) -> str:
    """Say how a film has ended, or that it has not."""
    return {
        JobState.QUEUED: said("queued", "排队"), JobState.RUNNING: said("running", "制作中"),
        JobState.DONE: said("done", "完成"), JobState.FAILED: said("failed", "失败"),
        JobState.CANCELLED: said("cancelled", "已取消"),
    }[state]  # fmt: skip


def title_of(code: str) -> str:
    """Say what a code means; nothing when it is none of ours."""
    return advice_of(code)[0]


def _count_waiting(glance: Glance) -> int:
    told = glance.vitals.counts.queued if glance.vitals is not None else 0
    return glance.counts.get(JobState.QUEUED, told)


def _running(job: JobVitals) -> Film:
    return Film(
        job=job.job, name=job.name, folder=job.folder, state=JobState.RUNNING, stage=job.stage,
        frames_done=job.frames_done, frames_total=job.frames_total, fps=job.fps,
        left_s=job.eta_s if job.left_s is None else job.left_s, device=job.device, attempts=job.attempts,
        film_s=job.film_s,
    )  # fmt: skip


def _interrupted(job: Job) -> Film:
    """A film that the store calls running though nobody says how far it is."""
    return Film(
        job=job.id, name=job.name, folder=job.folder, state=JobState.RUNNING, attempts=job.attempts, film_s=job.film_s
    )  # fmt: skip


def _waiting(job: Job, told: QueuedJob | None) -> Film:
    return Film(
        job=job.id, name=job.name, folder=job.folder, state=JobState.QUEUED, attempts=job.attempts,
        film_s=job.film_s, priority=job.priority, queued_at=job.queued_at,
        starts_at=told.starts_at if told is not None else None,
        waits_for=(told.waits_for or "") if told is not None else "",
    )  # fmt: skip


def _ended(one: Ended) -> Film:
    job = one.job
    return Film(
        job=job.id, name=job.name, folder=job.folder, state=job.state, attempts=job.attempts, film_s=job.film_s,
        ended_at=one.at, output=job.published_name or "", code=job.error_code or "", message=job.error_message or "",
        is_copy=job.duplicate_of is not None,
    )  # fmt: skip


def _fitting(films: Iterable[Film], wanted: str) -> list[Film]:
    """Keep the films whose name, folder, code or id holds the filter's words."""
    return [
        film for film in films
        if not wanted or any(wanted in text.casefold() for text in (film.name, film.folder, film.code, film.job))
    ]  # fmt: skip


def _sorted(films: Sequence[Film], order: Order) -> list[Film]:
    if order is Order.NAME:
        return sorted(films, key=lambda film: (film.name.casefold(), film.job))
    if order is Order.FOLDER:
        return sorted(films, key=lambda film: (film.folder.casefold(), film.name.casefold()))
    if order is Order.LENGTH:
        return sorted(films, key=lambda film: -(film.film_s or 0.0))
    return list(films)
