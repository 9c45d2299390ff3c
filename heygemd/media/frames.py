"""Frames out of a stranger's file, as numpy arrays.

A frame is uint8[height * 3 // 2, width]: the planes Y, U, V of yuv420p one after the other (I420), upright and
even-sized. Memory does not grow with the clip: both ways are pipes, backward reading goes in pieces.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, hardware
from heygemd.media.decoder import Decoder, Passage, RawFrame
from heygemd.media.openfile import open_file
from heygemd.media.picture import FLICKS_PER_S
from heygemd.media.runs import Run, runs_of
from heygemd.media.y4m import RawSize

log = structlog.get_logger(__name__)

Planes = NDArray[np.uint8]

BACKWARD_FRAMES = 48
BACKWARD_BYTES = 200_000_000
"""A piece of a backward run is the smaller of the two."""

NEAR_FRAMES = 32
"""Frames this near to the beginning are reached by decoding from it."""

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
class Beginning:
    """What the first frame of a file tells about all of them."""

    size: RawSize
    pts_flicks: int | None


Identity = tuple[int, int, int, int, str, int] | None

BEGINNINGS: dict[Identity, Beginning] = {}
"""Of the files that this process has read from their first frame on, lately."""
MOST_BEGINNINGS = 64


class SourceVideo:
    """A stranger's picture file, readable any number of times."""

    def __init__(self, path: Path, info: VideoInfo, limits: Limits, *, card: str | None = None) -> None:
        """Remember what to read; `card` shall decode it, by the name that torch has for it (`cuda:1`).

        What a card cannot decode, all of it or from some frame on, is decoded in software.
        """
        self._path = path
        self._info = info
        self._limits = limits
        self._beginning: Beginning | None = None
        self._card = card if card and hardware.suits(info) else None
        self._may_seek = not info.is_still
        self._lead_s = 0 if info.demuxer in INDEXED else UNSURE_LEAD_S
        self.errors = 0
        """Complaints of the decoder in the last complete `decode`."""

    def decode(self) -> Iterator[DecodedFrame]:
        """Every source frame exactly once, in display order.

        Frames without a usable time stamp follow the one before at the nominal rate. Raises InputError E110 when
        the decoder gives no frame or far fewer than the packets promised.
        """
        count, previous, origin = 0, -1 / float(self._info.fps), None
        for frame in self._from_start():
            if count == 0:
                origin = frame.pts_flicks
            pts_s = previous + 1 / float(self._info.fps)
            if frame.pts_flicks is not None and origin is not None:
                stamped_s = (frame.pts_flicks - origin) / FLICKS_PER_S
                pts_s = stamped_s if stamped_s > previous else previous + 1e-6
            yield DecodedFrame(pts_s=pts_s, planes=_shaped(frame))
            del frame
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

    def _from_start(self) -> Iterator[RawFrame]:
        """Every frame; from where the card fails, or gives anything but what the packets promise, in software."""
        done = 0
        if self._card and (stamps := self._promised()):
            with self._on_trial():
                for frame in self._run(Passage(card=self._card)):
                    if done == len(stamps) or not frame.is_at(stamps[done]):
                        break
                    yield frame
                    done += 1
                self._expect(done == len(stamps))
            if self._card:
                return
        yield from self._run(Passage(skip_frames=done))

    def _promised(self) -> "array[int] | None":
        with ffmpeg.patience_as("E110", "reading the packets"), open_file(self._path) as file:
            return hardware.promised_flicks(file, self._info, self._limits)

    @contextmanager
    def _on_trial(self) -> Iterator[None]:
        """Let the card try: what goes wrong with it is no error, but this picture is done with it."""
        try:
            yield
        except InputError as error:
            log.info("media.card_given_up", card=self._card, codec=self._info.codec, reason=error.message)
            self._card = None

    def _expect(self, all_came: bool) -> None:
        if not all_came or self.errors:
            raise InputError("E110", f"not the frames that were promised, or complaints ({self.errors})")

    def _range(self, first: int, last: int, pts_s: NDArray[np.float64]) -> Iterator[tuple[int, Planes]]:
        """Frames `first..last` (inclusive), by seeking while that leads to the stamps of the table."""
        index = first
        if self._card and self._origin_flicks() is not None:
            with self._on_trial():
                for planes in self._matching(index, last, pts_s, self._card):
                    yield index, planes
                    index += 1
                self._expect(index > last)
        while index <= last and self._seek_target(index, pts_s) is not None:
            for planes in self._matching(index, last, pts_s):
                yield index, planes
                index += 1
            if index <= last:
                log.info("media.seek_missed", demuxer=self._info.demuxer, frame=index, lead_s=self._lead_s)
                self._may_seek, self._lead_s = self._lead_s < UNSURE_LEAD_S, UNSURE_LEAD_S
        if index <= last:
            for frame in self._run(Passage(skip_frames=index, count=last - index + 1)):
                yield index, _shaped(frame)
                index += 1
        if index <= last:
            raise InputError("E110", f"frame {index} cannot be decoded a second time")

    def _matching(self, first: int, last: int, pts_s: NDArray[np.float64], card: str | None = None) -> Iterator[Planes]:
        """Frames from `first` on, up to the first that has not the stamp of the table."""
        passage = Passage(skip_frames=first, count=last - first + 1, card=card)
        if (target := self._seek_target(first, pts_s)) is not None and self._beginning is not None:
            passage = replace(
                passage, skip_frames=0, from_flicks=target, lead_s=self._lead_s, size=self._beginning.size
            )
        for index, frame in enumerate(self._run(passage), first):
            if not frame.is_at(self._flicks_at(float(pts_s[index]))):
                return
            yield _shaped(frame)

    def _seek_target(self, first: int, pts_s: NDArray[np.float64]) -> int | None:
        """Absolute stamp of frame `first`, or None when decoding from the start is better or surer."""
        if not self._may_seek or first < NEAR_FRAMES:
            return None
        if self._origin_flicks() is None:
            self._may_seek = False
            return None
        return self._flicks_at(float(pts_s[first]))

    def _flicks_at(self, pts_s: float) -> int:
        return (self._origin_flicks() or 0) + round(pts_s * FLICKS_PER_S)

    def _origin_flicks(self) -> int | None:
        """Stamp of the file's first frame."""
        if self._beginning is None:
            self._beginning = BEGINNINGS.get(self._identity())
        if self._beginning is None:
            for _ in self._run(Passage(count=1)):
                pass
        return None if self._beginning is None else self._beginning.pts_flicks

    def _run(self, passage: Passage) -> Iterator[RawFrame]:
        decoder = Decoder(self._path, self._info, self._limits)
        is_first = not passage.skip_frames and passage.from_flicks is None
        for frame in decoder.run(passage):
            if is_first:
                self._begin(frame)
                is_first = False
            yield frame
            del frame  # its memory is used again
        self.errors = decoder.errors

    def _begin(self, frame: RawFrame) -> None:
        self._beginning = Beginning(frame.size, frame.pts_flicks)
        BEGINNINGS[self._identity()] = self._beginning
        while len(BEGINNINGS) > MOST_BEGINNINGS:
            BEGINNINGS.pop(next(iter(BEGINNINGS)))

    def _identity(self) -> Identity:
        """What tells this file from others, and from what it was before a change."""
        with suppress(OSError):
            facts = self._path.stat(follow_symlinks=False)
            return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, self._info.demuxer, self._info.stream
        return None


def _shaped(frame: RawFrame) -> Planes:
    """One frame as an array; the last column or row of an odd luma plane is repeated (chroma has it already)."""
    data: Planes = np.frombuffer(frame.data, np.uint8)
    (width, height), (even_width, even_height) = (frame.size.width_px, frame.size.height_px), frame.size.padded_px
    if (width, height) != (even_width, even_height):
        luma, chroma = data[: width * height].reshape(height, width), data[width * height :]
        padded = np.pad(luma, ((0, even_height - height), (0, even_width - width)), mode="edge")
        data = np.concatenate([padded.ravel(), chroma])
    return data.reshape(even_height * 3 // 2, even_width)
