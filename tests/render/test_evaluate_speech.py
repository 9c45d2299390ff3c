"""The evaluation of speech weights: closures, chance, lags, errors, pairs of nets, music, pauses, the table's row."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthTracks
from scripts.train.speech import evaluate, music, talkers, unseen
from scripts.train.speech.talkers import FINISHED, RAW, ClosureCount, Spread, Talker

RATE_HZ = 16_000
SECONDS = 8.0
TIME_S = np.arange(round(SECONDS * 25)) / 25
TICKS_S = np.arange(round(SECONDS * TRACK_RATE_HZ) + 1) / TRACK_RATE_HZ
CLOSED_AT_S = (1.0, 2.2, 3.0, 4.4, 5.2, 6.6)


SPOKEN = np.ones(len(TIME_S))


def wavering(time_s: np.ndarray, seed: int = 0) -> np.ndarray:
    """A curve in 0..1 that looks like nothing but itself: what it is at a time does not depend on the others."""
    random = np.random.default_rng(seed)
    waves = [np.sin(random.uniform(4, 18) * time_s + random.uniform(0, 6)) for _ in range(6)]
    return np.sum(waves, axis=0) / 12 + 0.5


def closing(time_s: np.ndarray) -> np.ndarray:
    """An open mouth that is shut for 0.12 s at each of CLOSED_AT_S."""
    shut = np.abs(time_s[:, None] - CLOSED_AT_S).min(axis=1) < 0.065
    return np.where(shut, 0.0, 0.6 + 0.4 * wavering(time_s))


def tracks_of(opening: np.ndarray, width: np.ndarray, gate: float = 1.0, closure: np.ndarray | None = None):
    none = np.zeros(len(opening), np.float32)
    drawn = {"opening_raw": opening, "opening_soft": opening, "opening": opening, "width_raw": width, "width": width}
    return MouthTracks(
        **{name: track.astype(np.float32) for name, track in drawn.items()},
        closure=none if closure is None else closure.astype(np.float32),
        protrusion=none,
        lipteeth=none,
        speech=none + np.float32(gate),
        gate=none + np.float32(gate),
        answers=np.zeros((len(opening), 20), np.float16),
    )


def talker(name: str, opening: np.ndarray, width: np.ndarray) -> Talker:
    return Talker(name=name, sound=np.zeros(8, np.float32), time_s=TIME_S, opening=opening, width=width)


def listening(tracks: MouthTracks) -> SimpleNamespace:
    return SimpleNamespace(listen=lambda _: tracks)


# Closures


def test_closures_are_found_in_a_drawn_curve() -> None:
    assert talkers.closures_of(TIME_S, closing(TIME_S)) == pytest.approx(CLOSED_AT_S, abs=0.021)


def test_a_mouth_that_rests_or_is_cut_by_an_end_closes_for_no_letter() -> None:
    opening = closing(TIME_S)
    opening[:3], opening[-3:] = 0.0, 0.0
    opening[(TIME_S > 3.4) & (TIME_S < 3.8)] = 0.0
    assert talkers.closures_of(TIME_S, opening) == pytest.approx(CLOSED_AT_S, abs=0.021)


def test_closures_that_are_found_missed_and_invented_are_counted() -> None:
    opening = closing(TIME_S)
    whole = talkers.count_closures(TIME_S, opening, opening, SPOKEN)
    assert (whole.found, whole.real) == (6, 6)
    early = (opening == 0) & (TIME_S < 4)
    invented = ((TIME_S > 5.4) & (TIME_S < 6.4)) | (TIME_S > 7.2)
    told = np.where(early | invented, 0.0, 1.0)
    assert talkers.count_closures(TIME_S, opening, told, SPOKEN) == ClosureCount(found=3, real=6, right=3, claimed=5)


def test_chance_is_below_what_is_told_and_is_not_nothing() -> None:
    opening = closing(TIME_S)
    told = talkers.count_closures(TIME_S, opening, opening, SPOKEN)
    chance = talkers.chance_closures(TIME_S, opening, opening, SPOKEN)
    assert chance.real == talkers.CHANCE_SHIFTS * told.real
    assert 0 < chance.recall < 0.7 * told.recall
    assert 0 < chance.precision <= told.precision


def test_chance_of_an_unrelated_curve_is_what_the_curve_reaches() -> None:
    opening = closing(TIME_S)
    counts = [
        (talkers.count_closures(TIME_S, opening, told, SPOKEN), talkers.chance_closures(TIME_S, opening, told, SPOKEN))
        for told in (wavering(TIME_S, seed) for seed in range(1, 60))
    ]
    told, chance = (sum(some, ClosureCount()) for some in zip(*counts, strict=True))
    assert told.recall == pytest.approx(chance.recall, abs=0.06)
    assert told.precision == pytest.approx(chance.precision, abs=0.06)


def test_a_mouth_without_closures_is_not_counted_and_has_no_share() -> None:
    count = talkers.count_closures(TIME_S, np.linspace(0, 1, len(TIME_S)), wavering(TIME_S), SPOKEN)
    assert count == ClosureCount()
    assert np.isnan(count.recall)
    assert np.isnan(count.precision)


def test_closures_count_only_while_somebody_speaks() -> None:
    opening = closing(TIME_S)
    spoken = (TIME_S > 2) & (TIME_S < 6)
    gate, told = 1.0 * spoken, np.where(spoken, opening, -1.0)
    whole = talkers.count_closures(TIME_S, opening, told, gate)
    inside = sum(2 < at_s < 6 for at_s in CLOSED_AT_S)
    assert (whole.found, whole.real) == (inside, inside), "silence does not use up the lowest fifth"
    gate[(TIME_S > 3.6) & (TIME_S < 3.9)] = 0
    assert talkers.count_closures(TIME_S, opening, told, gate).real == inside, "a pause within is part of the span"
    assert talkers.chance_closures(TIME_S, opening, told, gate).real == talkers.CHANCE_SHIFTS * inside
    silent = np.zeros(len(TIME_S))
    assert talkers.count_closures(TIME_S, opening, told, silent) == ClosureCount()
    assert talkers.chance_closures(TIME_S, opening, told, silent) == ClosureCount()


# Lags


@pytest.mark.parametrize("lag_s", [-0.12, 0.0, 0.08, 0.3])
def test_lag_of_a_shifted_curve_is_recovered(lag_s: float) -> None:
    tracks = tracks_of(wavering(TICKS_S), wavering(TICKS_S, 1))
    shown = talker("late", wavering(TIME_S + lag_s), wavering(TIME_S + lag_s, 1))
    measured = talkers.measured_talker(tracks, shown)
    assert measured.lags_s == pytest.approx({RAW: lag_s, FINISHED: lag_s})
    assert measured.likeness["raw_opening_r_fitted_lag"] > 0.9
    assert measured.likeness["finished_width_r_fitted_lag"] > 0.9
    if lag_s:
        assert measured.likeness["raw_opening_r_lag_0"] < measured.likeness["raw_opening_r_fitted_lag"] - 0.05


def test_lags_of_another_net_are_taken_as_they_are() -> None:
    tracks = tracks_of(wavering(TICKS_S), wavering(TICKS_S, 1))
    shown = talker("late", wavering(TIME_S + 0.1), wavering(TIME_S + 0.1, 1))
    (measured,) = talkers.measured_talkers(listening(tracks), [shown], {"late": {RAW: 0.0, FINISHED: 0.1}})
    assert measured.lags_s == {RAW: 0.0, FINISHED: 0.1}
    assert measured.likeness["raw_opening_r_fitted_lag"] == measured.likeness["raw_opening_r_lag_0"]
    assert measured.likeness["finished_opening_r_fitted_lag"] > 0.9


# Means, errors, pairs


def test_standard_error_is_that_of_the_mean() -> None:
    spread = Spread.of([0.1, 0.3, 0.5, np.nan])
    assert spread.mean == pytest.approx(0.3)
    assert spread.error == pytest.approx(0.2 / np.sqrt(3))
    assert Spread.of([0.4]).error is None
    with pytest.raises(ValueError, match="no clip"):
        Spread.of([np.nan])


def figures(name: str, value: float, closures: ClosureCount) -> talkers.TalkerFigures:
    likeness = {
        f"{kind}_{part}_r_{lag}": value
        for kind in talkers.KINDS
        for part in ("opening", "width")
        for lag in ("lag_0", "fitted_lag")
    }
    lags_s = {RAW: 0.0, FINISHED: 0.0}
    return talkers.TalkerFigures(name=name, lags_s=lags_s, likeness=likeness, closures=closures, chance=closures)


def test_pairs_of_clips_tell_a_difference_that_the_means_hide() -> None:
    some, none = ClosureCount(found=1, real=2, right=1, claimed=1), ClosureCount()
    better = [figures("a", 0.12, some), figures("b", 0.53, some), figures("c", 0.91, none)]
    worse = [figures("a", 0.1, some), figures("b", 0.5, none), figures("c", 0.9, none)]
    difference = talkers.paired(better, worse)["raw_opening_r_lag_0"]
    assert difference.mean == pytest.approx(0.02)
    assert difference.error == pytest.approx(0.01 / np.sqrt(3))
    assert talkers.spreads(better)["raw_opening_r_lag_0"].error > 10 * difference.error
    assert talkers.paired(better, worse)["closure_recall"] == Spread(mean=0.0, error=None), "only a has any in both"


def test_strangers_and_grid_are_told_apart_and_compared_with_another_net() -> None:
    tracks = tracks_of(wavering(TICKS_S), wavering(TICKS_S, 1))
    other = tracks_of(wavering(TICKS_S) + 0.3 * wavering(TICKS_S, 7), wavering(TICKS_S, 1))
    names = ("ann", "bob", "grid_x")
    shown = [talker(name, wavering(TIME_S + 0.04), wavering(TIME_S + 0.04, 1)) for name in names]
    report = evaluate.talkers_report(listening(tracks), shown, listening(other))
    assert report["strangers"]["clips"] == 2
    assert list(report["grid"]["lags_s"][RAW]) == ["grid_x"]
    for title in ("less_other_at_its_lags", "less_other_at_own_lags"):
        difference = report[title]["strangers"]["raw_opening_r_fitted_lag"]
        assert difference["mean"] > 0.01
        assert difference["se"] == pytest.approx(0, abs=1e-9), "both clips are the same"
    assert "less_other_at_own_lags" not in evaluate.talkers_report(listening(tracks), shown, None)


def test_row_of_the_table_has_its_cells_and_dashes_where_nothing_was_measured() -> None:
    half = ClosureCount(found=1, real=2, right=3, claimed=4)
    strangers = evaluate.group_report([figures("a", 0.2, half), figures("b", 0.4, half)])
    row = evaluate.markdown_row("new", {"strangers": strangers})
    assert row == "| new | 0.300/0.300 | 0.300/0.300 ± 0.100/0.100 | – | – | 0.50/0.75 |"


# Files


def test_curves_without_a_face_are_left_out_and_clips_without_curves_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talkers, "read_sound", lambda _: np.zeros(100, np.float32))
    clips, curves = tmp_path / "clips", tmp_path / "curves"
    clips.mkdir()
    curves.mkdir()
    (clips / "b.mp4").touch()
    (clips / "a.mkv").touch()
    opening = wavering(TIME_S)
    opening[3:9] = np.nan
    np.savez(curves / "a.npz", time_s=TIME_S, opening=opening, width=wavering(TIME_S))
    with pytest.raises(ValueError, match=r"lacks the mouths of b\.mp4"):
        talkers.load_talkers(clips, curves)
    np.savez(curves / "b.npz", time_s=TIME_S, opening=np.full(len(TIME_S), np.nan), width=opening)
    with pytest.raises(ValueError, match="shows no mouth"):
        talkers.load_talkers(clips, curves)
    (clips / "b.mp4").unlink()
    (one,) = talkers.load_talkers(clips, curves)
    assert one.name == "a"
    assert len(one.time_s) == len(one.opening) == len(TIME_S) - 6
    assert one.frame_s == pytest.approx(0.04)


# Sounds without a mouth


def test_music_is_finite_of_the_asked_length_and_the_same_each_time() -> None:
    made, again = music.music(2.5), music.music(2.5)
    assert set(made) == {"chords", "arpeggio", "sung_vowels", "drums"}
    for name, sound in made.items():
        assert sound.shape == (40_000,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() == pytest.approx(music.PEAK)
        assert np.sqrt((sound**2).mean()) > 0.01
        assert np.array_equal(sound, again[name])


def test_pause_is_put_between_words() -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    sound = (np.sin(2 * np.pi * 200 * time_s) * (np.abs(time_s - 2.3) > 0.1)).astype(np.float32)
    padded, start_s = unseen.with_pause(sound)
    assert 2.2 <= start_s <= 2.4
    assert len(padded) == len(sound) + 2 * RATE_HZ
    start = round(start_s * RATE_HZ)
    assert not padded[start : start + 2 * RATE_HZ].any()
    assert np.array_equal(np.delete(padded, np.s_[start : start + 2 * RATE_HZ]), sound)


def test_pause_opening_is_that_of_the_middle() -> None:
    sound = np.random.default_rng(0).standard_normal(4 * RATE_HZ).astype(np.float32)
    _, start_s = unseen.with_pause(sound)
    time_s = np.arange(6 * TRACK_RATE_HZ) / TRACK_RATE_HZ
    opening = np.where(np.abs(time_s - start_s - 1) < 0.6, 0.25, 1.0)
    assert unseen.pause_opening(listening(tracks_of(opening, opening)), sound) == 0.25


def test_figures_of_speech_count_closures_over_voiced_time() -> None:
    time_s = np.arange(10 * TRACK_RATE_HZ) / TRACK_RATE_HZ
    closure = 1.0 * (time_s % 2 < 0.1)
    tracks = tracks_of(0.5 + 0.2 * np.sign(np.sin(2 * np.pi * time_s + 0.01)), time_s, closure=closure)
    told = unseen.speech_figures([tracks, tracks])
    assert told["voiced_share"] == 1
    assert told["closures_per_voiced_s"] == pytest.approx(0.5)
    assert told["opening_mean"] == pytest.approx(0.5, abs=0.01)
    assert told["raw_opening_deviation"] == pytest.approx(0.2, abs=0.01)
    assert told["doubt"] == pytest.approx(np.log(14), abs=0.01)
    silent = unseen.speech_figures([tracks_of(time_s, time_s, gate=0.0)])
    assert set(silent.values()) == {0.0}


@pytest.mark.parametrize("name", ["digital_silence", "white_noise", "hum"])
def test_sounds_at_which_the_mouth_stays_shut_are_told_with_their_gate(name: str) -> None:
    tracks = tracks_of(np.linspace(0, 0.4, 100), np.zeros(100), gate=1.0)
    assert unseen.silence_figures(listening(tracks))[name] == pytest.approx({"widest_opening": 0.4, "gate_share": 1.0})
