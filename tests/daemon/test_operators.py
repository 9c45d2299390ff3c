"""A real daemon and its operator: systemd's socket, SIGHUP, commands through the store, vitals and metrics."""

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from heygemd.jobs.requests import Act, RequestBook
from heygemd.jobs.states import JobState
from heygemd.vitals import read_vitals
from tests.processes import is_alive

pytestmark = pytest.mark.ffmpeg


class Manager:
    """Stands where systemd listens."""

    def __init__(self, folder):
        self.address = str(folder / "notify")
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def listen(self):
        while True:
            try:
                self.told.append(dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines()))
            except BlockingIOError:
                return self.told

    def status(self):
        return next((told["STATUS"] for told in reversed(self.listen()) if "STATUS" in told), "")

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.close()


@pytest.fixture
def service(workshop, manager, monkeypatch, tmp_path):
    """A daemon that believes to be a service; ended by SIGTERM, which must succeed."""
    text = workshop.config.read_text()
    extra = f'log_file = "{tmp_path / "debug.jsonl"}"\nmetrics_file = "{tmp_path / "heygemd.prom"}"\n'
    workshop.config.write_text(f"metrics_every_s = 1\n{extra}{text}")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    daemon = workshop.start()
    try:
        workshop.wait_for(lambda: any("READY" in told for told in manager.listen()), daemon)
        yield daemon
        manager.listen()  # else its queue is full
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
    assert any("STOPPING" in told for told in manager.listen())


def drop(workshop, pair, name):
    for source in pair:
        target = workshop.root.inbox / f"{name}{source.suffix}"
        target.with_name(f".{target.name}.part").write_bytes(source.read_bytes())
        target.with_name(f".{target.name}.part").rename(target)


def ask(workshop, act, target="", **options):
    """Ask as a command does, and wait for the answer."""
    with RequestBook.open(workshop.state / "jobs.sqlite") as book:
        asked = book.ask(act, target, by="anna", at=datetime.now(UTC), options=options)
        workshop.wait_for(lambda: book.get(asked.seq).ended_at)
        return book.get(asked.seq)


def only_job(workshop):
    (job,) = workshop.jobs()
    return job


def test_a_service_is_ready_after_its_checks_and_feeds_the_watchdog(workshop, manager, service):
    kinds = [sorted(told) for told in manager.listen()]
    assert kinds[0] == ["EXTEND_TIMEOUT_USEC", "STATUS"]
    ready = next(number for number, told in enumerate(kinds) if "READY" in told)
    assert ready > 0
    assert not any("WATCHDOG" in told for told in kinds[:ready])
    workshop.wait_for(lambda: sum("WATCHDOG" in told for told in manager.listen()) >= 3, service)
    assert "idle" in workshop.wait_for(lambda: "idle" in manager.status() and manager.status(), service)


def test_a_daemon_that_hangs_feeds_nobody(workshop, manager, service):
    workshop.wait_for(lambda: any("WATCHDOG" in told for told in manager.listen()), service)
    service.send_signal(signal.SIGSTOP)
    manager.listen()
    before = len(manager.told)
    with pytest.raises(subprocess.TimeoutExpired):
        service.wait(2.5)  # more than its whole limit
    assert len(manager.listen()) == before
    service.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_sighup_applies_what_is_right_and_refuses_what_is_wrong(workshop, manager, service, short_pair):
    good = workshop.config.read_text()
    workshop.config.write_text(good.replace("segment_s = 2", "segment_s = 2\ncrfx = 3"))
    service.send_signal(signal.SIGHUP)
    (refused,) = workshop.wait_for(lambda: workshop.named("config.refused"), service)
    assert (refused["error_code"], "did you mean crf?" in refused["reason"]) == ("E401", True)
    workshop.wait_for(lambda: "config refused" in manager.status(), service)

    other = workshop.root.path.with_name("other")
    subprocess.run([sys.executable, "-m", "heygemd", "init-root", str(other)], check=True, stdout=subprocess.DEVNULL)
    changed = good.replace(f'roots = ["{workshop.root.path}"]', f'roots = ["{workshop.root.path}", "{other}"]')
    changed = changed.replace('preset = "ultrafast"', 'preset = "superfast"\ndevice = "cpu"\nbatch_size = 3')
    workshop.config.write_text(changed)
    service.send_signal(signal.SIGHUP)
    (reloaded,) = workshop.wait_for(lambda: workshop.named("config.reloaded"), service)
    assert set(reloaded["changed"]) == {"roots", "render.preset", "render.device", "render.batch_size"}
    assert reloaded["needs_restart"] == ["render.device"]
    begun, ended = [index for index, told in enumerate(manager.listen()) if "RELOADING" in told or "READY" in told][-2:]
    assert "RELOADING" in manager.told[begun]
    assert "READY" in manager.told[ended]

    for source in short_pair:
        (other / "inbox" / f"late{source.suffix}").write_bytes(source.read_bytes())
    workshop.wait_for((other / "outbox" / "late.mp4").exists, service)
    report = json.loads((other / "outbox" / "late.mp4.json").read_text())
    assert report["options"]["preset"] == "superfast"
    vitals = workshop.wait_for(lambda: read_vitals(workshop.state), service)
    assert {root.path for root in vitals.roots} == {str(workshop.root.path), str(other)}
    assert vitals.needs_restart == ("render.device",)


