"""atlas: the embedded engine. Needs no download and no GPU, and works at the picture's own resolution.

First form: each frame speaks with the person's own lower face of the same frame, warped (after Bregler, Covell and
Slaney, *Video Rewrite*, 1997, whose choice among other frames comes later; see `painter.py` for its place).

    track ─▶ motion ─▶ person ─▶ targets ┐
    speech ──────────────────────────────┴▶ per frame: shape ─▶ skin (layer A) ─▶ mouth (layer B) ─▶ planes
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.render.arrays import let_go
from heygemd.render.atlas.motion import SteadyPoints, head_motion
from heygemd.render.atlas.painter import Painter
from heygemd.render.atlas.person import Person, know_person
from heygemd.render.atlas.targets import Targets, mouth_targets, usable_frames
from heygemd.render.colour import coding_of
from heygemd.render.engine import Clip, Settled, Speech
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.speech.activity import pauses_in
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthNet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasPerformance:
    """One film. A frame depends on nothing but its own pixels and what `prepare` settled."""

    painter: Painter
    targets: Targets
    points: SteadyPoints
    source_frames: NDArray[np.int32]

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint the mouth into consecutive output frames, in place; see `heygemd.render.engine.Performance`."""
        painted = [self._render(start + k, planes) for k, planes in enumerate(frames)]
        let_go(self.targets.opening, self.targets.width, self.targets.effect)
        return painted

    def _render(self, frame: int, planes: NDArray[np.uint8]) -> bool:
        if self.targets.effect[frame] == 0:
            return False
        return self.painter.paint(
            planes,
            self.points.of(int(self.source_frames[frame])),
            opening=float(self.targets.opening[frame]),
            width=float(self.targets.width[frame]),
        )


class Atlas:
    """The engine; one per worker."""

    name = "atlas"
    version = "2"
    needs_face = True
    precision = ""

    def __init__(self) -> None:
        self._net = MouthNet()

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear the whole sound: float32[n], mono, 16 kHz."""
        return self._net.listen(sound, pulse).to_arrays()

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell where the voice net heard nobody speak, in seconds of the sound."""
        return pauses_in(speech["speech"], rate_hz=TRACK_RATE_HZ)

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> AtlasPerformance:
        """Learn the person and lay the speech over the film; raises InputError E131 without a usable face."""
        settled = clip.settled(lambda: settle(clip, pulse))
        return AtlasPerformance(
            painter=Painter(
                person=Person.from_arrays(settled),
                coding=coding_of(clip.video.colour, width_px=clip.video.width_px, height_px=clip.video.height_px),
            ),
            targets=Targets.from_arrays(settled),
            points=SteadyPoints(clip.track),
            source_frames=clip.source_frames,
        )


def settle(clip: Clip, pulse: Pulse) -> Settled:
    """Find what depends on the whole clip: the person and the targets, as arrays."""
    motion = head_motion(clip.track, pulse)
    usable = usable_frames(clip.track, motion)
    if not usable[clip.source_frames].any():
        raise InputError(
            "E131", f"none of {len(usable)} frames shows a face that is large, uncovered and turned to the camera"
        )
    person = know_person(motion, usable, pulse)
    targets = mouth_targets(clip, motion, person, usable)
    log.info(
        "atlas.person_known",
        usable_frames=int(usable.sum()),
        source_frames=len(usable),
        painted_frames=int((targets.effect > 0).sum()),
        widest_opening=round(person.widest_opening, 3),
        rest_width=round(person.rest_width, 3),
        width_swing=round(person.width_swing, 3),
    )
    return {**person.to_arrays(), **targets.to_arrays()}
