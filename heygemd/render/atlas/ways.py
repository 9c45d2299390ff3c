"""The cheapest way through the mouths of a gallery, film frame by film frame (Viterbi 1967).

    frame       t-1        t
    mouth        17 ──────▶ 18      goes on: free            and which way it went is kept: turning round costs, or
                 17 ──────▶ 17      is held                  a wanted mouth between two would make it tremble
                 18 ──────▶ 17      goes back
                 17 ──────▶ 402     jumps: by how much the eye sees of it
                OWN ──────▶ OWN     free

Only some mouths of each frame are looked at: those that fit it best, and those beside the cheapest ones of the frame
before. Back-pointers lie in unnamed files, so that memory does not grow with the film.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import let_go, spooled
from heygemd.render.atlas.fitness import Fitness
from heygemd.render.atlas.traits import Traits, rms_distances
from heygemd.render.pulse import Pulse, unheard

Vector = NDArray[np.float64]
Costs = NDArray[np.float32]
Rows = NDArray[np.intp]

OWN = -1
"""In place of a gallery number: the mouth of the very frame."""
JUMP = 4.0
JUMP_DISTANCE = 8.0
"""Cost of a jump: this, and this times the distance of the thumbnails (RMS over their pixels, in LAB_STEP)."""
LAB_STEP = 8.0
HOLD, REVERSE = 0.5, 0.3
"""Cost of showing a mouth once more, and of the one before it."""
TURN = 1.0
"""Cost of turning round. Without it a held vowel trembles between two frames, which costs less than holding one."""
NOMINAL_FPS = 25.0
"""Film rate for which the costs of jumps and turns hold; at twice of it they count twice, as a second has twice as many
frames."""
NEAR, BESIDE = 80, 24
"""Mouths looked at in every frame: so many that fit best, and the neighbours of so many of the frame before."""
BLOCK_FRAMES = 64
"""Film frames whose costs are in memory at once."""
LET_GO_FRAMES = 4096

FORTH, BACK = 0, 1
NOBODY = np.zeros(1, np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What it costs to go from one mouth to another."""

    jump: Costs
    """float32[m, m]: from row to column, if they did not lie beside each other."""
    follows: NDArray[np.bool_]
    """bool[m]: the next one follows on this one in the clip."""
    turn: float

    @classmethod
    def between(cls, traits: Traits, *, fps: float) -> "Steps":
        """Compare every two mouths; what would have followed is compared with what comes."""
        pace = max(fps / NOMINAL_FPS, 1.0)
        follows = np.append(np.diff(traits.frames) == 1, np.False_)[: len(traits)]
        distance = rms_distances(traits.thumbnail.astype(np.float32) / LAB_STEP)
        after = np.arange(len(traits)) + follows
        return cls(jump=(JUMP + JUMP_DISTANCE * distance[after]) * np.float32(pace), follows=follows, turn=TURN * pace)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What one film frame has to choose from."""

    costs: Costs
    """float32[m]: of the gallery's mouths; empty where only the own one may be shown."""
    own: float
    stand_in: int
    """The gallery's mouth that looks like the own one."""
    is_own: bool
    """It is the own one, and lies beside its neighbours."""
    is_free: bool
    """A cut or a jump of the film lies before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """The c mouths looked at in one film frame; the last one is always the own."""

    mouths: Rows
    """intp[c]: gallery numbers; for the own mouth that of its stand-in."""
    placed: Rows
    """intp[c or c - 1]: those that lie beside others: not a stand-in that only looks like the own mouth."""
    costs: Vector
    """float64[2, c]: of the cheapest way here, going forth or back."""
    origins: Rows
    """intp[2, c]: twice the column that it came from, and its direction there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """All cheapest ways at once."""

    mouths: NDArray[np.int16]
    """int16[n, c]: the mouths looked at in each frame."""
    origins: NDArray[np.int16]
    """int16[n, 2, c]: where each came from, going forth or back: twice the column before, and the direction there."""
    end: tuple[int, int]
    """Column and direction in the last frame."""

    def trace(self, path: NDArray[np.int32]) -> None:
        """Go back along the cheapest one and note its mouths: int32[n]."""
        column, direction = self.end
        for frame in range(len(path) - 1, -1, -1):
            path[frame] = self.mouths[frame, column]
            column, direction = divmod(int(self.origins[frame, direction, column]), 2)
            if frame % LET_GO_FRAMES == 0:
                let_go(self.mouths, self.origins)


