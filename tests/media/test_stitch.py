"""Segments and sound become one film with perfectly even time."""

import struct
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.errors import FaultError
from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import stitch as stitch_module
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.segment import SegmentWriter
from heygemd.media.stitch import StitchFacts, stitch
from heygemd.media.verify import verify_film

pytestmark = pytest.mark.ffmpeg

Voice = Callable[..., Path]
SIZE = {"width_px": 64, "height_px": 48}
NTSC = Fraction(30000, 1001)


def segments(folder: Path, fps: Fraction, counts: Sequence[int], crf: int = 30) -> list[Path]:
    info = VideoInfo(demuxer="mov", codec="h264", stream=0, fps=fps, frame_count=1, **SIZE)
    paths, number = [], 0
    for index, count in enumerate(counts):
        paths.append(folder / f"part {index}'s.mp4")
        with SegmentWriter(paths[-1], info=info, fps=fps, crf=crf, preset="veryfast") as writer:
            for _ in range(count):
                writer.write(np.roll(np.tile(np.arange(64, dtype=np.uint8) * 3, (72, 1)), number * 2, axis=1))
                number += 1
    return paths


def join(
    folder: Path, fps: Fraction, counts: Sequence[int], audio: Path, limits: Limits, *, fit_sound: bool = False
) -> tuple[Path, StitchFacts]:
    film = folder / "film.mp4"
    facts = stitch(
        segments(folder, fps, counts),
        counts,
        fps,
        audio=audio,
        audio_info=probe_audio(audio, limits),
        film_s=sum(counts) / fps,
        fit_sound=fit_sound,
        out=film,
        limits=limits,
    )
    return film, facts


def stamps(film: Path) -> list[int]:
    words = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts", "-of", "csv=p=0"]
    lines = subprocess.run([*words, str(film)], check=True, capture_output=True, text=True).stdout.split()
    return sorted(int(line.strip(",")) for line in lines)


def samples(path: Path) -> NDArray[np.float64]:
    words = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-ac", "1", "-f", "s16le", "-"]
    return np.frombuffer(subprocess.run(words, check=True, capture_output=True).stdout, "<i2").astype(np.float64)


