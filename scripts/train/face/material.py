"""The labelled pictures that everything is learned from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.topology import MESH_INDEXES, opening

Bgr = NDArray[np.uint8]
Rng = np.random.Generator
Points = NDArray[np.float64]

HELD_OUT = 25
"""Every so many-th picture, and what was drawn from it, is kept out of training."""
DRAWN_SHARE = 0.5
OPENING_BINS = np.array([-1, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 9])
FLATTENING = 0.6
"""1 would make all openings equally frequent, 0 leave them as they are."""
LEAST_IN_BIN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Pictures with points: photographs and generated faces first, then those with drawn mouths."""

    stills: NDArray[np.uint8]
    drawn: NDArray[np.uint8]
    still_points: Points
    drawn_points: Points
    still_chances: Points
    """float64[n], cumulated: how often each picture is taken; 0 for those held out."""
    drawn_chances: Points
    held_out: NDArray[np.intp]

    @classmethod
    def read(cls, folder: Path) -> "Material":
        """Read what label.py, draw_mouths.py and check_mouths.py have written."""
        still_points = np.load(folder / "labels.npz")["points"][:, list(MESH_INDEXES), :2].astype(np.float64)
        made, keep = np.load(folder / "drawn.npz"), np.load(folder / "checked.npz")["keep"]
        held_out = np.arange(0, len(still_points), HELD_OUT)
        learned = ~np.isin(np.arange(len(still_points)), held_out)
        drawn_points = made["points"].astype(np.float64)
        return cls(
            stills=np.load(folder / "pictures.npy", mmap_mode="r"),
            drawn=np.load(folder / "drawn.npy", mmap_mode="r"),
            still_points=still_points,
            drawn_points=drawn_points,
            still_chances=chances(opening(still_points), learned),
            drawn_chances=chances(opening(drawn_points), keep & learned[made["source"]]),
            held_out=held_out,
        )

    def pick(self, rng: Rng) -> tuple[Bgr, Points]:
        """Take one picture and its points float64[74, 2]."""
        drawn = rng.random() < DRAWN_SHARE
        table = self.drawn_chances if drawn else self.still_chances
        row = int(np.searchsorted(table, rng.random() * table[-1]))
        pictures, points = (self.drawn, self.drawn_points) if drawn else (self.stills, self.still_points)
        return np.ascontiguousarray(pictures[row]), points[row]


def chances(openings: NDArray[np.floating], usable: NDArray[np.bool_]) -> Points:
    """Cumulate chances that make rare openings more frequent: float64[n]."""
    counts = np.maximum(np.histogram(openings[usable], OPENING_BINS)[0], LEAST_IN_BIN)
    bins = np.clip(np.digitize(openings, OPENING_BINS) - 1, 0, len(counts) - 1)
    return np.asarray(np.cumsum(np.where(usable, 1.0 / counts[bins] ** FLATTENING, 0.0)))
