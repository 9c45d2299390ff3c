"""A worker as a process of its own: its pipes, its leash, and its end."""

import json
import os
import resource
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import psutil
import pytest

from heygemd.planning.plan import Event, EventKind, Task, TaskKind, from_json, to_json
from heygemd.render.analysis import analyse
from heygemd.render.passthrough import Passthrough
from heygemd.render.scarce import Ration
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import task_of


class Process:
    """A real worker and both its pipes."""

    def __init__(self, log, *args, module="heygemd.render.worker"):
        theirs, self.tasks = os.pipe()
        self.events, out = os.pipe()
        argv = [sys.executable, "-m", module, "--tasks-fd", str(theirs), "--events-fd", str(out)]
        with log.open("wb") as stderr:
            self.popen = subprocess.Popen(
                [*argv, "--log-sink", "json", *args], pass_fds=(theirs, out), stderr=stderr, stdin=subprocess.DEVNULL
            )
        os.close(theirs)
        os.close(out)
        self._heard = b""

    def tell(self, line):
        os.write(self.tasks, line.encode() + b"\n")

    def hear(self, limit_s=60):
        """The next event; None at the end of the pipe."""
        while b"\n" not in self._heard:
            assert select.select([self.events], [], [], limit_s)[0], "the worker says nothing"
            data = os.read(self.events, 65536)
            if not data:
                return None
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return from_json(Event, line)

    def outcome(self):
        """The next event that is no progress."""
        while (event := self.hear()) is not None and event.kind is EventKind.PROGRESS:
            pass
        return event

    def let_go(self):
        """Break the leash."""
        if self.tasks >= 0:
            os.close(self.tasks)
            self.tasks = -1

    def end(self):
        self.let_go()
        self.popen.kill()
        self.popen.wait()
        os.close(self.events)


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*args, **how):
        started.append(Process(tmp_path / "worker.log", *args, **how))
        return started[-1]

    yield run
    for process in started:
        process.end()


def endless(order, make_plan):
    """A segment of ten minutes, much longer than any test."""
    order = replace(order, audio_info=replace(order.audio_info, sample_count=600 * order.audio_info.rate_hz))
    plan = make_plan(order, most=100_000)
    assert plan.timeline.time_of(plan.segments[0].stop - 1) > Fraction(599)
    return plan


@pytest.mark.ffmpeg
def test_a_worker_gets_ready_works_and_ends_with_its_leash_and_all_it_started(start, order, make_plan):
    args = ("--device", "cuda:3", "--torch-device", "cuda:0", "--threads", "1")
    process = start("--engine", "passthrough", *args)
    ready = process.hear()
    assert ready is not None
    assert (ready.kind, ready.device, ready.precision) == (EventKind.READY, "cpu", "")
    process.tell(to_json(Task(job_id=order.job_id, kind=TaskKind.ANALYSE, order_path=order.work_dir / "order.json")))
    done = process.outcome()
    assert done is not None
    assert (done.kind, done.task) == (EventKind.DONE, TaskKind.ANALYSE)
    assert done.peak_rss_bytes >= done.rss_bytes > 50_000_000

    plan = endless(order, make_plan)
    task = Task(
        job_id=order.job_id, kind=TaskKind.RENDER, order_path=order.work_dir / "plan.json", segment=plan.segments[0]
    )
    process.tell(to_json(task))
    event = process.hear()
    assert event is not None
    assert (event.kind, event.segment) == (EventKind.PROGRESS, 0)
    helpers = psutil.Process(process.popen.pid).children(recursive=True)
    assert "ffmpeg" in {helper.name() for helper in helpers}
    process.let_go()
    assert process.popen.wait(5) == 0
    assert psutil.wait_procs(helpers, timeout=5)[1] == []
    assert not list(plan.segments_dir.glob("*.mp4")), "an unfinished segment has no name"


@pytest.mark.ffmpeg
def test_a_real_lack_of_main_memory_costs_one_task_and_not_the_worker(start, order, make_plan, quiet, tmp_path):
    analyse(order, Passthrough(), LIMITS, quiet)
    (segment,) = make_plan(order).segments
    ration = tmp_path / "ration.json"
    ration.write_text(to_json(Ration(real_frame_bytes=60_000_000)))
    process = start("--ration", str(ration), "--engine", "passthrough", module="heygemd.render.scarce")
    assert process.outcome().kind is EventKind.READY
    pid = process.popen.pid
    most_bytes = psutil.Process(pid).memory_info().vms + 400_000_000
    resource.prlimit(pid, resource.RLIMIT_AS, (most_bytes, most_bytes))
    process.tell(to_json(task_of(order, TaskKind.RENDER, segment, batch=15)))
    failed = process.outcome()
    assert (failed.kind, failed.error_code) == (EventKind.FAILED, "E303")
    assert "Unable to allocate" in failed.message
    process.tell(to_json(task_of(order, TaskKind.RENDER, segment, batch=4)))
    done = process.outcome()
    assert (done.kind, done.error_code) == (EventKind.DONE, None)
    assert done.peak_rss_bytes > done.rss_bytes + 150_000_000


@pytest.mark.ffmpeg
def test_a_line_that_is_no_task_ends_the_worker(start):
    process = start("--engine", "passthrough")
    assert process.hear() is not None
    process.tell(json.dumps({"kind": "of another version"}))
    process.let_go()
    end_s = time.monotonic() + 3
    while process.popen.poll() is None and time.monotonic() < end_s:
        select.select([process.events], [], [], 0.1)
    assert process.popen.poll() is not None


DAEMON = """
import os, subprocess, sys, time
tasks, leash = os.pipe()
events, out = os.pipe()
argv = [sys.executable, "-m", "heygemd.render.worker", "--tasks-fd", str(tasks), "--events-fd", str(out)]
worker = subprocess.Popen([*argv, "--engine", "passthrough"], pass_fds=(tasks, out), stderr=subprocess.DEVNULL)
os.read(events, 1)
print(worker.pid, flush=True)
time.sleep(600)
"""


def test_a_worker_that_stands_still_ends_with_its_daemon():
    with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE) as daemon:
        worker = psutil.Process(int(daemon.stdout.readline()))
        worker.suspend()
        daemon.kill()
    try:
        end_s = time.monotonic() + 10
        while is_alive(worker) and time.monotonic() < end_s:
            time.sleep(0.02)
        assert not is_alive(worker)
    finally:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


def is_alive(process):
    """The dead may wait for whoever collects them."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def test_an_engine_that_cannot_be_loaded_is_told_before_the_end(start, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"an error page")
    process = start("--engine", "wav2lip", "--weights", str(tmp_path / "weights.pth"))
    event = process.hear()
    assert event is not None
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E405")
    assert process.hear() is None
    assert process.popen.wait(10) == 1
