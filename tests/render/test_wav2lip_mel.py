"""The mel is the reference's, whatever the block size, and every film frame hears the right 0.2 s of it."""

import subprocess
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heygemd.jobs.job import LengthPolicy
from heygemd.planning.timeline import Timeline
from heygemd.render.arrays import is_mapped
from heygemd.render.wav2lip import mel as mel_module
from heygemd.render.wav2lip.mel import SILENCE, frames_with_silence, mel_of, window_at, window_starts


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=samples) * 0.1).astype(np.float32)


def slaney(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def hertz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def plain_mel(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the definition, one frame and one band at a time; for sounds of more than 400 samples."""
    emphasised = sound.astype(np.float64)
    emphasised[1:] -= 0.97 * sound[:-1].astype(np.float64)
    padded = np.concatenate([emphasised[400:0:-1], emphasised, emphasised[-2:-402:-1]])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    edges = [hertz(m) for m in np.linspace(slaney(55), slaney(7600), 82)]
    bins = np.arange(401) * 16000 / 800
    rows = []
    for start in range(0, len(sound) // 200 * 200 + 1, 200):
        magnitude = np.abs(np.fft.fft(padded[start : start + 800] * hann)[:401])
        row = []
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
            rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
            triangle = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
            row.append(1.6 * np.log10(max(1e-5, float(triangle @ magnitude))) + 2.4)
        rows.append(np.clip(row, -4, 4))
    return np.array(rows)


def test_bands_are_those_of_librosa_to_the_last_bit() -> None:
    bands = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    np.testing.assert_array_equal(mel_module.mel_bank(), bands)


def librosa_mel(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ask librosa for the same, with the mirrored ends that its older versions had."""
    emphasised = np.append(sound[:1].astype(np.float64), sound[1:] - 0.97 * sound[:-1].astype(np.float64))
    spectrum = librosa.stft(
        emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect", dtype=np.complex128
    )
    bands = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600).astype(np.float64)
    decibels = 20 * np.log10(np.maximum(1e-5, bands @ np.abs(spectrum))) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).T


def chirp(samples: int) -> NDArray[np.float32]:
    t = np.arange(samples) / 16_000
    return (0.5 * np.sin(2 * np.pi * (80 + 3500 * t) * t)).astype(np.float32)


@pytest.mark.parametrize("sound", [noise(32_123), chirp(32_000), chirp(32_000) * 1e-4], ids=["noise", "chirp", "faint"])
def test_mel_is_that_of_librosa_with_mirrored_ends(sound: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(mel_of(sound), librosa_mel(sound), atol=1e-6)


@pytest.mark.media
@pytest.mark.ffmpeg
def test_mel_of_real_speech_is_the_reference_s(shared_media: Path, tmp_path: Path) -> None:
    file = sorted((shared_media / "speech").glob("*.wav"))[0]
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-t", "6", "-ac", "1", "-ar", "16000", "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
    heard = mel_of(sound)
    np.testing.assert_allclose(heard, plain_mel(sound), atol=2e-6)
    np.testing.assert_allclose(heard, librosa_mel(sound), atol=2e-6)


@pytest.mark.parametrize("samples", [3200, 3201, 3399, 16_000])
def test_mel_follows_its_definition(samples: int) -> None:
    sound = noise(samples)
    mel = mel_of(sound)
    assert mel.dtype == np.float32
    assert mel.shape == (1 + samples // 200, 80)
    np.testing.assert_allclose(mel, plain_mel(sound), atol=2e-5)


def test_first_frame_hears_the_mirrored_sound_not_zeros() -> None:
    sound = noise(8000)
    zero_padded = mel_of(np.concatenate([np.zeros(2000, np.float32), sound]))[10]
    assert np.abs(mel_of(sound)[0] - zero_padded).max() > 0.05


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_leave_no_trace(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = noise(20_123)
    whole = mel_of(sound)
    monkeypatch.setattr(mel_module, "BLOCK_FRAMES", block)
    np.testing.assert_allclose(mel_of(sound), whole, atol=1e-6)


def test_memory_map_is_heard_like_an_array(tmp_path: Path) -> None:
    sound = noise(9000)
    sound.tofile(tmp_path / "sound.f32")
    mapped: NDArray[np.float32] = np.memmap(tmp_path / "sound.f32", np.float32, "r")
    assert np.array_equal(mel_of(mapped), mel_of(sound))


@pytest.mark.parametrize("samples", [0, 1, 2, 5, 199, 200, 400, 401, 2999])
def test_short_sound_is_continued_with_silence(samples: int) -> None:
    mel = mel_of(noise(samples))
    assert mel.shape == (16, 80)
    heard = 1 + samples // 200 if samples else 0
    assert (mel[heard:] == SILENCE).all()
    assert samples < 5 or (mel[:heard] > SILENCE).any()
    assert np.isfinite(mel).all()


def test_digital_silence_has_the_silence_value() -> None:
    assert (mel_of(np.zeros(8000, np.float32)) == SILENCE).all()


def film(fps: Fraction, frames: int) -> Timeline:
    return Timeline(fps=fps, frame_count=frames, tick_count=frames, policy=LengthPolicy.AUTO)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (Fraction(25), [0, 3, 6, 9, 12, 16, 19, 22, 25, 28, 32]),
        (Fraction(30000, 1001), [0, 2, 5, 8, 10, 13, 16, 18, 21, 24, 26]),
        (Fraction(60), [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13]),
    ],
)
def test_windows_start_where_the_reference_starts_them(fps: Fraction, expected: list[int]) -> None:
    assert window_starts(film(fps, 11), 1000).tolist() == expected


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60000, 1001)])
def test_windows_are_those_of_the_reference_and_go_on_where_it_ends(fps: Fraction) -> None:
    mel_frames, step = 801, 80.0 / float(fps)  # 10 s
    reference, frame = [], 0
    while (start := int(frame * step)) + 16 <= mel_frames:
        reference.append(start)
        frame += 1
    starts = window_starts(film(fps, round(10 * fps)), mel_frames).tolist()
    assert starts[: len(reference)] == reference
    dropped = len(starts) - len(reference)
    assert 0.1 < dropped / fps < 0.2, "what the reference cuts off at the end"
    assert starts[len(reference) :] == [mel_frames - 16] * dropped


