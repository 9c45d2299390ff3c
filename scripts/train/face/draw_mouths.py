"""Step 3: give every face that looks at the camera other mouths, with the product's own painter.

    python -m scripts.train.face.draw_mouths FOLDER [--each 5] [--seed 1]

Photographs show mouths closed or smiling; speech opens, rounds and presses them. What is drawn is known, so the
labels are the geometry itself and not what the labeller reads from the picture: it takes rounded, slightly open lips
for closed ones. Writes into the folder

    drawn.npy      uint8[m, 256, 256, 3], BGR
    drawn.npz      points float32[m, 74, 2], source int32[m] (row of pictures.npy), kind str[m], opening float32[m]
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import ColourTags
from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.mesh import (
    CHIN,
    COLUMNS,
    LIPS,
    LOWER_INNER,
    LOWER_OUTER,
    UPPER_INNER,
    UPPER_OUTER,
    lower_face,
    with_ring,
)
from heygemd.render.atlas.mouth import MouthSource, Worn, paint_mouth
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import Face, face_of, placed_vertices
from heygemd.render.atlas.skin import bend_skin
from heygemd.render.colour import Region, coding_of, read_bgr, write_bgr
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

Vector = NDArray[np.float64]
Rng = np.random.Generator

LEAST_EYE_PX = 55.0
MOST_YAW_DEG, MOST_PITCH_DEG = 32.0, 28.0
JAW_DROP = (0.15, 0.5)
"""How far the chin follows the opening: smallest of a mumbler, largest of an actor."""
WIDTH_BOUNDS = (0.30, 0.85)
CREST = 0.75
"""Half width of a rounded gap, in half widths of the mouth: beyond it the lips touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The mouth to draw; lengths in eye distances."""

    kind: str
    opening: float
    wider: float
    """Change of the width."""
    rounded: float = 0.0
    """0..1: how far the gap is gathered in the middle."""
    fullness: float = 1.0
    """Factor on the thickness of the lips' red: below 1 pressed, above 1 pouted."""


KINDS = ("shut", "pressed", "slit", "round", "pout", "half", "wide")
BLIND_KINDS = frozenset({"pressed", "slit", "round", "pout"})
"""What the labeller reads badly: its reading is no reason to leave a picture out."""


def wish_of(kind: str, rng: Rng) -> Wish:
    """Draw the particulars of one kind of mouth."""
    wider = float(rng.uniform(-0.16, 0.05)) * (1.0 if rng.random() < 0.75 else 0.3)
    match kind:
        case "shut":
            return Wish(kind=kind, opening=rng.uniform(0, 0.008), wider=wider)
        case "pressed":
            return Wish(kind=kind, opening=0.0, wider=rng.uniform(-0.05, 0.06), fullness=rng.uniform(0.3, 0.75))
        case "slit":
            return Wish(kind=kind, opening=rng.uniform(0.015, 0.06), wider=wider)
        case "round" | "pout":
            opening = rng.uniform(0.015, 0.06) if kind == "pout" else rng.uniform(0.05, 0.16)
            narrower, fuller = -rng.uniform(0.08, 0.2), rng.uniform(1.0, 1.35)
            return Wish(kind=kind, opening=opening, wider=narrower, rounded=rng.uniform(0.4, 1), fullness=fuller)
        case "half":
            return Wish(kind=kind, opening=rng.uniform(0.06, 0.17), wider=wider)
        case _:
            return Wish(kind=kind, opening=rng.uniform(0.17, 0.36), wider=wider)


def wished_vertices(face: Face, wish: Wish, person: Person) -> Vector:
    """Say where the vertices of a face lie (float64[468, 2], pixels) when it has the mouth."""
    mesh, down = lower_face(), face.down
    placed = placed_vertices(face, person, mouth_of(face, wish), [(face, 1.0)])
    height = placed @ down / float(down @ down)
    gap = height[LOWER_INNER] - height[UPPER_INNER]
    place = np.linspace(-1, 1, COLUMNS) / CREST
    gathered = gap.max() * np.sqrt(np.clip(1 - place**2, 0, None))
    gather = wish.rounded * (gathered - gap) / 2
    lips, column = np.zeros(len(placed)), mesh.nearest_column
    for side, inner, outer in ((-1, UPPER_INNER, UPPER_OUTER), (1, LOWER_INNER, LOWER_OUTER)):
        fuller = (wish.fullness - 1) * np.abs(height[outer] - height[inner])
        wanted = side * (gather[column] + mesh.outward * fuller[column])
        lips = np.where(mesh.side == side, wanted, lips)
    move = np.zeros(len(placed))
    move[LIPS] = lips[LIPS]
    # The skin around the lips follows as the product lets it.
    return np.asarray(placed + (mesh.membrane @ move[mesh.held])[:, None] * down)


