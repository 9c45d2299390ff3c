"""The growing crowd: of each sighting 16 or 32 bytes of plain numbers in memory, its points and colours in files."""

from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import Spool
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.reader import Reading
from heygemd.render.faces.topology import POINT_COUNT
from heygemd.render.faces.track import BOX_SIDES, SKIN_PATCHES


class CrowdRecord:
    """Takes frames and sightings one by one; leaving the `with` block ends that, what `crowd` gave stays."""

    def __init__(self, folder: Path | None) -> None:
        self._files = ExitStack()
        self._points = self._files.enter_context(Spool(folder, (POINT_COUNT, 2), np.float32))
        self._skin = self._files.enter_context(Spool(folder, (SKIN_PATCHES, 3), np.uint8))
        self._pts_s, self._scene = array("d"), array("i")
        self._frame, self._person = array("i"), array("i")
        self._confidence, self._lips_visible, self._boxes = array("f"), array("f"), array("f")
        self._size_px = (0, 0)

    def __enter__(self) -> "CrowdRecord":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._files.close()

    def __len__(self) -> int:
        return len(self._pts_s)

    def add_frame(self, pts_s: float, scene: int, size_px: tuple[int, int]) -> None:
        """Begin the next frame; sightings that follow are in it."""
        self._pts_s.append(pts_s)
        self._scene.append(scene)
        self._size_px = size_px

    def add(self, person: int, reading: Reading) -> None:
        """Note a face in the current frame."""
        self._frame.append(len(self._pts_s) - 1)
        self._person.append(person)
        self._points.add(reading.points.astype(np.float32))
        self._skin.add(reading.skin)
        self._confidence.append(reading.face)
        self._lips_visible.append(reading.lips_visible)
        if reading.box is not None:
            self._boxes.extend(reading.box.tolist())

    def crowd(self) -> Crowd:
        """Show everything so far as arrays, without a copy."""
        return Crowd(
            pts_s=_array(self._pts_s),
            scene=_array(self._scene),
            size_px=np.array(self._size_px, np.int32),
            frame=_array(self._frame),
            person=_array(self._person),
            points=self._points.array(),
            confidence=_array(self._confidence),
            lips_visible=_array(self._lips_visible),
            skin=self._skin.array(),
            boxes=_array(self._boxes).reshape(-1, BOX_SIDES) if self._boxes else None,
        )


def _array(numbers: "array[Any]") -> NDArray[Any]:
    return np.frombuffer(numbers, np.dtype(numbers.typecode)) if numbers else np.zeros(0, numbers.typecode)
