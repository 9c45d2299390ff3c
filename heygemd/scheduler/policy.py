"""What to do next. Pure: values in, decisions out, for the scheduler to carry out; about failures decides `verdict`.

    jobs in turn ─▶ for each task a place:  idle worker of its engine ▸ new worker where it fits ▸ make room ▸ wait

A device's memory is a budget; every worker on it has a claim, the most it holds or may come to hold, from its start
until it is gone. A task is placed only where the claims fit into the budget, with a smaller batch rather than not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from heygemd.planning.plan import Task, TaskKind
from heygemd.scheduler.facts import (
    Decision,
    DeviceFacts,
    Dismiss,
    FitOf,
    GiveUp,
    JobFacts,
    Rules,
    Service,
    Start,
    Wait,
    WorkerFacts,
)
from heygemd.scheduler.floor import Floor, Place
from heygemd.scheduler.shares import Line

REUSE_GRACE_S = 30.0
"""A worker is not replaced by one of another engine, nor a device emptied for a job that needs more of it, while it can
serve jobs that come at most so much later. Loading a model takes 2-10 s."""
BUSY, REUSED, SHORT = "every worker is busy", "a worker of another engine is being replaced", "memory is short"
SAME_FACE, RESTING = "its picture is being analysed for another job", "resting after a failure"


def assign(  # noqa: PLR0917  # everything the decision depends on, and nothing else
    jobs: Sequence[JobFacts],
    workers: Sequence[WorkerFacts],
    devices: Sequence[DeviceFacts],
    fit_of: FitOf,
    service: Service,
    now_s: float,
    rules: Rules,
) -> tuple[Decision, ...]:
    """Hand out free workers and free memory; jobs that are not begun begin when they get their first task."""
    floor = Floor(workers, devices, fit_of)
    decisions: list[Decision] = list(floor.send_away(rules.keep_warm_s))
    ready: list[JobFacts] = []
    for job in jobs:
        if not job.todo:
            continue
        if job.rest_until_s > now_s:
            decisions.append(Wait(job_id=job.job_id, reason=RESTING))
        elif not job.is_begun and job.attempts >= rules.max_attempts:
            message = f"it was started {job.attempts} times and never came to an end"
            decisions.append(GiveUp(job_id=job.job_id, code="E501", message=message))
        else:
            ready.append(job)
    decisions += _Round(jobs, ready, floor, service, workers).decide()
    return tuple(decisions)


class _Round:
    """One pass over the jobs that are ready."""

    def __init__(
        self,
        jobs: Sequence[JobFacts],
        ready: Sequence[JobFacts],
        floor: Floor,
        service: Service,
        workers: Sequence[WorkerFacts],
    ) -> None:
        self._ready, self._floor = ready, floor
        self._line = Line(ready, service)
        self._given: dict[str, int] = {}
        """Tasks handed out in this pass, by job."""
        self._gone: set[str] = set()
        """Jobs that get nothing more in this pass."""
        analysing = {worker.job_id for worker in workers if worker.task is TaskKind.ANALYSE}
        self._faces = {job.face_key for job in jobs if job.face_key and job.job_id in analysing}
        self._is_ahead = bool(analysing) or any(job.is_prepared for job in ready)
        """Another film than those being rendered is looked at, or could be rendered at once."""
        self._renders = any(worker.task is TaskKind.RENDER for worker in workers)

    def decide(self) -> Iterator[Decision]:
        while (job := self._next()) is not None:
            task = self._task_of(job)
            if self._waits_for_a_face(job, task):
                yield Wait(job_id=job.job_id, reason=SAME_FACE)
                self._leave(job)
                continue
            place = self._floor.place(job)
            if place is not None:
                yield self._give(job, task, place)
            elif job is not self._line.next():
                continue  # it was only looked at ahead of its turn
            elif (spared := self._spare_a_worker(job)) is not None:
                yield spared  # and the job comes again: another idle worker may be in its way
            else:
                yield from self._make_room(job)
                self._leave(job)

    def _task_of(self, job: JobFacts) -> Task:
        return job.todo[self._given.get(job.job_id, 0)]

    def _waits_for_a_face(self, job: JobFacts, task: Task) -> bool:
        return task.kind is TaskKind.ANALYSE and job.face_key in self._faces

    def _give(self, job: JobFacts, task: Task, place: Place) -> Start:
        self._note(job, task.kind, place)
        given = replace(task, device=place.device, batch_size=place.batch)
        return Start(task=given, worker=place.worker, claim_bytes=place.claim_bytes)

    def _next(self) -> JobFacts | None:
        """Return whose turn it is; once a round, while films are rendered, the next film is looked at instead."""
        if not self._is_ahead and self._renders and self._floor.places > 1:
            self._is_ahead = True
            if (job := self._best_to_analyse()) is not None:
                return job
        return self._line.next()

    def _best_to_analyse(self) -> JobFacts | None:
        """Return the first job in turn that is not begun: the pipeline must not drain when the present film ends."""
        seen = self._given.keys() | self._gone
        waiting = [job for job in self._ready if job.todo[0].kind is TaskKind.ANALYSE and job.job_id not in seen]
        return self._line.first_of(waiting)

    def _note(self, job: JobFacts, kind: TaskKind, place: Place) -> None:
        self._floor.take(place, job)
        self._line.served(job)
        self._given[job.job_id] = given = self._given.get(job.job_id, 0) + 1
        if kind is TaskKind.ANALYSE:
            self._is_ahead = True
            if job.face_key:
                self._faces.add(job.face_key)
        elif kind is TaskKind.RENDER:
            self._renders = True
        if given == len(job.todo):
            self._leave(job)

    def _leave(self, job: JobFacts) -> None:
        self._gone.add(job.job_id)
        self._line.leave(job)

    def _make_room(self, job: JobFacts) -> Iterator[Decision]:
        """Let idle workers go for a job that found no place, and keep that place for it."""
        if not self._floor.could_ever_hold(job):
            yield Wait(job_id=job.job_id, reason=SHORT, code=self._floor.shortage_code(job))
            return
        gone = self._floor.book(job)
        for worker in gone:
            yield Dismiss(worker=worker, reason="its place is needed")
        yield Wait(job_id=job.job_id, reason=REUSED if gone else BUSY)

    def _spare_a_worker(self, job: JobFacts) -> Start | None:
        """Give an idle worker that would be replaced for the job to one of its own engine that comes little later.

        At once, so that nobody who comes later still takes what was spared.
        """
        if not self._floor.has_idle_of_others(job) or not self._floor.could_ever_hold(job):
            return None
        for other in self._line.soon_after(job, REUSE_GRACE_S):
            task = self._task_of(other)
            if other.engine != job.engine and not self._waits_for_a_face(other, task):
                place = self._floor.warm(other)
                if place is not None:
                    return self._give(other, task, place)
        return None
