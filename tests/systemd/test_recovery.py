"""Bad moments in the middle of a film: a hung loop, a kill, a stop. The next start goes on where the last one was."""

import json
import time
from collections import Counter

import pytest

from tests.systemd.installed import ROOT, SETTINGS, STATE, UNIT, Installed, Pair, boot_installed

pytestmark = [pytest.mark.systemd, pytest.mark.ffmpeg, pytest.mark.slow]

STARTED = "39f53479d3a045ac8e11786248231fbf"
"""MESSAGE_ID of systemd for a unit that is up (sd-messages.h)."""
SEGMENTS, FRAMES = 9, "100"
"""Of the long film: half a second each, made in a quarter of a second."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory, repository):
    settings = SETTINGS.replace("segment_s = 0.6", "segment_s = 0.5\nstop_grace_s = 1")
    with boot_installed(tmp_path_factory.mktemp("machine"), repository, settings=settings) as installed:
        yield installed


def begin_film(studio: Installed, name: str, pair: Pair) -> tuple[str, int]:
    """Drop a long pair, wait until some of its segments are made; return its job and where the journal was."""
    since = studio.now_us()
    studio.drop(name, pair)
    studio.machine.wait_for(lambda: len(segments_done(studio, since)) >= 2, 60, "segments")
    return studio.job_of(name), since


def segments_done(studio: Installed, since: int) -> list[int]:
    done = [entry for entry in studio.entries("task.done", since_us=since) if entry["HEYGEMD_TASK"] == "render"]
    return [int(entry["HEYGEMD_SEGMENT"]) for entry in done]


def check_end(studio: Installed, name: str, job: str, since: int) -> None:
    """The film is there, whole, published once; no finished segment was made twice."""
    studio.wait_for_film(name)
    studio.machine.wait_for(lambda: studio.entries("job.ended", job=job), 20)
    made = Counter(segments_done(studio, since))
    assert set(made.values()) == {1}
    assert set(made) <= set(range(SEGMENTS))
    assert len(made) >= SEGMENTS - 3, "those in hand at a bad moment may end unseen"
    (report,) = studio.entries("job.ended", job=job)
    assert (report["HEYGEMD_STATE"], report["HEYGEMD_FRAMES"]) == ("done", FRAMES)
    assert len(studio.entries("outbox.published", job=job)) == 1
    assert not [path for path in studio.path("").rglob("*.part")]
    studio.machine.wait_for(
        lambda: not list(studio.machine.path(f"{STATE}/work").iterdir()), 20, "an empty work folder"
    )


def check_recovered_before_ready(studio: Installed, job: str, since: int) -> None:
    recovered = [entry for entry in studio.entries("job.recovered", since_us=since) if entry["HEYGEMD_JOB_ID"] == job]
    ready = studio.machine.journal(f"MESSAGE_ID={STARTED}", f"UNIT={UNIT}")[-1]
    assert since < int(recovered[-1]["__MONOTONIC_TIMESTAMP"]) < int(ready["__MONOTONIC_TIMESTAMP"])


def test_hung_daemon_is_killed_by_the_watchdog_and_its_film_goes_on(studio: Installed, long_pair: Pair) -> None:
    studio.start(WatchdogSec="5", RestartSec="200ms")
    job, since = begin_film(studio, "hung", long_pair)
    daemon, before = studio.main_pid(), set(studio.processes())
    studio.machine.run("kill", "-STOP", str(daemon))
    studio.machine.wait_for(lambda: studio.main_pid() not in (0, daemon), 60, "a new daemon")
    facts = studio.show()
    assert facts["NRestarts"] == "1"
    assert not before & set(studio.processes())
    said = [str(entry["MESSAGE"]) for entry in studio.entries(since_us=since)]
    assert any("Watchdog timeout" in line for line in said)
    assert any("Fatal Python error: Aborted" in line for line in said), "where it hung stands in the journal"
    assert any("in sleep" in line or "in tick" in line or "in run" in line for line in said)
    check_end(studio, "hung", job, since)
    check_recovered_before_ready(studio, job, since)


def test_killed_daemon_leaves_nothing_behind_and_its_film_goes_on(studio: Installed, long_pair: Pair) -> None:
    studio.start(RestartSec="200ms")
    job, since = begin_film(studio, "killed", long_pair)
    daemon, before = studio.main_pid(), set(studio.processes())
    (worker,) = {int(entry["HEYGEMD_PID"]) for entry in studio.entries("worker.started", since_us=since)}
    assert worker in before
    studio.machine.run("kill", "-STOP", str(worker))  # it will not see that the daemon is gone
    studio.machine.run("kill", "-KILL", str(daemon))
    studio.machine.wait_for(lambda: studio.main_pid() not in (0, daemon), 60, "a new daemon")
    assert not before & set(studio.processes())
    studio.machine.wait_for(lambda: studio.show()["ActiveState"] == "active", 60)
    assert studio.show()["NRestarts"] == "1"
    check_end(studio, "killed", job, since)
    check_recovered_before_ready(studio, job, since)


def test_stop_in_the_middle_gives_the_film_back_in_time(studio: Installed, long_pair: Pair) -> None:
    """And that although one worker was killed before, as the kernel does it, and the next one hangs."""
    studio.start()
    job, since = begin_film(studio, "stopped", long_pair)
    daemon = studio.main_pid()
    (worker,) = {int(entry["HEYGEMD_PID"]) for entry in studio.entries("worker.started", since_us=since)}
    studio.machine.run("kill", "-KILL", str(worker))
    studio.machine.wait_for(lambda: len(studio.entries("worker.ready", since_us=since)) == 2, 60, "another worker")
    assert (studio.main_pid(), studio.show()["NRestarts"]) == (daemon, "0")
    (worker,) = {int(entry["HEYGEMD_PID"]) for entry in studio.entries("worker.started", since_us=since)} - {worker}
    studio.machine.run("kill", "-STOP", str(worker))  # one that does not end its segment within stop_grace_s
    began_s = time.monotonic()
    studio.machine.systemctl("stop", "--no-block", UNIT)
    studio.machine.wait_for(lambda: studio.show().get("StatusText") == "stopping", 10)
    studio.machine.wait_for(lambda: studio.show()["ActiveState"] == "inactive", 60)
    facts = studio.show()
    assert (facts["Result"], facts["ExecMainStatus"]) == ("success", "0")
    assert time.monotonic() - began_s < 20
    assert studio.processes() == []
    assert [entry["HEYGEMD_STATE"] for entry in studio.entries("job.moved", job=job)][-1] == "queued"
    assert studio.films() == ["hung.mp4", "killed.mp4"]
    studio.start()
    check_end(studio, "stopped", job, since)
    attempts = json.loads(studio.path("outbox/stopped.mp4.json").read_text())["attempts"]
    assert attempts <= 2, "a stop is no failure"
    assert ROOT in studio.entries("daemon.started")[-1]["MESSAGE"]
