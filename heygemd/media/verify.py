"""The finished film's own check: it is decoded to its end before anybody sees it.

    film ─┬─ picture ─┬─ every stamp ─▶ pipe
          │           └─ the few frames that the contact sheet shows ─▶ pipe
          └─ sound ───── its samples, counted

All by one process. The picture is decoded in full: without its loop filter, 15 % of the time would be saved, and the
frames of the contact sheet would be others than those of the film.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from heygemd.errors import FaultError, InputError
from heygemd.limits import Limits
from heygemd.media import ffmpeg, probe
from heygemd.media.child import Child, Outcome
from heygemd.media.openfile import OpenFile, open_file
from heygemd.media.picture import FLICKS_PER_S, pts_of, stamp
from heygemd.media.pipes import ReadPipe
from heygemd.media.sound import COUNTING_LEVEL, SoundTrack, counting, heard_by
from heygemd.media.y4m import MUXER, RawPictures, RawSize

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Frames of the film that somebody wants to see."""

    frames: Sequence[int]
    """Rising."""
    show: Callable[[int, memoryview], None]
    """Is given each of them, and its planes as bytes of 4:2:0, which are its own only until it returns."""


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
    shots: Shots | None = None,
    description: probe.Description | None = None,
) -> FilmCheck:
    """Decode the whole film; raises FaultError E502 that names the first thing that differs.

    `progress` is told the frames seen so far, about once a second of film. `description` is what ffprobe said about
    this very file, where it was asked already.

    Asked are: one picture and one sound, size, exact number of frames at exactly constant stamps from 0 on, no
    decoding error, the sound's start at 0 and its length within one codec frame.
    """
    # A state directory may well lie behind a link, which the door does not go through.
    with _as_fault(), open_file(film.resolve()) as file:
        picture, sound = _streams(description or probe.describe(file, "mov", limits)[0])
        _expect("size", (picture["width"], picture["height"]), (width_px, height_px))
        rate_hz = int(sound["sample_rate"])
        track = SoundTrack(demuxer="mov", stream=int(sound["index"]), rate_hz=rate_hz, channels=int(sound["channels"]))
        clock = _FilmClock(fps=fps, progress=progress)
        size = RawSize(width_px, height_px)
        outcome = _watch(file, track, limits, frame_count=frame_count, clock=clock, size=size, shots=shots)
        _expect("number of frames", clock.count, frame_count)
        if outcome.errors or not outcome.ok:
            raise FaultError("E502", f"the film has {outcome.errors} decoding errors: {outcome.reason}")
    heard = heard_by(outcome, track)
    for name, stream in (("picture", picture), ("sound", sound)):
        if abs(Fraction(stream.get("start_time", "0"))) > SAME_S:
            raise FaultError("E502", f"the {name} starts at {stream['start_time']} s")
    length_s = Fraction(heard.sample_count, rate_hz)
    codec = str(sound["codec_name"])
    if abs(length_s - sound_s) > Fraction(CODEC_FRAME.get(codec, 0), rate_hz) + SAME_S:
        raise FaultError("E502", f"the sound lasts {float(length_s):.4f} s instead of {float(sound_s):.4f} s")
    return FilmCheck(frame_count=clock.count, sound_s=length_s, audio_codec=codec)


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


@dataclass(slots=True, kw_only=True)
class _FilmClock:
    """Counts frames, and holds each of their stamps against the time that it should have."""

    fps: Fraction
    progress: Callable[[int], None]
    count: int = 0

    def tick(self, pts: int | None) -> None:
        expected = round(self.count / self.fps * FLICKS_PER_S)
        if pts is None or abs(pts - expected) > SAME_FLICKS:
            raise FaultError("E502", f"frame {self.count} is stamped {pts} flicks instead of {expected}")
        self.count += 1
        if self.count % PROGRESS_FRAMES == 0:
            self.progress(self.count)


def _watch(
    file: OpenFile,
    track: SoundTrack,
    limits: Limits,
    *,
    frame_count: int,
    clock: _FilmClock,
    size: RawSize,
    shots: Shots | None,
) -> Outcome:
    reading_fd, writing_fd = os.pipe()
    try:
        source = ffmpeg.source(file, "mov", limits, copyts=None)
        steps = f"settb=1/{FLICKS_PER_S},{stamp(writing_fd)}"
        outputs = [
            ffmpeg.sink(source["v:0"], url="-", muxer="null", vf=steps, fps_mode="passthrough"),
            counting(source, track, limits),
            *([_shown(source, shots.frames)] if shots and shots.frames else []),
        ]
        try:
            pixels = size.width_px * size.height_px
            waits_s = limits.stall_s + ffmpeg.decoding_s(frame_count, pixels) + ffmpeg.reading_s(file.size_bytes)
            leash = ffmpeg.decoder_leash(limits, waits_s=waits_s, pixels=pixels)
            fds = (file.fd, writing_fd)
            child = ffmpeg.start(ffmpeg.several(*outputs), leash=leash, pass_fds=fds, level=COUNTING_LEVEL)
        finally:
            os.close(writing_fd)
        with ffmpeg.patience_as("E502", "decoding the film"), child:
            return _follow(child, child.reads(reading_fd), clock=clock, size=size, shots=shots)
    finally:
        os.close(reading_fd)


def _shown(source: ffmpeg.Stream, frames: Sequence[int]) -> ffmpeg.Stream:
    chosen = "+".join(f"eq(n,{frame})" for frame in frames)
    return ffmpeg.sink(
        source["v:0"], url="pipe:1", muxer=MUXER, vf=f"select='{chosen}'", pix_fmt="yuv420p", fps_mode="passthrough"
    )


def _follow(child: Child, stamps: ReadPipe, *, clock: _FilmClock, size: RawSize, shots: Shots | None) -> Outcome:
    """Read both pipes as they fill: a process that waits for us to read one of them writes nothing to the other."""
    waiting, pictures, data, shown = [stamps, child.stdout], None, memoryview(bytearray(size.frame_bytes)), 0
    while waiting:
        for pipe in ReadPipe.ready(waiting):
            if pipe is stamps:
                for line in pipe.some_lines():
                    if line.startswith(b"frame:"):
                        clock.tick(pts_of(line))
            elif pictures is None:
                pictures = RawPictures(pipe)
                _expect("size of the decoded picture", pictures.size() or size, size)
            elif shots and pictures.fill(data):
                shots.show(shots.frames[shown], data)
                shown += 1
        waiting = [pipe for pipe in waiting if not pipe.is_at_end]
    return child.finish()
