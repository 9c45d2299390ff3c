"""One frame: cut the lower face out of the planes, bend it, put the changed pixels back."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import lower_face, with_ring
from heygemd.render.atlas.mouth import MouthSource, paint_mouth
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import bent_vertices, face_of
from heygemd.render.atlas.skin import bend_skin
from heygemd.render.colour import YuvCoding, read_bgr, region_around, write_bgr

MARGIN_PX = 4
"""Room around the mesh for the interpolation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """Gives faces of one person a mouth; keeps nothing between frames."""

    person: Person
    coding: YuvCoding

    def paint(self, planes: NDArray[np.uint8], points: NDArray[np.float32], *, opening: float, width: float) -> bool:
        """Give the face with these points (float32[74, 2]) the mouth, in place.

        Returns whether anything was painted: nothing is when the lower face lies outside the picture.
        """
        mesh = lower_face()
        face = face_of(points)
        after = with_ring(bent_vertices(face, self.person, opening=opening, width=width), mesh.ring)
        before = with_ring(face.vertices, mesh.ring)
        after[len(face.vertices) :] = before[len(face.vertices) :]
        region = region_around(
            np.concatenate([before[mesh.vertices], after[mesh.vertices]]),
            margin_px=MARGIN_PX,
            width_px=planes.shape[1],
            height_px=planes.shape[0] * 2 // 3,
        )
        if region is None:
            return False
        picture = read_bgr(planes, region, self.coding)
        before, after = before - region.origin, after - region.origin
        bent, touched = bend_skin(picture, before, after, eye_px=face.eye_px)
        # The seam for a better source: any other frame's mouth may stand here instead of the frame's own.
        source = MouthSource(picture=picture, face=replace(face, vertices=face.vertices - region.origin))
        touched |= paint_mouth(bent, source, after, eye_px=face.eye_px)
        write_bgr(planes, region, self.coding, bent, touched)
        return bool(touched.any())
