"""The border of one task: codes of what went wrong, and a worker within this process."""

import errno
import io
import os
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import structlog
import torch
from structlog.testing import capture_logs

from heygemd.errors import FaultError, InputError, ResourceError, SetupError
from heygemd.jobs.job import EngineName
from heygemd.planning.plan import Event, EventKind, Task, TaskKind, from_json, to_json
from heygemd.render.analysis import analyse
from heygemd.render.engine import Weights
from heygemd.render.footprint import Footprint
from heygemd.render.passthrough import Passthrough
from heygemd.render.wav2lip.generator import Generator
from heygemd.render.wav2lip.processor import Processor
from heygemd.render.worker import (
    LARGEST_CPU_BATCH,
    Worker,
    argument_parser,
    failed_start,
    failure,
    limit_threads,
    load_engine,
    usable_device,
    weights_of,
)
from tests.render.tasks_rig import Darken, done_by, said_by, task_of

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
        (MemoryError(), "E303"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "E303"),
        (RuntimeError("CUDA error: out of memory"), "E301"),
        (RuntimeError("CUDA error: unspecified launch failure"), "E302"),
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


def test_a_shortage_that_one_of_ours_wraps_is_told_as_a_shortage():
    def wrapped():
        try:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        except OSError as error:
            raise ResourceError("E201", "the file cannot be opened") from error

    try:
        wrapped()
    except ResourceError as error:
        assert failure(TASK, error).error_code == "E303"


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


def test_only_wav2lip_gains_from_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("the card is asked for nothing"))
    assert usable_device("cuda:0", EngineName.PASSTHROUGH) == "cpu"
    assert usable_device("cuda:0", EngineName.ATLAS) == "cpu"
    assert usable_device("cpu", EngineName.WAV2LIP) == "cpu"


def test_a_device_that_torch_does_not_see_falls_back_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with capture_logs() as logs:
        assert usable_device("cuda:0", EngineName.WAV2LIP) == "cpu"
    assert [(line["event"], line["wanted"]) for line in logs] == [("device.fell_back", "cuda:0")]


def test_a_card_too_full_to_begin_with_is_no_reason_for_the_cpu(monkeypatch):
    def init():
        raise RuntimeError("Unexpected error from cudaGetDeviceCount(). Did you run … Error 2: out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(RuntimeError) as caught:
        usable_device("cuda:0", EngineName.WAV2LIP)
    told = failed_start(caught.value)
    assert told is not None
    assert (told.kind, told.error_code, told.job_id) == (EventKind.FAILED, "E301", "")


def test_a_start_that_fails_for_another_reason_keeps_its_way():
    told = failed_start(SetupError("E405", "wrong weights"))
    assert told is not None
    assert (told.error_code, told.message) == ("E405", "wrong weights")
    assert failed_start(RuntimeError("CUDA error: unspecified launch failure")) is None
    assert failed_start(ZeroDivisionError()) is None


@pytest.fixture
def threads():
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize(("cores", "torches", "cvs"), [(1, 1, 1), (2, 1, 1), (4, 2, 1), (13, 6, 3)])
def test_a_worker_leaves_cores_to_the_decoder_and_the_encoder(threads, cores, torches, cvs):
    limit_threads(cores)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (torches, cvs)


def test_without_a_number_all_cores_that_it_may_use_count(threads):
    cores = len(os.sched_getaffinity(0))
    limit_threads()
    assert torch.get_num_threads() == max(1, cores // 2)


def test_an_engine_tells_the_number_format_of_its_network():
    assert load_engine(EngineName.PASSTHROUGH, None, "cpu").precision == ""
    assert load_engine(EngineName.ATLAS, None, "cpu").precision == ""
    assert Generator(Processor(lambda windows, faces: faces, "openvino bfloat16")).precision == "openvino bfloat16"


def test_wav2lip_without_weights_is_a_fault_of_the_setup():
    with pytest.raises(SetupError) as caught:
        load_engine(EngineName.WAV2LIP, None, "cpu")
    assert caught.value.code == "E402"


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
@pytest.mark.ffmpeg
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_processor_gets_no_larger_batches_than_it_gains_from(worker, order, make_plan, monkeypatch, device):
    analyse(order, Passthrough(), TASK.limits, lambda done, total: None)
    plan = make_plan(order)
    worker.engine = Darken()
    assert done_by(worker, task_of(order, TaskKind.RENDER, plan.segments[0], batch=1)).kind is EventKind.DONE
    monkeypatch.setattr(worker.footprint, "torch_device", device)
    monkeypatch.setattr(type(worker.footprint), "_is_on_card", False)
    worker.engine.starts.clear()
    assert done_by(worker, task_of(order, TaskKind.RENDER, plan.segments[0], batch=16)).kind is EventKind.DONE
    sizes = [count for _, count in worker.engine.starts]
    assert sizes == ([LARGEST_CPU_BATCH, 7] if device == "cpu" else [15])


def test_the_command_line_says_what_computes_with_the_weights_and_where_it_is_kept():
    pipes = ["--tasks-fd", "5", "--events-fd", "6"]
    given = ["--weights", "w.pth", "--backend", "openvino", "--cache", "/state/cache"]
    found = weights_of(argument_parser().parse_args(["--engine", "wav2lip", *given, *pipes]))
    assert found == Weights(path=Path("w.pth"), backend="openvino", cache_dir=Path("/state/cache"))
    assert weights_of(argument_parser().parse_args(["--engine", "atlas", *pipes])) is None


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


@pytest.mark.parametrize(
    ("device", "may", "card"), [("cuda:1", True, "cuda:1"), ("cuda:1", False, None), ("cpu", True, None)]
)
def test_the_card_of_the_worker_decodes_where_the_task_lets_it(device, may, card):
    worker = Worker(engine=Passthrough(), device=device, out=io.StringIO(), footprint=Footprint(device))
    assert worker._card(replace(TASK, hardware_decoding=may)) == card
