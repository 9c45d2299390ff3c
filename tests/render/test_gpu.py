"""On a real card: it gets full, by us or by others, and the worker goes on; what was predicted is not exceeded."""

import io
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, Event, EventKind, Task, TaskKind, from_json
from heygemd.planning.vram import Kind, Load, MemoryModel
from heygemd.render.footprint import Footprint
from heygemd.render.passthrough import Passthrough
from heygemd.render.pulse import unheard
from heygemd.render.shortage import shortage_of
from heygemd.render.wav2lip.folding import fold
from heygemd.render.wav2lip.generator import Generator
from heygemd.render.wav2lip.loading import on_card
from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES
from heygemd.render.wav2lip.torchnetwork import TorchNetwork
from heygemd.render.wav2lip.untrained import save_published, untrained_network
from heygemd.render.worker import Worker
from heygemd.scheduler.workers import Ended, LocalWorkers

pytestmark = pytest.mark.gpu

CARD = "cuda:0"
MIB = 1 << 20

HOLD_ALL_BUT = """
import sys, torch
spare, least = int(sys.argv[1]), 20 << 20  # torch takes no less from the card
held, size = [], least
while size >= least:
    size = torch.cuda.mem_get_info()[0] - spare
    while size >= least:
        try:
            held.append(torch.ones(size, dtype=torch.uint8, device="cuda"))
            break
        except torch.OutOfMemoryError:
            size //= 2
print("full", flush=True)
sys.stdin.readline()
print(all(bool(block[-1] == 1) for block in held), flush=True)
"""
"""Another process, which wants to have what it took to its end."""


