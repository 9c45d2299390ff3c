"""One run of ffmpeg over the picture of a stranger's file: raw frames with their stamps."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import InputError
from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, hardware
from heygemd.media.buffers import FrameBuffers
from heygemd.media.openfile import OpenFile, open_file
from heygemd.media.picture import FLICKS_PER_S, chain, output_format, pts_of
from heygemd.media.y4m import MUXER, RawPictures, RawSize

SAME_FLICKS = 2_000
"""Stamps that differ by less (3 µs) are the same: a table in seconds is rounded."""


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One frame as the decoder gave it."""

    pts_flicks: int | None
    """By the clock of the file; None where it has no stamp."""
    size: RawSize
    data: memoryview
    """Y, U and V, in memory that is used again when the last view of it is gone."""

    def is_at(self, pts_flicks: int) -> bool:
        """It has this very stamp."""
        return self.pts_flicks is not None and abs(self.pts_flicks - pts_flicks) <= SAME_FLICKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What one run shall give."""

    skip_frames: int = 0
    """Decoded from the beginning, and dropped."""
    from_flicks: int | None = None
    """Seek to the frame with this stamp instead."""
    lead_s: float = 0.0
    """Aim so much before it."""
    size: RawSize | None = None
    """Size of the first frame of the file, where it is known: elsewhere in the file frames may have another."""
    count: int | None = None
    """Frames; None for all that follow."""
    card: str | None = None
    """It shall decode."""


class Decoder:
    """Runs over one picture; what is open is ended with the iterator."""

    def __init__(self, path: Path, info: VideoInfo, limits: Limits) -> None:
        self._path = path
        self._info = info
        self._limits = limits
        self.errors = 0
        """Complaints in the last run that came to its end."""

    def run(self, passage: Passage) -> Iterator[RawFrame]:
        """Give the frames.

        Raises InputError E110 where they end with an error, E111 when they have another size than the picture that
        was inspected: before the first of them is cut out of the stream.
        """
        with ExitStack() as stack:
            stack.enter_context(ffmpeg.patience_as("E110", "decoding the picture"))
            file = stack.enter_context(open_file(self._path))
            stamps_fd, writing_fd = os.pipe()
            stack.callback(os.close, stamps_fd)
            try:
                leash = ffmpeg.decoder_leash(
                    self._limits, waits_s=self._waits_s(file), card=passage.card, pixels=self._pixels
                )
                output = self._graph(file, writing_fd, passage)
                child = stack.enter_context(ffmpeg.start(output, leash=leash, pass_fds=(file.fd, writing_fd)))
            finally:
                os.close(writing_fd)
            stamps, pictures = child.reads(stamps_fd), RawPictures(child.stdout)
            if (size := pictures.size()) is not None:
                if size.padded_px != (self._info.width_px, self._info.height_px):
                    raise InputError("E111", "the picture has another size than when it was inspected")
                buffers = FrameBuffers(size.frame_bytes)
                while pictures.fill(data := buffers.take()):
                    line = stamps.line()
                    while line and not line.startswith(b"frame:"):
                        line = stamps.line()
                    yield RawFrame(pts_of(line), size, data)
                    del data  # while the next one is waited for, this one may be free already
            outcome = child.finish()
            self.errors = outcome.errors
            if pictures.is_cut or not outcome.ok:
                raise ffmpeg.input_error(outcome, "the picture cannot be decoded to its end", file)

    @property
    def _pixels(self) -> int:
        return self._info.width_px * self._info.height_px

    def _waits_s(self, file: OpenFile) -> float:
        """How long all of the file may be waited for: where seeking is not exact, any frame may cost all before it."""
        decoding_s = ffmpeg.decoding_s(self._info.frame_count, self._pixels)
        return self._limits.stall_s + ffmpeg.reading_s(file.size_bytes) + decoding_s

    def _graph(self, file: OpenFile, stamps_fd: int, passage: Passage) -> ffmpeg.Stream:
        info, aim = self._info, passage.from_flicks
        options: dict[str, object] = {"copyts": None, "an": None, "sn": None, "dn": None}
        if passage.card is not None:
            options |= hardware.input_options(passage.card)
        if aim is not None and (at_s := aim / FLICKS_PER_S - passage.lead_s) > 0:
            options |= {"ss": f"{at_s:.6f}", "seek_timestamp": 1, "noaccurate_seek": None}
        steps = chain(
            info.pixel_format,
            info.colour,
            stamps_fd=stamps_fd,
            skip_frames=passage.skip_frames,
            from_flicks=None if aim is None else aim - SAME_FLICKS,
            size_px=None if passage.size is None else (passage.size.width_px, passage.size.height_px),
        )
        count = 1 if info.is_still else passage.count or self._limits.max_frames
        return ffmpeg.sink(
            ffmpeg.source(file, info.demuxer, self._limits, **options)[str(info.stream)],
            url="pipe:1",
            muxer=MUXER,
            vf=steps,
            pix_fmt=output_format(info.pixel_format),
            fps_mode="passthrough",
            frames_v=count,
        )
