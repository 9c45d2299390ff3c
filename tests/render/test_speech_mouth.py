"""From sound to the motion of a mouth, on vowels, noise and silence made here."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from heygemd.render.speech import mouth
from heygemd.render.speech.mouth import OPENING_CURVE, MouthNet, MouthTracks, tracks_of
from heygemd.render.speech.network import CLASSES, CLOSURE, OPENING, AnswerRange
from heygemd.render.speech.vocal_tract import STRETCHES, stretch_weights, stretched
from scripts.train.speech.music import music

RATE = 16_000
FORMANTS_HZ = {"a": (750, 1200, 2500), "i": (280, 2250, 2900), "u": (310, 870, 2250)}
RANGE = AnswerRange(shut=0.1, open=0.6, width_rest=0.0, width_half_range=0.3)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net() -> MouthNet:
    return MouthNet()


def vowel(name: str, seconds: float, pitch_hz: float = 120.0) -> np.ndarray:
    """Harmonics of a pitch, shaped by three formants."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros_like(time_s)
    for hz in np.arange(pitch_hz, 7_000, pitch_hz):
        level = sum(1 / (1 + ((hz - formant) / 100) ** 2) for formant in FORMANTS_HZ[name])
        sound += level / np.sqrt(hz / pitch_hz) * np.sin(2 * np.pi * hz * time_s)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def syllables(name: str = "a", count: int = 6) -> np.ndarray:
    """A vowel that swells and fades every 0.35 s."""
    one = np.concatenate([np.zeros(1_600, np.float32), vowel(name, 0.25) * np.hanning(4_000).astype(np.float32)])
    return np.tile(one, count)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(5).normal(0, level, int(seconds * RATE)).astype(np.float32)


