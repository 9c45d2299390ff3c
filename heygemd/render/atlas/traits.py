"""What a crop of the lower face shows: enough to tell which of the person's mouths fits a moment of the film.

Every crop is brought into the face frame first (upright, 1 = the distance of the outer eye corners), so that
what is measured does not depend on where the head was and how large.

    crop ─▶ patch (96 x 96, span .9) ─┬▶ thumbnail (24 x 24, Lab)   does a jump from one frame to another show?
                                      ├▶ sharpness of the lips' red  is it blurred by motion?
                                      ├▶ aperture                    is it open although its contour says closed?
                                      └▶ teeth
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import LUMA, Axes, Profile
from heygemd.render.atlas.mesh import LIP_OUTLINE, LIPS
from heygemd.render.atlas.shape import Face
from heygemd.render.atlas.shown import LIP_SAMPLES, SKIN_SAMPLES, look_inside
from heygemd.render.colour import Bgr
from heygemd.render.faces.facemodel import load_face_model

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

PATCH_PX = 96
PATCH_SPAN = 0.9
"""Side of the square that the patch shows, in eye distances: the mouth, the base of the nose and most of the chin."""
PATCH_PX_PER_EYE = PATCH_PX / PATCH_SPAN
THUMBNAIL_PX = 24
DARK_LUMA = 0.60
"""Relative to the lips' own: what is darker is the inside of the mouth."""
TOOTH_LUMA, TOOTH_RED = 1.12, 0.45
"""Relative to the lips' own: what is as bright and so much paler is a tooth."""
LEAST_LIP_RED = 0.05
"""Keeps redness relative to the lips finite in grey pictures."""
FINE_PX, COARSE_PX = 1.0, (2.0, 4.0)
"""Blurs of the patch between which its detail is measured: what movement takes away, and what it leaves."""
LIP_SURROUNDINGS_PX = 4
"""Detail is measured over the lips and this far around them."""
BLURRED = 0.57
"""A frame that shows less than this part of the usual sharpness is left out."""
SURE_TEETH = 0.6
FRONTAL_DEG = 15.0
"""What is asked of a mouth that lends its teeth to others."""
DONORS_APART_S = 0.5
"""Two such mouths lie at least so far apart, or both would have the same faults."""
LEVELLING = 0.002
"""Variance of openings below which sharpness is hardly corrected for them."""
SHUT_BELOW, WIDE_ABOVE = 0.03, 0.06
"""Openings by contour between which a person's apertures are told apart."""
FEW_FRAMES = 8
"""Fewer shut frames tell nothing of what a shut mouth looks like."""
USUAL_RISE = 0.4
"""Aperture per opening; of people seen .25 to .8."""
APART_S = 1.0
"""What covers a mouth may stay for a while: a frame is compared with frames at least so far away."""
LIKE_FRAMES = 3
"""So many frames like it a frame must have."""
COVERED = (2.5, 3.0)
"""Times the usual unlikeness, and Lab levels on top, from which on something covers the skin around the mouth. Over
seven clips no uncovered frame reached it; a hand planted over half of the mouth did on calm clips only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one crop shows."""

    thumbnail: NDArray[np.uint8]
    """uint8[24, 24, 3]: Lab, levels 0..255 each."""
    sharpness: float
    """Fine detail of the lips relative to coarse; compare it with other frames only, see `relative_sharpness`."""
    aperture: float
    """Mean height over the mouth's width of what is neither lip nor skin between the outer lip contours."""
    teeth: float
    """0..1: how surely a row of upper teeth is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Of m source frames, rising; lengths are eye distances in the face frame."""

    frames: NDArray[np.int32]
    """int32[m]: source frame numbers."""
    time_s: Vector
    scene: NDArray[np.int32]
    opening: Vector
    width: Vector
    eye_px: Vector
    """float64[m]: pixels per eye distance."""
    yaw_deg: Vector
    pitch_deg: Vector
    roll_deg: Vector
    sharpness: Vector
    aperture: Vector
    teeth: Vector
    thumbnail: NDArray[np.uint8]
    """uint8[m, 24, 24, 3]: Lab."""

    def __len__(self) -> int:
        return len(self.frames)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name -> array, for saving."""
        return {f"gallery_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Traits":
        """Copy what `to_arrays` gave, mapped or not (3 MB at most); KeyError where something is missing."""
        return cls(**{field.name: np.array(arrays[f"gallery_{field.name}"]) for field in fields(cls)})

    def rows(self, chosen: NDArray[np.intp] | Flags) -> "Traits":
        """Take some of the frames."""
        return Traits(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def look_at(picture: Bgr, face: Face, origin: Vector) -> Look:
    """Measure a crop: float32[h, w, 3] whose first pixel is `origin` of the picture that `face` lies in."""
    to_crop = _to_crop(face, origin)
    patch = _patch(picture, to_crop, face.eye_px)
    vertices = (face.vertices - origin - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
    lips = _filled(vertices[LIP_OUTLINE])
    lip = _colour_at(patch, vertices[LIP_SAMPLES])
    axes = Axes.along(np.array([0.0, 1.0]))
    shown = look_inside(
        patch,
        Profile.of(vertices, axes),
        axes,
        opening=face.opening,
        lip=lip,
        skin=_colour_at(patch, vertices[SKIN_SAMPLES]),
    )
    small = np.asarray(cv2.resize(patch, (THUMBNAIL_PX,) * 2, interpolation=cv2.INTER_AREA), np.float32)
    return Look(
        thumbnail=np.asarray(cv2.cvtColor(_bytes(small), cv2.COLOR_BGR2LAB), np.uint8),
        sharpness=_sharpness(patch, lips),
        aperture=_aperture(patch, lips, lip) / max(face.width, PATCH_SPAN / 10),
        teeth=shown.teeth,
    )


def _to_crop(face: Face, origin: Vector) -> Vector:
    """Affine map (float64[2, 3]) from pixels of the patch to pixels of the crop, in the plane of the resting lips."""
    centre = np.asarray(load_face_model().mean_face, np.float64)[LIPS].mean(axis=0)
    scale, rotation, shift = face.pose.scale[0], face.pose.rotation[0], face.pose.shift[0]
    linear = scale * rotation[:2, :2]
    corner = centre[:2] - PATCH_SPAN / 2 + 0.5 / PATCH_PX_PER_EYE
    start = linear @ corner + scale * rotation[:2, 2] * centre[2] + shift[:2] - origin
    return np.column_stack([linear / PATCH_PX_PER_EYE, start])


def _patch(picture: Bgr, to_crop: Vector, eye_px: float) -> Bgr:
    """Bring the crop into the face frame: float32[96, 96, 3]."""
    # The warp reads single pixels: what is to shrink is shrunk before.
    shrink = max(int(eye_px / PATCH_PX_PER_EYE), 1)
    if shrink > 1:
        height, width = (length // shrink for length in picture.shape[:2])
        picture = np.asarray(
            cv2.resize(picture[: height * shrink, : width * shrink], (width, height), interpolation=cv2.INTER_AREA)
        )
        to_crop = to_crop / shrink
        to_crop[:, 2] -= (shrink - 1) / 2 / shrink
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, to_crop, (PATCH_PX, PATCH_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )


def _filled(polygon: Vector) -> Flags:
    mask = np.zeros((PATCH_PX, PATCH_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], (1,), shift=4)
    return mask > 0


def _colour_at(patch: Bgr, points: Vector) -> Vector:
    """Take the median colour at some points: float64[3] BGR."""
    x, y = np.clip(np.rint(points), 0, PATCH_PX - 1).astype(int).T
    return np.asarray(np.median(patch[y, x], axis=0), np.float64)


def _sharpness(patch: Bgr, lips: Flags) -> float:
    """Compare fine with coarse detail, so that contrast and light do not matter.

    Of six measures tried on seven clips this one fell most surely with the speed of the lips (rank correlation -.05
    to -.47) and depended little on how far they were open.
    """
    around = cv2.dilate(lips.astype(np.uint8), np.ones((2 * LIP_SURROUNDINGS_PX + 1,) * 2, np.uint8)) > 0
    luma = np.asarray(patch @ LUMA.astype(np.float32), np.float32)
    fine, *coarse = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (FINE_PX, *COARSE_PX))
    detail, shapes = (luma - fine)[around], (coarse[0] - coarse[1])[around]
    return float(np.sqrt((detail**2).mean() / max(float((shapes**2).mean()), 1e-3)))


def _aperture(patch: Bgr, lips: Flags, lip: Vector) -> float:
    """Measure the area inside the lips that is no lip, in square eye distances."""
    inside = cv2.erode(lips.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    colour = patch[inside].astype(np.float64)
    luma = colour @ LUMA / max(float(lip @ LUMA), 1.0)
    red = _redness(colour) / max(float(_redness(lip)), LEAST_LIP_RED)
    foreign = (luma < DARK_LUMA) | ((luma > TOOTH_LUMA) & (red < TOOTH_RED))
    return float(foreign.sum()) / PATCH_PX_PER_EYE**2


def _redness(colour: Vector) -> Vector:
    """How much redder than grey."""
    return np.asarray(colour[..., 2] / np.maximum(colour[..., 1], 1.0) - 1)


def _bytes(picture: Bgr) -> NDArray[np.uint8]:
    return np.asarray(cv2.addWeighted(picture, 1.0, picture, 0.0, 0.0, dtype=cv2.CV_8U), np.uint8)


def relative_sharpness(traits: Traits) -> Vector:
    """Compare each frame with what is usual in this clip at its opening: float64[m], 1 is usual."""
    if len(traits) == 0:
        return np.zeros(0)
    level = np.log(np.maximum(traits.sharpness, 1e-6))
    arm = traits.opening - traits.opening.mean()
    slope = float(arm @ level) / (float(arm @ arm) + LEVELLING * len(arm))
    level = level - slope * arm
    return np.asarray(np.exp(level - np.median(level)))


def seen_opening(traits: Traits) -> Vector:
    """Tell the opening from the aperture, in the measure of this person and this light: float64[m].

    The contour of rounded lips may lie shut on a mouth that is open; its colours do not.
    """
    if len(traits) == 0:
        return np.zeros(0)
    shut, wide = traits.opening < SHUT_BELOW, traits.opening > WIDE_ABOVE
    enough = shut.sum() >= FEW_FRAMES
    floor = np.percentile(traits.aperture[shut], 15) if enough else traits.aperture.min()
    rise = np.median((traits.aperture - floor)[wide] / traits.opening[wide]) if wide.any() else USUAL_RISE
    return np.asarray(np.maximum(traits.aperture - floor, 0) / max(float(rise), USUAL_RISE / 3))


def blurred_frames(traits: Traits) -> Flags:
    """Tell which frames are far less sharp than this clip's usually are: bool[m]."""
    return np.asarray(relative_sharpness(traits) < BLURRED)


