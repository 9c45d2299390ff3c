"""What a stranger's file holds: the chosen stream, its size, clock, colours and exact length.

Everything is settled here, before any frame is converted: an 11 kB file whose two frames lie a day apart would
flood a constant-rate conversion, so lengths and gaps are read from packets alone.
"""

import json
import re
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import structlog

from heygemd.errors import InputError
from heygemd.jobs.job import AudioInfo, VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, png, refusals
from heygemd.media.openfile import OpenFile, open_file
from heygemd.media.picture import Picture, picture_of, ratio, seconds
from heygemd.media.rates import STILL_FPS, Clock, clock_of
from heygemd.media.sniff import STILLS
from heygemd.media.sound import SoundTrack, listen

log = structlog.get_logger(__name__)

Description = dict[str, Any]
"""Streams and format of a file, as ffprobe names what it tells."""

JSON_BYTES = 16 << 20
"""Longest answer of ffprobe that is read: 64 streams with side data need far less."""

SILENCE_DB = -70.0
"""Peak level of a sound in which nobody can be speaking."""

STREAM_ENTRIES = (
    "stream=index,codec_type,codec_name,width,height,r_frame_rate,avg_frame_rate,time_base,duration,start_time,sample_rate,channels"
    ":stream_disposition:stream_side_data:stream_tags=DURATION:format=duration,start_time"
)
PICTURE_ENTRIES = (
    "stream=sample_aspect_ratio,color_range,color_space,color_primaries,color_transfer:stream_side_data"
    ":frame=width,height,pix_fmt,color_range,color_space,color_primaries,color_transfer,interlaced_frame"
    ":frame_side_data"
)


def probe_video(path: Path, limits: Limits) -> VideoInfo:
    """Describe the picture of a file; costs one reading of it.

    Odd sizes are given as the next even ones (641×361 → 642×362): so large are the decoded, padded frames.
    Raises InputError E101 (no picture in it), E104 (HDR), E105 (beyond the limits), E110 (cut off or damaged).
    """
    with open_file(path) as file:
        demuxer = file.demuxer()
        refusals.refuse_cut(file.head(), file.size_bytes)
        if demuxer == "png_pipe":
            png.refuse_texts(file.fd)
        document, complaints = describe(file, demuxer, limits)
        stream = _first_picture(document)
        index = int(stream["index"])
        size_px = int(stream.get("width", 0)), int(stream.get("height", 0))
        refusals.refuse_size(*size_px, limits)
        picture = look(file, demuxer, index, limits, pixels=size_px[0] * size_px[1])
        refusals.refuse_hdr(stream, picture)
        if demuxer in STILLS:
            clock, count = clock_of([0], Fraction(1)), 1
        else:
            stamps, complaints = _stamps(file, demuxer, index, limits)
            clock, count = _clock(stream, stamps), len(stamps)
            refusals.refuse_lengths(clock, limits)
            refusals.refuse_missing(clock.duration_s, _declared_s(document, stream), complaints)
    is_still = demuxer in STILLS or count == 1
    width, height = picture.padded_px
    return VideoInfo(
        demuxer=demuxer,
        codec=str(stream["codec_name"]),
        stream=index,
        fps=STILL_FPS if is_still else clock.fps,
        frame_count=count,
        width_px=width,
        height_px=height,
        rotation_deg=picture.rotation_deg,
        sample_aspect=picture.sample_aspect,
        pixel_format=picture.pixel_format,
        colour=picture.colour,
        is_vfr=clock.is_vfr,
        is_still=is_still,
        duration_s=float(1 / STILL_FPS if is_still else clock.duration_s),
        warnings=refusals.remarks(picture, clock),
    )


def probe_audio(path: Path, limits: Limits) -> AudioInfo:
    """Describe the sound of a file and decode it once to its end, so that its length is exact.

    Raises InputError E101, E105, E110 as `probe_video` does, E132 (none, empty or silent), E133 (too long).
    """
    with open_file(path) as file:
        demuxer = file.demuxer()
        refusals.refuse_cut(file.head(), file.size_bytes)
        document, complaints = describe(file, demuxer, limits)
        stream = _main_sound(document)
        index, rate_hz, channels = int(stream["index"]), int(stream["sample_rate"]), int(stream["channels"])
        declared_s = _declared_s(document, stream)
        if declared_s is not None and declared_s > limits.max_duration_s and "Estimating duration" not in complaints:
            raise InputError("E133", f"the sound lasts {float(declared_s):.0f} s")
        heard = listen(file, SoundTrack(demuxer=demuxer, stream=index, rate_hz=rate_hz, channels=channels), limits)
    count = heard.sample_count
    duration_s = Fraction(count, rate_hz)
    if duration_s > limits.max_duration_s:
        raise InputError("E133", f"the sound lasts more than {limits.max_duration_s:g} s")
    if "Estimating duration" in complaints:
        declared_s = None
    refusals.refuse_missing(duration_s, declared_s, complaints)
    if count == 0 or heard.peak_db < SILENCE_DB:
        raise InputError(
            "E132", "the sound is empty" if count == 0 else f"the loudest sample has {heard.peak_db:.0f} dB"
        )
    warnings = (f"the decoder met {heard.errors} errors in the sound",) if heard.errors else ()
    return AudioInfo(
        demuxer=demuxer,
        codec=str(stream["codec_name"]),
        stream=index,
        rate_hz=rate_hz,
        channels=channels,
        sample_count=count,
        warnings=warnings,
    )


