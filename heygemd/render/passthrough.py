"""The engine that changes nothing: for dry runs and for tests of everything around the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.engine import Clip, Footage, Likeness, Speech
from heygemd.render.pulse import Pulse, unheard


@dataclass(frozen=True, slots=True)
class UntouchedPerformance:
    """Every frame as it came."""

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint nothing."""
        del start
        return [False] * len(frames)


class Passthrough:
    """Looks at no face and hears no sound."""

    name = "passthrough"
    version = "1"
    needs_face = False
    studies = False
    precision = ""

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear nothing."""
        del sound, pulse
        return {}

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Know of none."""
        del speech
        return ()

    def study(self, footage: Footage, pulse: Pulse = unheard) -> Likeness:
        """Learn nothing."""
        del footage, pulse
        return {}

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> UntouchedPerformance:
        """Promise nothing."""
        del clip, pulse
        return UntouchedPerformance()
