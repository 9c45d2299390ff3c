"""The memory book: what it grants, what it learns, and how it forgives a shortage."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName
from heygemd.jobs.store import JobStore
from heygemd.planning.plan import EngineChoice
from heygemd.planning.vram import CONTEXT_MIB, Load
from heygemd.scheduler.devices import Device
from heygemd.scheduler.facts import Fit, JobFacts
from heygemd.scheduler.memory import RAISE_AFTER, MemoryBook, memory_device
from heygemd.settings import RenderSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIB = 1 << 20
CPU = Device(index=0, name="CPU with 8 threads", kind="cpu", total_bytes=16 << 30, free_bytes=8 << 30)
CARD = Device(index=0, name="NVIDIA card", kind="cuda", total_bytes=8 << 30, free_bytes=8 << 30)
TWIN = replace(CARD, index=1)
ATLAS, WAV2LIP, PASSTHROUGH = EngineName.ATLAS, EngineName.WAV2LIP, EngineName.PASSTHROUGH
HD = Load(batch=16, width_px=1920, height_px=1080)
PLENTY = 1 << 40


def a_job(engine: EngineName = WAV2LIP, *, pixels: int = HD.pixels, batch_most: int = 16) -> JobFacts:
    return JobFacts(
        job_id="a", is_begun=True, turn=0.0, attempts=1, rest_until_s=0.0, engine=EngineChoice(name=engine), todo=(),
        pixels=pixels, batch_most=batch_most,
    )  # fmt: skip


class Book(MemoryBook):
    """The book with the arguments that all tests share."""

    store: JobStore

    def task(self, peak_mib: float, load: Load = HD, engine: EngineName = WAV2LIP, device: Device = CARD) -> None:
        peak_bytes = round(peak_mib * MIB)
        self.note_task(engine, device, precision="", load=load, peak_bytes=peak_bytes, now=NOW)

    def shortage(self, load: Load = HD, granted_mib: float = 800, minutes: float = 0, peak_mib: float = 0) -> None:
        self.note_shortage(
            WAV2LIP, CARD, precision="", load=load, granted_bytes=round(granted_mib * MIB),
            now=NOW + timedelta(minutes=minutes), peak_bytes=round(peak_mib * MIB),
        )  # fmt: skip

    def good(self, load: Load, times: int = 1) -> None:
        for _ in range(times):
            self.note_good(WAV2LIP, CARD, precision="", load=load, now=NOW)

    def batch(self, job: JobFacts | None = None, free_bytes: int = PLENTY) -> int:
        fit = self.fit_of(job or a_job(), "cuda:0", free_bytes)
        return 0 if fit is None else fit.batch

    def claim(self, load: Load = HD) -> int:
        return self.predicted(WAV2LIP, CARD, load).bytes


def open_book(store: JobStore) -> Book:
    book = Book(store, RenderSettings(batch_size=16), (CARD, TWIN, CPU))
    book.store = store
    return book


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with JobStore(tmp_path / "jobs.sqlite") as store:
        store._db.execute("PRAGMA synchronous = OFF")
        yield open_book(store)


# What it grants -----------------------------------------------------------------------------------------------------


def test_a_job_gets_the_largest_batch_that_fits(book):
    whole = book.fit_of(a_job(), "cuda:0", PLENTY)
    assert whole == Fit(batch=16, claim_bytes=book.claim())
    less = book.fit_of(a_job(), "cuda:0", whole.claim_bytes - 1)
    assert less == Fit(batch=8, claim_bytes=book.claim(replace(HD, batch=8)))
    assert book.fit_of(a_job(), "cuda:0", 100 * MIB) is None
    assert book.batch(a_job(batch_most=4)) == 4
    assert book.fit_of(a_job(), "cuda:7", PLENTY) is None, "no such device"


def test_pixels_count_in_main_memory(book):
    small, large = (book.fit_of(a_job(ATLAS, pixels=n), "cpu", PLENTY) for n in (512 * 512, 3840 * 2160))
    assert small is not None
    assert large is not None
    assert large.claim_bytes > 2 * small.claim_bytes
    assert book.fit_of(a_job(ATLAS, pixels=0), "cpu", PLENTY) is not None, "a size that is not known"


def test_engines_without_a_network_take_main_memory_wherever_they_are_sent(book):
    for engine in (ATLAS, PASSTHROUGH):
        assert book.fit_of(a_job(engine), "cuda:0", PLENTY) is None
        assert book.fit_of(a_job(engine), "cpu", PLENTY) is not None
        assert memory_device(engine, "cuda:0") == "cpu"
    assert memory_device(WAV2LIP, "cuda:1") == "cuda:1"
    assert book.fit_of(a_job(WAV2LIP), "cpu", PLENTY) is not None


def test_answers_are_monotone_also_after_a_life_of_notes(book):
    source = random.Random(3)
    for _ in range(30):
        load = Load(batch=source.choice([1, 4, 16]), width_px=source.choice([512, 1080, 1920]), height_px=1080)
        book.task(source.uniform(50, 3000), load)
        if source.random() < 0.2:
            book.shortage(load, granted_mib=source.uniform(500, 3000))
        for pixels in (512 * 512, HD.pixels):
            budgets = range(0, 8 << 30, 256 * MIB)
            grants = [book.fit_of(a_job(pixels=pixels), "cuda:0", budget) for budget in budgets]
            given = [fit for fit in grants if fit is not None]
            assert grants[len(grants) - len(given) :] == given
            assert given == sorted(given)
            assert all(fit is None or fit.claim_bytes <= most for fit, most in zip(grants, budgets, strict=True))


# What it learns -----------------------------------------------------------------------------------------------------


def test_what_was_measured_on_one_card_holds_for_its_twin_and_after_a_restart(book):
    before = book.claim()
    for _ in range(3):
        book.task(130)
    assert book.claim() < before
    assert book.claim() >= (130 + CONTEXT_MIB) * MIB
    assert book.predicted(WAV2LIP, TWIN, HD) == book.predicted(WAV2LIP, CARD, HD)
    again = open_book(book.store)
    assert again.predicted(WAV2LIP, CARD, HD).expected_bytes == book.predicted(WAV2LIP, CARD, HD).expected_bytes


def test_until_a_worker_has_said_more_a_network_on_a_card_computes_in_halves(book):
    halves = book.claim()
    book.note_precision(WAV2LIP, CARD, "float32")
    assert book.claim() > halves
    assert book.predicted(WAV2LIP, TWIN, HD).bytes == halves, "the other card's worker has not spoken"
    book.task(300)
    assert {kind.precision for kind in book.errors()} == {"float32"}


def test_the_context_is_part_of_every_prediction_on_its_card_only(book):
    guess = book.predicted(WAV2LIP, CARD, HD)
    main = book.predicted(ATLAS, CPU, HD)
    book.note_context(CARD, 300 * MIB)
    known = book.predicted(WAV2LIP, CARD, HD)
    assert guess.expected_bytes - known.expected_bytes == (CONTEXT_MIB - 300) * MIB
    assert known.margin_bytes < guess.margin_bytes, "what is known needs no margin"
    book.note_context(CARD, 310 * MIB)
    assert book.predicted(WAV2LIP, CARD, HD) == known, "drivers round"
    book.note_context(CPU, 300 * MIB)
    book.note_context(CARD, 0)
    book.note_context(CARD, CARD.total_bytes)
    assert book.predicted(ATLAS, CPU, HD) == main
    assert book.predicted(WAV2LIP, CARD, HD) == known


@pytest.mark.parametrize("peak_mib", [0, 9 * 1024])
def test_a_peak_that_cannot_be_teaches_nothing(book, peak_mib):
    before = book.claim()
    book.task(peak_mib)
    assert book.claim() == before
    assert book.errors() == {}


def test_a_task_that_renders_nothing_only_raises_what_it_must(book):
    before = book.claim()
    book.task(60, replace(HD, batch=0))
    assert book.claim() == before
    assert book.errors() == {}
    book.task(2000, replace(HD, batch=0))
    assert book.claim() > 2000 * MIB


def test_a_peak_that_torch_held_from_before_teaches_nothing(book):
    before = book.claim(replace(HD, batch=1))
    load = replace(HD, batch=1)
    more = {"precision": "", "load": load, "peak_bytes": 400 * MIB, "now": NOW}
    book.note_task(WAV2LIP, CARD, **more, held_bytes=400 * MIB)
    assert book.claim(load) == before
    book.note_task(WAV2LIP, CARD, **more, held_bytes=399 * MIB)
    assert book.claim(load) > before


def test_predictions_are_compared_with_what_came(book):
    book.note_context(CARD, 400 * MIB)
    expected_mib = book.predicted(WAV2LIP, CARD, HD).expected_bytes / MIB - 400
    book.task(2 * expected_mib)
    book.task(2 * expected_mib)
    (accuracy,) = book.errors().values()
    assert accuracy.count == 2
    assert accuracy.last < 0.05
    assert accuracy.mean == pytest.approx((0.5 + accuracy.last) / 2, abs=1e-6)
    book.task(6 * expected_mib)
    assert next(iter(book.errors().values())).exceeded == 1


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_a_wrong_table_is_corrected_within_three_tasks(book, factor):
    expected_mib = book.predicted(WAV2LIP, CARD, HD).expected_bytes / MIB - CONTEXT_MIB
    for _ in range(3):
        book.task(factor * expected_mib)
    (accuracy,) = book.errors().values()
    assert accuracy.last < 0.15


# What it forgives ---------------------------------------------------------------------------------------------------


def test_a_shortage_halves_the_batch_for_its_size_and_larger_ones(book):
    book.shortage()
    assert book.batch() == 8
    assert book.batch(a_job(pixels=3840 * 2160)) == 8
    assert book.batch(a_job(pixels=512 * 512)) == 16
    book.shortage(replace(HD, batch=8))
    assert book.batch() == 4
    book.shortage(replace(HD, batch=1))
    assert book.batch() == 1
    book.note_precision(WAV2LIP, CARD, "float32")
    assert book.batch() == 16, "another format is another worker"
    assert open_book(book.store).batch() == 1, "remembered after a restart"


def test_a_shortage_is_evidence_that_the_need_was_above_the_grant(book):
    assert book.claim() < 2000 * MIB
    book.shortage(granted_mib=2000)
    assert book.claim() > 2000 * MIB
    assert book.claim(replace(HD, batch=1)) < 2000 * MIB
    book.shortage(granted_mib=PLENTY / MIB)
    assert book.claim() < 10 << 30, "not more than the card has"


def test_what_a_worker_held_before_it_failed_was_surely_needed(book):
    book.shortage(granted_mib=600, peak_mib=1500)
    book.raise_due(NOW + timedelta(hours=1))
    assert book.batch() == 16
    assert book.claim() > (1500 + CONTEXT_MIB) * MIB


def test_good_tasks_raise_the_batch_again_step_by_step(book):
    book.shortage(replace(HD, batch=8))
    book.good(replace(HD, batch=4), RAISE_AFTER - 1)
    assert book.batch() == 4
    again = open_book(book.store)
    again.good(replace(HD, batch=4))
    assert again.batch() == 8, "the count survives a restart"
    again.good(replace(HD, batch=8), RAISE_AFTER)
    assert again.batch() == 16
    assert book.store.ceilings() == []


def test_a_shortage_with_the_smallest_batch_is_tried_again_after_its_time(book):
    one = replace(HD, batch=1)
    before = book.claim(one)
    book.shortage(one, granted_mib=7000)
    assert book.batch(free_bytes=7000 * MIB) == 0
    book.raise_due(NOW + timedelta(minutes=30))
    assert book.claim(one) == before
    assert book.batch(free_bytes=7000 * MIB) == 2


def test_what_had_failed_and_went_well_is_no_evidence_any_more(book):
    before = book.claim()
    book.shortage(granted_mib=3000)
    book.good(HD)
    assert book.claim() == before
    assert open_book(book.store).claim() == before
    assert book.batch() == 8, "the batch itself rises step by step"


def test_smaller_tasks_prove_nothing(book):
    book.shortage()
    book.good(replace(HD, batch=4), 20)
    book.good(Load(batch=16, width_px=512, height_px=512), 20)
    book.note_good(WAV2LIP, CPU, precision="", load=HD, now=NOW)
    assert book.batch() == 8


def test_a_batch_that_reaches_the_settings_is_remembered_no_more(book):
    before = book.claim()
    book.shortage(granted_mib=2000)
    book.good(replace(HD, batch=8), RAISE_AFTER)
    assert book.batch() == 16
    assert book.store.ceilings() == []
    assert book.claim() == before, "it may have been others who took the memory"


def test_time_raises_the_batch_too(book):
    book.shortage(replace(HD, batch=4))
    book.raise_due(NOW + timedelta(minutes=29))
    assert book.batch() == 2
    for hours, batch in enumerate((4, 8, 16), 1):
        book.raise_due(NOW + timedelta(hours=hours))
        assert book.batch() == batch