def find_ways(
    fitness: Fitness, *, near: int = NEAR, beside: int = BESIDE, folder: Path | None = None, pulse: Pulse = unheard
) -> Ways:
    """Go through the whole film; `folder` is where unnamed files may be made, None: in memory."""
    steps = Steps.between(fitness.traits, fps=fitness.wanted.fps)
    count, most = len(fitness.wanted.opening), min(near + 3 * beside, len(fitness.traits)) + 1
    mouths, origins = spooled(folder, (count, most), np.int16), spooled(folder, (count, 2, most), np.int16)
    front = _Front(mouths=NOBODY, placed=NOBODY, costs=np.zeros((2, 1)), origins=np.zeros((2, 1), np.intp))
    for frame, offer in enumerate(_offers(fitness)):
        pool = _pool(offer, front, near=near, beside=beside)
        front = _advance(front, np.append(pool, offer.stand_in), offer, steps)
        mouths[frame, : len(front.mouths)] = front.mouths
        mouths[frame, len(front.mouths) - 1] = OWN
        origins[frame, :, : len(front.mouths)] = front.origins
        if frame % LET_GO_FRAMES == 0:
            let_go(mouths, origins)
            pulse()
    direction, column = divmod(int(front.costs.argmin()), front.costs.shape[1])
    return Ways(mouths=mouths, origins=origins, end=(column, direction))


def _offers(fitness: Fitness) -> Iterator[_Offer]:
    """Weigh the mouths for every film frame, in blocks."""
    wanted, count = fitness.wanted, len(fitness.wanted.opening)
    for start in range(0, count, BLOCK_FRAMES):
        block = slice(start, min(start + BLOCK_FRAMES, count))
        costs, own, stand_in, is_own = fitness.of(block)
        for frame, row in enumerate(costs, start):
            yield _Offer(
                costs=row if wanted.effect[frame] >= 1 else row[:0],
                own=float(own[frame - start]),
                stand_in=int(stand_in[frame - start]),
                is_own=bool(is_own[frame - start]),
                is_free=frame == 0 or bool(wanted.shots[frame] != wanted.shots[frame - 1]),
            )


def _pool(offer: _Offer, front: _Front, *, near: int, beside: int) -> Rows:
    """Take the mouths that fit a frame best, and those beside the cheapest ones of the frame before."""
    count = len(offer.costs)
    pool = np.argpartition(offer.costs, near)[:near] if near < count else np.arange(count)
    if near < count and not offer.is_free:
        cheapest = front.mouths[np.argsort(front.costs.min(axis=0), kind="stable")[:beside]]
        neighbours = (cheapest[:, None] + (-1, 0, 1)).reshape(-1)
        pool = np.unique(np.concatenate([pool, neighbours[(neighbours >= 0) & (neighbours < count)]]))
    # The own mouth stands for itself already, and at less cost.
    return pool[pool != offer.stand_in] if offer.is_own else pool


def _advance(front: _Front, here: Rows, offer: _Offer, steps: Steps) -> _Front:
    """Find the cheapest way to each mouth of a frame."""
    placed = here if offer.is_own else here[:-1]
    cheapest, way = front.costs.min(axis=0), front.costs.argmin(axis=0)
    if offer.is_free:
        column = np.full(len(here), cheapest.argmin())
        costs = np.tile(cheapest[column], (2, 1))
        origins = np.tile(2 * column + way[column], (2, 1))
    else:
        total = cheapest[:, None] + steps.jump[front.mouths[:, None], here]
        total[-1, -1] = cheapest[-1]
        column = total.argmin(axis=0)
        costs = np.tile(total[column, np.arange(len(here))], (2, 1))
        origins = np.tile(2 * column + way[column], (2, 1))
        _go_on(front, placed, steps, costs, origins)
    price = np.append(offer.costs[here[:-1]].astype(np.float64), offer.own)
    costs += price
    return _Front(mouths=here, placed=placed, costs=costs - costs.min(), origins=origins)


def _go_on(front: _Front, placed: Rows, steps: Steps, costs: Vector, origins: Rows) -> None:
    """Better the costs and origins [2, c] of mouths that lie beside others, in place."""
    # One place more at each end: nobody lies there.
    where = np.full(len(steps.follows) + 2, -1)
    where[front.placed + 1] = np.arange(len(front.placed))
    before, after = where[placed], where[placed + 2]
    before[~np.append(np.False_, steps.follows)[placed]] = -1
    after[~steps.follows[placed]] = -1
    held = where[placed + 1]
    for direction, columns, price in (
        (FORTH, before, 0.0),
        (BACK, after, REVERSE),
        (FORTH, held, HOLD),
        (BACK, held, HOLD),
    ):
        straight, turned = front.costs[direction, columns], front.costs[1 - direction, columns] + steps.turn
        came = np.where(turned < straight, 1 - direction, direction)
        cost = np.minimum(straight, turned) + price
        better = np.flatnonzero((columns >= 0) & (cost < costs[direction, : len(placed)]))
        costs[direction, better] = cost[better]
        origins[direction, better] = 2 * columns[better] + came[better]
