"""Batches for the two point nets: faces framed as the tracker frames them, covered, badly photographed, or absent."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.networks import LandmarkNet, LipNet
from heygemd.render.faces.picture import Affine, mapped
from heygemd.render.faces.reader import FACE_MARGIN
from heygemd.render.faces.square import LIP_SQUARE_EYES, Square, face_square, mouth_square
from heygemd.render.faces.topology import (
    LIP_ROWS,
    MESH_INDEXES,
    eye_distance,
    rows_of,
)
from scripts.train.face.heads import covered, cut_off, on_other_ground, warped
from scripts.train.face.material import Bgr, Material, Points, Rng
from scripts.train.face.photography import photographed, retaken
from scripts.train.face.scenery import faceless

TWIN_SHIFT, TWIN_ZOOM, TWIN_TURN_DEG = 0.012, 0.015, 1.5
"""How differently the same picture is framed twice: standard deviations; shift in sides."""
MEMORY, REMEMBERED_SHARE = 3000, 0.5
"""Samples that may be shown again, and how many of all are."""
HIDDEN_GAIN = 1.6
"""Lips covered by 1 / 1.6 count as not visible at all."""


def mirrored_rows() -> NDArray[np.intp]:
    """Row of the point on the other side of the face, for each of the 74 rows."""
    return rows_of(int(load_face_model().mirror[index]) for index in MESH_INDEXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One crop and what is true of it."""

    crop: Bgr
    points: Points
    """float64[p, 2], pixels of the crop."""
    beliefs: tuple[float, ...]
    """Wanted answers of the net's logits, 0..1."""
    weight: float
    """How much its points count; 0 where there is no face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of one net; points are in -1..1, as the net gives them."""

    crops: NDArray[np.uint8]
    points: NDArray[np.float32]
    beliefs: NDArray[np.float32]
    weights: NDArray[np.float32]
    twins: NDArray[np.float32]
    """float32[t, 2, 3]: the last t samples are the t before them, taken again; this brings their points back."""


class Framer(Protocol):
    """Makes samples for one net."""

    side_px: int
    point_count: int

    def __call__(self, material: Material, rng: Rng) -> Sample:
        """Make a sample of a face or of none."""
        ...


def distorted(to_crop: Affine, rng: Rng, side_px: int) -> Affine:
    """Squeeze and shear about the middle of the crop: a little like another pose."""
    if rng.random() < 0.5:
        return to_crop
    bend = np.array(
        [[np.exp(rng.normal(0, 0.08)), rng.normal(0, 0.06)], [rng.normal(0, 0.03), np.exp(rng.normal(0, 0.05))]]
    )
    middle = np.full(2, side_px / 2)
    return np.column_stack([bend @ to_crop[:, :2], bend @ (to_crop[:, 2] - middle) + middle])


class Remembering:
    """A framer that shows some of its samples again, mirrored or not and in other light.

    Making a sample costs as much time as learning from it.
    """

    def __init__(self, framer: Framer) -> None:
        self._framer = framer
        self._mirror = mirrored_rows()[: framer.point_count]
        self._memory: list[Sample] = []
        self.side_px, self.point_count = framer.side_px, framer.point_count

    def __call__(self, material: Material, rng: Rng) -> Sample:
        """Make a sample, or take one out of the memory."""
        full = len(self._memory) == MEMORY
        if full and rng.random() < REMEMBERED_SHARE:
            return self._changed(self._memory[rng.integers(MEMORY)], rng)
        sample = self._framer(material, rng)
        if full:
            self._memory[rng.integers(MEMORY)] = sample
        else:
            self._memory.append(sample)
        return sample

    def _changed(self, sample: Sample, rng: Rng) -> Sample:
        crop, points = sample.crop, sample.points
        if rng.random() < 0.5:
            crop, points = crop[:, ::-1], (points * [-1, 1] + [self.side_px - 1, 0])[self._mirror]
        crop = cv2.convertScaleAbs(np.ascontiguousarray(crop), alpha=rng.uniform(0.7, 1.3), beta=rng.uniform(-20, 20))
        return Sample(crop=crop, points=points, beliefs=sample.beliefs, weight=sample.weight)