def hum(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 50 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def assert_shut(tracks: MouthTracks) -> None:
    for name, track in tracks.to_arrays().items():
        assert np.isfinite(track).all(), name
    for track in (tracks.opening, tracks.width, tracks.protrusion, tracks.closure):
        assert np.abs(track).max() == 0


@pytest.mark.parametrize("length", [0, 1, 100, 1_599])
def test_sound_too_short_for_a_syllable_keeps_the_mouth_shut(net: MouthNet, length: int) -> None:
    assert_shut(net.listen(noise(1)[:length]))


@pytest.mark.parametrize("sound", [silence(3), noise(3), hum(3), silence(3) + 0.5, silence(3) + np.nan])
def test_what_is_no_voice_keeps_the_mouth_shut(net: MouthNet, sound: np.ndarray) -> None:
    assert_shut(net.listen(sound))


@pytest.mark.parametrize("name", ["a", "i", "u"])
def test_voice_moves_the_mouth(net: MouthNet, name: str) -> None:
    tracks = net.listen(np.concatenate([silence(1), syllables(name), silence(1)]))
    assert tracks.opening.max() > 0.3
    assert tracks.opening.std() > 0.1


def test_spread_vowel_is_wider_than_rounded_vowel(net: MouthNet) -> None:
    spread, rounded = (net.listen(syllables(name)) for name in ("i", "u"))
    assert spread.width_raw.mean() > rounded.width_raw.mean()


def test_mouth_is_shut_in_the_silence_around_a_voice(net: MouthNet) -> None:
    tracks = net.listen(np.concatenate([silence(2), syllables(), silence(2)]))
    assert tracks.opening[:80].max() == 0
    assert tracks.opening[-80:].max() == 0
    assert tracks.speech[110:190].mean() > 0.5


def test_level_makes_no_difference(net: MouthNet) -> None:
    sound = np.concatenate([silence(1), syllables()])
    assert net.listen(sound * np.float32(0.02)).opening == pytest.approx(net.listen(sound).opening, abs=1e-3)


def test_tracks_run_at_50_hz_and_in_range(net: MouthNet) -> None:
    sound = syllables()
    tracks = net.listen(sound)
    count = -(-(len(sound) // 160 + 1) // 2)
    for name, track in tracks.to_arrays().items():
        assert track.dtype == (np.float16 if name == "answers" else np.float32)
        assert track.shape == ((count, 20) if name == "answers" else (count,))
    assert 0 <= tracks.opening.min() <= tracks.opening.max() <= 1.25
    assert np.abs(tracks.width).max() <= 1.2


def test_blocks_make_no_audible_difference(net: MouthNet, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.concatenate([syllables("a", 10), silence(0.7), syllables("i", 10)])
    whole = net.listen(sound)
    monkeypatch.setattr(mouth, "_BLOCK", 150)
    assert net.listen(sound).opening == pytest.approx(whole.opening, abs=0.02)


def test_same_sound_gives_the_same_tracks(net: MouthNet) -> None:
    first, second = net.listen(syllables()), net.listen(syllables())
    np.testing.assert_array_equal(first.opening, second.opening)


def test_saved_tracks_come_back_equal(net: MouthNet, tmp_path) -> None:
    tracks = net.listen(syllables())
    np.savez(tmp_path / "speech.npz", **tracks.to_arrays())
    with np.load(tmp_path / "speech.npz") as data:
        again = MouthTracks.from_arrays({**data, "something_else": np.zeros(1, np.float32)})
    for name, track in tracks.to_arrays().items():
        np.testing.assert_array_equal(getattr(again, name), track)


def test_tracks_saved_without_answers_still_load(net: MouthNet) -> None:
    tracks = net.listen(syllables())
    assert tracks.has_answers
    arrays = tracks.to_arrays()
    del arrays["answers"]
    again = MouthTracks.from_arrays(arrays)
    assert not again.has_answers
    np.testing.assert_array_equal(again.opening, tracks.opening)


def test_answers_are_what_the_tracks_were_made_of(net: MouthNet) -> None:
    tracks = net.listen(syllables())
    assert tracks.answers[:, OPENING] == pytest.approx(tracks.opening_raw, abs=2e-3)


def test_missing_track_is_noticed(net: MouthNet) -> None:
    arrays = net.listen(silence(1)).to_arrays()
    del arrays["gate"]
    with pytest.raises(KeyError, match="gate"):
        MouthTracks.from_arrays(arrays)


@pytest.mark.parametrize("fps", [9, 24_000 / 1_001, 25, 60_000 / 1_001])
def test_curve_has_one_value_per_frame_at_any_rate(net: MouthNet, fps: float) -> None:
    tracks = net.listen(np.concatenate([silence(1), syllables()]))
    curve = tracks.at((np.arange(60) + 0.5) / fps, 1 / fps)
    for field in fields(curve):
        values = getattr(curve, field.name)
        assert values.shape == (60,)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_curve_reads_the_right_moment(net: MouthNet) -> None:
    tracks = replace(net.listen(silence(2)), opening_raw=np.arange(101, dtype=np.float32))
    assert tracks.at(np.array([0.0, 0.5, 1.99, 7.0]), 0.04).opening_raw == pytest.approx([0, 25, 99.5, 100])


def test_short_closure_is_not_lost_between_two_frames(net: MouthNet) -> None:
    still = net.listen(silence(2))
    closure = np.zeros_like(still.closure)
    closure[52] = 0.9  # at 1.04 s, between frames at 1.0 and 1.1 s
    tracks = replace(still, closure=closure, opening_soft=np.ones_like(closure))
    curve = tracks.at(np.array([0.9, 1.0, 1.1, 1.2]), 0.1)
    assert curve.closure.max() > 0.4
    assert curve.opening.min() < 0.1
    assert curve.opening[[0, 3]] == pytest.approx(1)


def answers(seconds: float) -> np.ndarray:
    """Confident speech with an opening that swings between 0.2 and 0.5."""
    count = round(seconds * 50)
    result = np.full((count, 20), -9, np.float32)
    result[:, OPENING] = 0.35 + 0.15 * np.sin(np.arange(count) / 3)
    result[:, CLASSES.start + 3] = 9
    return result


def test_long_speech_uses_its_own_range() -> None:
    tracks = tracks_of(answers(10), RANGE)
    assert tracks.opening.max() == pytest.approx(1, abs=0.05)
    assert np.percentile(tracks.opening, 10) < 0.05


def test_sound_that_is_no_sound_of_speech_keeps_the_mouth_shut() -> None:
    unclear = answers(10)
    unclear[:, CLASSES] = 0
    unclear[:, CLASSES.start] = -9  # sounding, for all the net knows, but nothing it could name
    assert_shut(tracks_of(unclear, RANGE))


def band(seconds: float) -> np.ndarray:
    """Chords that change every second."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros(len(time_s))
    for start, roots in enumerate([(220, 277, 330), (196, 247, 294), (262, 330, 392), (175, 220, 262)] * 3):
        part = slice(start * RATE, (start + 1) * RATE)
        fade = np.exp(-1.5 * time_s[: len(sound[part])])
        for hz in roots:
            sound[part] += sum(np.sin(2 * np.pi * hz * k * time_s[part]) / k for k in range(1, 5)) * fade
    return (0.1 * sound).astype(np.float32)


@pytest.mark.parametrize("piece", ["band", "chords", "arpeggio", "sung_vowels", "drums"])
def test_music_keeps_the_mouth_shut_nearly_all_the_time(net: MouthNet, piece: str) -> None:
    """A single chord that fades like a vowel may pass for one: a second of the band, and of the chords."""
    tracks = net.listen(band(8) if piece == "band" else music(8)[piece])
    assert (tracks.gate > 0.5).mean() <= (0.15 if piece in ("band", "chords") else 0)


def test_short_speech_uses_the_general_range() -> None:
    assert tracks_of(answers(0.9), RANGE).opening.max() == pytest.approx(((0.5 - 0.1) / 0.5) ** OPENING_CURVE, abs=0.02)


def test_closure_shuts_the_lips() -> None:
    closed = answers(10)
    closed[200:204, CLOSURE] = 5
    tracks = tracks_of(closed, RANGE)
    assert tracks.opening[200:204].max() == 0
    assert tracks.opening[150:190].max() > 0.5


def test_stretch_weights_add_up_to_one(net: MouthNet) -> None:
    generator = np.random.default_rng(0)
    for length in (20, 150, 400):
        features = generator.normal(0, 1, (length, 80)).astype(np.float32)
        weights = stretch_weights(net._net, features)
        assert sum(weights.values()) == pytest.approx(1)
        assert set(weights) <= set(STRETCHES)
        assert min(weights.values()) >= 0.03


def test_short_sound_is_not_stretched(net: MouthNet) -> None:
    assert stretch_weights(net._net, np.zeros((50, 80), np.float32)) == {1.0: 1.0}


def test_stretching_moves_bands() -> None:
    ramp = np.tile(np.arange(80, dtype=np.float32), (3, 1))
    np.testing.assert_array_equal(stretched(ramp, 1.0), ramp)
    assert stretched(ramp, 0.5)[0, 40] == pytest.approx(20)
    assert stretched(ramp, 1.24)[0, 79] == 79


def test_a_mapped_sound_is_heard_like_one_in_memory(net: MouthNet, tmp_path) -> None:
    sound = np.concatenate([silence(1), syllables(), silence(0.5), syllables("u")])
    sound.tofile(tmp_path / "sound.f32")
    beats = []
    mapped = net.listen(np.memmap(tmp_path / "sound.f32", np.float32, mode="r"), lambda: beats.append(1))
    for name, track in net.listen(sound).to_arrays().items():
        np.testing.assert_array_equal(mapped.to_arrays()[name], track)
    assert beats
    assert [file.name for file in tmp_path.iterdir()] == ["sound.f32"]


def test_reading_a_part_of_the_mouth_is_reading_all_of_it(net: MouthNet) -> None:
    tracks = net.listen(syllables())
    times_s = np.linspace(-0.5, 4, 300)
    whole = tracks.at(times_s, 0.04)
    for start in range(0, 300, 7):
        part = tracks.at(times_s[start : start + 7], 0.04)
        np.testing.assert_array_equal(part.opening, whole.opening[start : start + 7])
        np.testing.assert_array_equal(part.gate, whole.gate[start : start + 7])


@pytest.mark.media
@pytest.mark.ffmpeg
def test_real_voice_is_heard_as_speech(net: MouthNet, shared_media, tmp_path) -> None:
    from heygemd.media.probe import probe_audio
    from heygemd.media.sound import decode_speech
    from heygemd.settings import Limits

    recording = shared_media / "speech" / "en_jfk_11s.flac"
    decode_speech(recording, probe_audio(recording, Limits()), tmp_path / "sound.f32", Limits())
    tracks = net.listen(np.memmap(tmp_path / "sound.f32", np.float32, mode="r"))
    assert 0.6 < (tracks.gate > 0.5).mean() < 0.95
    assert tracks.opening.std() > 0.2
    json.dumps({name: float(track.mean()) for name, track in tracks.to_arrays().items()}, allow_nan=False)
