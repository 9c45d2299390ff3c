"""The policy in random worlds: it keeps every promise; and policies that are wrong in one thing are caught."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from heygemd.scheduler import policy, shares
from heygemd.scheduler.facts import (
    Decision,
    DeviceFacts,
    Dismiss,
    Fit,
    FitOf,
    JobFacts,
    NewWorker,
    Rules,
    Service,
    Share,
    Start,
    WorkerFacts,
)
from tests.scheduler.promises import Broken, Figures, Given, Round
from tests.scheduler.simulator import Assign, Brain, Simulator
from tests.scheduler.workloads import ENGINES, GIB, Card, Film, Kit, Workload, draw, equal_roots, jain

BRAIN = Brain(policy.assign, shares.charge, shares.settle)
SEEDS = range(1, 20)
MUTANT_SEEDS = range(1, 120)
"""More than any of the mutants needs; a mutant ends at its first broken promise."""


def run(seed: int, assign: Assign = policy.assign) -> Figures:
    return Simulator(draw(seed), replace(BRAIN, assign=assign)).run()


def test_every_promise_is_kept_in_every_world() -> None:
    figures = [run(seed) for seed in SEEDS]
    assert sum(figure.starts for figure in figures) > 1000, "the worlds are too small to tell anything"
    for what in ("new_workers", "switches", "ooms", "deaths", "overtaken_s"):
        assert sum(getattr(figure, what) for figure in figures) > 0, f"no {what}: the worlds are too kind"


def test_a_seed_gives_the_same_world_again() -> None:
    assert run(7) == run(7)
    assert draw(7).films[0].turn == draw(7).films[0].turn != draw(8).films[0].turn


@pytest.mark.parametrize("seed", [0, 10, 20, 30])
def test_roots_of_equal_rights_that_are_always_busy_get_equal_work(seed: int) -> None:
    given_s = Simulator(equal_roots(seed), BRAIN).run().given_s
    assert len(given_s) > 1
    assert jain(given_s.values()) >= 0.95


# Mutants --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What a mutant sees in place of the truth."""

    job: Callable[[JobFacts], JobFacts] = lambda job: job
    worker: Callable[[WorkerFacts], WorkerFacts | None] = lambda worker: worker
    device: Callable[[DeviceFacts], DeviceFacts] = lambda device: device
    fit_of: Callable[[FitOf], FitOf] = lambda fit_of: fit_of
    is_served: bool = True
    after: Callable[[Decision, dict[int, WorkerFacts]], Iterator[Decision]] = lambda decision, _: iter((decision,))

    def assign(  # noqa: PLR0917  # as the policy
        self,
        jobs: Sequence[JobFacts],
        workers: Sequence[WorkerFacts],
        devices: Sequence[DeviceFacts],
        fit_of: FitOf,
        service: Service,
        now_s: float,
        rules: Rules,
    ) -> tuple[Decision, ...]:
        seen = [view for worker in workers if (view := self.worker(worker))]
        decisions = policy.assign(
            [self.job(job) for job in jobs], seen, [self.device(device) for device in devices],
            self.fit_of(fit_of), service if self.is_served else Service(), now_s, rules,
        )  # fmt: skip
        by_number = {worker.worker: worker for worker in workers}
        return tuple(after for decision in decisions for after in self.after(decision, by_number))


def is_leaving(worker: WorkerFacts) -> bool:
    return not worker.is_free and not worker.job_id


def whole_batch_only(fit_of: FitOf) -> FitOf:
    def fit(job: JobFacts, label: str, free_bytes: int) -> Fit | None:
        found = fit_of(job, label, free_bytes)
        return found if found and found.batch == job.batch_most else None

    return fit


def without_replacing(decision: Decision, workers: dict[int, WorkerFacts]) -> Iterator[Decision]:
    if not isinstance(decision, Dismiss) or workers[decision.worker].is_worn or "place" not in decision.reason:
        yield decision


