"""Learning a person from the clip's own voice, and reading any voice as that person."""

import numpy as np
import pytest

from heygemd.render.arrays import map_arrays, write_arrays
from heygemd.render.speech.mouth import MouthTracks
from heygemd.render.speech.ownvoice import fit_readout
from heygemd.render.speech.readout import BEYOND, Readout
from tests.render.speech_rig import babbling, mouth_of, own_way, times

FPS = 25.0
HALF_S = 24.0


def fitted(tracks: MouthTracks, *, seconds: float = HALF_S, way: np.ndarray | None = None, lag_s: float = 0.0):
    at_s = times(seconds, FPS)
    mouth = mouth_of(tracks, at_s + lag_s, noise=0.7, way=way)
    return fit_readout(tracks, at_s, *mouth, np.ones(len(at_s), np.bool_))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_a_person_is_read_better_than_everybody() -> None:
    tracks, way = babbling(60, seed=1), own_way(2)
    readout = fitted(tracks, way=way)
    assert readout is not None
    assert (readout.weight > 0.8).all()
    later_s = HALF_S + 1 + times(30, FPS)
    true_opening, true_width = mouth_of(tracks, later_s, way=way)
    curve, general = readout.read(tracks, later_s, 1 / FPS), tracks.at(later_s, 1 / FPS)
    assert correlation(curve.opening, true_opening) > correlation(general.opening_raw, true_opening) + 0.1
    assert correlation(curve.width, true_width) > correlation(general.width_raw, true_width) + 0.1
    assert curve.opening.std() == pytest.approx(true_opening.std(), rel=0.4)


def test_who_speaks_like_everybody_is_hardly_changed() -> None:
    tracks = babbling(60, seed=3)
    readout = fitted(tracks)
    assert readout is not None
    assert (readout.explained < 0.05).all()
    later_s = HALF_S + 1 + times(30, FPS)
    curve = readout.read(tracks, later_s, 1 / FPS)
    assert correlation(curve.opening, tracks.at(later_s, 1 / FPS).opening_raw) > 0.9


def test_lag_of_the_clip_is_found_and_kept_out_of_other_voices() -> None:
    tracks, way = babbling(60, seed=4), own_way(5)
    readout = fitted(tracks, way=way, lag_s=0.12)
    assert readout is not None
    assert readout.lag_s == pytest.approx(0.12, abs=0.021)
    assert (readout.weight > 0.8).all()
    other = babbling(30, seed=6)
    at_s = times(29, FPS)
    true_opening, _ = mouth_of(other, at_s, way=way)
    curve = readout.read(other, at_s, 1 / FPS)
    shifted = readout.read(other, at_s + 0.12, 1 / FPS)
    assert correlation(curve.opening, true_opening) > correlation(shifted.opening, true_opening) + 0.1


@pytest.mark.parametrize("seconds", [0.5, 5, 7.5])
def test_too_little_speech_teaches_nothing(seconds: float) -> None:
    assert fitted(babbling(seconds + 1, seed=7), seconds=seconds) is None


def test_little_speech_teaches_little() -> None:
    readout = fitted(babbling(12, seed=8), seconds=9, way=own_way(9))
    assert readout is not None
    assert (readout.weight <= 0.15).all()


def test_foreign_sound_still_mouth_and_unseen_frames_teach_nothing() -> None:
    tracks, other = babbling(30, seed=10), babbling(30, seed=11)
    at_s = times(25, FPS)
    seen = np.ones(len(at_s), np.bool_)
    opening, width = mouth_of(tracks, at_s)
    assert fit_readout(other, at_s, opening, width, seen) is None
    assert fit_readout(tracks, at_s, opening * 0 + 0.01, width, seen) is None
    assert fit_readout(tracks, at_s, opening * np.nan, width, seen) is None
    assert fit_readout(tracks, at_s, opening, width, ~seen) is None
    assert fit_readout(babbling(30, seed=10, gate=0), at_s, opening, width, seen) is None


