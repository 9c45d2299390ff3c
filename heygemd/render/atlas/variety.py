"""Which source frames are worth keeping as mouths: all of a short clip, of a long one runs that differ.

Runs, because going on from one source frame to the next is the only way that costs the selection nothing; and
differing ones, because a mouth that is there ten times helps no more than one that is there twice.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.motion import HeadMotion, unbroken_runs
from heygemd.render.faces.topology import LIP_ROWS
from heygemd.render.faces.track import FaceTrack

Vector = NDArray[np.float64]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

CROP_MARGIN = 0.36
"""Eye distances kept around the lips. Layer B reaches .27 around the target's; a head turned 15 degrees otherwise, and
a chin that drops, take the rest."""
RUN_S = 0.8
"""Frames are taken in runs of about this length: going on to the next frame costs the selection nothing."""
LEAST_RUNS = 8
"""Runs get shorter where fewer than this would fit."""
CELLS = (0.025, 0.03, 6.0, 6.0)
"""Opening, width, yaw and pitch in which two frames count as alike: eye distances and degrees."""
COARSE_OPENINGS = (0.02, 0.08)
"""Shut, half open, wide: each of them is wanted of every part of the clip."""
RUNS_PER_PART = 4
"""The clip is cut into so many parts that each may have this many runs."""
FADING = 0.5
"""Worth of seeing once more what was taken before."""
CALM = 0.05
"""Speed of the mouth, in eye distances a frame, at which its run is worth half: it may be blurred."""
BLOCK_FRAMES = 4096
"""Frames whose points are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryLimits:
    """How large a gallery may be."""

    frames: int = 1500
    size_bytes: int = 256 << 20


def choose_frames(
    motion: HeadMotion, usable: Flags, track: FaceTrack, limits: GalleryLimits = GalleryLimits()
) -> NDArray[np.int32]:
    """Choose source frames for the gallery: int32[m], rising; a function of the track alone.

    All `usable` (bool[n]) ones where they fit, else runs that differ in opening, width and pose, calm ones first,
    spread over the whole clip, the widest and the most shut included.
    """
    usable = usable & np.isfinite(motion.opening)
    sizes, speeds = _sizes_and_speeds(motion, np.flatnonzero(usable))
    if usable.sum() <= limits.frames and sizes.sum() <= limits.size_bytes:
        return np.flatnonzero(usable).astype(np.int32)
    runs = _runs(track, usable, limits, float(sizes.mean()))
    rows = np.concatenate([np.arange(start, stop) for start, stop in runs])
    owner = np.repeat(np.arange(len(runs)), [stop - start for start, stop in runs])
    # `rows` are the usable frames in order, so that sizes and speeds belong to them one by one.
    costs = np.stack([np.bincount(owner), np.bincount(owner, sizes)], axis=1).astype(np.float64)
    parts = max(int(limits.frames * len(runs) / len(rows)) // RUNS_PER_PART, 1)
    offers = _Runs(
        kinds=_kinds(motion, track, rows, owner, parts),
        worth=1 / (1 + np.bincount(owner, speeds) / costs[:, 0] / CALM),
        costs=costs,
    )
    extremes = [f(measure[rows]) for measure in (motion.opening, motion.width) for f in (np.argmax, np.argmin)]
    taken = _most_diverse(offers, limits, list(dict.fromkeys(owner[extremes].tolist())))
    return rows[taken[owner]].astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Runs of frames to choose from."""

    kinds: Rows
    """intp[2, p]: run, and a kind of frame that it shows; each pair once."""
    worth: Vector
    """float64[runs]: of showing anything new."""
    costs: Vector
    """float64[runs, 2]: frames and bytes."""


def _sizes_and_speeds(motion: HeadMotion, rows: Rows) -> tuple[Vector, Vector]:
    """Bytes of each frame's crop at most, and how fast its mouth moves in eye distances a frame: float64[len(rows)]."""
    sizes, speeds = np.zeros(len(rows)), np.zeros(len(rows))
    for start in range(0, len(rows), BLOCK_FRAMES):
        block = rows[start : start + BLOCK_FRAMES]
        lips = motion.points(block)[:, LIP_ROWS].astype(np.float64)
        here = slice(start, start + len(block))
        # Even edges add at most three pixels.
        sides = lips.max(axis=1) - lips.min(axis=1) + (2 * CROP_MARGIN * motion.eye_px[block] + 4)[:, None]
        sizes[here] = 1.5 * sides.prod(axis=1)
        steps = np.linalg.norm(np.diff(lips, axis=0), axis=2).mean(axis=1) / motion.eye_px[block][1:]
        steps[np.diff(block) != 1] = 0
        speeds[here] = np.maximum(np.append(steps, 0), np.insert(steps, 0, 0))
    return sizes, speeds


def _runs(track: FaceTrack, usable: Flags, limits: GalleryLimits, frame_bytes: float) -> list[tuple[int, int]]:
    """Cut the usable frames into [start, stop) of about RUN_S."""
    step_s = float(np.median(np.diff(track.pts_s)))
    fitting = min(limits.frames, int(limits.size_bytes / frame_bytes))
    longest = int(max(1, min(round(RUN_S / max(step_s, 1e-3)), fitting // LEAST_RUNS)))
    runs = []
    for start, stop in unbroken_runs(track):
        edges = np.flatnonzero(np.diff(usable[start:stop].astype(np.int8), prepend=0, append=0)) + start
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            cuts = np.linspace(first, last, -(-(last - first) // longest) + 1).astype(int).tolist()
            runs += list(pairwise(cuts))
    return runs


def _kinds(motion: HeadMotion, track: FaceTrack, rows: Rows, owner: Rows, parts: int) -> Rows:
    """Number the kinds of frames and tell which run shows which: intp[2, p].

    There are kinds of mouth and pose, and kinds of opening in a part of the clip.
    """
    measures = np.stack([a[rows] for a in (motion.opening, motion.width, motion.yaw_deg, motion.pitch_deg)], axis=1)
    part = np.floor(track.pts_s[rows] / max(float(track.pts_s[-1]), 1e-3) * parts)
    coarse = np.stack([np.minimum(part, parts - 1), np.digitize(motion.opening[rows], COARSE_OPENINGS)], axis=1)
    like, then = (np.unique(kind, axis=0, return_inverse=True)[1].reshape(-1) for kind in (measures // CELLS, coarse))
    shown = np.concatenate([np.stack([owner, like]), np.stack([owner, then + like.max() + 1])], axis=1)
    return np.unique(shown, axis=1)


def _most_diverse(runs: _Runs, limits: GalleryLimits, first: list[int]) -> Flags:
    """Take the first ones, then run after run the one that shows most of what is not yet taken: bool[runs].

    The gain is submodular, so that greed comes near the best choice (Nemhauser, Wolsey and Fisher 1978).
    """
    owner, kind = runs.kinds
    seen = np.zeros(int(kind.max()) + 1)
    taken, spent = np.zeros(len(runs.worth), np.bool_), np.zeros(2)
    budget = np.array([limits.frames, limits.size_bytes], np.float64)
    while (fits := ~taken & (spent + runs.costs <= budget).all(axis=1)).any():
        gain = np.where(fits, runs.worth * np.bincount(owner, FADING ** seen[kind]), -1.0)
        best = first.pop(0) if first else int(gain.argmax())
        if fits[best]:
            taken[best] = True
            spent += runs.costs[best]
            seen[kind[owner == best]] += 1
    return taken
