"""Frames into a segment of ours: one closed-GOP H.264 file."""

import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import FaultError
from heygemd.filesystem import whole_file
from heygemd.jobs.job import VideoInfo
from heygemd.media import ffmpeg
from heygemd.media.child import Leash, StalledError
from heygemd.media.picture import tag_options, tags_filter
from heygemd.media.rates import timescale

log = structlog.get_logger(__name__)

Planes = NDArray[np.uint8]

ENCODER_STALL_S = 120.0
ENCODER_THREADS = 8
"""Each holds a few frames; beyond this x264 `veryfast` waits for the pipe anyway."""

KEY_FRAME_S = 5


class SegmentWriter:
    """One closed-GOP H.264 file at a constant rate; appears under its name only when it is complete."""

    def __init__(self, path: Path, *, info: VideoInfo, fps: Fraction, crf: int, preset: str) -> None:
        self._path = path
        self._info = info
        self._fps = fps
        self._crf = crf
        self._preset = preset
        self._stack = ExitStack()
        self._shape = (info.height_px * 3 // 2, info.width_px)
        self._frames = 0

    def __enter__(self) -> "SegmentWriter":
        with ExitStack() as stack:
            fd = stack.enter_context(whole_file(self._path))
            leash = Leash(stall_s=ENCODER_STALL_S)
            self._child = stack.enter_context(ffmpeg.start(self._graph(fd), leash=leash, pass_fds=(fd,), feed=True))
            self._stack = stack.pop_all()
        return self

    def write(self, planes: Planes) -> None:
        """Append one frame, uint8[height * 3 // 2, width]; raises ResourceError E202 when the disk is full."""
        if planes.shape != self._shape or planes.dtype != np.uint8:
            raise ValueError(f"expected uint8{self._shape}, got {planes.dtype}{planes.shape}")
        try:
            self._child.write(np.ascontiguousarray(planes).data.cast("B"))
        except BrokenPipeError:
            raise ffmpeg.output_error(self._child.finish(), "the segment cannot be written") from None
        except StalledError as error:
            raise FaultError("E500", f"the encoder stands still: {error}") from error
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack, ffmpeg.patience_as("E500", "finishing the segment"):
            if not self._frames:
                raise ValueError("a segment needs at least one frame")
            outcome = self._child.finish()
            if not outcome.ok:
                raise ffmpeg.output_error(outcome, "the segment cannot be written")
        log.debug("media.segment_written", frames=self._frames, bytes=self._path.stat().st_size)

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
            c_v="libx264",
            preset=self._preset,
            crf=self._crf,
            g=max(1, min(250, round(KEY_FRAME_S * self._fps))),
            flags="+cgop",
            threads=min(ENCODER_THREADS, len(os.sched_getaffinity(0))),
            video_track_timescale=timescale(self._fps),
            **tag_options(info.colour),
        )
