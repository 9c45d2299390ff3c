"""Frames into a segment of ours: one closed-GOP H.264 file."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import FaultError, HeygemdError, ResourceError
from heygemd.filesystem import whole_file
from heygemd.jobs.job import EncoderName, VideoInfo
from heygemd.limits import X264Preset
from heygemd.media import ffmpeg
from heygemd.media.child import Leash, Outcome
from heygemd.media.encoders import EncoderPlace, Encoding
from heygemd.media.picture import tag_options, tags_filter
from heygemd.media.pipes import StalledError
from heygemd.media.rates import timescale

log = structlog.get_logger(__name__)

Planes = NDArray[np.uint8]

ENCODER_STALL_S = 120.0
CARD_OPEN_FILES = 1024
"""NVIDIA's driver opens its device files again and again."""
ANYWHERE = EncoderPlace()


class SegmentWriter:
    """One closed-GOP H.264 file at a constant rate; appears under its name only when it is complete.

    Raw frames through a pipe cost next to nothing: a 1080p frame takes 0.5 ms of ours and 0.5 ms of ffmpeg's processor
    time beside 14 ms of x264's; `-avioflags direct`, `-blocksize` and pipes of 64 to 1024 KiB are all
    the same within what can be measured (250 frames, ffmpeg 5.1).
    """

    def __init__(
        self,
        path: Path,
        *,
        info: VideoInfo,
        fps: Fraction,
        crf: int,
        preset: X264Preset,
        encoder: EncoderName = EncoderName.X264,
        place: EncoderPlace = ANYWHERE,
    ) -> None:
        """`place` says how many cores there are, and which card if `encoder` needs one (else ResourceError E304)."""
        if encoder is EncoderName.NVENC and place.card is None:
            raise ResourceError("E304", "this film is written by a graphics card, and this worker has none")
        cores = len(os.sched_getaffinity(0))
        place = replace(place, cores=place.cores or cores, machine_cores=place.machine_cores or cores)
        self._path = path
        self._info = info
        self._fps = fps
        self._encoding = Encoding(encoder=encoder, crf=crf, preset=preset, place=place)
        self._stack = ExitStack()
        self._shape = (info.height_px * 3 // 2, info.width_px)
        self._frames = 0

    def __enter__(self) -> "SegmentWriter":
        with ExitStack() as stack:
            fd = stack.enter_context(whole_file(self._path))
            leash = Leash(stall_s=ENCODER_STALL_S)
            if self._encoding.needs_card:
                leash = replace(leash, open_files=CARD_OPEN_FILES)
            self._child = stack.enter_context(ffmpeg.start(self._graph(fd), leash=leash, pass_fds=(fd,), feed=True))
            self._stack = stack.pop_all()
        return self

    def write(self, planes: Planes) -> None:
        """Append one frame, uint8[height * 3 // 2, width].

        Raises ResourceError E202 when the disk is full, E304 when a card's encoder fails.
        """
        if planes.shape != self._shape or planes.dtype != np.uint8:
            raise ValueError(f"expected uint8{self._shape}, got {planes.dtype}{planes.shape}")
        with self._patience():
            try:
                self._child.write(np.ascontiguousarray(planes).data.cast("B"))
            except BrokenPipeError:
                raise self._error(self._child.finish()) from None
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack, self._patience():
            if not self._frames:
                raise ValueError("a segment needs at least one frame")
            outcome = self._child.finish()
            if not outcome.ok or ffmpeg.is_unwritten(outcome):
                raise self._error(outcome)
        log.debug("media.segment_written", frames=self._frames, bytes=self._path.stat().st_size)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Say whose fault it is that the encoder hangs."""
        try:
            yield
        except StalledError as error:
            message = f"the encoder stands still: {error}"
            raise (
                ResourceError("E304", message) if self._encoding.needs_card else FaultError("E500", message)
            ) from error

    def _error(self, outcome: Outcome) -> HeygemdError:
        """Say what a failed encoder means.

        What goes wrong on a card is the card's encoder, a crash in its driver as well: it calls too many sessions "out
        of memory". Only the disk and the kernel's killer have nothing to do with it.
        """
        error = ffmpeg.output_error(outcome, "the segment cannot be written")
        was_killed = outcome.returncode == -signal.SIGKILL
        if not self._encoding.needs_card or error.code == "E202" or was_killed:
            return error
        return ResourceError("E304", f"the graphics card's encoder fails: {outcome.reason}")

    def _graph(self, fd: int) -> ffmpeg.Stream:
        info = self._info
        size = (info.width_px, info.height_px)  # as a text, ffmpeg-python would take two of its letters
        raw = ffmpeg.own_source("pipe:0", "rawvideo", pixel_format="yuv420p", video_size=size, framerate=str(self._fps))
        aspect = info.sample_aspect
        return ffmpeg.sink(
            raw["v"],
            url=f"/dev/fd/{fd}",
            muxer="mp4",
            vf=f"setsar={aspect.numerator}/{aspect.denominator},{tags_filter(info.colour)}",
            fps_mode="passthrough",
            video_track_timescale=timescale(self._fps),
            **self._encoding.options(self._fps),
            **tag_options(info.colour),
        )
