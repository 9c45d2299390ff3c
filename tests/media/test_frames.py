"""Frames come out exactly once, in order, and the same again by number; segments go in bit for bit."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.jobs.job import ColourTags, VideoInfo
from heygemd.limits import Limits
from heygemd.media import child, ffmpeg
from heygemd.media.decoder import Passage
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_video
from heygemd.media.segment import SegmentWriter

pytestmark = pytest.mark.ffmpeg

DRIPPING = r"""#!{python}
import os, re, sys, time
stamps = int(re.search(r"pipe\\?:(\d+)", " ".join(sys.argv[1:]))[1])
os.write(1, b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n")
while True:
    os.write(stamps, b"frame:0 pts:0\n")
    os.write(1, b"FRAME\n" + bytes(64 * 64 * 3 // 2))
    time.sleep({pause_s})
"""
"""A decoder that never ends, and is never silent for long."""

Film = Callable[..., Path]
Planes = NDArray[np.uint8]

OPEN_GOP = ("-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:keyint=40:min-keyint=10:scenecut=0")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=30:open-gop=1:scenecut=0")
DROPPED = ("-vf", r"select='not(eq(mod(n\,7)\,3))'", "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "3")
SOURCES: dict[str, tuple[tuple[str, ...], str]] = {
    "open.mp4": (OPEN_GOP, "30000/1001"),
    "refresh.mp4": (("-c:v", "libx264", "-bf", "0", "-x264-params", "intra-refresh=1:keyint=40"), "25"),
    "hevc.mp4": (HEVC, "25"),
    "vfr.mkv": (DROPPED, "30"),
    "mpeg2.mpg": (("-c:v", "mpeg2video", "-bf", "2", "-g", "15"), "25"),
    "h264.ts": (OPEN_GOP, "25"),
    "asp.avi": (("-c:v", "mpeg4", "-bf", "2", "-g", "60"), "30000/1001"),
}


def raw(path: Path, *options: str, dtype: type = np.uint8) -> NDArray[np.generic]:
    """Return what a plain ffmpeg makes of a file, for comparison."""
    words = ["ffmpeg", "-v", "error", "-i", str(path), *options, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    return np.frombuffer(subprocess.run(words, check=True, capture_output=True).stdout, dtype)


def decoded(path: Path, limits: Limits) -> tuple[SourceVideo, list[Planes], NDArray[np.float64]]:
    source = SourceVideo(path, probe_video(path, limits), limits)
    frames = list(source.decode())
    return source, [frame.planes for frame in frames], np.array([frame.pts_s for frame in frames])


def orders(count: int) -> list[Sequence[int]]:
    rng = random.Random(1)
    middle = count // 2
    return [
        range(middle, count),
        [*range(count - 50, count), *range(count - 2, -1, -1)],
        [rng.randrange(count) for _ in range(3)],
        [middle, middle, middle, middle + 1, middle + 3, middle + 3],
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_frames_read_by_number_are_those_decoded(film: Film, limits: Limits, name: str) -> None:
    options, rate = SOURCES[name]
    path = film(name, *options, rate=rate)
    info = probe_video(path, limits)
    found = list(SourceVideo(path, info, limits).decode())
    frames, pts_s = [frame.planes for frame in found], np.array([frame.pts_s for frame in found])
    assert pts_s[0] == 0
    assert (np.diff(pts_s) > 0).all()
    source = SourceVideo(path, info, limits)
    for wanted in orders(len(frames)):
        got = 0
        for index, planes in zip(wanted, source.read(wanted, pts_s), strict=True):
            assert np.array_equal(planes, frames[index]), f"frame {index}"
            planes[:] = 0  # private to the receiver
            got += 1
        assert got == len(wanted)


@pytest.mark.parametrize("name", ["open.mp4", "vfr.mkv"])
def test_decoding_gives_every_frame_once_with_its_time(film: Film, limits: Limits, name: str) -> None:
    options, rate = SOURCES[name]
    path = film(name, *options, rate=rate)
    _, frames, pts_s = decoded(path, limits)
    assert np.array_equal(np.concatenate([f.ravel() for f in frames]), raw(path, "-pix_fmt", "yuv420p"))
    if name == "open.mp4":
        assert len(frames) == 120
        assert np.allclose(pts_s, np.arange(120) * 1001 / 30000, atol=1e-8)
    else:
        kept = [n for n in range(120) if n % 7 != 3]
        assert np.allclose(pts_s, np.array(kept) / 30, atol=1.1e-3)


def test_a_seek_that_misses_is_noticed(film: Film, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film("open.mp4", *OPEN_GOP, rate="30000/1001")
    source, frames, pts_s = decoded(path, limits)
    passages = []
    plain = source._run

    def overshooting(passage: Passage) -> object:
        passages.append(passage)
        aim = passage.from_flicks
        return plain(passage if aim is None else replace(passage, from_flicks=aim + 70_000_000))

    monkeypatch.setattr(source, "_run", overshooting)
    for index, planes in zip(range(60, 70), source.read(range(60, 70), pts_s), strict=True):
        assert np.array_equal(planes, frames[index])
    assert passages[-1].skip_frames == 60


def test_a_rotated_clip_comes_out_upright(film: Film, make: Film, limits: Limits) -> None:
    plain = film("plain.mp4", "-c:v", "libx264", seconds=4)
    turned = make("turned90.mp4", "-i", str(plain), "-c", "copy", "-metadata:s:v", "rotate=90")
    flat = decoded(plain, limits)[1][0][:72]
    upright = decoded(turned, limits)[1][0]
    assert upright.shape == (128 * 3 // 2, 72)
    assert np.array_equal(upright[:128], np.rot90(flat, -1)) or np.array_equal(upright[:128], np.rot90(flat))


def test_odd_sizes_repeat_their_edge(make: Film, limits: Limits) -> None:
    cut = "crop=641:361:0:0:exact=1"
    path = make(
        "odd.mp4", "-f", "lavfi", "-i", "testsrc2=s=642x362:d=0.2", "-vf", f"{cut},format=yuv444p", "-c:v", "libx264"
    )
    planes = decoded(path, limits)[1][0]
    luma = planes[:362]
    truth = raw(path, "-pix_fmt", "yuv444p")[: 641 * 361].reshape(361, 641)
    assert np.array_equal(luma[:361, :641], truth)
    assert np.array_equal(luma[:, 641], luma[:, 640])
    assert np.array_equal(luma[361], luma[360])


@pytest.mark.parametrize("span", ["tv", "pc"])
def test_ten_bits_become_eight_without_touching_the_range(film: Film, limits: Limits, span: str) -> None:
    tags = ("-color_range", span, "-colorspace", "bt709")
    path = film(f"ten-{span}.mp4", "-pix_fmt", "yuv420p10le", "-c:v", "libx264", *tags, seconds=0.2)
    info = probe_video(path, limits)
    assert info.colour.range == span
    planes = decoded(path, limits)[1][0]
    truth = raw(path, dtype=np.uint16)[: 128 * 72 * 3 // 2].reshape(planes.shape)
    assert np.abs(planes - truth / 4).max() <= 2  # dithered; a change of range would shift white by 20


@pytest.mark.parametrize("pixels", ["yuv422p", "yuv444p", "yuvj444p"])
def test_finer_colour_keeps_its_luma(film: Film, limits: Limits, pixels: str) -> None:
    path = film(f"{pixels}.mp4", "-pix_fmt", pixels, "-c:v", "libx264", seconds=0.2)
    planes = decoded(path, limits)[1][0]
    assert np.array_equal(planes[:72], raw(path, "-pix_fmt", pixels)[: 128 * 72].reshape(72, 128))


def test_full_range_stays_as_it_is(film: Film, limits: Limits) -> None:
    path = film("full.mp4", "-pix_fmt", "yuvj420p", "-c:v", "libx264", "-color_range", "pc", seconds=0.2)
    frames = decoded(path, limits)[1]
    assert np.array_equal(np.concatenate([f.ravel() for f in frames]), raw(path, "-pix_fmt", "yuvj420p"))


@pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.webp"])
def test_a_still_gives_one_frame_as_often_as_wanted(film: Film, limits: Limits, name: str) -> None:
    path = film(name, "-frames:v", "1", "-update", "1", seconds=1)
    source, frames, pts_s = decoded(path, limits)
    assert len(frames) == 1
    assert 60 < frames[0][:72].mean() < 200
    for planes in source.read([0] * 5, pts_s):
        assert np.array_equal(planes, frames[0])
        planes[:] = 0


def test_white_and_black_of_a_png_are_limited_range(make: Film, limits: Limits) -> None:
    colours = "color=white:s=64x64:d=1[a];color=black:s=64x64:d=1[b];[a][b]hstack"
    path = make("bw.png", "-filter_complex", colours, "-frames:v", "1", "-update", "1", "-pix_fmt", "rgb24")
    luma = decoded(path, limits)[1][0][:64]
    assert (luma[:, :64] == 235).all()
    assert (luma[:, 64:] == 16).all()


def test_a_file_cut_after_the_probe_is_refused(film: Film, limits: Limits, tmp_path: Path) -> None:
    whole = film("cut.mp4", "-c:v", "libx264", "-movflags", "+faststart", size="320x240")
    info = probe_video(whole, limits)
    (tmp_path / "a").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError) as caught:
        list(SourceVideo(tmp_path / "a", info, limits).decode())
    assert caught.value.code == "E110"


def test_an_abandoned_decoder_is_ended(film: Film, limits: Limits) -> None:
    path = film("open.mp4", *OPEN_GOP, rate="30000/1001")
    source = SourceVideo(path, probe_video(path, limits), limits)
    before = len(list(Path("/proc/self/fd").iterdir()))
    frames = source.decode()
    next(frames)
    frames.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def info_of(width: int, height: int, *, colour: ColourTags | None = None, aspect: Fraction = Fraction(1)) -> VideoInfo:
    return VideoInfo(
        demuxer="mov",
        codec="h264",
        stream=0,
        fps=Fraction(25),
        frame_count=1,
        width_px=width,
        height_px=height,
        colour=colour or ColourTags(),
        sample_aspect=aspect,
    )


def noise(count: int, width: int = 64, height: int = 48) -> list[Planes]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (height * 3 // 2, width), np.uint8) for _ in range(count)]


def write(path: Path, frames: list[Planes], info: VideoInfo, fps: Fraction = Fraction(25), crf: int = 0) -> None:
    with SegmentWriter(path, info=info, fps=fps, crf=crf, preset="veryfast") as writer:
        for planes in frames:
            writer.write(planes)


@pytest.mark.parametrize("colour", [ColourTags(), ColourTags(range="pc", matrix="bt470bg")])
def test_a_lossless_segment_gives_back_every_bit(tmp_path: Path, limits: Limits, colour: ColourTags) -> None:
    frames = noise(12)
    write(tmp_path / "s.mp4", frames, info_of(64, 48, colour=colour))
    _, back, _ = decoded(tmp_path / "s.mp4", limits)
    assert len(back) == 12
    assert all(np.array_equal(a, b) for a, b in itertools.zip_longest(frames, back))
    assert [p.name for p in tmp_path.iterdir()] == ["s.mp4"]


def test_tags_and_aspect_travel_into_the_segment(tmp_path: Path, limits: Limits) -> None:
    colour = ColourTags(matrix="bt2020nc", range="pc", primaries="bt2020", transfer="bt709")
    write(tmp_path / "s.mp4", noise(3), info_of(64, 48, colour=colour, aspect=Fraction(4, 3)), crf=18)
    info = probe_video(tmp_path / "s.mp4", limits)
    assert info.colour == colour
    assert info.sample_aspect == Fraction(4, 3)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "25", "9"])
def test_a_segment_has_an_exactly_constant_rate(tmp_path: Path, limits: Limits, rate: str) -> None:
    write(tmp_path / "s.mp4", noise(7), info_of(64, 48), fps=Fraction(rate), crf=30)
    info = probe_video(tmp_path / "s.mp4", limits)
    assert (info.fps, info.frame_count, info.is_vfr) == (Fraction(rate), 7, False)


def test_a_failed_segment_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        SegmentWriter(tmp_path / "s.mp4", info=info_of(64, 48), fps=Fraction(25), crf=18, preset="veryfast") as writer,
    ):
        writer.write(noise(1)[0])
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_segment_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        write(tmp_path / "s.mp4", [], info_of(64, 48))
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_shape_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        write(tmp_path / "s.mp4", noise(1, 32, 32), info_of(64, 48))


def test_a_segment_of_one_frame_is_possible(tmp_path: Path, limits: Limits) -> None:
    write(tmp_path / "s.mp4", noise(1), info_of(64, 48))
    assert len(decoded(tmp_path / "s.mp4", limits)[1]) == 1


@pytest.mark.media
def test_real_clips_give_every_frame_they_promise(shared_media: Path, limits: Limits) -> None:
    for name in ("talking/grid_bbaf2n.mpg", "talking/man_office_700p_vfr.mp4", "idle/presenter_512p_9fps.mp4"):
        path = shared_media / name
        info = probe_video(path, limits)
        assert sum(1 for _ in SourceVideo(path, info, limits).decode()) == info.frame_count


def test_a_picture_of_another_size_than_inspected_gives_no_frame(film: Film, limits: Limits, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(film("plain.mp4", "-c:v", "libx264", seconds=4).read_bytes())
    info = probe_video(path, limits)
    source = SourceVideo(path, info, limits)
    frames = list(source.decode())
    path.write_bytes(film("larger.mp4", "-c:v", "libx264", size="256x144").read_bytes())
    os.utime(path, ns=(1, 1))
    pts_s = np.array([frame.pts_s for frame in frames])
    for read in (source.decode(), source.read([0], pts_s), SourceVideo(path, info, limits).read([60], pts_s)):
        with pytest.raises(InputError, match="another size") as caught:
            next(read)  # type: ignore[call-overload]
        assert caught.value.code == "E111"


def test_a_size_that_changes_on_the_way_is_scaled_to_the_first(film: Film, limits: Limits, tmp_path: Path) -> None:
    small, large = (film(f"{size}.ts", "-c:v", "libx264", size=size, seconds=2) for size in ("128x72", "256x144"))
    path = tmp_path / "both.ts"
    late = ("-itsoffset", "2", "-i", str(large), "-c", "copy", "-f", "mpegts", "-copyts", str(tmp_path / "late.ts"))
    subprocess.run(["ffmpeg", "-v", "error", *late], check=True)
    path.write_bytes(small.read_bytes() + (tmp_path / "late.ts").read_bytes())
    info = probe_video(path, limits)
    assert (info.width_px, info.height_px) == (128, 72)
    found = list(SourceVideo(path, info, limits).decode())
    assert len(found) == 100
    assert {frame.planes.shape for frame in found} == {(108, 128)}
    pts_s = np.array([frame.pts_s for frame in found])
    late_ones = SourceVideo(path, info, limits).read([97, 98, 99], pts_s)
    for planes, frame in zip(late_ones, found[97:], strict=True):
        assert np.abs(planes.astype(int) - frame.planes).max() <= 8, "scaled by other hands, but the same picture"


def test_frames_are_read_by_one_process_for_each_run(
    film: Film, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film("open.mp4", *OPEN_GOP, rate="30000/1001")
    info = probe_video(path, limits)
    started = []
    plain = child.subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda *args, **how: started.append(args) or plain(*args, **how))
    pts_s = np.array([frame.pts_s for frame in SourceVideo(path, info, limits).decode()])
    assert len(started) == 1
    list(SourceVideo(path, info, limits).read(range(60, 80), pts_s))
    assert len(started) == 2, "where the file begins is known from the first time"


def test_a_frame_that_is_kept_stays_as_it_is(film: Film, limits: Limits) -> None:
    path = film("plain.mp4", "-c:v", "libx264", seconds=4)
    source = SourceVideo(path, probe_video(path, limits), limits)
    kept, sums = [], []
    for number, frame in enumerate(source.decode()):
        if number % 3 == 0:
            kept.append(frame.planes[10:20])
            sums.append(int(frame.planes[10:20].sum()))
    assert [int(piece.sum()) for piece in kept] == sums
    assert len(set(sums)) > 20


def test_a_decoder_that_drips_is_not_waited_for_without_end(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten frames were promised, and one comes every tenth of a second: no single wait is too long."""
    path = film("for-a-drip.mp4", "-c:v", "libx264", size="64x64", seconds=0.4)
    info = probe_video(path, Limits())
    program = tmp_path / "ffmpeg"
    program.write_text(DRIPPING.format(python=sys.executable, pause_s=0.1))
    program.chmod(0o755)
    tools = replace(ffmpeg.require_tools(), ffmpeg=str(program))
    monkeypatch.setattr(ffmpeg, "require_tools", lambda: tools)
    frames, count = SourceVideo(path, info, Limits(stall_s=1)).decode(), 0
    with pytest.raises(InputError, match="decoding the picture") as caught:
        for count, _ in enumerate(frames, 1):
            assert count < 100
    assert caught.value.code == "E110"
    assert count > info.frame_count
