"""All that the measurement asks of the product, in one place: tracking, performing, and the pieces of a film.

Whatever changes in the product's rooms is followed here and nowhere else in the measurement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import LengthPolicy, RenderOptions, VideoInfo
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.segment import SegmentWriter
from heygemd.media.sound import decode_speech
from heygemd.planning.timeline import Timeline, plan_timeline
from heygemd.render.atlas.engine import Atlas, perform, settle
from heygemd.render.atlas.motion import head_motion
from heygemd.render.atlas.person import Person, know_person
from heygemd.render.atlas.targets import Targets, mouth_targets, usable_frames
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip, Footage, Likeness, Performance, Settled, Speech
from heygemd.render.faces.track import FaceTrack
from heygemd.render.faces.tracker import track_clip
from heygemd.render.speech.mouth import MouthCurve, MouthTracks

LIMITS = Limits()
SOUND_HZ = 16_000
Planes = NDArray[np.uint8]
Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mouth:
    """A mouth over n frames: float64[n] each, in eye distances of the face frame; NaN where no face was found."""

    opening: Curve
    width: Curve

    def of(self, frames: NDArray[np.int32]) -> "Mouth":
        """Take the mouth of these frames."""
        return Mouth(opening=self.opening[frames], width=self.width[frames])


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One film, ready to be painted, and what its mouth is to do."""

    performance: Performance
    wanted: Mouth
    effect: Curve
    """float64[n]: 0 where a frame passes through untouched, 1 where the target counts fully."""


def info_of(path: Path) -> VideoInfo:
    return probe_video(path, LIMITS)


def decoded(path: Path, info: VideoInfo) -> Iterable[tuple[float, Planes]]:
    """Yield time stamps and I420 planes of a picture file."""
    return ((frame.pts_s, frame.planes) for frame in SourceVideo(path, info, LIMITS).decode())


def sound_of(path: Path, scratch: Path) -> NDArray[np.float32]:
    """Decode the sound of a file: float32[n], mono, 16 kHz."""
    raw = scratch / "sound.f32"
    decode_speech(path, probe_audio(path, LIMITS), raw, LIMITS)
    return np.fromfile(raw, np.float32)


def writer(path: Path, info: VideoInfo) -> SegmentWriter:
    """Open a film as a real one is written: the options' own quality and preset."""
    options = RenderOptions()
    return SegmentWriter(path, info=info, fps=info.fps, crf=options.crf, preset=options.preset)


def followed(frames: Iterable[tuple[float, Planes]]) -> FaceTrack:
    """Track the main face."""
    return track_clip(frames)


def mouth_in(track: FaceTrack) -> Mouth:
    """Measure the mouth in the face frame, as the targets are meant."""
    motion = head_motion(track)
    return Mouth(opening=motion.opening, width=motion.width)


def film_frames(track: FaceTrack, fps: Fraction, duration_s: Fraction) -> NDArray[np.int32]:
    """Lay a film of this length over the source: int32[n] source frames."""
    ticks = ticks_of(track.pts_s, fps)
    timeline = plan_timeline(fps=fps, tick_count=len(ticks), sound_s=duration_s, policy=LengthPolicy.AUTO)
    return np.array([ticks[timeline.tick_of(i)] for i in range(timeline.frame_count)], np.int32)


def heard(sound: NDArray[np.float32]) -> Speech:
    return Atlas().listen(sound)


def net_curve(speech: Speech, count: int, fps: float) -> MouthCurve:
    """Read what the voice net says of each frame, before it is brought to a person's range."""
    return MouthTracks.from_arrays(speech).at(np.arange(count) / fps, 1 / fps)


def studied(
    track: FaceTrack,
    info: VideoInfo,
    read: Callable[[Sequence[int]], Iterator[Planes]],
    own_sound: NDArray[np.float32] | None,
) -> Likeness:
    """Let the engine learn the person from a clip, and from its own sound where there is one to tell of."""
    hear = (lambda: None) if own_sound is None else (lambda: heard(own_sound))
    return Atlas().study(Footage(track=track, video=info, read=read, hear=hear))


def spoken(clip: Clip) -> Take:
    """Let the engine perform a speech, as in any film."""
    return _take(clip, settle(clip))


def injected(clip: Clip, mouth: Mouth) -> Take:
    """Let the engine perform a curve that no speech asked for, one value a film frame; gates and limits stay.

    The speech of `clip` is silence: what it leaves is the fading beside frames without a usable face.
    """
    motion = head_motion(clip.track)
    usable = usable_frames(clip.track, motion)
    person = Person.from_arrays(clip.likeness) if clip.likeness else know_person(motion, usable)
    still = mouth_targets(clip, motion, person, usable)
    own = mouth_in(clip.track).of(clip.source_frames)
    opening, width = (
        np.nan_to_num(mine) + still.effect * (wanted - np.nan_to_num(mine))
        for mine, wanted in (
            (own.opening, np.clip(mouth.opening, 0, person.opening_limit)),
            (own.width, mouth.width),
        )
    )
    return _take(clip, settle(clip, targets=replace(still, opening=opening, width=width)))


def clip_of(
    track: FaceTrack, frames: NDArray[np.int32], info: VideoInfo, speech: Speech, likeness: Likeness, *, idle: bool
) -> Clip:
    """Describe one film to the engine; `idle` lets a still picture live."""
    ticks = len(ticks_of(track.pts_s, info.fps))
    return Clip(
        timeline=Timeline(fps=info.fps, frame_count=len(frames), tick_count=ticks, policy=LengthPolicy.AUTO),
        source_frames=frames,
        track=track,
        speech=speech,
        video=info,
        options=RenderOptions(idle_motion=idle),
        likeness=likeness,
    )


def silence_for(frame_count: int, fps: float) -> Speech:
    """Hear nothing, for as long as a film and a second more."""
    return heard(np.zeros(int(frame_count / fps * SOUND_HZ) + SOUND_HZ, np.float32))


def _take(clip: Clip, settled: Settled) -> Take:
    targets = Targets.from_arrays(settled)
    return Take(
        performance=perform(clip, settled),
        wanted=Mouth(opening=np.array(targets.opening), width=np.array(targets.width)),
        effect=np.array(targets.effect),
    )
