"""Which moment of the source picture each frame of the film shows. Pure arithmetic.

The source is first put on a constant clock of *ticks* (tick k shows the source at k / fps seconds, whatever
its own timing was), then the length policy maps output frames to ticks:

    ticks of the source      0 1 2 3
    ping-pong (sound longer) 0 1 2 3 2 1 0 1 2 3 …   no frame is shown twice at the turning points
    loop                     0 1 2 3 0 1 2 3 …
    freeze                   0 1 2 3 3 3 3 …
    trim (sound shorter)     0 1 2
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from heygemd.jobs.job import LengthPolicy
from heygemd.planning.segments import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Output frame → source tick, at one constant rate."""

    fps: Fraction
    frame_count: int
    """Frames of the film."""
    tick_count: int
    """Ticks the source lasts."""
    policy: LengthPolicy

    def tick_of(self, frame: int) -> int:
        """Source tick that output frame `frame` shows."""
        if not 0 <= frame < self.frame_count:
            raise IndexError(f"frame {frame} of a film of {self.frame_count}")
        last = self.tick_count - 1
        if frame <= last:
            return frame
        if self.policy is LengthPolicy.LOOP:
            return frame % self.tick_count
        if self.policy is LengthPolicy.FREEZE or last == 0:
            return last
        lap = frame % (2 * last)
        return lap if lap <= last else 2 * last - lap

    def time_of(self, frame: int) -> Fraction:
        """When output frame `frame` begins, in seconds of the film and of the sound."""
        return frame / self.fps

    def scene_places(self, scene_ticks: Iterable[int]) -> Places:
        """Frames that show another scene than the frame before them.

        `scene_ticks` are the first ticks of all scenes but the first. A change lies at both edges of the same frame:

            source, cut at tick 2    a a b b
            ping-pong                a a│b b b│a a a│b b …   backwards it is seen one frame later
            loop                     a a│b b│a a│b b …       the jump back is a change, too
        """
        last = self.tick_count - 1
        cuts = {tick for tick in scene_ticks if 0 < tick <= last}
        if self.policy is LengthPolicy.LOOP:
            return _places((cuts | {0}) if last else (), self.tick_count)
        if self.policy is LengthPolicy.AUTO and last:
            lap = 2 * last
            return _places(cuts | {(lap + 1 - tick) % lap for tick in cuts}, lap)
        return _places(cuts, max(self.tick_count, self.frame_count))

    def pause_places(self, pauses_s: Iterable[tuple[float, float]]) -> Places:
        """Frames in the middle of pauses, given as start and stop in seconds; raises ValueError for no real numbers."""
        middles = [Fraction(str((start + stop) / 2)) for start, stop in pauses_s]  # of a text: `inf` is a ValueError
        frames = {round(middle * self.fps) for middle in middles}
        return _places((frame for frame in frames if 0 < frame < self.frame_count), self.frame_count)


def _places(frames: Iterable[int], lap_frames: int) -> Places:
    return Places(tuple(sorted(frames)), lap_frames)


def frames_for(duration_s: Fraction, fps: Fraction) -> int:
    """Frames that cover `duration_s` completely: ceil(T · fps)."""
    return max(1, math.ceil(duration_s * fps))


def plan_timeline(*, fps: Fraction, tick_count: int, sound_s: Fraction, policy: LengthPolicy) -> Timeline:
    """Lay the film out: as long as the sound, or as the picture with `keep_video`."""
    if tick_count < 1:
        raise ValueError("a source needs at least one tick")
    keep = policy is LengthPolicy.KEEP_VIDEO
    count = tick_count if keep else frames_for(sound_s, fps)
    return Timeline(fps=fps, frame_count=count, tick_count=tick_count, policy=policy)
