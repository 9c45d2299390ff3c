"""What the mouth does in every frame of the film: the speech, in the range of this person, where a face can be used.

speech ─▶ opening and width ─▶ faded to the own mouth beside unusable frames ─▶ one target per output frame
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import SilenceRule
from heygemd.render.arrays import let_go
from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.engine import Clip
from heygemd.render.faces.track import FaceTrack
from heygemd.render.speech.mouth import CONTACT_FROM, CONTACT_FULL, TRACK_RATE_HZ, MouthCurve, MouthTracks
from heygemd.render.speech.readout import PersonCurve, Readout

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_VISIBLE = 0.85
"""Belief in uncovered lips below which something may lie over the mouth."""
MOST_YAW_DEG = 35.0
LEAST_EYE_PX = 20.0
"""Smaller faces have no mouth to speak of."""
FADE_FRAMES = 3
"""Frames over which the effect comes and goes beside a frame without a usable face."""
SWING = 2.25
"""Standard deviations of the person's width that fully spread or rounded lips move away from rest.

Over the GRID clips the net's width reached the speakers' own spread at 2.24 (mean) and 2.28 (median)."""
EXPRESSION_SWINGS = 2.0
"""An expression moves the rest width by at most so many standard deviations."""
RELEASE_S = 0.1
"""How long the mouth takes to close where the film goes on after the sound."""
READOUT = "readout_weight"
"""Present in a likeness that knows how the person's own voice moves the mouth."""
BLOCK_FRAMES = 4096
"""Film frames laid out at once (about 2 MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The wanted mouth of every output frame."""

    opening: Vector
    width: Vector
    """float64[frame_count]: eye distances in the face frame."""
    closure: Vector
    """float64[frame_count]: 0..1, how firmly b, p or m presses the lips together."""
    lipteeth: Vector
    """float64[frame_count]: 0..1, how far f or v lays the lower lip at the upper teeth."""
    effect: Vector
    """float64[frame_count]: 0 where the frame passes through untouched, 1 where the target counts fully."""

    def to_arrays(self) -> dict[str, Vector]:
        """Name -> array, for saving."""
        return {f"target_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vector]) -> "Targets":
        """Take what `to_arrays` gave, mapped or not; KeyError where something is missing."""
        return cls(**{field.name: arrays[f"target_{field.name}"] for field in fields(cls)})

    @classmethod
    def empty(cls, frame_count: int) -> "Targets":
        """Make room for a film."""
        return cls(**{field.name: np.zeros(frame_count) for field in fields(cls)})

    def mouth(self, frame: int) -> Mouth:
        """Take one frame's."""
        return Mouth(
            opening=float(self.opening[frame]),
            width=float(self.width[frame]),
            closure=float(self.closure[frame]),
            lipteeth=float(self.lipteeth[frame]),
        )

    def let_go(self) -> None:
        """Take the pages of mapped targets out of this process."""
        let_go(*(getattr(self, field.name) for field in fields(self)))


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
    rest_width = resting_width(motion, person)
    targets = Targets.empty(count)
    for start in range(0, count, BLOCK_FRAMES):
        part = slice(start, min(start + BLOCK_FRAMES, count))
        effect = _effect(clip, usable, part)
        own = _own_mouth(clip, motion, part)
        opening, width, closure, lipteeth = _spoken_mouth(
            clip, person, np.nan_to_num(rest_width[clip.source_frames[part]]), own, part
        )
        targets.effect[part] = effect
        targets.opening[part] = own[0] + effect * (opening - own[0])
        targets.width[part] = own[1] + effect * (width - own[1])
        targets.closure[part], targets.lipteeth[part] = effect * closure, effect * lipteeth
    return targets


def _own_mouth(clip: Clip, motion: HeadMotion, part: slice) -> tuple[Vector, Vector]:
    """Opening and width that the person has in these film frames."""
    frames = clip.source_frames[part]
    return np.nan_to_num(motion.opening[frames]), np.nan_to_num(motion.width[frames])


def _spoken_mouth(
    clip: Clip, person: Person, rest_width: Vector, own: tuple[Vector, Vector], part: slice
) -> tuple[Vector, Vector, Vector, Vector]:
    """Opening, width, closure and lip-teeth that the speech asks for in these film frames."""
    fps = float(clip.timeline.fps)
    times_s = np.arange(part.start, part.stop) / fps - clip.options.audio_offset_ms / 1000
    tracks = MouthTracks.from_arrays(clip.speech)
    sounding = _sounding(times_s, len(tracks.gate) / TRACK_RATE_HZ)
    curve, opening_unit, width_unit = _heard(clip, person, tracks, times_s)
    opening = opening_unit * sounding * curve.opening
    width = rest_width + width_unit * sounding * curve.width
    if clip.options.silence is SilenceRule.SOURCE:
        voice = curve.gate * sounding
        own_opening, own_width = own
        opening += (1 - voice) * np.maximum(own_opening, 0)
        width += (1 - voice) * (own_width - rest_width)
    closure, lipteeth = (
        smoothstep(contact.astype(np.float64), CONTACT_FROM, CONTACT_FULL) * sounding
        for contact in (curve.closure, curve.lipteeth)
    )
    return np.clip(opening, 0, person.opening_limit), width, closure, lipteeth * (1 - closure)


def _heard(
    clip: Clip, person: Person, tracks: MouthTracks, times_s: Vector
) -> tuple[MouthCurve | PersonCurve, float, float]:
    """Read the voice for these frames; also what an opening and a width of 1 are, in eye distances.

    Where the clip carries the person's own voice, the readout knows their mouth; else it is laid over their range.
    """
    frame_s = 1 / float(clip.timeline.fps)
    if READOUT in clip.likeness:
        return Readout.from_arrays(clip.likeness).read(tracks, times_s, frame_s), 1.0, 1.0
    return tracks.at(times_s, frame_s), person.widest_opening, SWING * person.width_swing


def _effect(clip: Clip, usable: Flags, part: slice) -> Vector:
    """Fade in these film frames; it depends on no more than FADE_FRAMES neighbours."""
    first, last = max(part.start - FADE_FRAMES, 0), min(part.stop + FADE_FRAMES, clip.timeline.frame_count)
    effect = fade(usable[clip.source_frames[first:last]], _shots(clip, slice(first, last)))
    return effect[part.start - first : part.stop - first]


def resting_width(motion: HeadMotion, person: Person) -> Vector:
    """Follow the width of the unspeaking mouth: the person's own, with slow changes (a smile) kept: float64[n]."""
    bound = EXPRESSION_SWINGS * person.width_swing
    return np.clip(motion.slow_width, person.rest_width - bound, person.rest_width + bound)


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


def shots_of(clip: Clip) -> NDArray[np.int64]:
    """Number the shots of the whole film: int64[frame_count]."""
    return _shots(clip, slice(0, clip.timeline.frame_count))


def _shots(clip: Clip, part: slice) -> NDArray[np.int64]:
    """Number the stretches of these film frames whose picture goes on smoothly: int64[frames]."""
    frames = clip.source_frames[part].astype(np.int64)
    # Ping-pong and a clock that skips or repeats a source frame go on smoothly; the jump of a loop does not.
    jump = (np.diff(clip.track.scene[frames]) != 0) | (np.abs(np.diff(frames)) > FADE_FRAMES)
    return np.concatenate([[0], np.cumsum(jump)])


def _sounding(times_s: Vector, length_s: float) -> Vector:
    """1 while the sound lasts, 0 before it and after it."""
    return np.where(times_s < 0, 0.0, np.clip(1 - (times_s - length_s) / RELEASE_S, 0, 1))