def lag(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Samples by which `b` comes later than `a`."""
    size = 1 << 19
    found = int(np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size).argmax())
    return found if found < size // 2 else found - size


@pytest.mark.parametrize("rate", ["25", "24000/1001", "30000/1001", "60000/1001"])
def test_time_is_even_over_seven_segments(voice: Voice, limits: Limits, tmp_path: Path, rate: str) -> None:
    fps, counts = Fraction(rate), [17, 18, 17, 18, 17, 18, 17]
    film, _ = join(tmp_path, fps, counts, voice("s.wav"), limits, fit_sound=True)
    found = stamps(film)
    assert len(found) == 122
    assert found[0] == 0
    assert len({b - a for a, b in pairwise(found)}) == 1
    film_s = 122 / fps
    check = verify_film(film, frame_count=122, fps=fps, **SIZE, sound_s=film_s, limits=limits)
    assert abs(check.sound_s - film_s) <= Fraction(1025, 44100)
    assert {p.suffix for p in tmp_path.iterdir()} == {".mp4"}


def test_plain_joining_would_be_noticed(
    voice: Voice, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: without exact lengths the joints shift, and the verifier says so."""
    plain = Path.write_text

    def forgetful(path: Path, text: str, encoding: str) -> int:
        return plain(path, "\n".join(line for line in text.split("\n") if "duration" not in line), encoding)

    monkeypatch.setattr(Path, "write_text", forgetful)
    film, _ = join(tmp_path, NTSC, [17, 18, 17, 18], voice("s.wav"), limits, fit_sound=True)
    with pytest.raises(FaultError, match="is stamped"):
        verify_film(film, frame_count=70, fps=NTSC, **SIZE, sound_s=70 / NTSC, limits=limits)


@pytest.mark.parametrize("name", ["s.m4a", "s.mp3", "s.aac"])
def test_aac_and_mp3_are_copied(voice: Voice, limits: Limits, tmp_path: Path, name: str) -> None:
    sound = voice(name)
    info = probe_audio(sound, limits)
    count = -(-info.sample_count * 25 // info.rate_hz)
    film, facts = join(tmp_path, Fraction(25), [60, count - 60], sound, limits)
    assert facts == StitchFacts(audio_codec=info.codec, audio_copied=True)
    verify_film(film, frame_count=count, fps=Fraction(25), **SIZE, sound_s=info.duration_s, limits=limits)
    before, after = samples(sound), samples(film)
    assert lag(before, after) == 0
    assert np.array_equal(before[: 4 * 44100], after[: 4 * 44100])


@pytest.mark.parametrize(("name", "cut_at_bytes"), [("s.mp3", 9000), ("s.aac", 9000)])
def test_a_damaged_sound_is_not_copied_into_the_film(
    voice: Voice, limits: Limits, tmp_path: Path, name: str, cut_at_bytes: int
) -> None:
    data = voice(name).read_bytes()
    sound = tmp_path / name  # a piece is missing: an MP3 frame then asks for bits of one that is gone
    sound.write_bytes(data[:cut_at_bytes] + data[cut_at_bytes + 2000 :])
    info = probe_audio(sound, limits)
    assert info.warnings
    count = -(-info.sample_count * 25 // info.rate_hz)
    film, facts = join(tmp_path, Fraction(25), [count], sound, limits)
    assert not facts.audio_copied
    verify_film(film, frame_count=count, fps=Fraction(25), **SIZE, sound_s=info.duration_s, limits=limits)


@pytest.mark.parametrize(
    ("name", "options"),
    [("s.wav", {}), ("low.wav", {"rate_hz": 8000}), ("six.flac", {"channels": 6, "rate_hz": 48000})],
)
def test_other_sounds_are_encoded_once_as_they_are(
    voice: Voice, limits: Limits, tmp_path: Path, name: str, options: dict[str, int]
) -> None:
    sound = voice(name, **options)
    info = probe_audio(sound, limits)
    film, facts = join(tmp_path, Fraction(25), [125], sound, limits)
    assert facts == StitchFacts(audio_codec="aac", audio_copied=False)
    again = probe_audio(film, limits)
    assert (again.rate_hz, again.channels) == (info.rate_hz, info.channels)
    verify_film(film, frame_count=125, fps=Fraction(25), **SIZE, sound_s=info.duration_s, limits=limits)
    assert abs(lag(samples(sound), samples(film))) <= 1


def test_samples_that_are_no_numbers_do_not_keep_a_film_from_being_made(limits: Limits, tmp_path: Path) -> None:
    wave = np.sin(np.arange(16000, dtype=np.float32) / 20) * np.float32(0.5)
    wave[8000:8003] = np.nan, np.inf, 1e30
    sound = tmp_path / "float.wav"
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32) + b"data" + struct.pack("<I", 64000)
    sound.write_bytes(b"RIFF" + struct.pack("<I", len(head) + 64000) + head + wave.tobytes())
    film, _ = join(tmp_path, Fraction(25), [25], sound, limits)
    verify_film(film, frame_count=25, fps=Fraction(25), **SIZE, sound_s=Fraction(1), limits=limits)


def test_a_sound_that_starts_late_in_its_file_starts_at_once(
    voice: Voice, make: Voice, limits: Limits, tmp_path: Path
) -> None:
    both = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=6", "-itsoffset", "0.5", "-i", str(voice("s.m4a")))
    late = make("late.mp4", *both, "-c:a", "copy", "-c:v", "libx264")
    info = probe_audio(late, limits)
    film, facts = join(tmp_path, Fraction(25), [125], late, limits)
    assert facts.audio_copied
    verify_film(film, frame_count=125, fps=Fraction(25), **SIZE, sound_s=info.duration_s, limits=limits)
    assert lag(samples(late), samples(film)) == 0


def test_a_copy_of_another_length_is_not_kept(
    voice: Voice, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stitch_module, "COPY_TOLERANCE_S", Fraction(-1))
    _, facts = join(tmp_path, Fraction(25), [125], voice("s.m4a"), limits)
    assert facts == StitchFacts(audio_codec="aac", audio_copied=False)


@pytest.mark.parametrize("count", [50, 200])
def test_the_sound_is_cut_or_padded_to_the_picture(voice: Voice, limits: Limits, tmp_path: Path, count: int) -> None:
    film, facts = join(tmp_path, Fraction(25), [count], voice("s.m4a"), limits, fit_sound=True)
    assert not facts.audio_copied
    verify_film(film, frame_count=count, fps=Fraction(25), **SIZE, sound_s=Fraction(count, 25), limits=limits)


def test_joined_frames_are_those_of_the_segments(voice: Voice, limits: Limits, tmp_path: Path) -> None:
    film, _ = join(tmp_path, NTSC, [10, 11, 9], voice("s.wav"), limits, fit_sound=True)
    parts = []
    for index in range(3):
        path = tmp_path / f"part {index}'s.mp4"
        parts += [f.planes for f in SourceVideo(path, probe_video(path, limits), limits).decode()]
    whole = [f.planes for f in SourceVideo(film, probe_video(film, limits), limits).decode()]
    assert len(whole) == len(parts) == 30
    assert all(np.array_equal(a, b) for a, b in zip(parts, whole, strict=True))


def test_nothing_of_the_sources_words_is_kept(make: Voice, limits: Limits, tmp_path: Path) -> None:
    sound = make("told.m4a", "-f", "lavfi", "-i", "sine=d=1", "-metadata", "title=secret-title")
    film, _ = join(tmp_path, Fraction(25), [25], sound, limits)
    assert b"secret-title" in sound.read_bytes()
    assert b"secret-title" not in film.read_bytes()
    assert film.read_bytes().index(b"moov") < film.read_bytes().index(b"mdat")


def test_a_film_that_cannot_be_joined_leaves_nothing(voice: Voice, limits: Limits, tmp_path: Path) -> None:
    paths = segments(tmp_path, Fraction(25), [5])
    paths[0].write_bytes(b"no film")
    with pytest.raises(FaultError) as caught:
        stitch(
            paths,
            [5],
            Fraction(25),
            audio=voice("s.wav"),
            audio_info=probe_audio(voice("s.wav"), limits),
            film_s=Fraction(1, 5),
            fit_sound=False,
            out=tmp_path / "film.mp4",
            limits=limits,
        )
    assert caught.value.code == "E500"
    assert list(tmp_path.iterdir()) == paths
