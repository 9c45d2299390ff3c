"""Rounds over all roots and the cache, and sweeps of the cache in between."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import sweeper as module
from heygemd.daemon.errands import Answer
from heygemd.daemon.sweeper import CACHE_PAUSE_S, EVERY_S, GIB, Sweeper
from heygemd.errors import ResourceError
from heygemd.outbox.retention import CacheSwept, Swept
from heygemd.settings import RetentionSettings

LIMIT_GIB = 4.0


@dataclass
class Desk:
    """What the sweeper asks of a desk."""

    root: object
    offline: object = None
    shared: list[frozenset[str]] = field(default_factory=list)

    def sweep_shared(self, in_use: frozenset[str]) -> None:
        self.shared.append(in_use)


@dataclass
class Round:
    """A sweeper, its clock and what it has sent."""

    sweeper: Sweeper
    clock: object
    errands: object
    desk: Desk

    def after(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, tick until nothing happens, and return what was sent out."""
        self.clock.now_s += seconds
        before = len(self.errands.done)
        for _ in range(6):
            self.sweeper.tick([self.desk])
        return self.errands.done[before:]

    def first_round(self, *, leaves_gib: float = LIMIT_GIB) -> None:
        """The round soon after the start, and a while after it."""
        self.leaves(leaves_gib)
        assert self.after(EVERY_S / 10) == ["sweep_originals", "sweep_cache"]
        assert self.after(CACHE_PAUSE_S) == []

    def leaves(self, gib: float) -> None:
        """The next sweep of the cache leaves so much."""
        self.errands.mishaps["sweep_cache"].append(Answer(value=CacheSwept(kept_bytes=int(gib * GIB))))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def open_round(bench, errands, running, tmp_path, monkeypatch):
    """A function that makes a sweeper with a cache of so many GiB."""
    monkeypatch.setattr(module, "Errand", errands)

    def make(cache_gib: float = LIMIT_GIB) -> Round:
        clock = Clock()
        sweeper = Sweeper(
            store=bench.store, nursery=None, settings=RetentionSettings(cache_gib=cache_gib),
            state_dir=tmp_path / "state", clock=clock, wall=lambda: running.queued_at,
        )  # fmt: skip
        return Round(sweeper, clock, errands, Desk(bench.root))

    return make


@pytest.fixture
def round_of(open_round):
    return open_round()


def test_a_round_sweeps_every_root_and_the_cache_now_and_then(round_of) -> None:
    assert round_of.after() == []
    assert round_of.after(EVERY_S / 10) == ["sweep_originals", "sweep_cache"]
    assert round_of.after(EVERY_S - 1) == []
    assert round_of.after(1) == ["sweep_originals", "sweep_cache"]
    assert len(round_of.desk.shared) == 2


def test_a_root_that_is_away_is_left_out(round_of) -> None:
    round_of.desk.offline = "away"
    assert round_of.after(EVERY_S) == ["sweep_cache"]


def test_growth_brings_the_sweep_of_the_cache_forward_but_not_the_roots(round_of) -> None:
    round_of.sweeper.cache_grew()
    assert round_of.after() == ["sweep_cache"], "how full it is was not known"


def test_a_cache_that_grows_all_the_time_is_swept_now_and_then(round_of) -> None:
    sent = []
    for _ in range(100):
        round_of.leaves(LIMIT_GIB)
        round_of.sweeper.cache_grew()
        sent += round_of.after(CACHE_PAUSE_S / 20)
    assert sent.count("sweep_cache") in (5, 6)


def test_a_cache_with_plenty_of_room_waits_for_the_round(round_of) -> None:
    round_of.leaves(LIMIT_GIB / 2 - 0.1)
    round_of.sweeper.cache_grew()
    assert round_of.after() == ["sweep_cache"]
    for _ in range(5):
        round_of.sweeper.cache_grew()
    assert round_of.after(CACHE_PAUSE_S - 1) == []
    assert round_of.after(EVERY_S) == ["sweep_originals", "sweep_cache"]


def test_growth_during_a_sweep_is_not_forgotten(round_of) -> None:
    round_of.first_round()
    round_of.sweeper.cache_grew()
    round_of.errands.is_slow = True
    round_of.leaves(LIMIT_GIB)
    assert round_of.after() == ["sweep_cache"]
    round_of.sweeper.cache_grew()
    round_of.errands.is_slow = False
    assert round_of.after() == []
    assert round_of.after(CACHE_PAUSE_S) == ["sweep_cache"]


def test_growth_just_before_a_round_costs_one_sweep(round_of) -> None:
    round_of.clock.now_s += EVERY_S / 10
    round_of.sweeper.cache_grew()
    assert sorted(round_of.after()) == ["sweep_cache", "sweep_originals"]


def test_without_a_cache_to_be_kept_growth_is_always_swept(open_round) -> None:
    round_of = open_round(cache_gib=0)
    round_of.first_round(leaves_gib=0)
    for _ in range(2):
        round_of.leaves(0)
        round_of.sweeper.cache_grew()
        assert round_of.after(CACHE_PAUSE_S) == ["sweep_cache"]