def without_warm(decision: Decision, _: dict[int, WorkerFacts]) -> Iterator[Decision]:
    if not isinstance(decision, Start) or isinstance(decision.worker, NewWorker):
        yield decision


def always_new(decision: Decision, workers: dict[int, WorkerFacts]) -> Iterator[Decision]:
    if isinstance(decision, Start) and not isinstance(decision.worker, NewWorker):
        new = NewWorker(engine=workers[decision.worker].engine, device=decision.task.device)
        yield replace(decision, worker=new)
    else:
        yield decision


def twice(decision: Decision, _: dict[int, WorkerFacts]) -> Iterator[Decision]:
    yield decision
    if isinstance(decision, Start):
        yield decision


def half_claim(decision: Decision, _: dict[int, WorkerFacts]) -> Iterator[Decision]:
    yield replace(decision, claim_bytes=decision.claim_bytes // 2) if isinstance(decision, Start) else decision


MUTANTS: dict[str, tuple[View, set[str]]] = {
    "forgets what leaving workers hold": (
        View(worker=lambda worker: None if is_leaving(worker) else worker),
        {"over budget", "places", "alone"},
    ),
    "forgets what busy workers hold": (
        View(worker=lambda worker: replace(worker, held_bytes=0) if worker.job_id else worker),
        {"over budget"},
    ),
    "forgets the reserve": (
        View(device=lambda device: replace(device, budget_bytes=device.budget_bytes * 5 // 4)),
        {"over budget", "shrunk budget"},
    ),
    "one worker too many": (
        View(device=lambda device: replace(device, most_workers=device.most_workers + 1)),
        {"places"},
    ),
    "claims too little": (View(after=half_claim), {"claim"}),
    "first come, first served: a small film waits for a long one": (
        View(job=lambda job: replace(job, turn=float(job.job_id.strip("rf").replace("f", "")))),
        {"order", "reuse", "work conserving"},
    ),
    "only priority counts": (
        View(job=lambda job: replace(job, turn=-job.priority_s * 1e6), is_served=False),
        {"order", "bounded wait"},
    ),
    "knows no folders": (View(is_served=False), {"order", "bounded wait"}),
    "never replaces a worker": (View(after=without_replacing), {"switching", "every job ends"}),
    "leaves idle workers idle": (View(after=without_warm), {"work conserving"}),
    "waits rather than use a smaller batch": (
        View(fit_of=whole_batch_only),
        {"work conserving", "switching", "shrunk budget"},
    ),
    "always starts a new worker": (View(after=always_new), {"over budget", "places", "reuse", "alone"}),
    "does not know who has the film ready": (
        View(worker=lambda worker: replace(worker, staged="")),
        {"staged"},
    ),
    "analyses one face twice at once": (View(job=lambda job: replace(job, face_key="")), {"one face once"}),
    "gives every job to the refuge": (
        View(device=lambda device: replace(device, is_refuge=False)),
        {"refuge"},
    ),
    "gives work to a lost device": (View(device=lambda device: replace(device, is_lost=False)), {"lost device"}),
    "forgets who wants to be alone": (
        View(job=lambda job: replace(job, needs_device_alone=False)),
        {"alone"},
    ),
    "gives work to the resting": (View(job=lambda job: replace(job, rest_until_s=0.0)), {"rest"}),
    "never gives up": (View(job=lambda job: replace(job, attempts=0)), {"attempts"}),
    "keeps worn workers": (View(worker=lambda worker: replace(worker, is_worn=False)), {"worn"}),
    "keeps idle workers for ever": (View(worker=lambda worker: replace(worker, idle_s=0.0)), {"keep warm"}),
    "hands out a task twice": (View(after=twice), {"no task twice", "one task a worker"}),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_policy_that_is_wrong_in_one_thing_is_caught(name: str) -> None:
    view, promises = MUTANTS[name]
    for seed in MUTANT_SEEDS:
        try:
            run(seed, view.assign)
        except Broken as broken:
            assert broken.promise in promises, f"{name} was caught for another reason: {broken}"
            return
    pytest.fail(f"{name}: not caught by {len(MUTANT_SEEDS)} worlds")


def test_a_policy_that_replaces_at_once_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "REUSE_GRACE_S", float("-inf"))
    with pytest.raises(Broken, match="reuse"):
        for seed in MUTANT_SEEDS:
            run(seed)


def test_a_policy_that_starves_breaks_the_bound_of_waiting_even_if_nobody_looks_at_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Given, "ahead_s", lambda *_: 0.0)
    with pytest.raises(Broken, match="bounded wait"):
        for seed in MUTANT_SEEDS:
            run(seed, MUTANTS["knows no folders"][0].assign)


def test_a_policy_that_never_replaces_a_worker_leaves_jobs_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keeping warm it would only be late; as it is, nothing ever happens again."""
    monkeypatch.setattr(Round, "_check_switching", lambda *_: None)
    monkeypatch.setattr(Round, "_check_idle", lambda *_: None)
    never = View(after=lambda decision, _: iter(() if isinstance(decision, Dismiss) else (decision,)))
    with pytest.raises(Broken, match="every job ends"):
        for seed in MUTANT_SEEDS:
            run(seed, never.assign)


# A naive policy -------------------------------------------------------------------------------------------------


def naive(  # noqa: PLR0917  # as the policy
    jobs: Sequence[JobFacts],
    workers: Sequence[WorkerFacts],
    devices: Sequence[DeviceFacts],
    fit_of: FitOf,
    service: Service,
    now_s: float,
    rules: Rules,
) -> tuple[Decision, ...]:
    """First come, first served, one worker a device: the least that gets films made."""
    del service, rules
    decisions: list[Decision] = []
    for device in devices:
        mine = [worker for worker in workers if worker.device == device.label]
        job = next((job for job in jobs if job.todo and job.rest_until_s <= now_s and not decisions), None)
        fit = fit_of(job, device.label, device.budget_bytes) if job else None
        if job is None or fit is None or any(not worker.is_free for worker in mine):
            continue
        if mine and (mine[0].engine != job.engine or mine[0].held_bytes > device.budget_bytes):
            decisions.append(Dismiss(worker=mine[0].worker, reason="its place is needed"))
            continue
        place = mine[0].worker if mine else NewWorker(engine=job.engine, device=device.label)
        task = replace(job.todo[0], device=device.label, batch_size=fit.batch)
        claim_bytes = max(fit.claim_bytes, mine[0].held_bytes if mine else 0)
        decisions.append(Start(task=task, worker=place, claim_bytes=claim_bytes))
    return tuple(decisions)


def test_a_world_that_is_simple_enough_is_right_even_with_the_naive_policy() -> None:
    """So the simulator does not cry wolf: one worker, films of one engine and one length, one after the other."""
    kit = Kit(choice=ENGINES[0], base_bytes=GIB, frame_bytes=GIB // 16, load_s=5.0)
    films = [
        Film(
            name=f"f{number}", share=Share("root", ""), arrives_s=20.0 * number, priority_s=0.0, kit=kit,
            pixels=10**6, length_s=30.0, analyse_s=5.0, segment_s=(10.0, 10.0, 10.0), finish_s=1.0,
        )
        for number in range(8)
    ]  # fmt: skip
    card = Card(label="cuda:0", total_bytes=8 * GIB, reserve_bytes=GIB, most_workers=1)
    load = Workload(seed=1, cards=(card,), films=tuple(films))
    figures = Simulator(load, replace(BRAIN, assign=naive)).run()
    assert (figures.starts, figures.new_workers) == (8 * 5, 1)


def test_the_naive_policy_is_caught_in_other_worlds() -> None:
    caught: set[str] = set()
    for seed in range(1, 41):
        try:
            run(seed, naive)
        except Broken as broken:
            caught.add(broken.promise)
    assert {"work conserving", "order"} <= caught
    assert "over budget" not in caught, "one worker a device holds what fits"
