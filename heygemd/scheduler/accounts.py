"""What is learnt from every task that ends: how long it took, whom it served, what memory it needed."""

from collections.abc import Iterable

import structlog

from heygemd.planning.plan import TaskKind
from heygemd.scheduler.crew import TaskDone, TaskFailed
from heygemd.scheduler.facts import JobFacts, Service, Share, Start
from heygemd.scheduler.rates import Rates
from heygemd.scheduler.shares import charge, settle
from heygemd.scheduler.tally import Tally
from heygemd.scheduler.treasury import Treasury
from heygemd.scheduler.work import Work

log = structlog.get_logger(__name__)


class Accounts:
    """All of it can be lost without harm, but for the memory evidence, which lies in the store."""

    def __init__(self, treasury: Treasury, rates: Rates) -> None:
        self.rates = rates
        self.tally = Tally()
        self.service = Service()
        self._treasury = treasury
        self._charged: dict[tuple[str, str, int | None], tuple[Share, float]] = {}
        """What a task in work was charged at its start, by job, kind and segment."""

    def settle(self, facts: Iterable[JobFacts], at_work: Iterable[Share]) -> None:
        """Note who has work to be done; called before each decision."""
        settle(self.service, {fact.share for fact in facts} | set(at_work))

    def note_start(self, start: Start, facts: JobFacts) -> None:
        """Charge a task at its start with what it will probably take."""
        self._charged[_key(start)] = (facts.share, facts.task_s)
        charge(self.service, facts.share, facts.task_s)
        if not isinstance(start.worker, int):
            self.tally.note_worker_started()

    def note_done(self, done: TaskDone, work: Work) -> None:
        """Learn from a task that ended well."""
        self._correct(done, done.took_s)
        event, task = done.event, done.task
        frames = task.segment.frame_count if task.segment else work.film_frames
        self.tally.note_task(task.kind, event.seconds, frames=frames)
        if task.kind is TaskKind.ANALYSE:
            self.tally.note_cached(event.cached, studied="study" in event.seconds)
            frames = work.order.video_info.frame_count
        # The start of the worker is no part of the rate, and an analysis from the cache is none.
        if not done.was_fresh and "track" not in event.cached:
            engine = work.order.engine.name
            self.rates.note(task.kind, engine, done.device, work.pixels, frames, done.took_s)
        predicted, measured = self._treasury.note_done(done, work.order)
        if predicted and measured:
            self.tally.note_memory(done.device, predicted_bytes=predicted, measured_bytes=measured)
        log.info(
            "task.done",
            job_id=task.job_id,
            task=task.kind,
            segment=task.segment.index if task.segment else None,
            frames_done=work.progress.frames_done,
            frames_total=work.progress.frames_total,
            seconds=event.seconds,
            took_s=round(done.took_s, 3),
            batch_size=task.batch_size,
            peak_bytes=measured or None,
            predicted_bytes=predicted or None,
            cached=list(event.cached),
            device=done.device,
            worker=done.worker,
        )

    def note_failed(self, failed: TaskFailed, work: Work, *, is_shortage: bool) -> None:
        """Learn from a task that did not."""
        self._correct(failed, failed.took_s)
        if is_shortage:
            self.tally.note_shortage(failed.code or "E303")
            self._treasury.note_shortage(failed, work.order)
        self.tally.note_retry()

    def _correct(self, news: TaskDone | TaskFailed, took_s: float) -> None:
        charged = self._charged.pop(_key(news), None)
        if charged is not None:
            share, expected_s = charged
            charge(self.service, share, took_s - expected_s)


def _key(news: Start | TaskDone | TaskFailed) -> tuple[str, str, int | None]:
    task = news.task
    return task.job_id, task.kind.value, task.segment.index if task.segment else None