def covered_frames(traits: Traits) -> Flags:
    """Tell where something unlike this person's skin lies around the mouth: bool[m].

    The second look at what the tracker let pass: the skin around the mouth, less a common change of light, is like
    that of no frame of another time. The mouth itself may do what it likes.
    """
    skin = traits.thumbnail[:, _around_mouth()].astype(np.float32)
    if len(traits) <= LIKE_FRAMES:
        return np.zeros(len(traits), np.bool_)
    distance = rms_distances(skin - np.median(skin, axis=1, keepdims=True))
    distance[np.abs(traits.time_s[:, None] - traits.time_s) < APART_S] = np.inf
    unlike = np.partition(distance, LIKE_FRAMES - 1, axis=1)[:, LIKE_FRAMES - 1]
    known = np.isfinite(unlike)
    usual = float(np.median(unlike[known])) if known.any() else 0.0
    return np.asarray(known & (unlike > COVERED[0] * usual + COVERED[1]))


def rms_distances(views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare every two views [m, ...]: float32[m, m], root of the mean square of their difference."""
    flat = views.reshape(len(views), -1)
    size = (flat**2).sum(axis=1)
    square = size[:, None] + size - 2 * flat @ flat.T
    return np.asarray(np.sqrt(np.maximum(square / flat.shape[1], 0)), np.float32)


def _around_mouth() -> Flags:
    """Pixels of a thumbnail outside of where lips may be: bool[24, 24]."""
    offset = (np.arange(THUMBNAIL_PX) + 0.5) / THUMBNAIL_PX * PATCH_SPAN - PATCH_SPAN / 2
    x, y = np.meshgrid(offset, offset)
    return np.asarray((x / 0.40) ** 2 + ((y - 0.05) / 0.28) ** 2 > 1)


def teeth_donors(traits: Traits, most: int = 12) -> list[int]:
    """Find the frames (rows) that show the upper teeth surely, frontal and sharp: the best first, apart in time."""
    if len(traits) == 0:
        return []
    turned = np.maximum(np.abs(traits.yaw_deg), np.abs(traits.pitch_deg - np.median(traits.pitch_deg))) / FRONTAL_DEG
    worth = traits.teeth * np.minimum(relative_sharpness(traits), 1.5) * (1 - turned**2 / 2)
    donors: list[int] = []
    for row in np.argsort(-worth, kind="stable").tolist():
        able = traits.teeth[row] >= SURE_TEETH and turned[row] <= 1
        if able and all(abs(traits.time_s[row] - traits.time_s[donor]) >= DONORS_APART_S for donor in donors):
            donors.append(row)
        if len(donors) == most:
            break
    return donors
