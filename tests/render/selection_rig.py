"""A film's wishes and a head's motion as bare numbers, and the selection found by trying every way there is."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from heygemd.render.atlas.fitness import Fitness, Wanted
from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.ways import HOLD, JUMP, JUMP_DISTANCE, LAB_STEP, NOMINAL_FPS, OWN, REVERSE, TURN
from heygemd.render.faces.track import FaceTrack


def motion_of(count: int, **measures: Any) -> HeadMotion:
    names = ("opening", "width", "slow_width", "eye_px", "yaw_deg", "pitch_deg", "roll_deg")
    start = dict.fromkeys(names, 0.0) | {"eye_px": 100.0}
    columns = {name: np.broadcast_to(np.asarray(v, float), (count,)) for name, v in {**start, **measures}.items()}
    return HeadMotion(points=lambda frames: np.zeros((len(frames), 74, 2), np.float32), **columns)


def track_like(count: int, *, skin: np.ndarray | None = None) -> FaceTrack:
    return FaceTrack(
        pts_s=np.arange(count) * 0.0,
        points=np.zeros((count, 74, 2), np.float32),
        confidence=np.ones(count, np.float32),
        lips_visible=np.ones(count, np.float32),
        skin=np.zeros((count, 16, 3), np.uint8) if skin is None else skin,
        scene=np.zeros(count, np.int32),
    )


def wanting(opening: Sequence[float], *, width: float = 0.5, fps: float = 25.0, **columns: Any) -> Wanted:
    """A film that shows the source from its beginning; `columns` replace those of `Wanted`."""
    count = len(opening)
    start: dict[str, Any] = {
        "opening": opening, "width": np.full(count, width), "effect": np.ones(count),
        "source_frames": np.arange(count), "shots": np.zeros(count),
    }  # fmt: skip
    types = {"source_frames": np.int32, "shots": np.int64}
    arrays = {name: np.asarray(v, types.get(name, np.float64)) for name, v in {**start, **columns}.items()}
    return Wanted(fps=fps, **arrays)


JUMPED, FORTH, BACK, HELD, FREE = range(5)


def step(before: int, after: int, at: int, fitness: Fitness) -> tuple[int, float]:
    """How one mouth (or OWN) comes after another in frame `at`, and what a jump costs; told anew."""
    wanted, traits = fitness.wanted, fitness.traits
    if wanted.shots[at] != wanted.shots[at - 1]:
        return JUMPED, 0.0
    if before == OWN and after == OWN:
        return FREE, 0.0
    _, _, stand_in, is_own = fitness.of(slice(at - 1, at + 1))
    row_a, row_b = (int(stand_in[k]) if mouth == OWN else mouth for k, mouth in enumerate((before, after)))
    a, b = int(traits.frames[row_a]), int(traits.frames[row_b])
    placed = all(mouth != OWN or is_own[k] for k, mouth in enumerate((before, after)))
    if placed and b in {a, a + 1, a - 1}:
        return {a: HELD, a + 1: FORTH, a - 1: BACK}[b], 0.0
    rows = {int(frame): row for row, frame in enumerate(traits.frames)}
    follows = traits.thumbnail[rows.get(a + 1, row_a)].astype(float)
    distance = np.sqrt(((follows - traits.thumbnail[row_b]) ** 2).mean()) / LAB_STEP
    return JUMPED, float((JUMP + JUMP_DISTANCE * distance) * max(wanted.fps / NOMINAL_FPS, 1))


def stepped(kind: np.ndarray, jump: np.ndarray, forth: np.ndarray, back: np.ndarray, wanted: Wanted) -> tuple[Any, Any]:
    """Costs of ways that go forth and back, after steps of these kinds."""
    turn = TURN * max(wanted.fps / NOMINAL_FPS, 1)
    straight_forth, straight_back = np.minimum(forth, back + turn), np.minimum(back, forth + turn)
    least = np.minimum(forth, back)
    never = np.full_like(forth, np.inf)
    return (
        np.choose(kind, [least + jump, straight_forth, never, straight_forth + HOLD, least]),
        np.choose(kind, [least + jump, never, straight_back + REVERSE, straight_back + HOLD, least]),
    )


def way_cost(path: Sequence[int], wanted: Wanted, fitness: Fitness) -> float:
    costs, own, _, _ = fitness.of(slice(0, len(path)))
    there = sum(own[t] if k == OWN else costs[t, k] for t, k in enumerate(path))
    forth = back = np.zeros(1)
    for at in range(1, len(path)):
        kind, jump = step(path[at - 1], path[at], at, fitness)
        forth, back = stepped(np.array([kind]), np.array([jump]), forth, back, wanted)
    return float(there + min(forth[0], back[0]))


def cheapest_way(wanted: Wanted, fitness: Fitness) -> float:
    """The cost of the best of all ways, each of them added up; of a film of few frames and mouths."""
    count, mouths = len(wanted.opening), [*range(len(fitness.traits)), OWN]
    costs, own, _, _ = fitness.of(slice(0, count))
    ways = np.array(list(product(range(len(mouths)), repeat=count)))
    there = np.column_stack([costs, own])[np.arange(count), ways].sum(axis=1)
    forth = back = np.zeros(len(ways))
    for at in range(1, count):
        table = np.array([[step(a, b, at, fitness) for b in mouths] for a in mouths])
        taken = table[ways[:, at - 1], ways[:, at]]
        forth, back = stepped(taken[:, 0].astype(int), taken[:, 1], forth, back, wanted)
    return float((there + np.minimum(forth, back)).min())
