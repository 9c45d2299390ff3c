"""The border of one task, and a worker as a process of its own."""

import errno
import io
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
import structlog
import torch
from structlog.testing import capture_logs

from heygemd.errors import FaultError, InputError, ResourceError, SetupError
from heygemd.jobs.job import EngineName
from heygemd.planning.plan import Event, EventKind, Task, TaskKind, from_json, to_json
from heygemd.render.passthrough import Passthrough
from heygemd.render.tasks import analyse
from heygemd.render.worker import Worker, failure, load_engine, usable_device

TASK = Task(job_id="a-job", kind=TaskKind.ANALYSE, order_path=Path("/nowhere/order.json"))


def failed_of(error):
    """Raised and caught, so that it has a traceback as in the worker."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001  # whatever a task may raise
        return failure(TASK, caught)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("E131", "no face"), "E131"),
        (ResourceError("E201", "gone"), "E201"),
        (SetupError("E405", "wrong weights"), "E405"),
        (FaultError("E502", "not the film"), "E502"),
        (torch.OutOfMemoryError("CUDA out of memory"), "E301"),
        (OSError(errno.ENOSPC, "No space left on device"), "E202"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "E202"),
        (OSError(errno.EROFS, "Read-only file system"), "E202"),
        (OSError(errno.EIO, "Input/output error"), "E202"),
        (OSError(errno.EMFILE, "Too many open files"), "E202"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "E500"),
        (ValueError("a bug"), "E500"),
        (MemoryError(), "E500"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_went_wrong_becomes_the_code_the_scheduler_decides_by(error, code):
    event = failed_of(error)
    assert (event.kind, event.error_code) == (EventKind.FAILED, code)


@pytest.mark.parametrize(
    "words", ["CUDA error: unspecified launch failure", "CUDA error: device-side assert triggered"]
)
def test_a_device_that_fails_is_not_the_fault_of_the_job(words):
    kind = getattr(torch, "AcceleratorError", RuntimeError)
    try:
        error = kind(words)
    except TypeError:
        error = kind(words, 719)
    assert failed_of(error).error_code == "E302"


def test_an_error_of_ours_keeps_its_sentence_and_needs_no_traceback():
    event = failed_of(InputError("E131", "no face"))
    assert (event.message, event.traceback) == ("no face", "")


def test_a_bug_tells_its_kind_and_where_it_was():
    event = failed_of(ZeroDivisionError("a bug"))
    assert event.message == "ZeroDivisionError: a bug"
    assert "Traceback" in event.traceback
    assert "failed_of" in event.traceback


def test_a_name_that_is_no_utf8_survives_the_way_to_the_daemon():
    event = failed_of(ValueError("caf\udce9.mp4"))
    again = from_json(Event, to_json(event))
    assert again == event
    assert r"caf\udce9.mp4" in again.message
    assert r"caf\udce9.mp4" in again.traceback
    assert r"\udce9" in failed_of(InputError("E110", "caf\udce9.mp4")).message


def test_a_failure_is_logged_once():
    with capture_logs() as logs:
        failed_of(InputError("E131", "no face"))
    assert [(line["event"], line["error_code"], line["reason"]) for line in logs] == [
        ("task.failed", "E131", "no face")
    ]


def test_only_wav2lip_gains_from_a_device():
    assert usable_device("cuda:0", EngineName.PASSTHROUGH) == "cpu"
    assert usable_device("cuda:0", EngineName.ATLAS) == "cpu"
    assert usable_device("cpu", EngineName.WAV2LIP) == "cpu"


def test_a_device_that_torch_does_not_see_falls_back_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with capture_logs() as logs:
        assert usable_device("cuda:0", EngineName.WAV2LIP) == "cpu"
    assert [(line["event"], line["wanted"]) for line in logs] == [("device.fell_back", "cuda:0")]


def test_wav2lip_without_weights_is_a_fault_of_the_setup():
    with pytest.raises(SetupError) as caught:
        load_engine(EngineName.WAV2LIP, None, "cpu")
    assert caught.value.code == "E402"


@pytest.fixture
def worker():
    return Worker(engine=Passthrough(), device="cpu", out=io.StringIO())


def said_by(worker):
    """Every event, in the order in which it was said."""
    return [from_json(Event, line) for line in worker.out.getvalue().splitlines()]


@pytest.mark.ffmpeg
def test_a_task_that_is_done_says_so_once_with_its_facts(worker, order):
    worker.carry_out(Task(job_id=order.job_id, kind=TaskKind.ANALYSE, order_path=order.work_dir / "order.json"))
    (event,) = [event for event in said_by(worker) if event.kind is not EventKind.PROGRESS]
    assert (event.kind, event.job_id, event.task, event.segment) == (
        EventKind.DONE, order.job_id, TaskKind.ANALYSE, None,
    )  # fmt: skip
    assert event.analysis is not None
    assert event.analysis.tick_count == 10


@pytest.mark.parametrize("text", [None, "no json", "{}"], ids=["absent", "garbage", "empty"])
def test_an_order_that_cannot_be_read_fails_the_task_and_not_the_worker(worker, tmp_path, text):
    path = tmp_path / "order.json"
    if text is not None:
        path.write_text(text)
    for _ in range(2):
        worker.carry_out(Task(job_id="a-job", kind=TaskKind.ANALYSE, order_path=path))
    assert [(event.kind, event.error_code, event.job_id) for event in said_by(worker)] == [
        (EventKind.FAILED, "E500", "a-job")
    ] * 2


@pytest.mark.ffmpeg
def test_a_film_stays_staged_for_its_next_segment_until_something_fails(worker, order, make_plan):
    analyse(order, Passthrough(), TASK.limits, lambda done, total: None)
    plan = make_plan(order, most=8)

    def render(segment):
        path = order.work_dir / "plan.json"
        worker.carry_out(Task(job_id=order.job_id, kind=TaskKind.RENDER, order_path=path, segment=segment))
        return said_by(worker)[-1]

    first = render(plan.segments[0])
    staged = worker.staged
    second = render(plan.segments[1])
    assert [(one.kind, one.segment, one.frames_done) for one in (first, second)] == [
        (EventKind.DONE, 0, 7),
        (EventKind.DONE, 1, 8),
    ]
    assert worker.staged is staged is not None
    assert render(None).error_code == "E500"
    assert worker.staged is None


def test_the_log_lines_of_a_task_carry_its_job_and_those_after_do_not(worker):
    worker.carry_out(TASK)
    assert "job_id" not in structlog.contextvars.get_contextvars()


class Process:
    """A real worker and both its pipes."""

    def __init__(self, log, *args):
        theirs, self.tasks = os.pipe()
        self.events, out = os.pipe()
        argv = [sys.executable, "-m", "heygemd.render.worker", "--tasks-fd", str(theirs), "--events-fd", str(out)]
        with log.open("wb") as stderr:
            self.popen = subprocess.Popen(
                [*argv, "--log-json", *args], pass_fds=(theirs, out), stderr=stderr, stdin=subprocess.DEVNULL
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

    def run(*args):
        started.append(Process(tmp_path / "worker.log", *args))
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
    process = start("--engine", "passthrough", "--device", "cuda:0")
    ready = process.hear()
    assert ready is not None
    assert (ready.kind, ready.device) == (EventKind.READY, "cpu")
    process.tell(to_json(Task(job_id=order.job_id, kind=TaskKind.ANALYSE, order_path=order.work_dir / "order.json")))
    done = process.hear()
    assert done is not None
    assert (done.kind, done.task) == (EventKind.DONE, TaskKind.ANALYSE)

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
def test_a_line_that_is_no_task_ends_the_worker(start):
    process = start("--engine", "passthrough")
    assert process.hear() is not None
    process.tell(json.dumps({"kind": "of another version"}))
    process.let_go()
    end_s = time.monotonic() + 3
    while process.popen.poll() is None and time.monotonic() < end_s:
        select.select([process.events], [], [], 0.1)
    assert process.popen.poll() is not None


def test_an_engine_that_cannot_be_loaded_is_told_before_the_end(start, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"an error page")
    process = start("--engine", "wav2lip", "--weights", str(tmp_path / "weights.pth"))
    event = process.hear()
    assert event is not None
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E405")
    assert process.hear() is None
    assert process.popen.wait(10) == 1