def test_a_sweep_that_fails_is_told_and_tried_again(round_of) -> None:
    round_of.first_round()
    round_of.errands.mishaps["sweep_cache"].append(Answer(error=ResourceError("E202", "read-only")))
    round_of.sweeper.cache_grew()
    with capture_logs() as logs:
        assert round_of.after() == ["sweep_cache"]
    assert [(line["event"], line["reason"]) for line in logs if line["log_level"] == "warning"] == [
        ("sweeper.failed", "read-only")
    ]
    round_of.sweeper.cache_grew()
    assert round_of.after(CACHE_PAUSE_S) == ["sweep_cache"]


def test_a_stop_ends_what_is_under_way(round_of) -> None:
    round_of.errands.is_slow = True
    round_of.sweeper.cache_grew()
    round_of.after()
    round_of.sweeper.stop()
    assert round_of.errands.ended == 1
    assert round_of.sweeper.filenos() == []


# What somebody asked for ---------------------------------------------------------------------------------------------


def prune(round_of, **how):
    return round_of.sweeper.prune(
        [round_of.desk], **{"done_days": None, "failed_days": None, "with_cache": False} | how
    )


def test_a_prune_sweeps_at_once_and_with_its_own_ages(round_of, monkeypatch) -> None:
    swept = []
    monkeypatch.setattr(module, "sweep_root", lambda root, **how: swept.append(how) or Swept(done=2, freed_bytes=7))
    pruning = prune(round_of, done_days=3)
    assert round_of.sweeper.is_pruning
    assert round_of.after() == ["sweep_originals"]
    assert not round_of.sweeper.is_pruning
    assert (swept[0]["done_days"], swept[0]["failed_days"]) == (3, RetentionSettings().failed_days)
    assert (pruning.done, pruning.freed_bytes, pruning.troubles, pruning.away) == (2, 7, (), ())
    round_of.after(EVERY_S)
    assert swept[1]["done_days"] == RetentionSettings().done_days, "only this once"


def test_a_prune_with_the_cache_empties_it(round_of, monkeypatch) -> None:
    def sweep_cache(folder, most_bytes):
        assert most_bytes == 0
        return CacheSwept(deleted=5, kept_bytes=0)

    monkeypatch.setattr(module, "sweep_cache", sweep_cache)
    pruning = prune(round_of, with_cache=True)
    assert round_of.after() == ["sweep_originals", "sweep_cache"]
    assert pruning.cache_entries == 5
    assert round_of.sweeper.cache_bytes == 0


def test_a_prune_during_a_sweep_waits_for_it_and_does_not_count_it(round_of, monkeypatch) -> None:
    monkeypatch.setattr(module, "sweep_root", lambda root, **how: Swept(done=1))
    round_of.errands.is_slow = True
    assert round_of.after(EVERY_S) == ["sweep_originals"]
    pruning = prune(round_of)
    round_of.errands.is_slow = False
    assert round_of.after() == ["sweep_originals", "sweep_cache"], "then the rest of the round"
    assert pruning.done == 1


def test_a_prune_leaves_out_and_names_a_root_that_is_away(round_of) -> None:
    round_of.desk.offline = "away"
    pruning = prune(round_of)
    assert round_of.after() == []
    assert (pruning.away, round_of.sweeper.is_pruning) == ((str(round_of.desk.root.path),), False)


def test_a_prune_that_fails_says_why(round_of) -> None:
    round_of.errands.mishaps["sweep_originals"].append(Answer(error=ResourceError("E201", "the share is gone")))
    pruning = prune(round_of, with_cache=True)
    assert round_of.after() == ["sweep_originals", "sweep_cache"], "the rest is done"
    assert pruning.troubles == ("the share is gone",)


def test_a_store_that_cannot_be_read_costs_a_prune_no_root(round_of, monkeypatch) -> None:
    keeps = round_of.sweeper._store.keeps

    def fail(uuid):
        raise ResourceError("E202", "disk I/O error")

    monkeypatch.setattr(round_of.sweeper._store, "keeps", fail)
    prune(round_of)
    with pytest.raises(ResourceError):
        round_of.after()
    assert round_of.sweeper.is_pruning
    monkeypatch.setattr(round_of.sweeper._store, "keeps", keeps)
    assert round_of.after() == ["sweep_originals"]


def test_other_settings_hold_from_the_next_sweep_on(round_of, monkeypatch) -> None:
    swept = []
    monkeypatch.setattr(module, "sweep_root", lambda root, **how: swept.append(how["done_days"]) or Swept())
    round_of.sweeper.reconfigure(RetentionSettings(done_days=5))
    round_of.after(EVERY_S)
    assert swept == [5]


def test_how_large_the_cache_is_is_not_known_before_the_first_sweep(round_of) -> None:
    assert round_of.sweeper.cache_bytes is None
    round_of.first_round(leaves_gib=1)
    assert round_of.sweeper.cache_bytes == GIB