def mouth_of(face: Face, wish: Wish) -> Mouth:
    """Say what the painter is asked for."""
    return Mouth(opening=wish.opening, width=float(np.clip(face.width + wish.wider, *WIDTH_BOUNDS)))


def anybody(jaw_drop: float) -> Person:
    """Make a person with the generic modes and a jaw that follows the opening as far as told."""
    model = load_face_model()
    opening_mode = model.opening_mode.astype(np.float64)
    face = model.mean_face[: len(opening_mode)].astype(np.float64)
    lip, chin = face[LOWER_OUTER[COLUMNS // 2], 1], face[CHIN, 1]
    share = np.clip((face[:, 1] - lip) / (chin - lip), 0, 1)
    opening_mode[:, 1] += share * (jaw_drop - opening_mode[CHIN, 1])
    return Person(
        widest_opening=1.0,
        opening_limit=1.0,
        rest_width=0.5,
        width_swing=0.03,
        opening_mode=opening_mode,
        width_mode=model.width_mode.astype(np.float64),
    )


def draw(picture: NDArray[np.uint8], face: Face, wish: Wish, jaw_drop: float) -> tuple[NDArray[np.uint8], Vector]:
    """Draw the mouth: the new picture, and where the 74 points now lie (float64[74, 2])."""
    height, width = picture.shape[:2]
    coding = coding_of(ColourTags(), width_px=width, height_px=height)
    planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
    whole = Region(x=0, y=0, width=width, height=height)
    own = MouthSource(picture=read_bgr(planes, whole, coding), face=face)
    before = with_ring(face.vertices, lower_face().ring)
    after = np.concatenate([wished_vertices(face, wish, anybody(jaw_drop)), before[len(face.vertices) :]])
    bend_skin(planes, before, after, eye_px=face.eye_px)
    colours = read_bgr(planes, whole, coding)
    worn = [Worn(source=own, weight=1.0)]
    touched = paint_mouth(colours, face, after, wanted=mouth_of(face, wish), worn=worn, bite=Bite())
    write_bgr(planes, whole, coding, colours, touched)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8), after[list(MESH_INDEXES)]


def is_frontal(face: Face) -> bool:
    """Tell whether the face is large and turned little enough to be redrawn."""
    rotation = face.pose.rotation[0]
    pitch = np.degrees(np.arctan2(-rotation[1, 2], np.hypot(rotation[0, 2], rotation[2, 2])))
    turned_away = abs(face.pose.yaw_deg[0]) > MOST_YAW_DEG or abs(pitch) > MOST_PITCH_DEG
    return bool(face.eye_px >= LEAST_EYE_PX and not turned_away)


def draw_all(folder: Path, each: int, seed: int) -> None:
    pictures = np.load(folder / "pictures.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npz")["points"][:, list(MESH_INDEXES), :2].astype(np.float32)
    rng = np.random.default_rng(seed)
    drawn: list[NDArray[np.uint8]] = []
    points: list[Vector] = []
    notes: list[tuple[int, str, float]] = []
    for source, (picture, own) in enumerate(zip(pictures, labels, strict=True)):
        face = face_of(own)
        if not is_frontal(face):
            continue
        for kind in rng.choice(KINDS, size=each, replace=False):
            wish = wish_of(str(kind), rng)
            new, where = draw(np.ascontiguousarray(picture), face, wish, rng.uniform(*JAW_DROP))
            drawn.append(new)
            points.append(where)
            notes.append((source, wish.kind, wish.opening))
    sources, kinds, openings = zip(*notes, strict=True)
    np.save(folder / "drawn.npy", np.array(drawn))
    np.savez(
        folder / "drawn.npz",
        points=np.array(points, np.float32),
        source=np.array(sources, np.int32),
        kind=np.array(kinds),
        opening=np.array(openings, np.float32),
    )
    print(f"drew {len(drawn)} mouths: {dict(Counter(kinds))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=5, help="mouths per face")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    draw_all(arguments.folder, arguments.each, arguments.seed)


if __name__ == "__main__":
    main()