class FaceFramer:
    """Crops for the landmark net."""

    side_px = LandmarkNet.side_px
    point_count = LandmarkNet.point_count
    negative_share = 0.15
    covered_share = 0.25
    other_ground_share = 0.3

    def __init__(self) -> None:
        self._mirror = mirrored_rows()

    def __call__(self, material: Material, rng: Rng) -> Sample:
        """Make a sample of a face or of none."""
        if rng.random() < self.negative_share:
            return self._absent(material, rng)
        picture, points = material.pick(rng)
        if rng.random() < self.other_ground_share:
            picture = on_other_ground(picture, points, rng)
        if rng.random() < 0.1:
            picture = cut_off(picture, points, rng)
        square = self._framed(face_square(points), rng)
        to_crop = distorted(square.to_crop(self.side_px, margin=FACE_MARGIN), rng, self.side_px)
        crop, points = warped(picture, to_crop, self.side_px), mapped(to_crop, points)
        if rng.random() < 0.5:
            crop, points = np.ascontiguousarray(crop[:, ::-1]), self._flipped(points)
        hidden = 0.0
        if rng.random() < self.covered_share:
            eye_px = float(eye_distance(points))
            on_lips = rng.random() < 0.65
            at = points[LIP_ROWS].mean(axis=0) if on_lips else rng.uniform(0.2, 0.8, 2) * self.side_px
            hidden = covered(crop, points, rng, at=at, size_px=0.5 * eye_px)
        crop = photographed(crop, rng)
        visible = float(np.clip(1 - HIDDEN_GAIN * hidden, 0, 1))
        return Sample(crop=crop, points=points, beliefs=(1.0, visible), weight=1 - 0.7 * hidden)

    def _flipped(self, points: Points) -> Points:
        return np.asarray((points * [-1, 1] + [self.side_px - 1, 0])[self._mirror])

    def _framed(self, square: Square, rng: Rng) -> Square:
        """Frame a face as the tracker (mostly) or the search (sometimes) does."""
        coarse = rng.random() < 0.15
        shift, zoom = (0.10, 0.18) if coarse else (0.045, 0.085)
        spread = rng.random()
        turn = rng.normal(0, 9) if spread < 0.55 else rng.normal(0, 22) if spread < 0.9 else rng.uniform(-55, 55)
        right, down = rng.normal(0, shift, 2)
        return square.moved(right, down, float(np.exp(rng.normal(0, zoom))), turn)

    def _absent(self, material: Material, rng: Rng) -> Sample:
        points = np.zeros((self.point_count, 2))
        if rng.random() < 0.55:
            crop = faceless(rng, self.side_px)
        else:
            picture, own = material.pick(rng)
            crop = warped(
                picture, self._missed(face_square(own), rng).to_crop(self.side_px, margin=FACE_MARGIN), self.side_px
            )
        return Sample(crop=photographed(crop, rng), points=points, beliefs=(0.0, 0.0), weight=0.0)

    def _missed(self, square: Square, rng: Rng) -> Square:
        """Frame what lies beside a face, too much, too little, or a face upside down."""
        turn = rng.normal(0, 15)
        match rng.choice(4, p=(0.5, 0.22, 0.2, 0.08)):
            case 0:
                away, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.3)
                return square.moved(far * np.cos(away), far * np.sin(away), float(np.exp(rng.normal(0, 0.2))), turn)
            case 1:
                return square.moved(*rng.normal(0, 0.3, 2), rng.uniform(2.4, 4), turn)
            case 2:
                return square.moved(*rng.normal(0, 0.25, 2), rng.uniform(0.15, 0.4), turn)
            case _:
                return square.moved(0, 0, 1.0, 180 + 3 * turn)


