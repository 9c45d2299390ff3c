"""The finished film's own check: it is decoded to its end before anybody sees it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from heygemd.errors import FaultError, InputError
from heygemd.limits import Limits
from heygemd.media import ffmpeg, probe
from heygemd.media.ffmpeg import OpenFile
from heygemd.media.picture import FLICKS_PER_S, pts_of, stamp
from heygemd.media.sound import SoundTrack, listen

CODEC_FRAME = {"mp3": 1152, "aac": 1024}
"""Samples by which a codec may round a sound up."""

SAME_S = Fraction(1, 1000)
SAME_FLICKS = 2
PROGRESS_FRAMES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCheck:
    """What was seen while decoding the film."""

    frame_count: int
    sound_s: Fraction
    audio_codec: str


def verify_film(
    film: Path,
    *,
    frame_count: int,
    fps: Fraction,
    width_px: int,
    height_px: int,
    sound_s: Fraction,
    limits: Limits,
    progress: Callable[[int], None] = lambda _: None,
) -> FilmCheck:
    """Decode the whole film; raises FaultError E502 that names the first thing that differs.

    `progress` is told the frames seen so far, about once a second of film.

    Asked are: one picture and one sound, size, exact number of frames at exactly constant stamps from 0 on, no
    decoding error, the sound's start at 0 and its length within one codec frame.
    """
    with _as_fault(), ffmpeg.open_file(film) as file:
        document, _ = probe.describe(file, "mov", limits)
        picture, sound = _streams(document)
        _expect("size", (picture["width"], picture["height"]), (width_px, height_px))
        count = _count_frames(file, fps, limits, progress)
        _expect("number of frames", count, frame_count)
        rate_hz = int(sound["sample_rate"])
        track = SoundTrack(demuxer="mov", stream=int(sound["index"]), rate_hz=rate_hz, channels=int(sound["channels"]))
        heard = listen(file, track, limits)
    _expect("decoding errors in the sound", heard.errors, 0)
    for name, stream in (("picture", picture), ("sound", sound)):
        if abs(Fraction(stream.get("start_time", "0"))) > SAME_S:
            raise FaultError("E502", f"the {name} starts at {stream['start_time']} s")
    length_s = Fraction(heard.sample_count, rate_hz)
    codec = str(sound["codec_name"])
    if abs(length_s - sound_s) > Fraction(CODEC_FRAME.get(codec, 0), rate_hz) + SAME_S:
        raise FaultError("E502", f"the sound lasts {float(length_s):.4f} s instead of {float(sound_s):.4f} s")
    return FilmCheck(frame_count=count, sound_s=length_s, audio_codec=codec)


@contextmanager
def _as_fault() -> Iterator[None]:
    """Blame us: a film of ours that cannot be read is no fault of the user's files."""
    try:
        yield
    except InputError as error:
        raise FaultError("E502", error.message) from error


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise FaultError("E502", f"{what}: {found} instead of {wanted}")


def _streams(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    kinds = {stream["codec_type"]: stream for stream in document["streams"]}
    _expect("kinds of streams", [stream["codec_type"] for stream in document["streams"]], ["video", "audio"])
    return kinds["video"], kinds["audio"]


def _count_frames(file: OpenFile, fps: Fraction, limits: Limits, progress: Callable[[int], None]) -> int:
    count = 0
    with ffmpeg.patience_as("E502", "decoding the film"):
        for count, pts in enumerate(_stamps(file, limits), start=1):
            expected = round((count - 1) / fps * FLICKS_PER_S)
            if pts is None or abs(pts - expected) > SAME_FLICKS:
                raise FaultError("E502", f"frame {count - 1} is stamped {pts} flicks instead of {expected}")
            if count % PROGRESS_FRAMES == 0:
                progress(count)
    return count


def _stamps(file: OpenFile, limits: Limits) -> Iterator[int | None]:
    reading_fd, writing_fd = os.pipe()
    try:
        output = ffmpeg.sink(
            ffmpeg.source(file, "mov", limits, copyts=None, an=None)["v:0"],
            url="-",
            muxer="null",
            vf=f"settb=1/{FLICKS_PER_S},{stamp(writing_fd)}",
            fps_mode="passthrough",
        )
        leash = ffmpeg.decoder_leash(limits)
        try:
            child = ffmpeg.start(output, leash=leash, pass_fds=(file.fd, writing_fd))
        finally:
            os.close(writing_fd)
        with child:
            yield from (pts_of(line) for line in child.reads(reading_fd).lines() if line.startswith(b"frame:"))
            outcome = child.finish()
        if outcome.errors or not outcome.ok:
            raise FaultError("E502", f"the picture has {outcome.errors} decoding errors: {outcome.reason}")
    finally:
        os.close(reading_fd)
