"""Peaks of a task: of this process, of what runs beside it, and nothing of the task before."""

import mmap
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from heygemd.media.child import Child, Leash
from heygemd.render.footprint import SAMPLE_EVERY_S, Footprint

MB = 1_000_000


class Proc:
    """A /proc of numbers one can choose: kB of this process and of its children."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "self").mkdir()
        (folder / "self/clear_refs").touch()
        self.pids = []
        self.own(peak=100, now=80)
        self.children({})

    def own(self, *, peak, now):
        self._write(os.getpid(), peak, now)

    def children(self, peaks):
        self.pids = list(peaks)
        for pid, peak in peaks.items():
            self._write(pid, peak, peak)

    def _write(self, pid, peak, now):
        (self.folder / str(pid)).mkdir(exist_ok=True)
        text = f"Name:\tffmpeg\nVmPeak:\t  999999 kB\nVmHWM:\t  {peak} kB\nVmRSS:\t  {now} kB\n"
        (self.folder / str(pid) / "status").write_text(text)


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def footprint(proc, clock):
    made = Footprint("cpu", proc=proc.folder, clock=lambda: clock[0], children=lambda: proc.pids)
    made.reset()
    return made


def test_the_peak_is_that_of_the_process_and_of_those_beside_it_at_their_largest(footprint, proc, clock):
    proc.children({9001: 30, 9002: 20})
    footprint.sample()
    clock[0] += SAMPLE_EVERY_S
    proc.children({9001: 40})
    footprint.sample()
    proc.children({})
    usage = footprint.read()
    assert (usage.peak_rss_bytes, usage.rss_bytes) == ((100 + 50) << 10, 80 << 10)
    assert (usage.peak_vram_bytes, usage.held_vram_bytes) == (0, 0)


def test_nothing_of_the_task_before_is_counted(footprint, proc):
    proc.children({9001: 500})
    footprint.sample()
    proc.children({})
    footprint.reset()
    assert (proc.folder / "self/clear_refs").read_text() == "5"
    assert footprint.read().peak_rss_bytes == 100 << 10


def test_it_looks_at_once_and_then_every_now_and_then(footprint, proc, clock):
    footprint.sample()
    proc.children({9001: 500})
    clock[0] += SAMPLE_EVERY_S * 0.9
    footprint.sample()
    proc.children({})
    assert footprint.read().peak_rss_bytes == 100 << 10
    proc.children({9001: 300})
    clock[0] += SAMPLE_EVERY_S * 0.2
    footprint.sample()
    proc.children({})
    assert footprint.read().peak_rss_bytes == 400 << 10


def test_a_process_that_ends_while_it_is_looked_at_is_no_fault(footprint, proc):
    proc.children({9001: 500, 9002: 7})
    (proc.folder / "9001/status").unlink()
    footprint.sample()
    assert footprint.read().peak_rss_bytes == 107 << 10


def test_a_peak_that_lags_behind_is_at_least_what_is_resident_now(footprint, proc):
    proc.own(peak=100, now=104)
    assert footprint.read().peak_rss_bytes == 104 << 10


def test_where_the_kernel_forgets_no_peak_the_samples_count(footprint, proc, clock):
    (proc.folder / "self/clear_refs").unlink()
    (proc.folder / "self/clear_refs").mkdir()  # as good as forbidden, for root, too
    proc.own(peak=9000, now=80)
    footprint.reset()
    proc.own(peak=9000, now=120)
    footprint.sample()
    proc.own(peak=9000, now=90)
    usage = footprint.read()
    assert (usage.peak_rss_bytes, usage.rss_bytes) == (120 << 10, 90 << 10)


def fill_fresh_memory(size_bytes):
    """Have this much more, and give it back: what the allocator has at hand may be resident already."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        np.frombuffer(pages, np.uint8)[:] = 1


def test_real_peaks_are_seen_and_forgotten():
    footprint = Footprint("cpu")
    footprint.reset()
    before = footprint.read()
    fill_fresh_memory(80 * MB)
    grown = footprint.read()
    footprint.reset()
    after = footprint.read()
    assert grown.peak_rss_bytes > before.peak_rss_bytes + 70 * MB
    assert grown.rss_bytes < before.rss_bytes + 40 * MB
    assert after.peak_rss_bytes < grown.peak_rss_bytes - 40 * MB


@pytest.mark.parametrize("thread", ["the main thread", "another"])
def test_a_real_child_counts_while_it_lives_and_its_peak_after_it_has_shrunk(thread):
    large = "import sys; x = bytearray(60_000_000); del x; print(1, flush=True); sys.stdin.read()"
    start = partial(Child, [sys.executable, "-S", "-c", large], leash=Leash(stall_s=20), feed=True)
    footprint = Footprint("cpu")
    footprint.reset()
    before = footprint.read()
    with ThreadPoolExecutor(1) as other:
        child = other.submit(start).result() if thread == "another" else start()
        with child:
            child.stdout.line()
            footprint.sample()
    assert footprint.read().peak_rss_bytes > before.peak_rss_bytes + 60 * MB
    footprint.reset()
    assert footprint.read().peak_rss_bytes < before.peak_rss_bytes + 40 * MB, "it is over"


def test_frames_of_what_failed_are_let_go_though_the_error_is_still_held():
    class Batch:
        alive = 0

        def __init__(self):
            Batch.alive += 1

        def __del__(self):
            Batch.alive -= 1

    def render():
        batch, itself = Batch(), None
        try:
            raise MemoryError
        except MemoryError as error:
            itself = error  # a cycle, as caught errors make
            raise ValueError(batch.alive, type(itself)) from error

    try:
        render()
    except ValueError as error:
        assert Batch.alive == 1
        Footprint("cpu").give_back(error)
        assert Batch.alive == 0