class LipFramer:
    """Crops for the lip net."""

    side_px = LipNet.side_px
    point_count = LipNet.point_count
    negative_share = 0.06
    covered_share = 0.25
    aim_error = 0.02
    """Error of the landmark net's points, in eye distances, from which the crop is aimed."""

    def __init__(self) -> None:
        self._mirror = mirrored_rows()

    def __call__(self, material: Material, rng: Rng) -> Sample:
        """Make a sample of lips or of none."""
        picture, points = material.pick(rng)
        aim = points + rng.normal(0, self.aim_error, 2) * float(eye_distance(points))
        square = mouth_square(aim).moved(*rng.normal(0, 0.035, 2), float(np.exp(rng.normal(0, 0.07))), rng.normal(0, 5))
        if rng.random() < self.negative_share:
            return self._absent(picture, square, rng)
        to_crop = distorted(square.to_crop(self.side_px, margin=LIP_SQUARE_EYES), rng, self.side_px)
        crop, points = warped(picture, to_crop, self.side_px), mapped(to_crop, points)
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
            points = (points * [-1, 1] + [self.side_px - 1, 0])[self._mirror]
        hidden = 0.0
        if rng.random() < self.covered_share:
            eye_px = float(eye_distance(points))
            hidden = covered(crop, points, rng, at=points[LIP_ROWS].mean(axis=0), size_px=0.5 * eye_px)
        crop = photographed(crop, rng, least_detail=0.25)
        visible = float(np.clip(1 - HIDDEN_GAIN * hidden, 0, 1))
        return Sample(crop=crop, points=points[LIP_ROWS], beliefs=(visible,), weight=1 - 0.7 * hidden)

    def _absent(self, picture: Bgr, square: Square, rng: Rng) -> Sample:
        if rng.random() < 0.6:
            right, down = rng.choice((-1, 1), 2) * rng.uniform(0.6, 1.2, 2)
            beside = square.moved(right, down, 1.0, 0.0).to_crop(self.side_px, margin=LIP_SQUARE_EYES)
            crop = warped(picture, beside, self.side_px)
        else:
            crop = faceless(rng, self.side_px)
        points = np.zeros((self.point_count, 2))
        return Sample(crop=photographed(crop, rng), points=points, beliefs=(0.0,), weight=0.0)


def taken_again(sample: Sample, rng: Rng, side_px: int) -> tuple[Sample, Affine]:
    """Move the crop a little and add other noise: the new sample, and the map from its points (-1..1) to the old."""
    turn, zoom = np.deg2rad(rng.normal(0, TWIN_TURN_DEG)), np.exp(rng.normal(0, TWIN_ZOOM))
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.full(2, side_px / 2)
    shift = middle - linear @ middle + side_px * rng.normal(0, TWIN_SHIFT, 2)
    move = np.column_stack([linear, shift])
    crop = retaken(warped(sample.crop, move, side_px), rng)
    again = Sample(crop=crop, points=mapped(move, sample.points), beliefs=sample.beliefs, weight=sample.weight)
    back = np.linalg.inv(linear)
    # With u = 2 p / side - 1 on both sides, the shift changes as follows.
    in_units = back @ (np.ones(2) - 2 * shift / side_px) - np.ones(2)
    return again, np.column_stack([back, in_units])


def batch_of(framer: Framer, material: Material, rng: Rng, *, size: int, twins: int) -> Batch:
    """Make `size` samples, the last `twins` of which are the `twins` before them, taken again."""
    samples: list[Sample] = []
    while len(samples) < size - twins:
        sample = framer(material, rng)
        # Those that are taken again stand last and show a face.
        if len(samples) < size - 2 * twins or sample.weight == 1:
            samples.append(sample)
    again = [taken_again(sample, rng, framer.side_px) for sample in samples[size - 2 * twins :]]
    samples += [sample for sample, _ in again]
    return Batch(
        crops=np.stack([sample.crop for sample in samples]),
        points=np.stack([sample.points * 2 / framer.side_px - 1 for sample in samples]).astype(np.float32),
        beliefs=np.array([sample.beliefs for sample in samples], np.float32),
        weights=np.array([sample.weight for sample in samples], np.float32),
        twins=np.array([back for _, back in again], np.float32).reshape(-1, 2, 3),
    )
