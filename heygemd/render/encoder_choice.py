"""Which encoder writes a film: settled once, in its analysis, by the worker that has the card.

A card may have no encoder (those for data centres from A100 on compute only, H100 and H200 too), none for pictures of
this size, or no session left; the driver may be too old for this ffmpeg. Lists of all that go stale, so a few frames
are encoded instead, and looked at. What came of it holds for the life of the worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from heygemd.errors import HeygemdError
from heygemd.jobs.job import EncoderName, RenderOptions, VideoInfo
from heygemd.limits import Limits
from heygemd.media.encoders import EncoderPlace
from heygemd.media.parameter_sets import parameter_sets
from heygemd.media.probe import probe_video
from heygemd.media.segment import SegmentWriter
from heygemd.planning.plan import Order

log = structlog.get_logger(__name__)

TRIAL_FRAMES = (9, 4)
"""Two segments: some encoders begin to deliver after a few frames only, and both must describe themselves alike."""

Subject = tuple[int, int, int, str]
"""What a trial is good for: width, height, crf and preset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What writes a film, and what its owner is to be told about that."""

    encoder: EncoderName = EncoderName.X264
    warnings: tuple[str, ...] = ()


Settle = Callable[[Order, Limits], Settled]


def always_x264(order: Order, limits: Limits) -> Settled:
    """Settle for x264 whatever is wished: where nobody knows of a card."""
    del order, limits
    return Settled()


def card_index(torch_device: str) -> int | None:
    """Return which of the cards that a process sees torch calls so: `cuda`, `cuda:1`; None for the processor."""
    kind, _, index = torch_device.partition(":")
    return int(index or 0) if kind == "cuda" else None


@dataclass(slots=True, kw_only=True)
class EncoderChoice:
    """One per worker."""

    place: EncoderPlace
    _refusals: dict[Subject, str] = field(default_factory=dict)
    """What came of each trial: why not, or an empty text."""

    def settle(self, order: Order, limits: Limits) -> Settled:
        """Settle what writes the film. Lossless films are x264's; never raises for what a card does."""
        if order.encoder == "x264" or order.options.crf == 0:
            return Settled()
        reason = self._refusal(order, limits)
        if not reason:
            return Settled(encoder=EncoderName.NVENC)
        log.info("render.encoder_refused", wanted=order.encoder, reason=reason)
        warning = f"the film was made with x264, for the card's encoder cannot be used: {reason}"
        return Settled(warnings=(warning,) if order.encoder == "nvenc" else ())

    def _refusal(self, order: Order, limits: Limits) -> str:
        if self.place.card is None:
            return "its worker has no graphics card"
        info, options = order.video_info, order.options
        subject = (info.width_px, info.height_px, options.crf, options.preset)
        if subject not in self._refusals:
            self._refusals[subject] = refusal(info, options, self.place, limits, scratch=order.work_dir)
        return self._refusals[subject]


def refusal(info: VideoInfo, options: RenderOptions, place: EncoderPlace, limits: Limits, *, scratch: Path) -> str:
    """Let NVENC write two short segments like those of the film; returns why it is of no use, or an empty text.

    Other faults, such as a full disk, are raised.
    """
    trials = [scratch / f"encoder-trial-{number}.mp4" for number, _ in enumerate(TRIAL_FRAMES)]
    try:
        for path, count in zip(trials, TRIAL_FRAMES, strict=True):
            _write(path, count, info, options, place)
            found = probe_video(path.resolve(), limits)  # ours: the folder may lie behind a link
            told = (found.frame_count, found.fps, found.is_vfr, found.width_px, found.height_px)
            if told != (count, info.fps, False, info.width_px, info.height_px):
                return f"its segments are not what was asked for: {count} frames became {told}"
        return "" if len(set(map(parameter_sets, trials))) == 1 else "its segments differ in their parameter sets"
    except HeygemdError as error:
        if error.code in ("E202", "E303"):
            raise
        return error.message
    finally:
        for path in trials:
            path.unlink(missing_ok=True)


def _write(path: Path, count: int, info: VideoInfo, options: RenderOptions, place: EncoderPlace) -> None:
    """Write a soft slope that moves: something to predict."""
    height = info.height_px * 3 // 2
    slope = np.add.outer(np.arange(height), np.arange(info.width_px)) % 256
    with SegmentWriter(
        path, info=info, fps=info.fps, crf=options.crf, preset=options.preset, encoder=EncoderName.NVENC, place=place
    ) as writer:
        for number in range(count):
            writer.write(np.roll(slope, 2 * number, axis=1).astype(np.uint8))
