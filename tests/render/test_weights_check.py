"""A worker starts with the weights of the plan and with no others, and says so in words the scheduler decides by."""

import json
import os
import subprocess
import sys
from pathlib import Path

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, Event, EventKind, from_json
from heygemd.scheduler.facts import Failure, GiveUp, Rules
from heygemd.scheduler.verdict import judge
from heygemd.scheduler.workers import LocalWorkers


def first_event(*args: str) -> Event:
    """What a real worker says first."""
    tasks_read, tasks_write = os.pipe()
    events_read, events_write = os.pipe()
    pipes = ("--tasks-fd", str(tasks_read), "--events-fd", str(events_write))
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "heygemd.render.worker", *pipes, *args],
            pass_fds=(tasks_read, events_write),
            capture_output=True,
            timeout=120,
            check=False,
        )
        os.close(events_write)
        events_write = -1
        with os.fdopen(os.dup(events_read), "rb") as said:
            line = said.readline()
        assert line, ended.stderr.decode()
        return from_json(Event, line)
    finally:
        for fd in (tasks_read, tasks_write, events_read, events_write):
            if fd >= 0:
                os.close(fd)


def test_a_worker_refuses_weights_that_are_not_those_of_the_plan(tmp_path: Path) -> None:
    (tmp_path / "wav2lip.pth").write_bytes(b"\x80 swapped")
    weights = ("--weights", str(tmp_path / "wav2lip.pth"), "--weights-sha256", "0" * 64)
    event = first_event("--engine", "wav2lip", *weights)
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E409")
    assert "planned with 0000" in event.message
    assert event.traceback == ""


def test_the_scheduler_gives_the_hash_of_the_plan_to_the_worker(tmp_path: Path) -> None:
    told = tmp_path / "argv.json"
    script = f"import json, sys; json.dump(sys.argv, open({str(told)!r}, 'w'))"
    pool = LocalWorkers(command=(sys.executable, "-c", script))
    weights = tmp_path / "w.pth"
    pool.start(EngineChoice(name=EngineName.WAV2LIP, weights=weights, weights_sha256="ab" * 32), "cpu")
    while not pool.events():
        pool.wait(0.1)
    pool.close()
    argv = json.loads(told.read_text())
    assert argv[argv.index("--weights") + 1] == str(weights)
    assert argv[argv.index("--weights-sha256") + 1] == "ab" * 32


def test_a_job_whose_weights_stay_other_ones_ends_with_that_code() -> None:
    failure = Failure(
        job_id="a", code="E409", message="other bytes", was_ready=False, batch_size=8, attempts=1, failed_starts=3
    )
    assert judge(failure, Rules()) == GiveUp(job_id="a", code="E409", message="other bytes")
