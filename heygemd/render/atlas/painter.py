"""One frame: bend the lower face inside the planes, then paint the wanted mouth over it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.lips import seen_face
from heygemd.render.atlas.mesh import LIPS, lower_face, with_ring
from heygemd.render.atlas.mouth import REACH, MouthSource, Worn, paint_mouth
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import Face, face_of, placed_vertices
from heygemd.render.atlas.skin import bend_skin
from heygemd.render.atlas.tint import Tint
from heygemd.render.colour import Region, YuvCoding, read_bgr, region_around, write_bgr

MARGIN_PX = 4
"""Room around the mouth for the interpolation."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """Gives faces of one person a mouth; keeps nothing between frames."""

    person: Person
    coding: YuvCoding
    bite: Bite = field(default_factory=Bite)
    """The person's teeth, for mouths that show none."""

    def paint(
        self,
        planes: NDArray[np.uint8],
        points: NDArray[np.float32],
        *,
        wanted: Mouth,
        sources: Sequence[tuple[MouthSource | None, float]] = (),
        tint: Tint | None = None,
    ) -> bool:
        """Give the face with these points (float32[74, 2]) the wanted mouth, in place.

        `sources` are mouths of the same person with weights that add up to 1; None among them is the frame's own, and
        so is an empty list. `tint` is the target's light upon each of them. Returns whether anything was painted:
        nothing is when the mouth lies outside the picture.
        """
        face = face_of(points)
        worn = self._worn(planes, face, sources, tint)
        if worn is None:
            return False
        placed = placed_vertices(face, self.person, wanted, [(one.source.face, one.weight) for one in worn])
        region = _mouth_region(placed[LIPS], face.eye_px, planes)
        if region is None:
            return False
        before = with_ring(face.vertices, lower_face().ring)
        after = np.concatenate([placed, before[len(placed) :]])
        bend_skin(planes, before, after, eye_px=face.eye_px)
        picture = read_bgr(planes, region, self.coding)
        here = replace(face, vertices=face.vertices - region.origin)
        touched = paint_mouth(picture, here, after - region.origin, wanted=wanted, worn=worn, bite=self.bite)
        write_bgr(planes, region, self.coding, picture, touched)
        return bool(touched.any())

    def _worn(
        self,
        planes: NDArray[np.uint8],
        face: Face,
        sources: Sequence[tuple[MouthSource | None, float]],
        tint: Tint | None,
    ) -> list[Worn] | None:
        """Look at the sources, or at the frame's own mouth before the skin around it is bent; None if unseen."""
        sources = sources or ((None, 1.0),)
        lights = [None] * len(sources) if tint is None else tint.change
        worn: list[Worn] = []
        for (source, weight), light in zip(sources, lights, strict=True):
            mouth = source or self._own_mouth(planes, face)
            if mouth is None:
                return None
            seen = replace(mouth, face=seen_face(mouth.picture, mouth.face))
            worn.append(Worn(source=seen, weight=weight, light=light, is_own=source is None))
        return worn

    def _own_mouth(self, planes: NDArray[np.uint8], face: Face) -> MouthSource | None:
        region = _mouth_region(face.vertices[LIPS], face.eye_px, planes)
        if region is None:
            return None
        here = replace(face, vertices=face.vertices - region.origin)
        return MouthSource(picture=read_bgr(planes, region, self.coding), face=here)


def _mouth_region(lips: Vector, eye_px: float, planes: NDArray[np.uint8]) -> Region | None:
    """Find the even rectangle around lips[l, 2] that a mouth is taken from or painted into."""
    return region_around(
        lips, margin_px=REACH * eye_px + MARGIN_PX, width_px=planes.shape[1], height_px=planes.shape[0] * 2 // 3
    )
