"""Policy: who gets which worker, and what a failure means."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.scheduler.policy import (
    REST_LONGEST_S,
    Dismiss,
    Failure,
    GiveUp,
    JobFacts,
    NewWorker,
    Patience,
    Retry,
    Start,
    Wait,
    WorkerFacts,
    assign,
    is_strike,
    judge,
    rest_s,
)

ATLAS = EngineChoice(name=EngineName.ATLAS)
WAV2LIP = EngineChoice(name=EngineName.WAV2LIP, weights=Path("/w.pth"), weights_sha256="a")
PATIENCE = Patience(max_attempts=5, max_strikes=2)


def task(job_id: str, index: int = 0) -> Task:
    return Task(job_id=job_id, kind=TaskKind.RENDER, order_path=Path("/p"), segment=Segment(index, index, index + 1))


def job(job_id: str = "a", tasks: int = 1, age: int = 0, **changes: object) -> JobFacts:
    facts = JobFacts(
        job_id=job_id,
        is_begun=False,
        turn=float(-age),
        attempts=0,
        rest_until_s=0.0,
        engine=ATLAS,
        todo=tuple(task(job_id, index) for index in range(tasks)),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def worker(number: int = 1, engine: EngineChoice = ATLAS, device: str = "cpu", is_free: bool = True) -> WorkerFacts:
    return WorkerFacts(worker=number, engine=engine, device=device, is_free=is_free)


def decide(jobs: list[JobFacts], workers: list[WorkerFacts], devices: tuple[str, ...] = ("cpu",)) -> list[object]:
    return list(assign(jobs, workers, devices, 100.0, PATIENCE))


def test_the_first_job_gets_a_new_worker_on_the_vacant_device() -> None:
    expected = Start(task=replace(task("a"), device="cuda:0"), worker=NewWorker(engine=ATLAS, device="cuda:0"))
    assert decide([job()], [], ("cuda:0",)) == [expected]


def test_a_warm_worker_is_preferred_to_a_vacant_device() -> None:
    (start,) = decide([job()], [worker(7, device="cuda:1")], ("cuda:0", "cuda:1"))
    assert start == Start(task=replace(task("a"), device="cuda:1"), worker=7)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (job("x", turn=-0.5), job("a", turn=0.0)),
        (job("a"), job("x")),
        (job("x", is_begun=True), job("a", turn=-9e9)),
        (job("x", is_begun=True, turn=1.0), job("a", is_begun=True, turn=1.5)),
    ],
    ids=["smaller turn", "smaller id", "begun before not begun", "smaller turn of two begun"],
)
def test_jobs_are_served_in_order(first: JobFacts, second: JobFacts) -> None:
    start, wait = decide([second, first], [worker()])
    assert isinstance(start, Start)
    assert start.task.job_id == first.job_id
    assert wait == Wait(job_id=second.job_id, reason="every worker is busy")


def test_one_job_uses_every_device() -> None:
    starts = decide([job(tasks=5)], [], ("cuda:0", "cuda:1"))
    assert [(s.task.segment.index, s.task.device) for s in starts[:2]] == [(0, "cuda:0"), (1, "cuda:1")]  # type: ignore[attr-defined]
    assert isinstance(starts[2], Wait)


def test_the_next_job_may_begin_on_a_device_the_first_leaves_free() -> None:
    starts = decide([job("a", age=9), job("b")], [], ("cuda:0", "cuda:1"))
    assert [start.task.job_id for start in starts] == ["a", "b"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("other", [WAV2LIP, replace(WAV2LIP, weights_sha256="b")])
def test_an_idle_worker_with_another_engine_is_replaced(other: EngineChoice) -> None:
    mine = replace(WAV2LIP, weights_sha256="c")
    decisions = decide([job(engine=mine)], [worker(3, other)])
    assert decisions == [Dismiss(worker=3), Wait(job_id="a", reason="a worker of another engine is being replaced")]


def test_a_busy_worker_with_another_engine_is_waited_for() -> None:
    assert decide([job()], [worker(3, WAV2LIP, is_free=False)]) == [Wait(job_id="a", reason="every worker is busy")]


def test_an_idle_worker_that_nobody_wants_stays_warm() -> None:
    assert decide([], [worker(3, WAV2LIP)]) == []


def test_a_resting_job_lets_others_pass_and_takes_no_worker() -> None:
    wait, start = decide([job("a", age=9, rest_until_s=100.5), job("b")], [worker()])
    assert wait == Wait(job_id="a", reason="resting after a failure")
    assert isinstance(start, Start)
    assert start.task.job_id == "b"


def test_a_job_started_too_often_is_given_up_and_the_next_goes_on() -> None:
    give_up, start = decide([job("a", age=9, attempts=5), job("b", attempts=4)], [worker()])
    assert isinstance(give_up, GiveUp)
    assert (give_up.job_id, give_up.code) == ("a", "E501")
    assert isinstance(start, Start)


def test_the_last_attempt_is_carried_through() -> None:
    (start,) = decide([job(attempts=5, is_begun=True)], [worker()])
    assert isinstance(start, Start)


def failure(code: str | None, **changes: object) -> Failure:
    facts = Failure(job_id="a", code=code, message="why", traceback="trace", batch_size=16, attempts=1, strikes=1)
    return replace(facts, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["E101", "E131", "E402", "E405"])
def test_bad_inputs_and_bad_setups_end_the_job_at_once(code: str) -> None:
    assert judge(failure(code), PATIENCE) == GiveUp(job_id="a", code=code, message="why")


def test_short_memory_halves_the_batch_then_changes_the_worker_then_rests() -> None:
    sizes, verdict = [], judge(failure("E301", batch_size=16), PATIENCE)
    while isinstance(verdict, Retry) and verdict.batch_size > 1:
        assert (verdict.delay_s, verdict.needs_fresh_worker) == (0.0, False)
        sizes.append(verdict.batch_size)
        verdict = judge(failure("E301", batch_size=verdict.batch_size), PATIENCE)
    assert sizes == [8, 4, 2]
    again = judge(failure("E301", batch_size=1), PATIENCE)
    assert again == Retry(job_id="a", delay_s=0.0, batch_size=1, needs_fresh_worker=True)
    rest = judge(failure("E301", batch_size=1, was_fresh=True, rests=2), PATIENCE)
    assert rest == Retry(job_id="a", delay_s=rest_s(2), batch_size=1, needs_fresh_worker=True, refund=True)


@pytest.mark.parametrize(("code", "was_ready"), [("E201", True), ("E202", True), ("E301", False), ("E302", False)])
def test_a_fault_of_the_machine_never_fails_a_job(code: str, was_ready: bool) -> None:
    verdict = judge(
        failure(code, was_ready=was_ready, was_fresh=True, attempts=99, rests=99, failed_starts=99), PATIENCE
    )
    assert isinstance(verdict, Retry)
    assert verdict.refund
    assert verdict.delay_s == REST_LONGEST_S


def test_a_job_that_loses_its_device_again_and_again_is_given_up() -> None:
    verdict = judge(failure("E302", attempts=4), PATIENCE)
    assert isinstance(verdict, Retry)
    assert (verdict.refund, verdict.needs_fresh_worker) == (False, True)
    last = judge(failure("E302", attempts=5), PATIENCE)
    assert isinstance(last, GiveUp)
    assert last.code == "E501"


@pytest.mark.parametrize(
    ("code", "final"), [(None, "E501"), ("E500", "E500"), ("E502", "E502"), ("E999", "E500"), ("oops", "E500")]
)
def test_deaths_and_bugs_get_a_second_chance_and_no_third(code: str | None, final: str) -> None:
    verdict = judge(failure(code, strikes=1), PATIENCE)
    assert isinstance(verdict, Retry)
    assert (verdict.delay_s, verdict.needs_fresh_worker, verdict.refund) == (0.0, True, False)
    last = judge(failure(code, strikes=2), PATIENCE)
    assert isinstance(last, GiveUp)
    assert (last.code, last.traceback) == (final, "trace")


def test_after_a_silent_death_half_the_batch_is_tried() -> None:
    verdict = judge(failure(None, strikes=1, batch_size=16), PATIENCE)
    assert isinstance(verdict, Retry)
    assert verdict.batch_size == 8


def test_workers_that_never_come_up_are_tried_ever_later_and_then_given_up() -> None:
    rests = []
    for failed_starts in range(1, 5):
        verdict = judge(failure(None, was_ready=False, failed_starts=failed_starts), PATIENCE)
        assert isinstance(verdict, Retry)
        assert verdict.refund
        rests.append(verdict.delay_s)
    assert rests == [1.0, 2.0, 4.0, 8.0]
    last = judge(failure(None, was_ready=False, failed_starts=5), PATIENCE)
    assert isinstance(last, GiveUp)
    assert last.code == "E500"


@pytest.mark.parametrize(
    ("code", "was_ready", "strikes"),
    [(None, True, True), (None, False, False), ("E500", True, True), ("E502", True, True), ("odd", True, True),
     ("E301", True, False), ("E131", True, False), ("E402", True, False)],
)  # fmt: skip
def test_only_deaths_and_bugs_are_strikes(code: str | None, was_ready: bool, strikes: bool) -> None:
    assert is_strike(code, was_ready) is strikes


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_rests_grow_but_stay_bounded(times: int) -> None:
    assert 0 < rest_s(times) <= rest_s(times + 1) <= REST_LONGEST_S


ENDS = ("done", None, "E131", "E202", "E301", "E302", "E402", "E500", "mute")
"""How a task can end; `mute`: the worker died before it was ready."""


@dataclass
class World:
    """Carries decisions out with nothing but numbers, and checks each of them."""

    jobs: dict[str, JobFacts]
    devices: tuple[str, ...]
    workers: dict[int, WorkerFacts] = field(default_factory=dict)
    at_work: dict[int, Task] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    strikes: dict[str, int] = field(default_factory=dict)
    rests: dict[str, int] = field(default_factory=dict)
    failed_starts: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    now_s: float = 0.0

    def step(self) -> None:
        open_jobs = [facts for job_id, facts in self.jobs.items() if job_id not in self.ended]
        for decision in assign(open_jobs, list(self.workers.values()), self.devices, self.now_s, PATIENCE):
            self.apply(decision)

    def apply(self, decision: object) -> None:
        if isinstance(decision, Dismiss):
            assert decision.worker not in self.at_work
            assert self.workers.pop(decision.worker).is_free
        elif isinstance(decision, GiveUp):
            self.end(decision.job_id)
        elif isinstance(decision, Start):
            self.start(decision)

    def start(self, start: Start) -> None:
        facts = self.jobs[start.task.job_id]
        assert facts.job_id not in self.ended
        assert facts.rest_until_s <= self.now_s
        if isinstance(start.worker, NewWorker):
            number = 1 + max([0, *self.workers, *self.at_work])
            assert [w.device for w in self.workers.values()].count(start.worker.device) == 0
            self.workers[number] = worker(number, start.worker.engine, start.worker.device)
            self.fresh.add(number)
        else:
            number = start.worker
            self.fresh.discard(number)
        assert number not in self.at_work
        assert self.workers[number].engine == facts.engine
        assert start.task.device == self.workers[number].device
        self.at_work[number] = start.task
        self.workers[number] = replace(self.workers[number], is_free=False)
        todo = tuple(t for t in facts.todo if t.segment != start.task.segment)
        self.jobs[facts.job_id] = replace(
            facts, todo=todo, is_begun=True, attempts=facts.attempts + (not facts.is_begun)
        )

    def end(self, job_id: str) -> None:
        self.ended.add(job_id)
        for number in [n for n, t in self.at_work.items() if t.job_id == job_id]:
            del self.at_work[number], self.workers[number]

    def finish(self, number: int, how: str | None) -> None:
        done = self.at_work.pop(number)
        self.workers[number] = replace(self.workers[number], is_free=True)
        facts = self.jobs[done.job_id]
        if how == "done":
            self.strikes[done.job_id] = self.rests[done.job_id] = self.failed_starts[done.job_id] = 0
            if not facts.todo and all(t.job_id != done.job_id for t in self.at_work.values()):
                self.end(done.job_id)
            return
        self.fail(number, done, None if how == "mute" else how, was_ready=how != "mute")

    def fail(self, number: int, task: Task, code: str | None, *, was_ready: bool) -> None:
        job_id, facts = task.job_id, self.jobs[task.job_id]
        self.failed_starts[job_id] = 0 if was_ready else self.failed_starts.get(job_id, 0) + 1
        if is_strike(code, was_ready):
            self.strikes[job_id] = self.strikes.get(job_id, 0) + 1
        verdict = judge(
            Failure(
                job_id=job_id, code=code, message="", was_ready=was_ready, was_fresh=number in self.fresh,
                batch_size=task.batch_size, attempts=facts.attempts, strikes=self.strikes.get(job_id, 0),
                failed_starts=self.failed_starts[job_id], rests=self.rests.get(job_id, 0),
            ),
            PATIENCE,
        )  # fmt: skip
        if code is None or (isinstance(verdict, Retry) and verdict.needs_fresh_worker):
            del self.workers[number]
        if isinstance(verdict, GiveUp):
            self.end(job_id)
            return
        again = tuple(replace(t, batch_size=verdict.batch_size, device="cpu") for t in (task, *facts.todo))
        facts = replace(facts, todo=again)
        if verdict.delay_s:
            self.rests[job_id] = self.rests.get(job_id, 0) + 1
            others = [n for n, t in self.at_work.items() if t.job_id == job_id]
            back = tuple(self.at_work.pop(n) for n in others)
            for n in others:
                del self.workers[n]
            facts = replace(
                facts, todo=again + back, is_begun=False, rest_until_s=self.now_s + verdict.delay_s,
                attempts=facts.attempts - verdict.refund,
            )  # fmt: skip
        self.jobs[job_id] = facts


@st.composite
def worlds(draw: st.DrawFn) -> World:
    jobs = {}
    for number in range(draw(st.integers(1, 5))):
        name = f"job{number}"
        jobs[name] = job(
            name,
            tasks=draw(st.integers(1, 4)),
            age=draw(st.integers(0, 3)),
            engine=draw(st.sampled_from([ATLAS, WAV2LIP])),
            attempts=draw(st.integers(0, 5)),
        )
    return World(jobs, draw(st.sampled_from([("cpu",), ("cuda:0", "cuda:1")])))


@given(worlds(), st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 7)), max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_happens_every_job_ends_and_no_rule_is_broken(
    world: World, happenings: list[tuple[str | None, int]]
) -> None:
    """Random ends of tasks first, then only good ones; `World` checks every decision."""
    fate = iter(happenings)
    for _ in range(400):
        world.step()
        if len(world.ended) == len(world.jobs):
            break
        running = sorted(world.at_work)
        if running:
            how, which = next(fate, ("done", 0))
            world.finish(running[which % len(running)], how)
        world.now_s += REST_LONGEST_S / 4
    assert world.ended == set(world.jobs)
