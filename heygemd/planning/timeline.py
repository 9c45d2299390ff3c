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
from dataclasses import dataclass
from fractions import Fraction

from heygemd.jobs.job import LengthPolicy


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