@pytest.mark.slow
def test_acts_asked_for_with_commands_are_carried_out(workshop, manager, service, pair, short_pair):
    assert "no such job" in ask(workshop, Act.CANCEL, "nothing").note

    (workshop.root.inbox / ".heygemd.toml").write_text("max_concurrent = 0\n")
    drop(workshop, pair, "anna")
    job = workshop.wait_for(lambda: workshop.jobs() and only_job(workshop), service)
    told = ask(workshop, Act.CANCEL, job.id)
    assert (told.is_refused, "cancelled" in told.note) == (False, True)
    assert only_job(workshop).state is JobState.CANCELLED
    told = ask(workshop, Act.CANCEL, job.id)
    assert (told.is_refused, told.note) == (False, "it is cancelled already")
    workshop.wait_for(lambda: only_job(workshop).claim_dir is None, service)

    (workshop.root.inbox / ".heygemd.toml").unlink()
    told = ask(workshop, Act.RETRY, job.id)
    assert (told.is_refused, told.note.startswith("put back as inbox/anna__")) == (False, True)
    workshop.wait_for(workshop.done, service)
    assert [film.name for film in workshop.films()] == ["anna.mp4"]
    assert only_job(workshop).id == job.id
    refused = ask(workshop, Act.RETRY, job.id)
    assert (refused.is_refused, "drop its files again" in refused.note) == (True, True)

    workshop.wait_for(lambda: only_job(workshop).claim_dir is None, service)
    told = ask(workshop, Act.PRUNE, done_days=1, cache=True)
    assert (told.is_refused, "0 of done/" in told.note) == (False, True)
    (day,) = (workshop.root.path / "done").iterdir()
    day.rename(day.with_name("2020-01-31"))
    assert "1 of done/" in ask(workshop, Act.PRUNE, done_days=1).note
    assert ask(workshop, Act.PRUNE, done_days=0).is_refused
    assert list((workshop.root.path / "done").iterdir()) == []


def test_what_was_asked_for_without_a_daemon_is_done_at_its_next_start(workshop, short_pair):
    (workshop.root.inbox / ".heygemd.toml").write_text("max_concurrent = 0\n")
    drop(workshop, short_pair, "anna")
    daemon = workshop.start()
    workshop.wait_for(lambda: workshop.named("daemon.started"), daemon)
    job = workshop.wait_for(lambda: workshop.jobs() and only_job(workshop), daemon)
    workshop.kill(daemon)
    with RequestBook.open(workshop.state / "jobs.sqlite") as book:
        book.ask(Act.CANCEL, job.id, by="anna", at=datetime.now(UTC))
    assert workshop.run_until_idle() == 0
    assert only_job(workshop).state is JobState.CANCELLED
    assert workshop.named("request.ended")[0]["asked_by"] == "anna"


def test_vitals_and_metrics_tell_what_was_done(workshop, manager, service, short_pair, tmp_path):
    drop(workshop, short_pair, "anna")
    workshop.wait_for(workshop.done, service)
    vitals = workshop.wait_for(lambda: (v := read_vitals(workshop.state)) and v.counts.ended["done"] and v, service)
    assert (vitals.pid, vitals.counts.done, vitals.counts.films_last_hour) == (service.pid, 1, 1)
    assert vitals.counts.film_s == pytest.approx(0.6, abs=0.1)
    assert vitals.roots[0].state == "online"
    assert vitals.devices[0].label == "cpu"
    assert set(vitals.beats) == {"loop", f"inbox {workshop.root.path}", f"clerk {workshop.root.path}"}
    workshop.wait_for(lambda: 'heygemd_jobs_ended_total{outcome="done"} 1' in metrics(tmp_path), service)
    assert (tmp_path / "heygemd.prom").stat().st_mode & 0o777 == 0o644
    lines = [json.loads(line) for line in (tmp_path / "debug.jsonl").read_text().splitlines()]
    assert {"daemon.started", "worker.ready", "job.ended"} <= {line["event"] for line in lines}


def metrics(folder):
    file = folder / "heygemd.prom"
    return file.read_text() if file.exists() else ""


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(workshop, pair):
    drop(workshop, pair, "anna")
    daemon = workshop.start()
    workers = []
    try:
        workshop.wait_for(lambda: workshop.named("worker.ready"), daemon)
        workers = [line["pid"] for line in workshop.named("worker.started")]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # its task takes longer than anybody will wait
        daemon.send_signal(signal.SIGINT)
        workshop.wait_for(lambda: workshop.named("daemon.stopping"), daemon)
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(1.0)
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(15) == 130
    finally:
        for pid in workers:
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
    workshop.wait_for(lambda: not any(map(is_alive, workers)))
    text = (workshop.folder / "daemon.log").read_text()
    assert "the next run goes on with what was in work" in text
    assert "Traceback" not in text
    assert only_job(workshop).state in (JobState.QUEUED, JobState.RUNNING)
    assert only_job(workshop).claim_dir is not None