@contextmanager
def foreign(spare_bytes):
    """Another process holds the card but for `spare_bytes`; must have lost nothing in the end."""
    argv = [sys.executable, "-c", HOLD_ALL_BUT, str(spare_bytes)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "full\n"
            yield
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "True\n", "what others hold on the card is theirs"
        finally:
            other.kill()


@pytest.fixture(scope="module")
def network():
    return untrained_network(seed=3)


@pytest.fixture
def generator(network):
    made = Generator(on_card(fold(dict(network.state_dict())), torch.device(CARD)))
    paint(made, 1)  # handles, and the kernels that are loaded lazily
    torch.cuda.empty_cache()
    yield made
    torch.cuda.set_per_process_memory_fraction(1.0, CARD)
    del made
    torch.cuda.empty_cache()


def paint(generator, count):
    rng = np.random.default_rng(7)
    windows = rng.uniform(-4, 0, (count, MEL_FRAMES, MEL_BANDS)).astype(np.float32)
    faces = rng.uniform(0, 255, (count, FACE_PX, FACE_PX, 3)).astype(np.float32)
    return generator.paint(windows, faces, batch_frames=count)


def peak_bytes(generator, count):
    footprint = Footprint(CARD)
    torch.cuda.empty_cache()
    footprint.reset()
    paint(generator, count)
    return footprint.read().peak_vram_bytes


def allow(most_bytes):
    """Let this process reserve so much and no more."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most_bytes / torch.cuda.get_device_properties(0).total_memory, CARD)


def between(generator, small, large):
    """Memory that suffices for a batch of `small` frames and not for `large`."""
    low, high = peak_bytes(generator, small), peak_bytes(generator, large)
    assert high > low + 16 * MIB
    return low + (high - low) // 8


def test_a_batch_that_is_too_large_is_a_shortage_and_a_smaller_one_gives_the_same_picture(generator):
    expected = paint(generator, 4)
    allow(between(generator, 4, 64))
    with pytest.raises(RuntimeError) as caught:
        paint(generator, 64)
    assert shortage_of(caught.value) == "E301"
    Footprint(CARD).give_back(caught.value)
    assert np.array_equal(paint(generator, 4), expected)


def test_the_peak_is_forgotten_with_the_task_and_what_is_held_is_told(generator):
    large, small = peak_bytes(generator, 64), peak_bytes(generator, 1)
    assert small < large
    usage = Footprint(CARD).read()
    assert 0 < usage.held_vram_bytes <= usage.peak_vram_bytes


def test_what_was_predicted_is_not_exceeded(generator):
    kind = Kind(
        engine=EngineName.WAV2LIP, precision=generator.precision, is_cuda=True,
        device_name=torch.cuda.get_device_name(0),
    )  # fmt: skip
    model = MemoryModel.fit(kind, (), context_bytes=0)
    table = []
    for batch in (1, 4, 16, 64):
        predicted = model.estimate(Load(batch=batch, width_px=1920, height_px=1080))
        table.append(
            (batch, peak_bytes(generator, batch) // MIB, predicted.expected_bytes // MIB, predicted.bytes // MIB)
        )
    figures = f"batch, measured, expected, granted (MiB): {table}"
    assert all(measured <= granted for _, measured, _, granted in table), figures
    assert all(granted <= 4 * measured for _, measured, _, granted in table), figures  # else the card lies idle


def noise(count, seed=7):
    rng = np.random.default_rng(seed)
    windows = rng.uniform(-4, 0, (count, MEL_FRAMES, MEL_BANDS)).astype(np.float32)
    return windows, rng.uniform(0, 255, (count, FACE_PX, FACE_PX, 3)).astype(np.float32)


def test_a_card_paints_what_the_processor_paints(generator, network):
    windows, faces = noise(4)
    exact = TorchNetwork(fold(dict(network.state_dict())), torch.float32)
    expected = exact.paint(torch.from_numpy(windows), torch.from_numpy(faces)).numpy()
    off = np.abs(generator.paint(windows, faces, batch_frames=4) - expected)
    assert generator.precision == "float16"
    assert off.mean() < 0.8  # levels; untrained weights, of which bfloat16 makes 2.9


def test_many_batches_in_flight_do_not_disturb_each_other(generator):
    """Ten batches are queued before the first is waited for; each comes back as it does alone."""
    inputs = [noise(16, seed) for seed in range(10)]
    alone = [generator.paint(*faces, batch_frames=16) for faces in inputs]
    begun = [generator.submit(*faces, batch_frames=16) for faces in inputs]
    for wait, expected in zip(reversed(begun), reversed(alone), strict=True):
        assert np.array_equal(wait(), expected)


def test_submitting_does_not_wait_for_the_card(generator):
    """It queues a second of work in a fraction of that time."""
    windows, faces = noise(64)
    waits = [generator.submit(windows, faces, batch_frames=64) for _ in range(2)]  # memory of two batches
    for wait in waits:
        wait()
    began_s = time.perf_counter()
    first, second = (generator.submit(windows, faces, batch_frames=64) for _ in range(2))
    queued_s = time.perf_counter() - began_s
    first(), second()
    assert queued_s < 0.7 * (time.perf_counter() - began_s)


class Painted(Passthrough):
    """Changes nothing, and has the network paint four times as many faces as there are frames."""

    def __init__(self, generator):
        self.generator = generator
        self.precision = generator.precision

    def prepare(self, clip, pulse=unheard):
        del clip, pulse
        return self

    def render(self, start, frames):
        del start
        paint(self.generator, 4 * len(frames))
        return [False] * len(frames)


@pytest.fixture
def task(generator, order, make_plan):
    """A worker on the card, and a function that has it render a film of fifteen frames."""
    worker = Worker(engine=Painted(generator), device=CARD, out=io.StringIO(), footprint=Footprint(CARD))

    def carry_out(**how):
        worker.carry_out(Task(job_id=order.job_id, **how))
        return from_json(Event, worker.out.getvalue().splitlines()[-1])

    assert carry_out(kind=TaskKind.ANALYSE, order_path=order.work_dir / "order.json").kind is EventKind.DONE
    (segment,) = make_plan(order).segments
    path = order.work_dir / "plan.json"
    return lambda batch: carry_out(kind=TaskKind.RENDER, order_path=path, segment=segment, batch_size=batch)


@pytest.mark.ffmpeg
def test_a_worker_survives_a_full_card_gives_back_and_does_it_with_less(generator, task):
    allow(between(generator, 4 * 2, 4 * 15))
    failed = task(16)
    assert (failed.kind, failed.error_code) == (EventKind.FAILED, "E301")
    done = task(2)
    assert (done.kind, done.device) == (EventKind.DONE, CARD)
    assert failed.held_vram_bytes < failed.peak_vram_bytes
    assert 0 < done.held_vram_bytes <= done.peak_vram_bytes


@pytest.mark.ffmpeg
def test_a_card_that_others_fill_is_survived_by_both(generator, task):
    torch.cuda.empty_cache()
    with foreign(8 * MIB):
        failed = task(16)
        assert (failed.kind, failed.error_code) == (EventKind.FAILED, "E301")
    assert task(16).kind is EventKind.DONE


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "wav2lip.pth"
    save_published(network.state_dict(), path)
    return path


def heard(pool, count):
    """What is said until `count` things have been said that are no progress."""
    said = []
    while len(said) < count:
        pool.wait(120)
        said += [(w, e) for w, e in pool.events() if isinstance(e, Ended) or e.kind is not EventKind.PROGRESS]
    return said


@pytest.mark.ffmpeg
def test_two_workers_live_on_one_card_and_tell_what_each_holds(weights, order):
    pool = LocalWorkers()
    try:
        choice = EngineChoice(name=EngineName.WAV2LIP, weights=weights)
        workers = {pool.start(choice, CARD), pool.start(choice, CARD)}
        ready = heard(pool, 2)
        assert {worker for worker, _ in ready} == workers
        assert {(e.kind, e.device, e.precision) for _, e in ready} == {(EventKind.READY, CARD, "float16")}
        for worker in workers:
            path = order.work_dir / "order.json"
            pool.send(worker, Task(job_id=order.job_id, kind=TaskKind.ANALYSE, order_path=path, device=CARD))
        for _, event in heard(pool, 2):
            assert (event.kind, event.error_code) == (EventKind.FAILED, "E131"), "a test picture has no face"
            assert event.held_vram_bytes > 60 * MIB, "the weights"
    finally:
        pool.close()


def test_a_worker_that_finds_no_room_for_its_context_says_so(weights):
    pool = LocalWorkers()
    try:
        with foreign(8 * MIB):
            pool.start(EngineChoice(name=EngineName.WAV2LIP, weights=weights), CARD)
            (_, failed), (_, ended) = heard(pool, 2)
        assert (failed.kind, failed.error_code) == (EventKind.FAILED, "E301")
        assert ended.returncode == 1
    finally:
        pool.close()


def test_an_engine_of_the_cpu_never_touches_the_card():
    program = (
        "import torch; from heygemd.jobs.job import EngineName as E; from heygemd.render.worker import *\n"
        "for name in (E.ATLAS, E.PASSTHROUGH): load_engine(name, None, usable_device('cuda:0', name))\n"
        "raise SystemExit(torch.cuda.is_initialized())"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
