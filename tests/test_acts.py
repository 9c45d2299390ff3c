"""Asking the daemon through the store; and a prune that only takes notes."""

import os
from datetime import date

import pytest

from heygemd import places
from heygemd.acts.asking import ask, asker
from heygemd.acts.rehearsal import cache_bytes, rehearse
from heygemd.errors import SetupError
from heygemd.intake.roots import init_root
from heygemd.jobs.requests import Act, RequestBook
from heygemd.outbox.report import Report
from heygemd.outbox.retention import sweep_root
from tests.jobs.conftest import NOW, make_job, open_store

TODAY = date(2026, 3, 1)


class SlowDaemon:
    """Answers the open requests of a store when it has been waited for a number of times; time is what was paused."""

    def __init__(self, folder, *, rounds=1, answers=None):
        self.path, self.rounds, self.now_s, self.answers = folder / "jobs.sqlite", rounds, 0.0, answers or {}
        open_store(folder).close()

    def clock(self):
        return self.now_s

    def pause(self, seconds):
        self.now_s += seconds
        self.rounds -= 1
        if self.rounds > 0:
            return
        with RequestBook.open(self.path) as book:
            for request in book.open_requests():
                note, refused = self.answers.get(request.target, ("done so", False))
                if note is not None:
                    book.end(request, at=NOW, note=note, refused=refused)

    def ask(self, *targets, act=Act.RETRY, **how):
        return ask(
            self.path, act, targets, lock=self.path.with_name("lock"), clock=self.clock, pause=self.pause, **how
        )  # fmt: skip


@pytest.fixture
def lock(tmp_path):
    """Held, as by a daemon that runs."""
    with places.locked(tmp_path / "lock"):
        yield


@pytest.mark.usefixtures("lock")
def test_every_answer_comes_with_its_note(tmp_path):
    daemon = SlowDaemon(tmp_path, rounds=3, answers={"b": ("it is done", True)})
    heard = []
    answers = daemon.ask("a", "b", on_answer=heard.append)
    assert [(one.request.target, one.outcome, one.request.note) for one in answers] == [
        ("a", "done", "done so"), ("b", "refused", "it is done"),
    ]  # fmt: skip
    assert heard == answers
    assert answers[0].as_dict() == {"request": 1, "act": "retry", "target": "a", "outcome": "done", "note": "done so"}
    assert daemon.now_s < 1


@pytest.mark.usefixtures("lock")
def test_a_daemon_that_does_not_answer_in_time_has_still_been_asked(tmp_path):
    daemon = SlowDaemon(tmp_path, answers={"a": (None, False)})
    assert [one.outcome for one in daemon.ask("a", "b", wait_s=2.0)] == ["asked", "done"]
    assert 2.0 <= daemon.now_s < 2.5
    with RequestBook.open(daemon.path) as book:
        assert [request.target for request in book.open_requests()] == ["a"]


@pytest.mark.usefixtures("lock")
def test_without_waiting_nothing_is_paused_for(tmp_path):
    daemon = SlowDaemon(tmp_path)
    assert [one.outcome for one in daemon.ask("a", wait_s=0.0)] == ["asked"]
    assert daemon.now_s == 0


def test_without_a_daemon_it_is_done_later(tmp_path):
    daemon = SlowDaemon(tmp_path)
    assert [one.outcome for one in daemon.ask("a")] == ["later"]
    assert daemon.now_s == 0
    with RequestBook.open(daemon.path) as book:
        (request,) = book.open_requests()
    assert (request.act, request.target, request.asked_by) == (Act.RETRY, "a", asker())


@pytest.mark.usefixtures("lock")
def test_a_daemon_that_ends_meanwhile_is_not_waited_for(tmp_path, monkeypatch):
    daemon = SlowDaemon(tmp_path, answers={"a": (None, False)})
    held = iter(["host here pid 1", "host here pid 1", None, None])
    monkeypatch.setattr(places, "holder_of", lambda file: next(held))
    assert [one.outcome for one in daemon.ask("a")] == ["later"]
    assert daemon.now_s < 1


@pytest.mark.usefixtures("lock")
def test_a_request_that_was_forgotten_was_done(tmp_path):
    class Forgetful(SlowDaemon):
        def pause(self, seconds):
            super().pause(seconds)
            with RequestBook.open(self.path) as book:
                book._db.execute("DELETE FROM request")

    assert [one.outcome for one in Forgetful(tmp_path, answers={"a": ("no", True)}).ask("a")] == ["done"]


