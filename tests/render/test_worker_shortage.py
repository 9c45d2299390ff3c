"""A worker that is short of memory: it tells so, outlives it, and says how much it took."""

import ctypes
import gc
import io
import subprocess
import weakref
from dataclasses import replace

import psutil
import pytest
import torch

from heygemd.planning.plan import EventKind, TaskKind, to_json
from heygemd.render.analysis import analyse
from heygemd.render.footprint import Footprint
from heygemd.render.passthrough import Passthrough
from heygemd.render.pulse import unheard
from heygemd.render.scarce import Ration, ScarceEngine, ScarceWorker, Store
from heygemd.render.worker import Worker
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import done_by, task_of

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def scarce(tmp_path):
    """A function that makes a worker on a ration, and one that changes the ration."""
    store = Store(tmp_path / "ration.json")

    def allow(**ration):
        store.file.write_text(to_json(Ration(**ration)))

    allow()
    return ScarceWorker(engine=ScarceEngine(Passthrough(), store), device="cpu", out=io.StringIO(), store=store), allow


def pixels_of(path):
    """Digest of every frame."""
    listing = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
    return subprocess.run(listing, check=True, capture_output=True).stdout


def test_a_worker_outlives_a_shortage_at_every_stage_and_then_makes_the_same_film(worker, scarce, order, make_plan):
    poor, allow = scarce

    def fails_then_does(task, code, **ration):
        allow(**ration)
        failed = done_by(poor, task)
        assert (failed.kind, failed.error_code, failed.task) == (EventKind.FAILED, code, task.kind)
        assert poor.staged is None
        allow(most_frames=task.batch_size // 2)
        done = done_by(poor, replace(task, batch_size=task.batch_size // 2))
        assert (done.kind, done.error_code) == (EventKind.DONE, None)
        assert 0 < done.rss_bytes <= done.peak_rss_bytes

    fails_then_does(task_of(order, TaskKind.ANALYSE), "E303", error="ram", stages=("listen",))
    plan = make_plan(order)
    (segment,) = plan.segments
    fails_then_does(task_of(order, TaskKind.RENDER, segment), "E301", error="cublas", stages=("prepare",))
    third = {"most_frames": 2, "from_batch": 3}  # of four: fifteen frames
    fails_then_does(task_of(order, TaskKind.RENDER, segment, batch=4), "E301", error="vram", **third)
    fails_then_does(task_of(order, TaskKind.FINISH), "E303", error="ram", stages=("finish",))
    frugal = pixels_of(plan.segments_dir / segment.file_name), pixels_of(plan.film_file)
    for file in (plan.segments_dir / segment.file_name, plan.film_file):
        file.unlink()
    assert done_by(worker, task_of(order, TaskKind.RENDER, segment, batch=16)).kind is EventKind.DONE
    assert done_by(worker, task_of(order, TaskKind.FINISH)).kind is EventKind.DONE
    assert (pixels_of(plan.segments_dir / segment.file_name), pixels_of(plan.film_file)) == frugal
    assert frugal[0].count(b"\n0,") == 15


class Wasteful(Passthrough):
    """Takes memory in its batch and in its film, and then has not enough."""

    def prepare(self, clip, pulse=unheard):
        del clip, pulse
        self.film = weakref.ref(film := WastefulFilm())
        return film


class WastefulFilm:
    def __init__(self):
        self.itself = self  # only the collector frees it
        self.table = bytearray(64)

    def render(self, start, frames):
        del start, frames
        self.batch = bytearray(64)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_what_a_task_held_is_free_before_its_shortage_is_told(order, make_plan, quiet):
    engine = Wasteful()

    class Listener(io.StringIO):
        def write(self, line):
            if "failed" in line:
                free.append(engine.film() is None)
            return super().write(line)

    free = []
    analyse(order, engine, LIMITS, quiet)
    (segment,) = make_plan(order).segments
    worker = Worker(engine=engine, device="cpu", out=Listener())
    assert done_by(worker, task_of(order, TaskKind.RENDER, segment)).error_code == "E301"
    assert free == [True]


def test_the_footprint_is_looked_at_while_decoder_and_encoder_live(order, make_plan):
    class Watched(Footprint):
        def sample(self):
            seen.append({child.name() for child in psutil.Process().children() if child not in others})

    seen, others = [], psutil.Process().children()  # a test before this one may have left a server running
    worker = Worker(engine=Passthrough(), device="cpu", out=io.StringIO(), footprint=Watched("cpu"))
    done_by(worker, task_of(order, TaskKind.ANALYSE))
    (segment,) = make_plan(order).segments
    done_by(worker, task_of(order, TaskKind.RENDER, segment, batch=4))
    assert len(seen) >= 10 + 4
    assert {"ffmpeg"} in seen


def test_the_footprint_grows_with_the_batch_and_is_measured_for_each_task_anew(scarce, order, make_plan):
    poor, allow = scarce
    done_by(poor, task_of(order, TaskKind.ANALYSE))
    (segment,) = make_plan(order).segments
    allow(real_frame_bytes=20_000_000)
    peaks = []
    for batch in (1, 15, 1):
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator kept of tasks and tests before is no part of this one
        peaks.append(done_by(poor, task_of(order, TaskKind.RENDER, segment, batch=batch)).peak_rss_bytes)
    assert peaks[1] > peaks[0] + 120_000_000  # 280 MB more; the encoder is seen at other moments
    assert peaks[2] < peaks[1] - 120_000_000
