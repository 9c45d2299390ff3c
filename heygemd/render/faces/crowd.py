"""Everybody seen in a clip: one row for each face in each frame, made once per clip, saved, and chosen from.

frame    0  0  1  1  2  3  3  3 …     rising
person   0  1  0  1  0  0  2  1 …     one number for one face within one scene
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import blocks, let_go, map_arrays, spooled
from heygemd.render.cache import save_arrays
from heygemd.render.faces.topology import POINT_COUNT
from heygemd.render.faces.track import BOX_SIDES, SKIN_PATCHES, FaceTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The faces of n source frames in m sightings; a person has at most one sighting a frame, and one scene.

    Of a loaded crowd `points`, `skin` and `boxes` are read-only maps.
    """

    pts_s: NDArray[np.float64]
    """float64[n]: presentation time in seconds, first frame at 0."""
    scene: NDArray[np.int32]
    """int32[n]: counts up at every cut."""
    size_px: NDArray[np.int32]
    """int32[2]: width and height of the picture."""
    frame: NDArray[np.int32]
    """int32[m], rising: the frame of each sighting."""
    person: NDArray[np.int32]
    """int32[m]: who is seen, 0 and up; in another scene the same human being has another number."""
    points: NDArray[np.float32]
    """float32[m, 74, 2]: x, y in pixels of the upright picture, pixel centres at integers."""
    confidence: NDArray[np.float32]
    """float32[m]: belief in 0..1 that a face is framed."""
    lips_visible: NDArray[np.float32]
    """float32[m]: belief in 0..1 that nothing covers the lips."""
    skin: NDArray[np.uint8]
    """uint8[m, 16, 3]: colours around the mouth (see `faces/ring.py`)."""
    boxes: NDArray[np.float32] | None = None
    """float32[m, 4]: what S3FD drew around the faces; None where the built-in tracker found them."""

    @classmethod
    def nobody(cls, pts_s: NDArray[np.float64], *, size_px: tuple[int, int] = (0, 0)) -> "Crowd":
        """A clip that shows no face, or was never searched for one."""
        return cls(
            pts_s=pts_s,
            scene=np.zeros(len(pts_s), np.int32),
            size_px=np.array(size_px, np.int32),
            frame=np.zeros(0, np.int32),
            person=np.zeros(0, np.int32),
            points=np.zeros((0, POINT_COUNT, 2), np.float32),
            confidence=np.zeros(0, np.float32),
            lips_visible=np.zeros(0, np.float32),
            skin=np.zeros((0, SKIN_PATCHES, 3), np.uint8),
        )

    @property
    def person_count(self) -> int:
        """How many numbers of persons there are."""
        return int(self.person.max()) + 1 if len(self.person) else 0

    def track_of(self, rows: NDArray[np.intp], *, scratch: Path | None = None) -> FaceTrack:
        """Lay some sightings, at most one a frame, over all frames of the clip.

        The points then lie in an unnamed file in `scratch`; in memory without one.
        """
        if len(rows) == 0:
            return FaceTrack.without_face(self.pts_s, scene=self.scene)
        count = len(self.pts_s)
        columns: dict[str, NDArray[Any]] = {
            "points": spooled(scratch, (count, POINT_COUNT, 2), np.float32),
            "skin": spooled(scratch, (count, SKIN_PATCHES, 3), np.uint8),
            "confidence": np.zeros(count, np.float32),
            "lips_visible": np.zeros(count, np.float32),
        }
        if self.boxes is not None:
            columns["boxes"] = spooled(scratch, (count, BOX_SIDES), np.float32)
        for part in blocks(count, columns["points"][:1].nbytes):
            for name in columns.keys() & {"points", "boxes"}:
                columns[name][part] = np.nan
                let_go(columns[name])
        for part in blocks(len(rows), columns["points"][:1].nbytes):
            frames = self.frame[rows[part]]
            for name, column in columns.items():
                source = getattr(self, name)
                column[frames] = source[rows[part]]
                let_go(column, source)
        return FaceTrack(pts_s=self.pts_s, scene=self.scene, **columns)

    def save(self, path: Path) -> None:
        """Write as `.npz`, whole or not at all."""
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__}
        save_arrays(path, {name: column for name, column in columns.items() if column is not None})

    @classmethod
    def load(cls, path: Path) -> "Crowd":
        """Read what `save` wrote; raises OSError, ValueError or KeyError on anything else."""
        return cls(**_columns(map_arrays(path), cls.__dataclass_fields__))


_MAPPED = ("points", "skin", "boxes")
"""The large columns, read where they are looked at."""
_OF_FRAMES = ("pts_s", "scene", "size_px")
"""Columns without a row for each sighting."""


def _columns(data: Mapping[str, NDArray[Any]], names: Mapping[str, object]) -> dict[str, NDArray[Any]]:
    there = [name for name in names if name != "boxes" or name in data]
    columns = {name: data[name] if name in _MAPPED else np.array(data[name]) for name in there}
    sightings = len(columns["frame"])
    if any(len(columns[name]) != sightings for name in there if name not in _OF_FRAMES):
        raise ValueError("the columns of a crowd differ in length")
    return columns