def test_the_same_wish_twice_is_one_request(tmp_path):
    daemon = SlowDaemon(tmp_path)
    assert [one.request.seq for one in daemon.ask("a", "a")] == [1, 1]
    assert [one.request.seq for one in daemon.ask("a")] == [1]


def test_no_store_is_a_fault_of_the_set_up(tmp_path):
    with pytest.raises(SetupError) as caught:
        ask(tmp_path / "jobs.sqlite", Act.RETRY, ["a"], lock=tmp_path / "lock")
    assert caught.value.code == "E401"


def test_behind_sudo_it_is_the_person_who_asks(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "anna")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert asker() == "anna"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert asker() != "anna"


# What a prune would delete ------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    """One old and one young folder in done/ and in failed/."""
    root = init_root(tmp_path / "root")
    for day, name in (("2026-01-01", "old__aaaaaaaa"), ("2026-02-28", "young__cccccccc")):
        folder = root.done / day / name / "inner"
        folder.mkdir(parents=True)
        (folder / "film.wav").write_bytes(b"x" * 10_000)
        (folder.parent / "film.mp4").write_bytes(b"x" * 100_000)
    for letters, name in (("a" * 10, "bad__aaaaaaaa"), ("c" * 10, "fresh__cccccccc")):
        (root.failed / name).mkdir()
        job = make_job(f"20260101T000000000-{letters}", state="failed", error_code="E131")
        ended = NOW if letters[0] == "a" else NOW.replace(month=2, day=27)
        (root.failed / name / "error.json").write_text(Report.of_ended(job, finished_at=ended).to_json())
        (root.failed / name / "film.wav").write_bytes(b"y" * 5000)
    return root


def everything_below(folder):
    return {path: path.stat().st_ino for path in folder.rglob("*")}


def test_a_rehearsal_changes_nothing_and_names_what_the_sweep_then_deletes(root):
    wanted = {"today": TODAY, "done_days": 30, "failed_days": 30, "keeps": {}}
    before = everything_below(root.path)
    told = rehearse(root, **wanted)
    assert everything_below(root.path) == before
    assert {one.path for one in told.folders} == {root.done / "2026-01-01/old__aaaaaaaa", root.failed / "bad__aaaaaaaa"}
    sizes = {one.path.name: one.size_bytes for one in told.folders}
    swept = sweep_root(root, low_water_bytes=0, **wanted)
    assert (swept.done, swept.failed, swept.freed_bytes) == (1, 1, sum(sizes.values()))
    assert not any(one.path.exists() for one in told.folders)
    assert sizes["old__aaaaaaaa"] >= 110_000


@pytest.mark.parametrize(("days", "count"), [({"done_days": 1}, 2), ({"done_days": 400}, 1), ({"failed_days": 1}, 3)])
def test_the_ages_decide(root, days, count):
    wanted = {"done_days": 30, "failed_days": 30} | days
    assert len(rehearse(root, today=TODAY, keeps={}, **wanted).folders) == count


def test_what_is_kept_for_ever_and_what_holds_somebody_s_file_is_not_named(root):
    kept = rehearse(root, today=TODAY, done_days=30, failed_days=30, keeps={"aaaaaaaa": 0})
    assert kept.folders == []
    sweep_root(root, today=date(2026, 1, 2), done_days=30, failed_days=30, keeps={}, low_water_bytes=0)
    (root.done / "2026-01-01/old__aaaaaaaa/mine.txt").write_text("of a person")
    told = rehearse(root, today=TODAY, done_days=30, failed_days=400, keeps={})
    assert (told.folders, told.kept) == ([], ("done/2026-01-01/old__aaaaaaaa",))


def test_the_size_of_the_caches_is_what_lies_there(tmp_path):
    assert cache_bytes(tmp_path) == 0
    for folder in ("tracks", "speech"):
        (tmp_path / "cache" / folder).mkdir(parents=True)
        (tmp_path / "cache" / folder / "ab-x.npz").write_bytes(b"12345")
        (tmp_path / "cache" / folder / "note.txt").write_bytes(b"not ours")
    assert cache_bytes(tmp_path) == 10
