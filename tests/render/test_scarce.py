"""The fake that ships: it is short when it is told to be, and its pretended card is one for all workers."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, EventKind, to_json
from heygemd.render.passthrough import Passthrough
from heygemd.render.scarce import ERRORS, Ration, ScarceEngine, Store, held_bytes, shortages
from heygemd.render.shortage import is_device_fault, shortage_of
from heygemd.scheduler.workers import Ended, LocalWorkers

CARD = Ration(card_bytes=1000, context_bytes=100, weights_bytes=200, frame_bytes=10)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ration.json")


def allow(store, ration):
    store.file.write_text(to_json(ration))


def test_its_errors_are_what_they_pretend_to_be():
    codes = {name: shortage_of(make()) for name, make in ERRORS.items()}
    assert codes == {"vram": "E301", "context": "E301", "cublas": "E301", "ram": "E303", "lost": None}
    assert is_device_fault(ERRORS["lost"]())


def test_a_stage_is_short_so_often_and_then_no_more(store):
    allow(store, Ration(error="ram", stages=("prepare",), times=2))
    engine = ScarceEngine(Passthrough(), store)
    engine.listen(None)
    for _ in range(2):
        with pytest.raises(MemoryError):
            engine.prepare(None)
    engine.prepare(None)
    assert shortages(store.file) == 2


def test_a_batch_that_is_too_large_is_short_from_the_batch_on_that_is_named(store):
    allow(store, Ration(most_frames=2, from_batch=3))
    film = ScarceEngine(Passthrough(), store).prepare(None)
    assert film.render(10, [None] * 3) == [False] * 3
    film.render(13, [None] * 3)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        film.render(16, [None] * 3)
    film.render(10, [None] * 3)  # begun anew
    film.render(13, [None] * 2)
    film.render(15, [None] * 2)


def test_the_pretended_card_is_full_when_all_together_hold_too_much(store):
    allow(store, CARD)
    store.draw("load")
    store.draw("render", 30)
    assert (store.reserved_bytes, store.peak_bytes, held_bytes(store.file)) == (500, 500, 600)
    allow(store, replace(CARD, foreign_bytes=395))
    store.draw("render", 20)
    assert store.reserved_bytes == 500, "it keeps what it once had"
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        store.draw("render", 31)
    store.give_back()
    assert (store.reserved_bytes, held_bytes(store.file)) == (200, 300)


def test_the_dead_hold_nothing(store):
    allow(store, CARD)
    store.draw("load")
    over = subprocess.Popen(["true"])
    over.wait()
    (store.file.with_suffix(".held") / str(over.pid)).write_text("900")
    assert held_bytes(store.file) == 300
    assert (store.file.with_suffix(".held") / str(os.getpid())).read_text() == "300"


def test_a_real_worker_on_a_full_card_says_so_before_it_ends_and_loads_when_there_is_room(store):
    allow(store, replace(CARD, foreign_bytes=701))
    command = (sys.executable, "-m", "heygemd.render.scarce", "--ration", str(store.file))
    pool = LocalWorkers(command=command)

    def heard():
        said = []
        while not said:
            pool.wait(60)
            said = pool.events()
        return said

    try:
        pool.start(EngineChoice(name=EngineName.PASSTHROUGH), "cuda:1")
        said = heard()
        while not isinstance(said[-1][1], Ended):
            said += heard()
        (_, failed), (_, ended) = said
        assert (failed.kind, failed.error_code, failed.job_id) == (EventKind.FAILED, "E301", "")
        assert (ended.returncode, held_bytes(store.file)) == (1, 0)
        allow(store, CARD)
        pool.start(EngineChoice(name=EngineName.PASSTHROUGH), "cuda:1")
        ((_, ready),) = heard()
        assert (ready.kind, ready.device) == (EventKind.READY, "cuda:1")
        assert held_bytes(store.file) == 300
    finally:
        pool.close()
    assert held_bytes(store.file) == 0
