"""What commands asked for is carried out: one act after the other, never waiting, and again after a crash."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import requests as module
from heygemd.daemon.errands import Answer
from heygemd.daemon.requests import AT_ONCE, LOOK_EVERY_S, LOOK_IDLE_S, PAUSE_S, RequestClerk
from heygemd.daemon.sweeper import Pruning
from heygemd.errors import InputError, ResourceError
from heygemd.jobs.job import Job
from heygemd.jobs.requests import Act
from heygemd.jobs.states import JobState
from heygemd.settings import RetentionSettings

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
AWAY = Answer(error=ResourceError("E201", "the share is gone"))


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@dataclass
class Desk:
    root: object
    offline: str | None = None
    looks: int = 0

    def look_now(self):
        self.looks += 1


@dataclass
class Batch:
    id: str


class Batches:
    def __init__(self):
        self.open = ()

    def of_root(self, uuid):
        return self.open


@dataclass
class Reception:
    """Cancels as the real one does, unless the film is on its way out."""

    store: object
    too_late: bool = False
    batches: list = field(default_factory=list)

    def cancel(self, job: Job) -> bool:
        if not self.too_late:
            self.store.move(job.id, JobState.CANCELLED, at=NOON)
        return not self.too_late

    def cancel_batch(self, batch, desk):
        self.batches.append((batch, desk))
        return 3


class Handover:
    def __init__(self):
        self.leaving = set()

    def has(self, job_id):
        return job_id in self.leaving


class Sweeper:
    """Prunes until the test says that it is over."""

    def __init__(self):
        self.asked, self.is_pruning = [], False

    def prune(self, desks, **how):
        self.asked.append(how)
        self.is_pruning = True
        self.pruning = Pruning(RetentionSettings(), [])
        return self.pruning


@dataclass
class House:
    """A daemon as far as requests need one, and the person who asks."""

    store: object
    clerk: RequestClerk
    clock: Clock
    errands: object
    desks: list
    batches: Batches
    reception: Reception
    handover: Handover
    sweeper: Sweeper

    def ask(self, act, target="", **options):
        return self.store.requests.ask(act, target, by="anna", at=NOON, options=options)

    def tick(self, times=1, pause_s=LOOK_EVERY_S):
        for _ in range(times):
            self.clerk.tick(self)
            self.clock.now_s += pause_s

    def told(self, request):
        """What came of it: None while it is open, else whether it was refused, and the note."""
        now = self.store.requests.get(request.seq)
        return None if now.ended_at is None else (now.is_refused, now.note)


@pytest.fixture
def house(store, root, errands, monkeypatch):
    monkeypatch.setattr(module, "Errand", errands)
    clock = Clock()
    return House(
        store, RequestClerk(None, lambda: NOON, clock), clock, errands, [Desk(root)], Batches(), Reception(store),
        Handover(), Sweeper(),
    )  # fmt: skip


@pytest.fixture
def failed(house, root, new_job):
    """A function that makes a failed job whose folder lies in failed/."""

    def make(number=1, **changes):
        job = replace(new_job(root, number), **changes)
        house.store.add(job)
        job = house.store.move(job.id, JobState.FAILED, at=NOON, error_code="E131", error_message="no face")
        folder = root.failed / job.claim_dir.name
        job.claim_dir.rename(folder)
        (folder / "error.json").write_text(json.dumps({"heygemd_report": 1, "job": job.id}))
        return house.store.set_claim_dir(job.id, None)

    return make


# Cancel --------------------------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_and_a_repetition_after_a_crash_is_no_refusal(house, root, new_job):
    job = new_job(root)
    house.store.add(job)
    asked = house.ask(Act.CANCEL, job.id)
    house.tick()
    assert house.told(asked) == (False, "cancelled; its inputs go to failed/")
    again = house.ask(Act.CANCEL, job.id)  # as if the answer had not been written before the crash
    house.tick()
    assert house.told(again) == (False, "it is cancelled already")


def test_what_cannot_be_cancelled_is_refused_with_the_reason(house, root, new_job, failed):
    ended, running = failed(1), new_job(root, 2)
    house.store.add(running)
    house.reception.too_late = True
    asked = [house.ask(Act.CANCEL, target) for target in (ended.id, running.id, "nobody")]
    house.tick()
    assert [house.told(request) for request in asked] == [
        (True, "it has ended already: failed"),
        (True, "its film is being published; it is too late"),
        (True, "there is no such job or open batch"),
    ]


def test_a_batch_is_cancelled_with_its_jobs(house):
    house.batches.open = (Batch("b1"),)
    asked = house.ask(Act.CANCEL, "b1")
    house.tick()
    assert house.told(asked) == (False, "the batch is stopped; 3 of its jobs cancelled")
    assert house.reception.batches == [("b1", house.desks[0])]


def test_a_full_disk_before_the_answer_leaves_the_request_open(house, root, new_job, monkeypatch):
    job = new_job(root)
    house.store.add(job)
    asked = house.ask(Act.CANCEL, job.id)
    end = house.store.requests.end

    def full(*args, **more):
        raise ResourceError("E202", "disk is full")

    monkeypatch.setattr(house.store.requests, "end", full)
    with pytest.raises(ResourceError):
        house.tick()
    assert house.told(asked) is None
    monkeypatch.setattr(house.store.requests, "end", end)
    house.clock.now_s += LOOK_EVERY_S
    house.tick()
    assert house.told(asked)[0] is False


# Retry ---------------------------------------------------------------------------------------------------------------


def test_a_folder_goes_back_and_the_desk_is_told_to_look(house, root, failed):
    job = failed()
    asked = house.ask(Act.RETRY, job.id)
    house.tick()
    assert not house.clerk.is_idle
    assert house.clerk.filenos() == [99]
    house.tick()
    assert house.told(asked) == (False, f"put back as inbox/anna__{job.id8}; it is taken up within seconds")
    assert (root.inbox / f"anna__{job.id8}" / "anna.mp4").exists()
    assert (house.desks[0].looks, house.clerk.is_idle, house.clerk.filenos()) == (1, True, [])


def test_a_crash_after_the_move_is_no_refusal(house, failed):
    job = failed()
    house.ask(Act.RETRY, job.id)
    house.tick()  # the folder is in the inbox now, and nobody knows
    house.clerk.stop()
    assert house.errands.ended == 1
    fresh = RequestClerk(None, lambda: NOON, house.clock)
    for _ in range(3):
        fresh.tick(house)
        house.clock.now_s += LOOK_EVERY_S
    (request,) = house.store.requests.latest(9)
    assert (request.is_refused, request.note.startswith("put back as inbox/")) == (False, True)


def test_what_cannot_be_tried_again_is_refused_with_the_reason(house, root, new_job, failed):
    queued, elsewhere, lost = new_job(root, 1), failed(2, root="another"), failed(3)
    house.store.add(queued)
    for file in (root.failed / f"anna__{lost.id8}").iterdir():
        file.unlink()
    asked = [house.ask(Act.RETRY, target) for target in (queued.id, elsewhere.id, "nobody", lost.id)]
    house.tick(4)
    assert [house.told(request) for request in asked] == [
        (True, "it is queued already"),
        (True, "its root is not served, or is not there"),
        (True, "there is no such job"),
        (True, "no folder of it in failed/ can go back: drop its files anew"),
    ]


def test_a_film_that_is_done_is_not_tried_again(house, root, new_job):
    job = new_job(root)
    house.store.add(job)
    house.store.move(job.id, JobState.RUNNING, at=NOON)
    house.store.move(job.id, JobState.DONE, at=NOON)
    asked = house.ask(Act.RETRY, job.id)
    house.tick()
    assert house.told(asked) == (True, "it is done; to make it anew, drop its files again")


def test_inputs_on_their_way_to_failed_are_waited_for(house, failed):
    job = failed()
    house.handover.leaving = {job.id}
    asked = house.ask(Act.RETRY, job.id)
    house.tick(5)
    assert (house.told(asked), house.errands.done) == (None, [])
    house.handover.leaving = set()
    house.tick(2)
    assert house.told(asked)[0] is False


def test_retries_follow_each_other_without_a_pause(house, failed):
    asked = [house.ask(Act.RETRY, failed(number).id) for number in range(1, 6)]
    house.tick(6, pause_s=0.01)
    assert [house.told(request)[0] for request in asked] == [False] * 5


def test_a_share_that_refuses_is_tried_again_after_a_pause_and_told_once(house, failed):
    asked = house.ask(Act.RETRY, failed().id)
    house.errands.mishaps["put_back_inputs"] += [AWAY, AWAY]
    with capture_logs() as logs:
        house.tick(2)
        assert house.errands.done == ["put_back_inputs"]
        house.tick(int(PAUSE_S / LOOK_EVERY_S) - 3)
        assert house.errands.done == ["put_back_inputs"]
        house.tick(20)
        assert house.told(asked)[0] is False
    assert [line["event"] for line in logs].count("request.paused") == 1


def test_a_fault_of_the_child_is_a_refusal_that_says_so(house, failed):
    asked = [house.ask(Act.RETRY, failed(number).id) for number in (1, 2)]
    house.errands.mishaps["put_back_inputs"] += [
        Answer(fault="Traceback\nKeyError: 'x'"), Answer(error=InputError("E101", "odd"))
    ]  # fmt: skip
    house.tick(4)
    assert [house.told(request) for request in asked] == [(True, "KeyError: 'x'"), (True, "odd")]


def test_a_root_that_is_away_for_weeks_holds_up_nobody(house, root, new_job, failed):
    away = [failed(number) for number in (1, 2)]
    house.desks[0].offline = "no sentinel"
    for number in range(2 * AT_ONCE):
        with house.store._db.transaction():
            house.store._db.execute(
                "INSERT INTO request (act, target, options, asked_by, asked_at) VALUES ('retry', ?, '{}', 'a', ?)",
                (away[number % 2].id, NOON.isoformat()),
            )
    job = new_job(root, 3)
    house.store.add(job)
    asked = house.ask(Act.CANCEL, job.id)
    house.tick(4)
    assert house.told(asked)[0] is False
    assert house.errands.done == [], "nothing is sent to a share that may hang"
    house.desks[0].offline = None
    house.clock.now_s += PAUSE_S
    house.tick(3)
    assert house.errands.done != []


def test_while_one_folder_takes_its_time_others_are_served(house, root, new_job, failed):
    house.errands.is_slow = True
    retries = [house.ask(Act.RETRY, failed(number).id) for number in (1, 2)]
    for number in range(3 * AT_ONCE):
        house.store._db.execute(
            "INSERT INTO request (act, target, options, asked_by, asked_at) VALUES ('retry', ?, '{}', 'a', ?)",
            (str(number), NOON.isoformat()),
        )
    job = new_job(root, 3)
    house.store.add(job)
    asked = house.ask(Act.CANCEL, job.id)
    house.tick(2)
    assert house.told(asked)[0] is False
    assert [house.told(request) for request in retries] == [None, None]
    assert house.errands.done == ["put_back_inputs"], "one at a time"


# Prune ---------------------------------------------------------------------------------------------------------------


def test_a_prune_ends_with_its_figures(house):
    asked = house.ask(Act.PRUNE, done_days=3, cache=True)
    house.tick()
    assert house.sweeper.asked == [{"done_days": 3, "failed_days": None, "with_cache": True}]
    assert (house.told(asked), house.clerk.is_idle) == (None, False)
    pruning = house.sweeper.pruning
    pruning.done, pruning.failed, pruning.cache_entries, pruning.freed_bytes = 2, 1, 4, 2_500_000
    pruning.away = ("/srv/b",)
    house.sweeper.is_pruning = False
    house.tick()
    note = "2 of done/, 1 of failed/, 4 of the cache deleted; 2.5 MB freed on shares"
    assert house.told(asked) == (False, f"{note}; not swept, for it is not there: /srv/b")
    assert house.clerk.is_idle


def test_what_a_prune_could_not_do_is_told(house):
    asked = house.ask(Act.PRUNE)
    house.tick()
    house.sweeper.pruning.troubles = ("the share is gone",)
    house.sweeper.is_pruning = False
    house.tick()
    refused, note = house.told(asked)
    assert (refused, note.endswith("; the share is gone")) == (True, True)


def test_only_one_prune_at_a_time(house):
    first, second = house.ask(Act.PRUNE, done_days=1), house.ask(Act.PRUNE, done_days=2)
    house.tick(3)
    assert len(house.sweeper.asked) == 1
    house.sweeper.is_pruning = False
    house.tick(2)
    assert (house.told(first)[0], house.told(second)) == (False, None)
    assert [asked["done_days"] for asked in house.sweeper.asked] == [1, 2]


@pytest.mark.parametrize(
    "options", [{"done_days": 0}, {"failed_days": True}, {"done_days": 1.5}, {"done_days": "3"}, {"keep": "all"}]
)
def test_options_that_are_not_understood_delete_nothing(house, options):
    asked = house.ask(Act.PRUNE, **options)
    house.tick()
    assert house.told(asked)[0] is True
    assert house.sweeper.asked == []


def test_the_store_is_asked_once_a_second_however_often_the_loop_turns(house, monkeypatch):
    asked = []
    look = house.store.requests.open_requests
    monkeypatch.setattr(house.store.requests, "open_requests", lambda *a, **m: asked.append(1) or look(*a, **m))
    house.tick(100, pause_s=LOOK_EVERY_S / 50)
    assert len(asked) in (2, 3)
    assert 0 < house.clerk.due_s(house.clock.now_s, is_busy=True) <= LOOK_EVERY_S
    assert LOOK_EVERY_S < house.clerk.due_s(house.clock.now_s, is_busy=False) <= LOOK_IDLE_S
