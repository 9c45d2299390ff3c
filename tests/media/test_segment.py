"""One segment by one encoder: x264 for real, NVENC where there is none, and one that pretends to be it."""

import signal
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import FaultError, ResourceError
from heygemd.jobs.job import ColourTags, EncoderName, VideoInfo
from heygemd.limits import Limits
from heygemd.media import segment as segment_module
from heygemd.media.encoders import EncoderPlace
from heygemd.media.parameter_sets import parameter_sets, require_same
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.segment import SegmentWriter
from heygemd.media.stitch import stitch
from heygemd.media.verify import verify_film
from tests.fake_nvenc import MARK, FakeNvenc, nvenc
from tests.pictures import packets

pytestmark = pytest.mark.ffmpeg

__all__ = ["nvenc"]

WIDTH, HEIGHT = 192, 112
INFO = VideoInfo(
    demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=1, width_px=WIDTH, height_px=HEIGHT,
    colour=ColourTags(range="tv", matrix="bt709", primaries="bt709", transfer="bt709"), sample_aspect=Fraction(4, 3),
)  # fmt: skip
CARD = EncoderPlace(cores=1, card=0)


def write(
    path: Path, count: int, *, fps: Fraction = INFO.fps, crf: int = 18, info: VideoInfo = INFO, **how: object
) -> Path:
    frame = np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT * 3 // 2, 1))
    with SegmentWriter(path, info=info, fps=fps, crf=crf, preset="veryfast", **how) as writer:  # type: ignore[arg-type]
        for number in range(count):
            writer.write(np.roll(frame, 3 * number, axis=1))
    return path


def by_card(path: Path, count: int, **how: object) -> Path:
    return write(path, count, encoder=EncoderName.NVENC, place=CARD, **how)  # type: ignore[arg-type]


def film_of(segments: Sequence[Path], counts: Sequence[int], fps: Fraction, sound: Path, limits: Limits) -> Path:
    film, film_s = segments[0].with_name("film.mp4"), sum(counts) / fps
    stitch(
        segments, counts, fps, audio=sound, audio_info=probe_audio(sound, limits), film_s=film_s, fit_sound=True,
        out=film, limits=limits,
    )  # fmt: skip
    verify_film(film, frame_count=sum(counts), fps=fps, width_px=WIDTH, height_px=HEIGHT, sound_s=film_s, limits=limits)
    return film


def test_the_number_of_threads_changes_neither_parameter_sets_nor_times(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{cores}.mp4", 40, place=EncoderPlace(cores=cores)) for cores in (1, 4, 16)]
    require_same(paths)
    times = [[(p["pts"], p["dts"]) for p in packets(path, "v")] for path in paths]
    assert times[0] == times[1] == times[2]


def test_segments_of_other_sizes_or_profiles_have_other_parameter_sets(tmp_path: Path) -> None:
    paths = [write(tmp_path / "lossy.mp4", 3), write(tmp_path / "lossless.mp4", 3, crf=0)]
    with pytest.raises(ResourceError) as caught:
        require_same(paths)
    assert caught.value.code == "E304"


def test_a_file_without_pictures_has_no_parameter_sets(tmp_path: Path) -> None:
    whole = write(tmp_path / "s.mp4", 3).read_bytes()
    for number, bytes_ in enumerate((b"", b"\0\0\0\x04free", whole[: len(whole) // 2], b"RIFF" + bytes(40))):
        (torn := tmp_path / f"torn{number}.mp4").write_bytes(bytes_)
        with pytest.raises(FaultError, match="parameter sets"):
            parameter_sets(torn)


def test_a_worker_without_a_card_says_so_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        write(tmp_path / "s.mp4", 3, encoder=EncoderName.NVENC)
    assert caught.value.code == "E304"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a card")
def test_nvenc_without_a_driver_is_a_fault_of_the_card_s_encoder(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        by_card(tmp_path / "s.mp4", 30)
    assert caught.value.code == "E304"
    assert "libcuda" in caught.value.message or "h264_nvenc" in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", ["25", "30000/1001"])
def test_segments_of_nvenc_become_one_film(nvenc: FakeNvenc, voice, limits: Limits, tmp_path: Path, rate: str) -> None:
    fps, counts = Fraction(rate), [13, 1, 12]
    info = replace(INFO, fps=fps)
    parts = [by_card(tmp_path / f"{n}.mp4", count, fps=fps, info=info) for n, count in enumerate(counts)]
    require_same(parts)
    found = probe_video(parts[0], limits)
    assert (found.colour, found.sample_aspect, found.pixel_format) == (INFO.colour, Fraction(4, 3), "yuv420p")
    first = packets(parts[0], "v")
    assert [p["pts"] for p in first] == [p["dts"] for p in first], "no B frames: shown in the order of decoding"
    film = film_of(parts, counts, fps, voice("s.wav"), limits)
    assert film.read_bytes().count(MARK) == 3, "one key frame a segment"
    stamps = [int(p["pts"]) for p in packets(film, "v")]
    assert (stamps[0], len({b - a for a, b in pairwise(stamps)})) == (0, 1)


def test_the_encoder_sees_the_worker_s_card_and_no_other(
    nvenc: FakeNvenc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7")
    by_card(tmp_path / "s.mp4", 2)
    assert [told["cards"] for told in nvenc.told] == ["GPU-7"]


def test_ffmpeg_reads_the_frames_first_and_the_card_s_options_before_its_file(nvenc: FakeNvenc, tmp_path: Path) -> None:
    by_card(tmp_path / "s.mp4", 2, crf=20)
    words = nvenc.told[0]["words"]
    pairs = dict(pairwise(words))
    assert words.index("-i") < words.index("-c:v") < len(words) - 1
    assert (pairs["-c:v"], pairs["-cq"], pairs["-b:v"], pairs["-gpu"]) == ("h264_nvenc", "20", "0", "0")
    assert (pairs["-spatial-aq"], pairs["-bf"], pairs["-g"], pairs["-flags"]) == ("1", "0", "125", "+cgop")
    assert not {"-crf", "-threads"} & set(words)


@pytest.mark.parametrize("reads_bytes", [0, 3 * WIDTH * HEIGHT * 3 // 2])
def test_no_session_left_is_a_fault_of_the_card_s_encoder_not_of_memory(
    nvenc: FakeNvenc, tmp_path: Path, reads_bytes: int
) -> None:
    nvenc.plan(fails_from=1, reads_bytes=reads_bytes)
    with pytest.raises(ResourceError, match="OpenEncodeSessionEx") as caught:
        by_card(tmp_path / "s.mp4", 200)
    assert caught.value.code == "E304"
    assert not (tmp_path / "s.mp4").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGSEGV, "E304"), (signal.SIGKILL, "E303")])
def test_a_crash_in_the_driver_is_the_encoder_s_and_a_kill_is_for_memory(
    nvenc: FakeNvenc, tmp_path: Path, number: int, code: str
) -> None:
    nvenc.plan(fails_from=1, kills_itself=number)
    with pytest.raises(ResourceError) as caught:
        by_card(tmp_path / "s.mp4", 5)
    assert caught.value.code == code


def test_a_card_s_encoder_that_hangs_is_given_up(
    nvenc: FakeNvenc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_module, "ENCODER_STALL_S", 0.2)
    nvenc.plan(fails_from=1, kills_itself=signal.SIGSTOP)
    with pytest.raises(ResourceError, match="stands still") as caught:
        by_card(tmp_path / "s.mp4", 500)
    assert caught.value.code == "E304"