def describe(file: OpenFile, demuxer: str, limits: Limits) -> tuple[Description, str]:
    """Streams and format of a file as ffprobe tells them, and what it complained about."""
    return _ask(file, demuxer, limits, "-show_entries", STREAM_ENTRIES)


def look(file: OpenFile, demuxer: str, index: int, limits: Limits, *, pixels: int = 0) -> Picture:
    """Decode the first frame of stream `index`: only that tells what a decoder really gives.

    `pixels` are those that the header tells of.
    """
    questions = ("-select_streams", str(index), "-read_intervals", "%+#8", "-show_entries")
    most = max(pixels, ffmpeg.UNSEEN_PIXELS)
    answer, complaints = _ask(file, demuxer, limits, *questions, PICTURE_ENTRIES, pixels=most)
    if not answer.get("frames"):
        code = "E105" if any(text in complaints for text in ffmpeg.TOO_LARGE) else "E110"
        raise InputError(code, "the first frame of the picture cannot be decoded")
    picture = picture_of(answer["streams"][0], answer["frames"][0])
    refusals.refuse_size(picture.width_px, picture.height_px, limits)
    return picture


def _ask(
    file: OpenFile, demuxer: str, limits: Limits, *questions: str, pixels: int = ffmpeg.UNSEEN_PIXELS
) -> tuple[dict[str, Any], str]:
    with (
        ffmpeg.patience_as("E105", "inspecting the file"),
        ffmpeg.start_probe(file, demuxer, limits, *questions, "-of", "json=compact=1", pixels=pixels) as child,
    ):
        outcome = child.finish(stdout_bytes=JSON_BYTES)
    if not outcome.ok:
        raise ffmpeg.input_error(outcome, "the file cannot be opened", file)
    try:
        answer: dict[str, Any] = json.loads(outcome.stdout)
    except ValueError as error:
        raise InputError("E105", "the description of the file is beyond all measure") from error
    return answer, outcome.stderr


def _first_picture(document: dict[str, Any]) -> dict[str, Any]:
    pictures: list[dict[str, Any]] = [s for s in document.get("streams", []) if s.get("codec_type") == "video"]
    real = [s for s in pictures if not s.get("disposition", {}).get("attached_pic")]
    if not real:
        raise InputError("E101", "the file holds no moving picture" + (", only a cover" if pictures else ""))
    if real[0].get("codec_name") in (None, "unknown", "none"):
        raise InputError("E101", "the picture is of a kind that this ffmpeg cannot decode")
    return real[0]


def _main_sound(document: dict[str, Any]) -> dict[str, Any]:
    sounds: list[dict[str, Any]] = [s for s in document.get("streams", []) if s.get("codec_type") == "audio"]
    known = [s for s in sounds if s.get("codec_name") not in (None, "unknown", "none") and s.get("channels")]
    if not known:
        code = "E101" if sounds else "E132"
        raise InputError(code, "the sound cannot be decoded" if sounds else "the file holds no sound")
    return max(known, key=lambda s: (bool(s.get("disposition", {}).get("default")), -int(s["index"])))


def _stamps(file: OpenFile, demuxer: str, index: int, limits: Limits) -> tuple["array[int]", str]:
    """Time stamps of all packets that will be shown, in ticks of the stream."""
    shown, decoded = array("q"), array("q")
    questions = ("-select_streams", str(index), "-show_entries", "packet=pts,dts,flags", "-of", "csv=p=0")
    with (
        ffmpeg.patience_as("E105", "reading the file's packets"),
        ffmpeg.start_probe(file, demuxer, limits, *questions) as child,
    ):
        for line in child.stdout.lines():
            pts, dts, flags = [*line.split(b","), b"", b""][:3]
            if b"D" in flags:
                continue
            shown.append(int(pts) if pts != b"N/A" else -1)
            decoded.append(int(dts) if dts != b"N/A" else -1)
            if len(shown) > limits.max_frames:
                raise InputError("E105", f"the picture has more than {limits.max_frames} frames")
        outcome = child.finish()
    if outcome.returncode < 0:  # what came before its end is not all there is
        raise ffmpeg.input_error(outcome, "the file's packets cannot be read", file)
    if not shown:
        raise InputError("E110", "the picture has no frames")
    complete = len(set(shown)) * 10 >= len(shown) * 9
    return (shown if complete else decoded), outcome.stderr


def _clock(stream: dict[str, Any], stamps: "array[int]") -> Clock:
    declared = [rate for name in ("avg_frame_rate", "r_frame_rate") if (rate := ratio(stream.get(name)))]
    tick_s = ratio(stream.get("time_base")) or Fraction(1, 1000)
    if len(set(stamps)) < 2 <= len(stamps):  # noqa: PLR2004  # no time stamps at all: the file's word must do
        rate = declared[0] if declared else STILL_FPS
        return Clock(fps=rate, is_vfr=False, duration_s=len(stamps) / rate, longest_gap_s=1 / rate)
    return clock_of(stamps, tick_s, declared=declared)


def _declared_s(document: dict[str, Any], stream: dict[str, Any]) -> Fraction | None:
    """How long the stream is by its own header; None where only the whole file has a length."""
    if (own := seconds(stream.get("duration"))) is not None:
        return own
    tag = stream.get("tags", {}).get("DURATION")
    start_s = seconds(stream.get("start_time")) or Fraction(0)
    if tag is not None:  # Matroska counts from the beginning of the file
        parts = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(tag))
        return int(parts[1]) * 3600 + int(parts[2]) * 60 + Fraction(parts[3]) - start_s if parts else None
    return seconds(document.get("format", {}).get("duration")) if len(document["streams"]) == 1 else None
