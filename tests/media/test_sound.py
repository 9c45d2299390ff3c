"""The voice for the engines: 16 kHz, mono, from sample 0."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import InputError
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio
from heygemd.media.sound import decode_speech

pytestmark = pytest.mark.ffmpeg

Voice = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "options"),
    [("s.wav", {}), ("s.mp3", {}), ("two.flac", {"channels": 2, "rate_hz": 96000}), ("low.wav", {"rate_hz": 8000})],
)
def test_speech_has_the_length_of_the_sound(
    voice: Voice, limits: Limits, tmp_path: Path, name: str, options: dict[str, int]
) -> None:
    path = voice(name, **options)
    info = probe_audio(path, limits)
    count = decode_speech(path, info, tmp_path / "v.f32", limits)
    samples = np.fromfile(tmp_path / "v.f32", "<f4")
    assert len(samples) == count
    assert abs(count - float(info.duration_s) * 16000) <= 2
    assert 0.2 < np.abs(samples).max() < 0.45
    assert [p.name for p in tmp_path.iterdir()] == ["v.f32"]


def test_speech_starts_where_the_sound_starts(make: Voice, limits: Limits, tmp_path: Path) -> None:
    """A click after half a second stays there although the container's sound starts late."""
    click = "aevalsrc='if(between(t,0.5,0.501),0.9,0)':s=48000:d=1"
    path = make("late.mkv", "-f", "lavfi", "-i", "color=s=32x32:d=2", "-itsoffset", "0.7", "-f", "lavfi", "-i", click)
    info = probe_audio(path, limits)
    decode_speech(path, info, tmp_path / "v.f32", limits)
    samples = np.fromfile(tmp_path / "v.f32", "<f4")
    assert abs(int(np.abs(samples).argmax()) - 8000) < 60


def test_a_sound_cut_after_the_probe_is_refused(voice: Voice, limits: Limits, tmp_path: Path) -> None:
    path = voice("s.wav")
    info = probe_audio(path, limits)
    (tmp_path / "a.wav").write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError) as caught:
        decode_speech(tmp_path / "a.wav", info, tmp_path / "v.f32", limits)
    assert caught.value.code == "E110"
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("stranger", [np.nan, np.inf, -np.inf, 1e30])
def test_speech_holds_numbers_only(limits: Limits, tmp_path: Path, stranger: float) -> None:
    wave = np.sin(np.arange(16000, dtype=np.float32) / 20) * np.float32(0.5)
    wave[8000] = stranger
    sound = tmp_path / "float.wav"
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32) + b"data" + struct.pack("<I", 64000)
    sound.write_bytes(b"RIFF" + struct.pack("<I", len(head) + 64000) + head + wave.tobytes())
    count = decode_speech(sound, probe_audio(sound, limits), tmp_path / "speech.f32", limits)
    speech = np.fromfile(tmp_path / "speech.f32", np.float32)
    assert count == 16000
    assert np.isfinite(speech).all()
    assert np.abs(speech).max() <= 1
    assert np.abs(speech - wave)[:7900].max() < 1e-6
