"""What a film is driven by: a voice, or the curve of a real mouth put where it does not belong.

own          the clip's own voice; its real mouth is the truth
own-held     the second half of its voice over the first half of its picture: nothing was fitted on what is judged
…-unheard    the same, but the engine is not told the clip's own sound: without own-voice calibration
audio:FILE   a foreign voice
silence      no sound at all
held         the mouth of the second half over the first half of the picture
shifted      the clip's mouth, moved by half of its length
cross:CLIP   the mouth of another clip; its width in this person's mean and spread
"""

import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from measure.material import Material
from measure.product import SOUND_HZ, Mouth, film_frames, sound_of
from numpy.typing import NDArray

UNHEARD = "-unheard"
STILL_S = 4
"""Length of a film of a still where no sound tells it."""
STILL_WIDTH_SPREAD = 0.5
"""Part of another person's change of width that a still is asked for; its own is not known."""


class NotHereError(Exception):
    """A drive cannot be had with a clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One film to be made: either `sound` or `mouth` says what the mouth does."""

    name: str
    material: Material
    """What the person is learned from."""
    frames: NDArray[np.int32]
    """int32[n]: source frame that each film frame shows."""
    sound: NDArray[np.float32] | None = None
    mouth: Mouth | None = None
    real: Mouth | None = None
    """What the speaker of the sound really did."""
    real_frames: NDArray[np.int32] | None = None
    """In which frames of the clip; may lie outside of `material`."""
    knows_voice: bool = True
    """The engine may calibrate by the sound of `material`."""

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.material.fps


def drive_of(word: str, material: Material, others: dict[str, Material], *, seconds: float) -> Drive:
    """Set up one drive; raises NotHereError where the clip lacks what it takes, ValueError for a word not known."""
    if word.endswith(UNHEARD):
        drive = drive_of(word.removesuffix(UNHEARD), material, others, seconds=seconds)
        return replace(drive, name=drive.name + UNHEARD, knows_voice=False)
    kind, _, argument = word.partition(":")
    if kind == "audio":
        return _voiced(word, material, _voice(Path(argument), seconds))
    if kind == "silence":
        length = round(_length_s(material) * SOUND_HZ)
        return _voiced(word, material, np.zeros(length, np.float32))
    if kind == "cross":
        return _crossed(word, material, others[argument])
    moving = {"own": _own, "own-held": _own_held, "held": _held, "shifted": _shifted}
    if kind not in moving or argument:
        raise ValueError(f"{word} is no drive")
    if len(material.frames) < 4:
        raise NotHereError("a still has no mouth that moves")
    return moving[kind](word, material)


def _voice(path: Path, seconds: float) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        return sound_of(path, Path(folder))[: round(min(seconds, 1e6) * SOUND_HZ)]


def _voiced(word: str, material: Material, sound: NDArray[np.float32]) -> Drive:
    frames = film_frames(material.track, material.info.fps, Fraction(len(sound), SOUND_HZ))
    name = f"audio:{Path(word.removeprefix('audio:')).stem}" if word.startswith("audio:") else word
    return Drive(name=name, material=material, frames=frames, sound=sound)


def _own(word: str, material: Material) -> Drive:
    if material.sound is None:
        raise NotHereError("the clip has no sound")
    frames = film_frames(material.track, material.info.fps, Fraction(len(material.sound), SOUND_HZ))
    frames = frames[: _ticks(material)]
    return Drive(
        name=word,
        material=material,
        frames=frames,
        sound=material.sound,
        real=material.mouth.of(frames),
        real_frames=frames,
    )


def _own_held(word: str, material: Material) -> Drive:
    if material.sound is None:
        raise NotHereError("the clip has no sound")
    half = _ticks(material) // 2
    frames = film_frames(material.track, material.info.fps, Fraction(2 * half) / material.info.fps)
    at = round(half / material.fps * SOUND_HZ)
    known = replace(material.first(int(frames[half])), sound=material.sound[:at])
    return Drive(
        name=word,
        material=known,
        frames=frames[:half],
        sound=material.sound[at : 2 * at],
        real=material.mouth.of(frames[half : 2 * half]),
        real_frames=frames[half : 2 * half],
    )


def _held(word: str, material: Material) -> Drive:
    half = _ticks(material) // 2
    frames = film_frames(material.track, material.info.fps, Fraction(2 * half) / material.info.fps)
    mouth = material.mouth.of(frames[half : 2 * half])
    return Drive(name=word, material=material.first(int(frames[half])), frames=frames[:half], mouth=filled(mouth))


def _shifted(word: str, material: Material) -> Drive:
    frames = film_frames(material.track, material.info.fps, Fraction(_ticks(material)) / material.info.fps)
    own = filled(material.mouth.of(frames))
    half = len(frames) // 2
    mouth = Mouth(opening=np.roll(own.opening, half), width=np.roll(own.width, half))
    return Drive(name=word, material=material, frames=frames, mouth=mouth)


def _crossed(word: str, material: Material, other: Material) -> Drive:
    length_s = _length_s(material if len(material.frames) > 1 else other)
    frames = film_frames(material.track, material.info.fps, Fraction(length_s).limit_denominator(1000))
    theirs = filled(other.mouth)
    times_s = np.arange(len(frames)) / material.fps
    # To and fro, as long as it takes.
    end_s = float(other.track.pts_s[-1])
    lap = np.mod(times_s, 2 * end_s)
    at_s = np.where(lap > end_s, 2 * end_s - lap, lap)
    opening, width = (np.interp(at_s, other.track.pts_s, curve) for curve in (theirs.opening, theirs.width))
    mine = material.mouth.width[np.isfinite(material.mouth.width)]
    spread = STILL_WIDTH_SPREAD
    if len(mine) > 1:
        spread = min(1.0, float(mine.std()) / max(float(theirs.width.std()), 1e-3))
    mouth = Mouth(opening=np.maximum(opening, 0), width=mine.mean() + (width - theirs.width.mean()) * spread)
    return Drive(name=word, material=material, frames=frames, mouth=mouth)


def filled(mouth: Mouth) -> Mouth:
    """Bridge frames without a face."""
    curves = []
    for curve in (mouth.opening, mouth.width):
        seen = np.isfinite(curve)
        if not seen.any():
            raise NotHereError("no face was found")
        index = np.arange(len(curve))
        curves.append(np.interp(index, index[seen], curve[seen]))
    return Mouth(opening=curves[0], width=curves[1])


def _length_s(material: Material) -> float:
    return STILL_S if len(material.frames) == 1 else _ticks(material) / material.fps


def _ticks(material: Material) -> int:
    pts_s = material.track.pts_s
    last_s = float(np.median(np.diff(pts_s))) if len(pts_s) > 1 else 0.0
    return max(1, round((float(pts_s[-1]) + last_s) * material.fps))