def test_windows_at_the_end_stay_inside_the_sound() -> None:
    starts = window_starts(film(Fraction(25), 25), 81)
    assert starts[-1] == 65
    assert starts.tolist() == sorted(starts.tolist())


@pytest.mark.parametrize(("offset_ms", "expected"), [(40, [0, 0, 3, 6]), (-40, [3, 6, 9, 12]), (100, [0, 0, 0, 1])])
def test_positive_offset_lets_the_mouth_follow_later(offset_ms: int, expected: list[int]) -> None:
    starts = window_starts(film(Fraction(25), 4), 1000, offset_ms)
    assert starts.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([Fraction(9), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)]),
    frames=st.integers(1, 400),
    mel_frames=st.integers(16, 1500),
    offset_ms=st.integers(-500, 500),
)
def test_windows_are_always_inside_and_in_order(fps: Fraction, frames: int, mel_frames: int, offset_ms: int) -> None:
    starts = window_starts(film(fps, frames), mel_frames, offset_ms)
    assert len(starts) == frames
    assert (np.diff(starts) >= 0).all()
    assert starts.min() >= 0
    assert starts.max() + 16 <= mel_frames
    exact = [(80 * i / fps - Fraction(80 * offset_ms, 1000)).__floor__() for i in range(frames)]
    assert starts.tolist() == [min(max(start, 0), mel_frames - 16) for start in exact]


def test_some_windows_are_those_of_all() -> None:
    every = window_starts(film(Fraction(30000, 1001), 900), 2000, 40)
    assert window_starts(film(Fraction(30000, 1001), 900), 2000, 40, frames=[5, 7, 899]).tolist() == [
        int(every[i]) for i in (5, 7, 899)
    ]


def test_long_film_goes_on_in_silence() -> None:
    mel = np.zeros((100, 80), np.float32)
    assert frames_with_silence(100, 2.0) == 160 + 16
    assert frames_with_silence(100, 1.0) == 100
    assert (window_at(mel, 84) == 0).all()
    assert (window_at(mel, 90)[:10] == 0).all()
    assert (window_at(mel, 90)[10:] == SILENCE).all()
    assert (window_at(mel, 150) == SILENCE).all()


def test_mapped_sound_gives_a_mapped_mel_with_the_same_numbers(tmp_path: Path) -> None:
    sound = np.random.default_rng(3).normal(0, 0.1, 3 * 16_000 + 77).astype(np.float32)
    sound.tofile(tmp_path / "sound.f32")
    mel = mel_of(np.memmap(tmp_path / "sound.f32", np.float32, mode="r"))
    assert is_mapped(mel)
    np.testing.assert_array_equal(mel, mel_of(sound))
    assert [file.name for file in tmp_path.iterdir()] == ["sound.f32"]
