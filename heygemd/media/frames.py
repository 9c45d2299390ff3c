"""Frames out of a stranger's file, as numpy arrays.

A frame is uint8[height * 3 // 2, width]: the planes Y, U, V of yuv420p one after the other (I420), upright and
even-sized. Memory does not grow with the clip: both ways are pipes, backward reading goes in pieces.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, probe
from heygemd.media.child import Outcome
from heygemd.media.picture import FLICKS_PER_S, Picture, chain, pts_of
from heygemd.media.runs import Run, runs_of

log = structlog.get_logger(__name__)

Planes = NDArray[np.uint8]

BACKWARD_FRAMES = 48
BACKWARD_BYTES = 200_000_000
"""A piece of a backward run is the smaller of the two."""

NEAR_FRAMES = 32
"""Frames this near to the beginning are reached by decoding from it."""

SAME_FLICKS = 2_000
"""Stamps that differ by less (3 µs) are the same: a table in seconds is rounded."""

INDEXED = ("mov", "matroska")
"""Containers whose index makes seeking exact."""

UNSURE_LEAD_S = 5
"""In all others seeking aims this much before the frame, so that the decoder has settled when it comes. So it does
where the index led too far: frames that depend on the key frame before theirs (HEVC open GOP) are lost otherwise."""

MISSING_SHARE = 0.1
"""So much of a picture may be missing at its end, or, with complaints of the decoder, anywhere. (Fewer frames than
packets alone say nothing: fields and hidden reference frames have packets of their own.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """One source frame."""

    pts_s: float
    """Seconds since the first frame; strictly rising."""
    planes: Planes
    """uint8[height * 3 // 2, width], private to the receiver."""


@dataclass(frozen=True, slots=True)
class StampedFrame:
    """One frame as the decoder gave it; the clock of the file, in flicks."""

    pts_flicks: int | None
    planes: Planes


class SourceVideo:
    """A stranger's picture file, readable any number of times."""

    def __init__(self, path: Path, info: VideoInfo, limits: Limits) -> None:
        self._path = path
        self._info = info
        self._limits = limits
        self._picture: Picture | None = None
        self._origin: int | None = None
        self._may_seek = not info.is_still
        self._lead_s = 0 if info.demuxer in INDEXED else UNSURE_LEAD_S
        self.errors = 0
        """Complaints of the decoder in the last complete `decode`."""

    def decode(self) -> Iterator[DecodedFrame]:
        """Every source frame exactly once, in display order.

        Frames without a usable time stamp follow the one before at the nominal rate. Raises InputError E110 when
        the decoder gives no frame or far fewer than the packets promised.
        """
        count, previous = 0, -1 / float(self._info.fps)
        for frame in self._stream():
            if count == 0:
                self._origin = frame.pts_flicks
            pts_s = previous + 1 / float(self._info.fps)
            if frame.pts_flicks is not None and self._origin is not None:
                stamped_s = (frame.pts_flicks - self._origin) / FLICKS_PER_S
                pts_s = stamped_s if stamped_s > previous else previous + 1e-6
            yield DecodedFrame(pts_s=pts_s, planes=frame.planes)
            count, previous = count + 1, pts_s
        promised = self._info.frame_count
        log.debug("media.decode_finished", frames=count, promised=promised, errors=self.errors)
        is_short = previous < self._info.duration_s * (1 - MISSING_SHARE) - 1
        has_holes = self.errors and count < promised * (1 - MISSING_SHARE) - 1
        if not count or is_short or has_holes:
            raise InputError(
                "E110", f"only {count} of {promised} frames can be decoded, up to {max(previous, 0):.2f} s"
            )

    def read(self, indexes: Sequence[int], pts_s: NDArray[np.float64]) -> Iterator[Planes]:
        """Fetch the source frames with these indexes, in this order, as `decode` gave them.

        `pts_s`: float64[n], the `pts_s` of all n frames that `decode` gave. Seeking is checked by them; where the
        file does not lead to the very frame, everything before it is decoded and dropped.
        """
        most = max(1, min(BACKWARD_FRAMES, BACKWARD_BYTES // self._frame_bytes))
        for run in runs_of(indexes, most_backward=most):
            if run.is_forward:
                yield from self._forward(run, pts_s)
            else:
                yield from self._backward(run, pts_s)

    @property
    def _frame_bytes(self) -> int:
        return self._info.width_px * self._info.height_px * 3 // 2

    def _forward(self, run: Run, pts_s: NDArray[np.float64]) -> Iterator[Planes]:
        at = 0
        for index, planes in self._range(run.first, run.last, pts_s):
            uses = 0
            while at + uses < len(run.indexes) and run.indexes[at + uses] == index:
                uses += 1
            at += uses
            for _ in range(uses - 1):
                yield planes.copy()
            if uses:
                yield planes

    def _backward(self, run: Run, pts_s: NDArray[np.float64]) -> Iterator[Planes]:
        wanted = set(run.indexes)
        kept = {i: planes for i, planes in self._range(run.first, run.last, pts_s) if i in wanted}
        for at, index in enumerate(run.indexes):
            again = index in run.indexes[at + 1 : at + 2]
            yield kept[index].copy() if again else kept.pop(index)

    def _range(self, first: int, last: int, pts_s: NDArray[np.float64]) -> Iterator[tuple[int, Planes]]:
        """Frames `first..last` (inclusive), by seeking while that leads to the stamps of the table."""
        index = first
        while (target := self._seek_target(index, pts_s)) is not None:
            for frame in self._stream(from_flicks=target, count=last - index + 1):
                if not self._matches(frame, index, pts_s):
                    break
                yield index, frame.planes
                index += 1
            if index > last:
                return
            log.info("media.seek_missed", demuxer=self._info.demuxer, frame=index, lead_s=self._lead_s)
            self._may_seek, self._lead_s = self._lead_s < UNSURE_LEAD_S, UNSURE_LEAD_S
        for frame in self._stream(skip_frames=index, count=last - index + 1):
            yield index, frame.planes
            index += 1
        if index <= last:
            raise InputError("E110", f"frame {index} cannot be decoded a second time")

    def _seek_target(self, first: int, pts_s: NDArray[np.float64]) -> int | None:
        """Absolute stamp of frame `first`, or None when decoding from the start is better or surer."""
        if not self._may_seek or first < NEAR_FRAMES:
            return None
        if self._origin is None:
            for frame in self._stream(count=1):
                self._origin = frame.pts_flicks
        if self._origin is None:
            self._may_seek = False
            return None
        return self._origin + round(float(pts_s[first]) * FLICKS_PER_S)

    def _matches(self, frame: StampedFrame, index: int, pts_s: NDArray[np.float64]) -> bool:
        if frame.pts_flicks is None or self._origin is None:
            return False
        expected = self._origin + round(float(pts_s[index]) * FLICKS_PER_S)
        return abs(frame.pts_flicks - expected) <= SAME_FLICKS

    def _stream(
        self, *, skip_frames: int = 0, from_flicks: int | None = None, count: int | None = None
    ) -> Iterator[StampedFrame]:
        """Run one decoder; a stop of the consumer ends it."""
        info = self._info
        with ExitStack() as stack:
            stack.enter_context(ffmpeg.patience_as("E110", "decoding the picture"))
            file = stack.enter_context(ffmpeg.open_file(self._path))
            if self._picture is None:
                self._picture = self._look(file)
            size_bytes = self._picture.frame_bytes
            stamps_fd, writing_fd = os.pipe()
            stack.callback(os.close, stamps_fd)
            try:
                output = self._graph(file, writing_fd, skip_frames, from_flicks, 1 if info.is_still else count)
                leash = ffmpeg.decoder_leash(self._limits)
                child = stack.enter_context(ffmpeg.start(output, leash=leash, pass_fds=(file.fd, writing_fd)))
            finally:
                os.close(writing_fd)
            stamps = child.reads(stamps_fd)
            while True:
                data: Planes = np.empty(size_bytes, np.uint8)
                got = child.stdout.fill(data.data)
                if got < size_bytes:
                    break
                line = stamps.line()
                while line and not line.startswith(b"frame:"):
                    line = stamps.line()
                yield StampedFrame(pts_of(line), _even(data, self._picture))
            self._judge(child.finish(), got)

    def _look(self, file: ffmpeg.OpenFile) -> Picture:
        picture = probe.look(file, self._info.demuxer, self._info.stream, self._limits)
        if picture.padded_px != (self._info.width_px, self._info.height_px):
            raise InputError("E111", "the picture has another size than when it was inspected")
        return picture

    def _graph(
        self, file: ffmpeg.OpenFile, stamps_fd: int, skip_frames: int, from_flicks: int | None, count: int | None
    ) -> ffmpeg.Stream:
        assert self._picture is not None
        options: dict[str, object] = {"copyts": None, "an": None, "sn": None, "dn": None}
        if from_flicks is not None:
            at_s = from_flicks / FLICKS_PER_S - self._lead_s
            if at_s > 0:
                options |= {"ss": f"{at_s:.6f}", "seek_timestamp": 1, "noaccurate_seek": None}
        aim = None if from_flicks is None else from_flicks - SAME_FLICKS
        return ffmpeg.sink(
            ffmpeg.source(file, self._info.demuxer, self._limits, **options)[str(self._info.stream)],
            url="pipe:1",
            muxer="rawvideo",
            vf=chain(self._picture, stamps_fd=stamps_fd, skip_frames=skip_frames, from_flicks=aim),
            pix_fmt=self._picture.output_format,
            fps_mode="passthrough",
            **({} if count is None else {"frames_v": count}),
        )

    def _judge(self, outcome: Outcome, rest_bytes: int) -> None:
        self.errors = outcome.errors
        if rest_bytes or not outcome.ok:
            raise ffmpeg.input_error(outcome, "the picture cannot be decoded to its end")


def _even(data: Planes, picture: Picture) -> Planes:
    """Shape one raw frame; the last column or row of an odd luma plane is repeated (chroma has it already)."""
    (width, height), (even_width, even_height) = (picture.width_px, picture.height_px), picture.padded_px
    if (width, height) != (even_width, even_height):
        luma, chroma = data[: width * height].reshape(height, width), data[width * height :]
        padded = np.pad(luma, ((0, even_height - height), (0, even_width - width)), mode="edge")
        data = np.concatenate([padded.ravel(), chroma])
    return data.reshape(even_height * 3 // 2, even_width)