def test_nan_frames_and_frames_not_to_learn_from_are_left_out() -> None:
    tracks = babbling(40, seed=12)
    at_s = times(35, FPS)
    opening, width = mouth_of(tracks, at_s, noise=0.5, way=own_way(13))
    opening[100:150] = np.nan
    seen = np.ones(len(at_s), np.bool_)
    seen[300:400] = False
    spoiled = opening.copy()
    spoiled[300:400] = 99
    one = fit_readout(tracks, at_s, opening, width, seen)
    other = fit_readout(tracks, at_s, spoiled, width, seen)
    assert one is not None
    assert other is not None
    assert np.isfinite(one.own_way).all()
    for name, values in one.to_arrays().items():
        np.testing.assert_array_equal(values, other.to_arrays()[name])


def test_louder_answers_of_another_voice_are_brought_to_units() -> None:
    tracks = babbling(40, seed=14)
    readout = fitted(tracks, way=own_way(15))
    assert readout is not None
    other = babbling(40, seed=14, scale=2.0, shift=1.0)
    at_s = times(30, FPS)
    assert readout.read(other, at_s, 0.04).opening == pytest.approx(readout.read(tracks, at_s, 0.04).opening, abs=0.01)


def test_contact_and_silence_survive() -> None:
    tracks = babbling(60, seed=16)
    readout = fitted(tracks)
    assert readout is not None
    tracks.closure[1500:1504] = 0.9
    tracks.lipteeth[1700:1704] = 0.9
    tracks.gate[2000:2400] = 0
    curve = readout.read(tracks, times(50, FPS), 1 / FPS)
    assert curve.opening[751] == 0
    assert curve.closure[751] > 0.8
    assert curve.opening[851] <= 0.121 * readout.shown[-1, 0]
    assert (curve.opening[1005:1195] == 0).all()
    assert (curve.width[1005:1195] == 0).all()
    assert curve.opening.max() <= BEYOND * readout.shown[-1, 0] + 1e-6
    assert curve.opening.min() >= 0


def test_reading_a_part_is_reading_all_of_it() -> None:
    tracks = babbling(40, seed=17)
    readout = fitted(tracks, way=own_way(18))
    assert readout is not None
    at_s = np.linspace(-0.5, 42, 500)
    whole = readout.read(tracks, at_s, 0.04)
    for start in range(0, 500, 70):
        part = readout.read(tracks, at_s[start : start + 70], 0.04)
        np.testing.assert_array_equal(part.opening, whole.opening[start : start + 70])
        np.testing.assert_array_equal(part.width, whole.width[start : start + 70])


def test_silent_and_empty_voices_keep_the_mouth_shut() -> None:
    readout = fitted(babbling(40, seed=19))
    assert readout is not None
    for silent in (babbling(5, seed=20, gate=0), babbling(0.02, seed=20, gate=0)):
        curve = readout.read(silent, times(5, FPS), 0.04)
        assert (curve.opening == 0).all()
        assert (curve.width == 0).all()


def test_saved_readout_comes_back_equal_and_reads_mapped_voices(tmp_path) -> None:
    tracks = babbling(40, seed=21)
    readout = fitted(tracks, way=own_way(22))
    assert readout is not None
    for name, arrays in (("readout", readout.to_arrays()), ("speech", tracks.to_arrays())):
        with (tmp_path / name).open("wb") as file:
            write_arrays(file, arrays)
    again = Readout.from_arrays({**map_arrays(tmp_path / "readout"), "other": np.zeros(1)})
    mapped = MouthTracks.from_arrays(map_arrays(tmp_path / "speech"))
    at_s = times(30, FPS)
    np.testing.assert_array_equal(again.read(mapped, at_s, 0.04).opening, readout.read(tracks, at_s, 0.04).opening)


def test_voice_without_answers_is_refused() -> None:
    tracks = babbling(40, seed=23)
    readout = fitted(tracks)
    arrays = tracks.to_arrays()
    del arrays["answers"]
    bare = MouthTracks.from_arrays(arrays)
    assert readout is not None
    assert fit_readout(bare, times(30, FPS), *mouth_of(tracks, times(30, FPS)), np.ones(750, np.bool_)) is None
    with pytest.raises(ValueError, match="answers"):
        readout.read(bare, times(3, FPS), 0.04)
