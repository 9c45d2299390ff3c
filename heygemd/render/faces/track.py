"""The face in every frame of a source clip, as one value that is made once, saved, and sliced.

Points are nine tenths of it: 53 MB for an hour. They stay in the file and are read where they are looked at.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import let_go, map_arrays
from heygemd.render.cache import save_arrays
from heygemd.render.faces.topology import POINT_COUNT

TRACKER_VERSION = "landmark74-3"
"""Part of the cache key: changes whenever the same pixels would give another track."""
BOX_SIDES = 4
SKIN_PATCHES = 16
"""Patches of skin around the mouth whose colour is kept (see `faces/ring.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrack:
    """One face over n source frames; arrays share their first axis.

    Points follow the 74-point subset of the MediaPipe FaceMesh topology listed in `faces/topology.py`
    (20 outer + 20 inner lip, 13 jaw, 7 nose, 8 eye, 6 brow).
    """

    pts_s: NDArray[np.float64]
    """float64[n]: presentation time in seconds, first frame at 0."""
    points: NDArray[np.float32]
    """float32[n, 74, 2]: x, y in pixels of the upright picture, pixel centres at integers; NaN where absent.

    Of a loaded track a read-only map: take parts of it by `points_of`.
    """
    confidence: NDArray[np.float32]
    """float32[n]: 0 where no face was found, else the net's belief in 0..1 that a face is framed."""
    lips_visible: NDArray[np.float32]
    """float32[n]: belief in 0..1 that nothing covers the lips."""
    skin: NDArray[np.uint8]
    """uint8[n, 16, 3]: mean B, G, R of 16 patches around the mouth (see `faces/ring.py`); 0 where absent.

    Of a loaded track a read-only map.
    """
    scene: NDArray[np.int32]
    """int32[n]: counts up at every cut; nothing is smoothed across a change."""
    boxes: NDArray[np.float32] | None = None
    """float32[n, 4]: left, top, right, bottom of what S3FD drew around the face, in pixels, pixel k reaching from
    k - 0.5 to k + 0.5; NaN where absent. None where the built-in tracker found the face, which draws none.

    Of a loaded track a read-only map.
    """

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool[n]: a face was found."""
        return self.confidence > 0

    def points_of(self, start: int, stop: int) -> NDArray[np.float32]:
        """Copy the points of frames [start, stop): float32[stop - start, 74, 2]; no memory is held beyond that."""
        points = np.array(self.points[start:stop])
        let_go(self.points)
        return points

    def boxes_of(self, start: int, stop: int) -> NDArray[np.float32]:
        """Copy the boxes of frames [start, stop): float32[stop - start, 4]; only of a track that has some."""
        if self.boxes is None:
            raise ValueError("the track has no boxes")
        boxes = np.array(self.boxes[start:stop])
        let_go(self.boxes)
        return boxes

    @classmethod
    def without_face(cls, pts_s: NDArray[np.float64], *, scene: NDArray[np.int32] | None = None) -> "FaceTrack":
        """Time stamps only: a clip that was never searched for a face, or shows none."""
        n = len(pts_s)
        return cls(
            pts_s=pts_s,
            points=_nowhere(n),
            confidence=np.zeros(n, np.float32),
            lips_visible=np.zeros(n, np.float32),
            skin=_dark(n),
            scene=np.zeros(n, np.int32) if scene is None else scene,
        )

    def save(self, path: Path) -> None:
        """Write as `.npz`, whole or not at all; of a clip without a face neither points nor skin are written."""
        names = [name for name in self.__dataclass_fields__ if name not in _SEEN_ONLY or self.present.any()]
        columns = {name: getattr(self, name) for name in names}
        save_arrays(path, {name: column for name, column in columns.items() if column is not None})

    @classmethod
    def load(cls, path: Path) -> "FaceTrack":
        """Read what `save` wrote; raises OSError, ValueError or KeyError on anything else."""
        data = map_arrays(path)
        columns = {name: np.array(data[name]) for name in cls.__dataclass_fields__ if name not in _SEEN_ONLY}
        if "points" in data or columns["confidence"].any():
            return cls(points=data["points"], skin=data["skin"], boxes=data.get("boxes"), **columns)
        count = len(columns["pts_s"])
        return cls(points=_nowhere(count), skin=_dark(count), **columns)


_SEEN_ONLY = ("points", "skin", "boxes")
"""Large columns that say nothing about a clip without a face."""


def _nowhere(frame_count: int) -> NDArray[np.float32]:
    """Points of frames without a face; one NaN stands for all of them."""
    return np.broadcast_to(np.float32(np.nan), (frame_count, POINT_COUNT, 2))


def _dark(frame_count: int) -> NDArray[np.uint8]:
    """Skin of frames without a face; one 0 stands for all of it."""
    return np.broadcast_to(np.uint8(0), (frame_count, SKIN_PATCHES, 3))
