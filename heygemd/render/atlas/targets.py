"""What the mouth does in every frame of the film: the speech, in the range of this person, where a face can be used.

speech ─▶ opening and width ─▶ faded to the own mouth beside unusable frames ─▶ one target per output frame
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from heygemd.jobs.job import SilenceRule
from heygemd.render.atlas.motion import HeadMotion, unbroken_runs
from heygemd.render.atlas.person import Person
from heygemd.render.engine import Clip
from heygemd.render.faces.track import FaceTrack
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthTracks

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_VISIBLE = 0.85
"""Belief in uncovered lips below which something may lie over the mouth."""
MOST_YAW_DEG = 35.0
LEAST_EYE_PX = 20.0
"""Smaller faces have no mouth to speak of."""
FADE_FRAMES = 3
"""Frames over which the effect comes and goes beside a frame without a usable face."""
SWING = 1.5
"""Standard deviations of the person's width that fully spread or rounded lips move away from rest."""
EXPRESSION_S = 1.5
"""A smile lasts longer than this, a vowel does not."""
EXPRESSION_SWINGS = 2.0
"""An expression moves the rest width by at most so many standard deviations."""
RELEASE_S = 0.1
"""How long the mouth takes to close where the film goes on after the sound."""
BLOCK_FRAMES = 4096
"""Film frames laid out at once (about 2 MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The wanted mouth of every output frame."""

    opening: Vector
    width: Vector
    """float64[frame_count]: eye distances in the face frame."""
    effect: Vector
    """float64[frame_count]: 0 where the frame passes through untouched, 1 where the target counts fully."""

    def to_arrays(self) -> dict[str, Vector]:
        """Name -> array, for saving."""
        return {f"target_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vector]) -> "Targets":
        """Take what `to_arrays` gave, mapped or not; KeyError where something is missing."""
        return cls(**{field.name: arrays[f"target_{field.name}"] for field in fields(cls)})


def usable_frames(track: FaceTrack, motion: HeadMotion) -> Flags:
    """Tell which source frames (bool[n]) show a face whose mouth can be painted."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            track.present
            & np.isfinite(motion.opening)
            & (track.lips_visible >= LEAST_VISIBLE)
            & (np.abs(motion.yaw_deg) <= MOST_YAW_DEG)
            & (motion.eye_px >= LEAST_EYE_PX)
        )


def mouth_targets(clip: Clip, motion: HeadMotion, person: Person, usable: Flags) -> Targets:
    """Lay the speech over the film's frames."""
    count = clip.timeline.frame_count
    rest_width = resting_width(clip.track, motion, person)
    targets = Targets(opening=np.empty(count), width=np.empty(count), effect=np.empty(count))
    for start in range(0, count, BLOCK_FRAMES):
        part = slice(start, min(start + BLOCK_FRAMES, count))
        effect = _effect(clip, usable, part)
        own = _own_mouth(clip, motion, part)
        wanted = _spoken_mouth(clip, person, np.nan_to_num(rest_width[clip.source_frames[part]]), own, part)
        targets.effect[part] = effect
        targets.opening[part], targets.width[part] = (
            mine + effect * (spoken - mine) for mine, spoken in zip(own, wanted, strict=True)
        )
    return targets


def _own_mouth(clip: Clip, motion: HeadMotion, part: slice) -> tuple[Vector, Vector]:
    """Opening and width that the person has in these film frames."""
    frames = clip.source_frames[part]
    return np.nan_to_num(motion.opening[frames]), np.nan_to_num(motion.width[frames])


def _spoken_mouth(
    clip: Clip, person: Person, rest_width: Vector, own: tuple[Vector, Vector], part: slice
) -> tuple[Vector, Vector]:
    """Opening and width that the speech asks for in these film frames."""
    fps = float(clip.timeline.fps)
    times_s = np.arange(part.start, part.stop) / fps - clip.options.audio_offset_ms / 1000
    tracks = MouthTracks.from_arrays(clip.speech)
    curve = tracks.at(times_s, 1 / fps)
    sounding = _sounding(times_s, len(tracks.gate) / TRACK_RATE_HZ)
    opening = person.widest_opening * curve.opening * sounding
    width = rest_width + SWING * person.width_swing * curve.width * sounding
    if clip.options.silence is SilenceRule.SOURCE:
        voice = curve.gate * sounding
        own_opening, own_width = own
        opening += (1 - voice) * np.maximum(own_opening, 0)
        width += (1 - voice) * (own_width - rest_width)
    return np.clip(opening, 0, person.opening_limit), width


def _effect(clip: Clip, usable: Flags, part: slice) -> Vector:
    """Fade in these film frames; it depends on no more than FADE_FRAMES neighbours."""
    first, last = max(part.start - FADE_FRAMES, 0), min(part.stop + FADE_FRAMES, clip.timeline.frame_count)
    effect = fade(usable[clip.source_frames[first:last]], _shots(clip, slice(first, last)))
    return effect[part.start - first : part.stop - first]


def resting_width(track: FaceTrack, motion: HeadMotion, person: Person) -> Vector:
    """Follow the width of the unspeaking mouth: the person's own, with slow changes (a smile) kept: float64[n]."""
    rest = np.full(len(motion.width), np.nan)
    bound = EXPRESSION_SWINGS * person.width_swing
    for start, stop in unbroken_runs(track):
        length_s = float(track.pts_s[stop - 1] - track.pts_s[start])
        frames = max(round(EXPRESSION_S * (stop - start) / max(length_s, 1e-3)), 1)
        slow = median_filter(motion.width[start:stop], size=min(frames, stop - start), mode="nearest")
        rest[start:stop] = np.clip(slow, person.rest_width - bound, person.rest_width + bound)
    return rest


def fade(usable: Flags, shots: NDArray[np.int64]) -> Vector:
    """Let the effect rise and fall beside unusable frames of the same shot: float64[n], steps of 1 / (FADE_FRAMES + 1).

    Where the shot itself begins or ends there is nothing to fade to.
    """
    effect = np.where(usable, 1.0, 0.0)
    for distance in range(1, FADE_FRAMES + 1):
        level = distance / (FADE_FRAMES + 1)
        same = shots[distance:] == shots[:-distance]
        near = np.zeros(len(usable), np.bool_)
        near[distance:] |= same & ~usable[:-distance]
        near[:-distance] |= same & ~usable[distance:]
        effect[near] = np.minimum(effect[near], level)
    return effect


def _shots(clip: Clip, part: slice) -> NDArray[np.int64]:
    """Number the stretches of these film frames whose picture goes on smoothly: int64[frames]."""
    frames = clip.source_frames[part].astype(np.int64)
    # Ping-pong and a clock that skips or repeats a source frame go on smoothly; the jump of a loop does not.
    jump = (np.diff(clip.track.scene[frames]) != 0) | (np.abs(np.diff(frames)) > FADE_FRAMES)
    return np.concatenate([[0], np.cumsum(jump)])


def _sounding(times_s: Vector, length_s: float) -> Vector:
    """1 while the sound lasts, 0 before it and after it."""
    return np.where(times_s < 0, 0.0, np.clip(1 - (times_s - length_s) / RELEASE_S, 0, 1))
