"""What a crop sounds like by another voice, microphone or room: features of a batch, changed anew in every step."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from heygemd.render.speech.features import MEL_COUNT

Random = np.random.Generator

WARP_COUNT = 300
TRACT_SCALES, TRACT_SHARE = (0.86, 1.16), 0.7
BAND_SHIFT = 1.5
BLUR_BANDS, BLUR_SHARE = (0.3, 2.2), 0.6
WARPED_SHARE = 0.8
MICROPHONE_KNOTS, MICROPHONE_SPREAD, MICROPHONE_SHARE = 6, 0.25, 0.7
CONTRASTS, LEVEL_SPREAD = (0.75, 1.2), 0.1
HISS, HISS_SHARE = (0.0, 0.3), 0.5
FLOORS, FLOOR_SHARE = (-2.5, -0.9), 0.3
DRIFT_KNOTS, DRIFT_SPREAD, DRIFT_SHARE = 7, 0.25, 0.25
ROOM_FRAMES, ROOM_SHARE = 3, 0.2
LOWEST, HIGHEST = -4.0, 3.5
MOST_BAND_HOLES, WIDEST_BAND_HOLE, LAST_BAND_HOLE = 3, 12, 70
TIME_HOLE_SHARE, TIME_HOLE_FRAMES, TIME_HOLE_VALUE = 0.3, (2, 14), -1.0
_NO_FLOOR = -9.0


class Disturber:
    """Disturbs batches; the same seed gives the same disturbances."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng((seed, 2))
        self._generator = Generator().manual_seed(seed)
        warps = [vocal_tract_warp(self._random) for _ in range(WARP_COUNT)]
        self._warps = torch.from_numpy(np.stack(warps))

    def disturbed(self, features: Tensor) -> Tensor:
        """Change float32[b, t, 80]; the times of what is said stay."""
        return self._with_holes(self._recorded(self._another_voice(features)).clamp(LOWEST, HIGHEST))

    def _another_voice(self, x: Tensor) -> Tensor:
        """Another vocal tract, microphone and level."""
        count = len(x)
        warps = self._warps[torch.randint(WARP_COUNT, (count,), generator=self._generator)]
        x = torch.where(self._some(count, WARPED_SHARE), torch.bmm(x, warps), x)
        colour = self._curve(count, MICROPHONE_KNOTS, MEL_COUNT) * MICROPHONE_SPREAD
        x = x + self._some(count, MICROPHONE_SHARE) * colour[:, None, :]
        return x * self._between(count, CONTRASTS) + LEVEL_SPREAD * self._normal(count, 1, 1)

    def _recorded(self, x: Tensor) -> Tensor:
        """Hiss, a noise floor, slow gain and a room."""
        count, frames = x.shape[:2]
        x = x + self._some(count, HISS_SHARE) * self._between(count, HISS) * self._normal(*x.shape)
        floor = torch.where(self._some(count, FLOOR_SHARE), self._between(count, FLOORS), torch.tensor(_NO_FLOOR))
        x = torch.maximum(x, floor)
        drift = self._curve(count, DRIFT_KNOTS, frames) * DRIFT_SPREAD
        x = x + self._some(count, DRIFT_SHARE) * drift[:, :, None]
        late = functional.pad(x, (0, 0, ROOM_FRAMES - 1, 0))
        smeared = sum(late[:, k : k + frames] for k in range(ROOM_FRAMES)) / ROOM_FRAMES
        return torch.where(self._some(count, ROOM_SHARE), smeared, x)

    def _with_holes(self, x: Tensor) -> Tensor:
        """Hide bands and moments (SpecAugment: Park et al. 2019)."""
        random = self._random
        for one in x:
            for _ in range(random.integers(MOST_BAND_HOLES)):
                band = int(random.integers(LAST_BAND_HOLE))
                one[:, band : band + int(random.integers(1, WIDEST_BAND_HOLE))] = 0
            if random.random() < TIME_HOLE_SHARE:
                frame = int(random.integers(len(one)))
                one[frame : frame + int(random.integers(*TIME_HOLE_FRAMES))] = TIME_HOLE_VALUE
        return x

    def _some(self, count: int, share: float) -> Tensor:
        return (torch.rand(count, generator=self._generator) < share)[:, None, None]

    def _between(self, count: int, limits: tuple[float, float]) -> Tensor:
        low, high = limits
        return (low + (high - low) * torch.rand(count, generator=self._generator))[:, None, None]

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator)

    def _curve(self, count: int, knots: int, length: int) -> Tensor:
        """Smooth random curves float32[count, length], of standard deviation 1 at their knots."""
        drawn = self._normal(count, 1, knots)
        return functional.interpolate(drawn, length, mode="linear", align_corners=True)[:, 0]


def vocal_tract_warp(random: Random) -> NDArray[np.float32]:
    """Draw float32[80, 80] that moves formants up or down, and often blurs the bands."""
    bands = np.arange(float(MEL_COUNT))
    scale = random.uniform(*TRACT_SCALES) if random.random() < TRACT_SHARE else 1.0
    place = np.clip(bands * scale + random.uniform(-BAND_SHIFT, BAND_SHIFT), 0, MEL_COUNT - 1)
    lower = np.clip(place.astype(np.intp), 0, MEL_COUNT - 2)
    upper_part = place - lower
    warp = np.zeros((MEL_COUNT, MEL_COUNT), np.float32)
    warp[lower, np.arange(MEL_COUNT)] += 1 - upper_part
    warp[lower + 1, np.arange(MEL_COUNT)] += upper_part
    if random.random() < BLUR_SHARE:
        blur = np.exp(-0.5 * ((bands[:, None] - bands[None]) / random.uniform(*BLUR_BANDS)) ** 2)
        warp = (warp @ (blur / blur.sum(axis=0))).astype(np.float32)
    return warp
