"""Does a sound belong to a mouth, and with which offset: on curves made here."""

import numpy as np
import pytest

from heygemd.render.speech.lag import NOT_OWN, estimate_lag, quick_part, seen_at_ticks
from tests.render.speech_rig import babbling, mouth_of, times


@pytest.mark.parametrize("lag_s", [-0.12, 0.0, 0.08, 0.26])
@pytest.mark.parametrize("fps", [23.976, 59.94])
def test_own_sound_is_known_with_its_lag(lag_s: float, fps: float) -> None:
    tracks = babbling(12, seed=1)
    at_s = times(11, fps)
    lag = estimate_lag(tracks, at_s, *mouth_of(tracks, at_s + lag_s, noise=0.8))
    assert lag.is_own_voice
    assert lag.seconds == pytest.approx(lag_s, abs=0.021)
    assert 0.8 < lag.score < 2


def test_uneven_frames_and_gaps_do_no_harm() -> None:
    tracks = babbling(14, seed=2)
    at_s = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 320))
    opening, width = mouth_of(tracks, at_s + 0.06, noise=0.5)
    opening[100:160] = width[100:160] = np.nan
    lag = estimate_lag(tracks, at_s, opening, width)
    assert lag.is_own_voice
    assert lag.seconds == pytest.approx(0.06, abs=0.021)


def test_foreign_sound_is_hardly_ever_taken_for_own() -> None:
    at_s = times(11, 25)
    mouths = [mouth_of(babbling(12, seed=seed), at_s, noise=0.5) for seed in range(100, 140)]
    taken = [estimate_lag(babbling(12, seed=seed), at_s, *mouth) for seed, mouth in enumerate(mouths)]
    assert sum(lag.is_own_voice for lag in taken) <= 2
    assert all(lag.seconds == 0 for lag in taken if not lag.is_own_voice)


def test_a_smile_and_a_louder_passage_do_not_make_a_sound_ones_own() -> None:
    tracks, other = babbling(12, seed=3), babbling(12, seed=4)
    at_s = times(11, 25)
    slow = np.sin(at_s / 2)
    opening, width = mouth_of(other, at_s, noise=0.5)
    tracks.opening_raw[:] += 0.5 * np.sin(np.arange(len(tracks.gate)) / 100)
    assert not estimate_lag(tracks, at_s, opening + 0.3 * slow, width + 0.3 * slow).is_own_voice


def test_still_mouth_says_nothing() -> None:
    at_s = times(11, 25)
    tremble = np.random.default_rng(0).normal(0, 0.005, (2, len(at_s)))
    assert estimate_lag(babbling(12, seed=5), at_s, *tremble) == NOT_OWN


def test_nothing_seen_or_nothing_said_says_nothing() -> None:
    at_s = times(11, 25)
    nowhere = np.full(len(at_s), np.nan)
    tracks = babbling(12, seed=6)
    assert estimate_lag(tracks, at_s, nowhere, nowhere) == NOT_OWN
    assert estimate_lag(tracks, at_s[:0], at_s[:0], at_s[:0]) == NOT_OWN
    assert estimate_lag(babbling(12, seed=6, gate=0), at_s, *mouth_of(tracks, at_s)) == NOT_OWN
    assert estimate_lag(babbling(0.02, seed=6), at_s, *mouth_of(tracks, at_s)) == NOT_OWN


def test_seen_mouth_is_laid_on_ticks_and_long_gaps_stay_open() -> None:
    at_s = np.array([0.1, 0.2, 1.0, 1.1])
    values, known = seen_at_ticks(at_s, np.array([1.0, 2.0, 3.0, 4.0]), 100)
    assert values[[5, 10, 50, 55]] == pytest.approx([1, 2, 3, 4])
    assert np.flatnonzero(known).tolist() == [*range(5, 11), *range(50, 56)]
    later, _ = seen_at_ticks(at_s, np.array([1.0, 2.0, 3.0, 4.0]), 100, lag_s=0.2)
    assert later[[15, 20]] == pytest.approx([1, 2])


def test_quick_part_has_no_slow_change_and_does_not_see_what_is_unknown() -> None:
    ticks = np.arange(1000.0)
    known = np.ones(1000, np.bool_)
    quick = np.sin(ticks / 2)
    assert quick_part(ticks / 100 + quick, known)[200:-200] == pytest.approx(quick[200:-200], abs=0.01)
    known[500:] = False
    wild = np.where(known, quick, 1e6)
    assert quick_part(wild, known)[50:400] == pytest.approx(quick[50:400], abs=0.05)
    assert (quick_part(wild, known)[500:] == 0).all()
