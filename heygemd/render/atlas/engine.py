"""atlas: the embedded engine. Needs no download and no GPU, and works at the picture's own resolution.

The person's own mouths are the model (after Bregler, Covell and Slaney, *Video Rewrite*, 1997): the mouth of every
frame of the film is one of those that the clip shows, the one that costs the eye least, bent to the very shape.

    study    track ─▶ motion ─▶ person, gallery of mouths, readout of the own voice      once per clip: likeness
    prepare  speech ─▶ targets ─▶ selection                                              once per film: settled
    render   per frame: shape ─▶ skin (layer A) ─▶ mouth (layer B) ─▶ planes              depends on nothing else
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.render.arrays import let_go
from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.fitness import Wanted
from heygemd.render.atlas.gallery import Gallery, gather
from heygemd.render.atlas.idle import IdleMotion
from heygemd.render.atlas.motion import HeadMotion, SteadyPoints, head_motion
from heygemd.render.atlas.mouth import MouthSource
from heygemd.render.atlas.painter import Painter
from heygemd.render.atlas.person import Person, know_person
from heygemd.render.atlas.selection import Selection, select
from heygemd.render.atlas.targets import Targets, mouth_targets, shots_of, usable_frames
from heygemd.render.atlas.tint import tint_of
from heygemd.render.atlas.traits import Traits, teeth_donors
from heygemd.render.atlas.variety import choose_frames
from heygemd.render.atlas.ways import OWN
from heygemd.render.colour import coding_of
from heygemd.render.engine import Clip, Footage, Likeness, Settled, Speech
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.speech.activity import pauses_in
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthNet, MouthTracks
from heygemd.render.speech.ownvoice import fit_readout
from heygemd.render.speech.readout import Readout

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasPerformance:
    """One film. A frame depends on nothing but its own pixels and what `prepare` settled."""

    painter: Painter
    targets: Targets
    selection: Selection
    gallery: Gallery | None
    """None: every mouth is the frame's own."""
    track: FaceTrack
    points: SteadyPoints
    source_frames: NDArray[np.int32]
    idle: IdleMotion | None = None
    """How a still picture lives; None: it is film, or shall be still."""

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint the mouth into consecutive output frames, in place; see `heygemd.render.engine.Performance`."""
        painted = [self._render(start + k, planes) for k, planes in enumerate(frames)]
        self.targets.let_go()
        let_go(self.source_frames, self.selection.first, self.selection.second, self.selection.share)
        return painted

    def _render(self, frame: int, planes: NDArray[np.uint8]) -> bool:
        points = self.points.of(int(self.source_frames[frame]))
        if self.idle is not None:
            self.idle.apply(planes, frame)
            points = self.idle.moved(points, frame)
        if self.targets.effect[frame] == 0:
            return self.idle is not None
        target, worn, tint = int(self.source_frames[frame]), self._worn(frame), None
        sources: list[tuple[MouthSource | None, float]] = [(None, weight) for _, weight in worn]
        if self.gallery is not None:
            sources = [(None if k == OWN else self.gallery.source(k), weight) for k, weight in worn]
            tint = tint_of(self.track, target, [target if k == OWN else int(self.gallery.frames[k]) for k, _ in worn])
        return self.painter.paint(planes, points, wanted=self.targets.mouth(frame), sources=sources, tint=tint)

    def _worn(self, frame: int) -> list[tuple[int, float]]:
        """Numbers (of the gallery, or OWN) and weights of the mouths that speak in this frame."""
        first, second = int(self.selection.first[frame]), int(self.selection.second[frame])
        share = float(self.selection.share[frame])
        if share == 0 or self.targets.effect[frame] < 1:  # a fade ends on the frame's own mouth, nobody else's
            return [(first if self.targets.effect[frame] == 1 else OWN, 1.0)]
        return [(first, 1 - share), (second, share)]


class Atlas:
    """The engine; one per worker."""

    name = "atlas"
    version = "4"
    needs_face = True
    studies = True
    precision = ""

    def __init__(self) -> None:
        self._net = MouthNet()

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear the whole sound: float32[n], mono, 16 kHz."""
        return self._net.listen(sound, pulse).to_arrays()

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell where the voice net heard nobody speak, in seconds of the sound."""
        return pauses_in(speech["speech"], rate_hz=TRACK_RATE_HZ)

    def study(self, footage: Footage, pulse: Pulse = unheard) -> Likeness:
        """Learn the person: measures, movements, and a gallery of their mouths. Nothing where no frame is usable."""
        track = footage.track
        motion = head_motion(track, pulse)
        usable = usable_frames(track, motion)
        if not usable.any():
            return {}
        person = know_person(motion, usable, pulse)
        mouths = gather(footage, motion, choose_frames(motion, usable, track), pulse)
        readout = _readout(footage, motion, usable)
        return {**person.to_arrays(), **mouths, **({} if readout is None else readout.to_arrays())}

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> AtlasPerformance:
        """Lay the speech over the film and choose its mouths; raises InputError E131 without a usable face."""
        return perform(clip, clip.settled(lambda: settle(clip, pulse)))


def _readout(footage: Footage, motion: HeadMotion, usable: NDArray[np.bool_]) -> Readout | None:
    """Learn how this person's voice moves this mouth, where the clip carries both."""
    heard = footage.hear()
    if heard is None:
        return None
    return fit_readout(MouthTracks.from_arrays(heard), footage.track.pts_s, motion.opening, motion.width, usable)


