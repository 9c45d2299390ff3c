"""A worker that is short of memory: it tells so, outlives it, and says how much it took."""

import gc
import io
import subprocess
import weakref
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

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


def test_the_footprint_grows_with_the_batch_and_is_measured_for_each_task_anew(tmp_path, order, make_plan):
    store = Store(tmp_path / "ration.json")
    store.file.write_text(to_json(Ration(real_frame_bytes=80_000_000)))
    first = Worker(engine=Passthrough(), device="cpu", out=io.StringIO())
    assert done_by(first, task_of(order, TaskKind.ANALYSE)).kind is EventKind.DONE
    (segment,) = make_plan(order).segments
    tasks = [task_of(order, TaskKind.RENDER, segment, batch=batch) for batch in (1, 15, 1)]
    # In a process of its own: what tests before this one took and let go is no part of it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        peaks = alone.submit(peaks_of, store, tasks).result(timeout=120)
    assert peaks[1] > peaks[0] + 300_000_000  # of eight frames; ffmpeg, 110 MB, is seen by chance
    assert peaks[2] < peaks[1] - 300_000_000


def peaks_of(store, tasks):
    """Most that a worker took for each task."""
    poor = ScarceWorker(engine=ScarceEngine(Passthrough(), store), device="cpu", out=io.StringIO(), store=store)
    return [done_by(poor, task).peak_rss_bytes for task in tasks]
