"""Log-mel features: level-free, in blocks, never NaN."""

import numpy as np
import pytest

from heygemd.render.speech import features
from heygemd.render.speech.features import SILENT_FEATURE, speech_features

GENERATOR = np.random.default_rng(3)


def bursts(seconds: float = 3.0) -> np.ndarray:
    """Noise that comes and goes four times a second: float32 at 16 kHz."""
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    return (GENERATOR.normal(0, 0.1, len(time_s)) * (np.sin(2 * np.pi * 4 * time_s) > 0)).astype(np.float32)


@pytest.mark.parametrize("length", [1_600, 1_601, 15_999, 16_000, 16_159, 16_160])
def test_one_feature_each_hundredth_of_a_second(length: int) -> None:
    result = speech_features(bursts()[:length])
    assert result.shape == (length // 160 + 1, 80)
    assert result.dtype == np.float32


def test_features_stay_in_range() -> None:
    result = speech_features(bursts())
    assert result.min() >= -4
    assert result.max() <= 3


def test_level_makes_no_difference() -> None:
    sound = bursts()
    assert speech_features(sound * np.float32(0.01)) == pytest.approx(speech_features(sound), abs=1e-3)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = bursts()
    whole = speech_features(sound)
    for block in (1, 7, 100):
        monkeypatch.setattr(features, "_BLOCK_FRAMES", block)
        assert speech_features(sound) == pytest.approx(whole, abs=1e-4)


def test_feature_is_centred_on_its_moment() -> None:
    sound = np.zeros(16_000, np.float32)
    sound[8_000 - 40 : 8_000 + 40] = GENERATOR.normal(0, 0.1, 80)
    assert abs(int(speech_features(sound).mean(axis=1).argmax()) - 50) <= 1


def test_filters_cover_the_voice_and_have_one_area() -> None:
    filters = features._MEL_FILTERS
    assert filters.shape == (257, 80)
    assert filters.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()


def test_tone_falls_into_a_higher_band_than_a_lower_tone() -> None:
    gap = (np.arange(32_000) // 4_000) % 2
    time_s = np.arange(32_000) / 16_000
    tones = [np.sin(2 * np.pi * hz * time_s).astype(np.float32) * gap for hz in (300, 1_200, 4_000)]
    raw = [features._log_mel(tone.astype(np.float32), 0.1, 0, 201).max(axis=0).argmax() for tone in tones]
    assert raw == sorted(set(raw))


@pytest.mark.parametrize("length", [0, 1, 159, 160, 1_599])
def test_what_is_too_short_is_silence(length: int) -> None:
    result = speech_features(np.ones(length, np.float32))
    assert result.shape == (length // 160 + 1, 80)
    assert (result == SILENT_FEATURE).all()


@pytest.mark.parametrize("value", [0.0, 1e-6, np.nan, np.inf, -np.inf])
def test_sound_of_nothing_is_silence(value: float) -> None:
    assert (speech_features(np.full(32_000, value, np.float32)) == SILENT_FEATURE).all()


def test_broken_samples_count_as_zero() -> None:
    sound = bursts()
    sound[1_000] = 0
    broken = sound.copy()
    broken[1_000] = np.nan
    np.testing.assert_array_equal(speech_features(broken), speech_features(sound))


def test_a_few_words_in_a_long_silence_are_heard() -> None:
    sound = np.zeros(60 * 16_000, np.float32)
    sound[480_000:496_000] = bursts(1)
    result = speech_features(sound)
    assert result[3_000:3_100].mean() > result[:2_900].mean() + 1
    assert result[3_000:3_100].max() > 0


def test_enormous_samples_do_not_overflow() -> None:
    assert np.isfinite(speech_features(bursts() * np.float32(1e30))).all()


def test_read_only_memory_map_is_heard(tmp_path) -> None:
    sound = bursts()
    sound.tofile(tmp_path / "sound.f32")
    mapped = np.memmap(tmp_path / "sound.f32", np.float32, mode="r")
    np.testing.assert_array_equal(speech_features(mapped), speech_features(sound))
