from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs import evidence
from heygemd.jobs.evidence import Ceiling, MeasuredPeak, WorkerKind
from heygemd.jobs.job import EngineName
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import NOW, open_store

KIND = WorkerKind(engine=EngineName.WAV2LIP, precision="float16", device_name="NVIDIA 测试卡")
SIZE = {"width_px": 1920, "height_px": 1080}
CEILING = Ceiling(kind=KIND, **SIZE, batch=8, since=NOW, failed_batch=16, needed_bytes=900)


def note(store: JobStore, peak_bytes: int, *, kind: WorkerKind = KIND, batch: int = 16, minutes: float = 0) -> bool:
    at = NOW + timedelta(minutes=minutes)
    return store.note_peak(kind, **SIZE, batch=batch, peak_bytes=peak_bytes, at=at)


def writes(store: JobStore) -> int:
    """Changes of rows since the store was opened."""
    return store._db.execute("SELECT total_changes()").fetchone()[0]


def test_the_largest_peak_of_a_load_is_kept_with_its_count(store):
    assert note(store, 500)
    assert note(store, 800, minutes=1)
    assert [note(store, 600, minutes=2) for _ in range(3)] == [False, False, True]
    note(store, 700, batch=8, minutes=3)
    peak = MeasuredPeak(kind=KIND, **SIZE, batch=16, peak_bytes=800, samples=5, seen_at=NOW + timedelta(minutes=2))
    assert [p.batch for p in store.peaks(KIND)] == [8, 16], "the most recently seen first"
    assert store.peaks(KIND)[1] == peak
    assert [p.batch for p in store.peaks(KIND, limit=1)] == [8]


def test_kinds_do_not_mix(store):
    others = [
        replace(KIND, precision="float32"), replace(KIND, device_name="CPU"), replace(KIND, engine=EngineName.ATLAS)
    ]  # fmt: skip
    for number, kind in enumerate((KIND, *others)):
        note(store, 100 + number, kind=kind)
    assert [[p.peak_bytes for p in store.peaks(kind)] for kind in (KIND, *others)] == [[100], [101], [102], [103]]


def test_only_news_is_written(store):
    before = writes(store)
    told = [note(store, 500) for _ in range(200)]
    assert [count for count, is_news in enumerate(told, 1) if is_news] == [1, 2, 5, 10, 20, 50, 100, 200]
    assert writes(store) - before == 8
    assert store.peaks(KIND)[0].samples == 200


def test_counts_that_were_not_written_yet_come_with_the_next_news(store):
    for _ in range(9):
        note(store, 500)
    assert store.peaks(KIND)[0].samples == 5
    assert note(store, 501)
    assert store.peaks(KIND)[0].samples == 10


def test_a_load_that_is_seen_all_the_time_does_not_look_forgotten(store):
    note(store, 500)
    note(store, 500)
    assert not note(store, 500, minutes=60 * 25)
    assert store.peaks(KIND)[0].seen_at == NOW + timedelta(hours=25)
    assert store.peaks(KIND)[0].samples == 3


def test_evidence_survives_a_restart(tmp_path):
    with open_store(tmp_path) as store:
        note(store, 500)
        store.set_ceiling(CEILING)
        store.note_context(KIND.device_name, 3 << 20)
    with JobStore(tmp_path / "jobs.sqlite") as store:
        assert store.peaks(KIND)[0].peak_bytes == 500
        assert store.ceilings() == [CEILING]
        assert store.context_bytes(KIND.device_name) == 3 << 20
        assert store.context_bytes("another card") is None


def test_the_least_recently_seen_peaks_go_first(store, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_ROWS", 5)
    for batch in range(1, 8):
        note(store, 500, batch=batch, minutes=batch)
    assert [p.batch for p in store.peaks(KIND, limit=99)] == [7, 6, 5, 4, 3]
    note(store, 900, batch=3, minutes=8)
    note(store, 500, batch=8, minutes=9)
    assert [p.batch for p in store.peaks(KIND, limit=99)] == [8, 3, 7, 6, 5]


def test_a_ceiling_is_counted_replaced_and_forgotten(store):
    other = replace(CEILING, width_px=512, since=NOW + timedelta(hours=1))
    store.set_ceiling(CEILING)
    store.set_ceiling(other)
    store.note_good_at_ceiling(CEILING)
    store.note_good_at_ceiling(CEILING)
    assert store.ceilings() == [other, replace(CEILING, good_count=2)]
    store.set_ceiling(replace(CEILING, batch=4))
    assert store.ceilings() == [other, replace(CEILING, batch=4)]
    store.forget_ceiling(CEILING)
    store.forget_ceiling(CEILING)
    store.note_good_at_ceiling(CEILING)
    assert store.ceilings() == [other]


def test_the_oldest_ceilings_go_first(store, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_ROWS", 3)
    for width in range(1, 6):
        store.set_ceiling(replace(CEILING, width_px=width, since=NOW + timedelta(minutes=width)))
    assert [ceiling.width_px for ceiling in store.ceilings()] == [5, 4, 3]


def test_a_context_is_written_when_it_has_changed(store):
    assert store.note_context("card", 500)
    before = writes(store)
    assert not store.note_context("card", 500)
    assert writes(store) == before
    assert store.note_context("card", 400)
    assert store.context_bytes("card") == 400


def test_a_full_disk_loses_no_count_and_nothing_that_was_known(store):
    note(store, 500)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    long_name = replace(KIND, device_name="x" * 100_000)
    with pytest.raises(ResourceError) as caught:
        note(store, 500, kind=long_name)
    assert caught.value.code == "E202"
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert note(store, 500, kind=long_name)
    assert store.peaks(KIND)[0].peak_bytes == 500


@pytest.mark.parametrize("table", ["memory_peak", "memory_ceiling"])
def test_trimming_reads_an_index(store, table):
    column = "seen_at" if table == "memory_peak" else "since"
    plan = store._db.all(f"EXPLAIN QUERY PLAN SELECT engine FROM {table} ORDER BY {column} DESC LIMIT -1 OFFSET 2000")
    assert any("USING COVERING INDEX" in row["detail"] for row in plan), plan


def test_a_reader_beside_the_daemon_sees_the_evidence(store, tmp_path: Path):
    note(store, 500)
    with JobStore.open_readonly(tmp_path / "jobs.sqlite") as reader:
        assert reader.peaks(KIND)[0].peak_bytes == 500
