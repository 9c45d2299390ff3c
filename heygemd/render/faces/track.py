"""The face in every frame of a source clip, as one value that is made once, saved, and sliced."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.cache import load_arrays, save_arrays

TRACKER_VERSION = "landmark74-1"
"""Part of the cache key: changes whenever the same pixels would give another track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrack:
    """One face over n source frames; arrays share their first axis.

    Points follow the 74-point subset of the MediaPipe FaceMesh topology listed in `faces/topology.py`
    (20 outer + 20 inner lip, 13 jaw, 7 nose, 8 eye, 6 brow).
    """

    pts_s: NDArray[np.float64]
    """float64[n]: presentation time in seconds, first frame at 0."""
    points: NDArray[np.float32]
    """float32[n, 74, 2]: x, y in pixels of the upright picture, pixel centres at integers; NaN where absent."""
    confidence: NDArray[np.float32]
    """float32[n]: 0 where no face was found, else the net's belief in 0..1 that a face is framed."""
    lips_visible: NDArray[np.float32]
    """float32[n]: belief in 0..1 that nothing covers the lips."""
    scene: NDArray[np.int32]
    """int32[n]: counts up at every cut; nothing is smoothed across a change."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool[n]: a face was found."""
        return self.confidence > 0

    @classmethod
    def without_face(cls, pts_s: NDArray[np.float64]) -> "FaceTrack":
        """Time stamps only: a clip that was never searched for a face."""
        n = len(pts_s)
        return cls(
            pts_s=pts_s,
            points=np.full((n, 74, 2), np.nan, np.float32),
            confidence=np.zeros(n, np.float32),
            lips_visible=np.zeros(n, np.float32),
            scene=np.zeros(n, np.int32),
        )

    def save(self, path: Path) -> None:
        """Write as `.npz`, whole or not at all."""
        save_arrays(path, {name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> "FaceTrack":
        """Read what `save` wrote; raises OSError, ValueError or KeyError on anything else."""
        data = load_arrays(path)
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})