def settle(clip: Clip, pulse: Pulse = unheard, *, targets: Targets | None = None) -> Settled:
    """Find what depends on the whole film: the person, the targets and the selection, as arrays.

    `targets` takes the place of those that the speech asks for.
    """
    motion = head_motion(clip.track, pulse)
    usable = usable_frames(clip.track, motion)
    if not usable[clip.source_frames].any():
        raise InputError(
            "E131", f"none of {len(usable)} frames shows a face that is large, uncovered and turned to the camera"
        )
    likeness = clip.likeness
    person = Person.from_arrays(likeness) if likeness else know_person(motion, usable, pulse)
    targets = targets or mouth_targets(clip, motion, person, usable)
    selection = own_mouths(clip.timeline.frame_count)
    if likeness:
        wanted = Wanted(
            opening=targets.opening,
            width=targets.width,
            effect=targets.effect,
            source_frames=clip.source_frames,
            shots=shots_of(clip),
            fps=float(clip.timeline.fps),
            closure=targets.closure,
        )
        traits = Traits.from_arrays(likeness)
        selection = select(wanted, motion, clip.track, traits, folder=clip.folder, pulse=pulse)
    log.info(
        "atlas.person_known",
        usable_frames=int(usable.sum()),
        source_frames=len(usable),
        painted_frames=int((targets.effect > 0).sum()),
        widest_opening=round(person.widest_opening, 3),
        rest_width=round(person.rest_width, 3),
        width_swing=round(person.width_swing, 3),
    )
    return {**person.to_arrays(), **targets.to_arrays(), **selection.to_arrays()}


def own_mouths(frame_count: int) -> Selection:
    """Let every frame speak with its own mouth."""
    own = np.full(frame_count, OWN, np.int32)
    return Selection(first=own, second=own, share=np.zeros(frame_count, np.float32))


def perform(clip: Clip, settled: Settled) -> AtlasPerformance:
    """Make what was settled ready to be rendered."""
    coding = coding_of(clip.video.colour, width_px=clip.video.width_px, height_px=clip.video.height_px)
    points, targets = SteadyPoints(clip.track), Targets.from_arrays(settled)
    gallery = Gallery.from_arrays(clip.likeness, coding) if clip.likeness else None
    return AtlasPerformance(
        painter=Painter(person=Person.from_arrays(settled), coding=coding, bite=_bite(gallery, clip.seed)),
        targets=targets,
        selection=Selection.from_arrays(settled),
        gallery=gallery,
        track=clip.track,
        points=points,
        source_frames=clip.source_frames,
        idle=_idle(clip, points, targets) if clip.video.is_still and clip.options.idle_motion else None,
    )


def _bite(gallery: Gallery | None, seed: int) -> Bite:
    donors = [] if gallery is None else [gallery.source(int(k)) for k in teeth_donors(gallery.traits, most=5)]
    return Bite.of(donors, seed=seed)


def _idle(clip: Clip, points: SteadyPoints, targets: Targets) -> IdleMotion:
    return IdleMotion.of(
        points.of(0),
        size=(clip.video.height_px, clip.video.width_px),
        fps=float(clip.timeline.fps),
        seed=clip.seed,
        frame_count=clip.timeline.frame_count,
        opening=targets.opening,
    )
