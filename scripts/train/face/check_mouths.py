"""Step 4b: leave out drawn mouths that came out as nonsense.

    python -m scripts.train.face.check_mouths FOLDER

Compares what was drawn (drawn.npz) with what the labeller reads (read.npy). Where it is known to read badly (rounded,
pressed, slightly open lips) only the outer contour and the rest of the face must agree. Writes

    checked.npz    keep bool[m]; read float32[k, 478, 3]: the readings that may serve the lift
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces import topology
from scripts.train.face.draw_mouths import BLIND_KINDS

MOST_LIP_ERROR = 0.045
MOST_CONTOUR_ERROR = 0.05
"""The same for the outer contour where the labeller is blind."""
MOST_FACE_ERROR = 0.03
"""Mean error of nose, eyes and brows, which were not redrawn."""
OPENING_TOLERANCE = (0.02, 0.12)
"""A constant and a share of the drawn opening."""
STILL_ROWS = np.r_[topology.NOSE_ROWS, topology.EYE_ROWS, topology.BROW_ROWS]


def sensible(
    drawn: NDArray[np.float32], read: NDArray[np.float32], blind: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Judge drawn against read points, both float32[m, 74, 2].

    Returns bool[m] of the pictures to keep, and of those whose reading can be trusted as a whole.
    """
    distance = np.linalg.norm(drawn - read, axis=2) / topology.eye_distance(drawn)[:, None]
    with np.errstate(invalid="ignore"):
        wrong = np.abs(topology.opening(drawn) - topology.opening(read))
        still = distance[:, STILL_ROWS].mean(axis=1) < MOST_FACE_ERROR
        contour = distance[:, topology.OUTER_LIP_ROWS].mean(axis=1) < MOST_CONTOUR_ERROR
        lips = distance[:, topology.LIP_ROWS].mean(axis=1) < MOST_LIP_ERROR
        opening = wrong < OPENING_TOLERANCE[0] + OPENING_TOLERANCE[1] * topology.opening(drawn)
    trusted = still & lips & opening
    return trusted | (blind & still & contour), trusted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    made = np.load(folder / "drawn.npz")
    read = np.load(folder / "read.npy")
    blind = np.isin(made["kind"], sorted(BLIND_KINDS))
    keep, trusted = sensible(made["points"], read[:, list(topology.MESH_INDEXES), :2], blind)
    np.savez(folder / "checked.npz", keep=keep, read=read[trusted])
    for kind in np.unique(made["kind"]):
        of_kind = made["kind"] == kind
        own = topology.opening(made["points"][of_kind & keep]).mean()
        seen = topology.opening(read[of_kind & keep][:, list(topology.MESH_INDEXES), :2]).mean()
        print(f"{kind}: kept {keep[of_kind].mean():.2f} of {of_kind.sum()}, mean opening {own:.3f}, read as {seen:.3f}")


if __name__ == "__main__":
    main()
