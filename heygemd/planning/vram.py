"""How many bytes a worker will hold at most, and the largest batch that fits. Pure arithmetic, no numpy.

    context + [ fixed + megapixels · a + faces · b + batch · megapixels · c ]

The currency is the memory of the device that the worker is budgeted on: graphics memory on a card, main memory on the
CPU, where the decoder and the encoder beside the worker count as well. `faces` are the frames that the network takes
at once, which is not always the batch: wav2lip pads to a power of two and has a largest one.

The four numbers in brackets start from a table (`prior_of`) and are corrected by what was measured: Bayesian linear
regression (Bishop, *Pattern Recognition and Machine Learning*, 3.3) with a Gaussian prior around the table, none of the
numbers negative. The margin is a multiple of the standard deviation that is left, and of the scatter of measurements:
it shrinks as evidence grows, and grows again away from what was measured. Whatever the fit says, the answer

    never falls when the batch or the picture grows,
    never lies below a peak that was measured with no larger a batch and picture,
    and its margin at a load that was measured is no larger than it was without evidence.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product

from heygemd.jobs.job import EngineName
from heygemd.planning.regression import Belief, Observation, Vector, first_belief, learn

MIB = 1 << 20
SPREADS = 2.0
"""Standard deviations in the margin."""
OWN_DOUBT = 0.2
"""Each number of the table may be wrong by itself by this share of it (one standard deviation)."""
COMMON_DOUBT = {True: 0.5, False: 0.2}
"""And all of them together by a common factor, on a card (known from papers) and on the CPU (measured)."""
LEAST_DOUBT_MIB: dict[bool, Vector] = {True: (32.0, 1.0, 0.5, 0.05), False: (32.0, 4.0, 0.5, 0.2)}
"""Doubt, on a card and on the CPU, about a number that the table puts at (nearly) nothing. Frames do not reach a card:
faces are cut out before."""
SCATTER, SCATTER_MIB = 0.04, 8.0
"""Standard deviation of one measurement around the form, as a share of it, and at least: allocators hand out blocks."""
REST, REST_MIB = 0.03, 8.0
"""What is never certain however much was measured: always part of the margin."""
CONTEXT_MIB, CONTEXT_DOUBT_MIB = 500.0, 100.0
"""A CUDA context takes 300-600 MB, by driver, card and kernels that are loaded; until it was measured."""
MOST_KNOWN = 4096
"""Answers a model remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the memory of a worker depends on, besides its load."""

    engine: EngineName
    precision: str
    """Number format of the network, as torch names it; empty: none, or not known yet."""
    device_name: str
    is_cuda: bool
    has_tracker: bool = False
    """S3FD and FAN-4 run on the card, too. Today's tracker runs on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker is given. Memory depends on the size through the number of pixels alone."""

    batch: int
    """Frames at once; 0: a task that renders nothing. Its peak is a lower bound and no more, for it takes memory for
    other things: no encoder runs during an analysis."""
    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.width_px * self.height_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most that workers were seen to hold with a load, in `count` tasks; of a card: without the context."""

    load: Load
    peak_bytes: int
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The peak of a worker, context included."""

    expected_bytes: int
    margin_bytes: int

    @property
    def bytes(self) -> int:
        """What to grant."""
        return self.expected_bytes + self.margin_bytes


# What is known before anything was measured ------------------------------------------------------------------------

WAV2LIP_WEIGHTS_MIB = 138.5
"""36.3 million parameters in float32; half of it in 16 bits."""
WAV2LIP_FACE_MIB = 6.69
"""Activations of one face, float32, in the folded network that works in place (as published: 8.94); half in 16 bits."""
S3FD_MIB, S3FD_PIXEL_BYTES = 86.0, 780.0
"""Weights; activations for each pixel of each picture, float32."""
FAN_MIB, FAN_FACE_MIB = 91.0, 38.9
"""Weights; activations of one face, float32."""
HALVES = frozenset({"float16", "bfloat16"})

FILM_MP_MIB = 140.0
"""Main memory for each megapixel of the picture: x264 `veryfast` 92 (135 with 8 threads), decoder 18, the rest frames
that are read backward ahead of time."""
FRAME_MP_MIB = 2.5
"""And for each megapixel of each frame of the batch: 1.5 bytes a pixel, some of it twice."""
MAIN_MEMORY: dict[EngineName, Vector] = {
    EngineName.PASSTHROUGH: (400.0, FILM_MP_MIB, 0.0, FRAME_MP_MIB),
    EngineName.ATLAS: (490.0, FILM_MP_MIB, 0.0, FRAME_MP_MIB),
    EngineName.WAV2LIP: (770.0, FILM_MP_MIB, WAV2LIP_FACE_MIB, FRAME_MP_MIB),
}
"""Measured: the largest resident size (VmHWM) of real workers while they rendered, and of the decoder and encoder
beside each. Two cores, torch 2.13, ffmpeg 5.1; films of 4-11 s at crf 18 `veryfast`; clips of 360 x 288, 512 x 512,
844 x 844, 1920 x 1080, 1080 x 1920 and 3840 x 2160 pixels; batches of 1, 16 and 64 (wav2lip: 1, 4 and 16). The form is
within 10 % of all (wav2lip: 13 %); 1080p in 16s took 855 MiB with passthrough, 941 with atlas, 1127 with wav2lip in
float32, which holds 713 MiB already while it loads. Analysis and last step take less than rendering."""

_LARGEST_CARD_BATCH, _LARGEST_CPU_BATCH = 64, 8
"""Of the wav2lip network; see render/wav2lip/generator.py."""


def prior_of(kind: Kind) -> Vector:
    """MiB fixed, for each megapixel, for each face at once, and for each megapixel of each frame of the batch."""
    if not kind.is_cuda:
        return MAIN_MEMORY.get(kind.engine, MAIN_MEMORY[EngineName.WAV2LIP])
    share = 0.5 if kind.precision in HALVES else 1.0
    fixed, face, frame = WAV2LIP_WEIGHTS_MIB * share, WAV2LIP_FACE_MIB * share, 0.0
    if kind.has_tracker:
        fixed, face, frame = fixed + S3FD_MIB + FAN_MIB, face + FAN_FACE_MIB, S3FD_PIXEL_BYTES * 1e6 / MIB
    return (fixed, 0.0, face, frame)


def faces_at_once(kind: Kind, batch: int) -> int:
    """Return how many frames the network really takes at once for a batch, padding included; 0 without a network."""
    if kind.engine is not EngineName.WAV2LIP:
        return 0
    padded = 1 << max(0, batch - 1).bit_length()
    return min(padded, _LARGEST_CARD_BATCH if kind.is_cuda else _LARGEST_CPU_BATCH)


# The fit -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """A load that was measured, and the most that is credible for it."""

    load: Load
    features: Vector
    seen_mib: float
    most_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """The form, fitted to one kind of worker; made by `fit`."""

    kind: Kind
    context_mib: float
    context_doubt_mib: float
    table: Belief
    """Of MiB fixed, a megapixel, a face, a megapixel of a frame: before anything was measured."""
    belief: Belief
    """And after."""
    bounds: tuple[_Bound, ...] = ()
    known: dict[Load, Estimate] = field(default_factory=dict, compare=False, repr=False)
    """Answers given before: the policy asks for the same loads again and again."""

    @classmethod
    def fit(cls, kind: Kind, peaks: Iterable[Peak], *, context_bytes: int | None = None) -> "MemoryModel":
        """Correct the table by `peaks` of this kind; `context_bytes`: of a worker's CUDA context, where it is known."""
        seen = tuple(peaks)
        numbers = prior_of(kind)
        least = LEAST_DOUBT_MIB[kind.is_cuda]
        doubts = tuple(max(OWN_DOUBT * number, at_least) for number, at_least in zip(numbers, least, strict=True))
        table = first_belief(numbers, doubts, common=COMMON_DOUBT[kind.is_cuda])
        is_unknown = kind.is_cuda and context_bytes is None
        model = cls(
            kind=kind,
            context_mib=CONTEXT_MIB if is_unknown else (context_bytes or 0) / MIB,
            context_doubt_mib=CONTEXT_DOUBT_MIB if is_unknown else 0.0,
            table=table,
            belief=learn(table, [_observation(kind, peak) for peak in seen if peak.load.batch]),
        )
        return replace(model, bounds=tuple(model._bound(peak) for peak in seen))

    @property
    def context_bytes(self) -> int:
        """What the context is expected to take; part of every estimate, and of no measured peak."""
        return round(self.context_mib * MIB)

    def estimate(self, load: Load) -> Estimate:
        """Predict the peak of a worker with this load."""
        if load not in self.known:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[load] = self._estimate(load)
        return self.known[load]

    def _estimate(self, load: Load) -> Estimate:
        features = _features(self.kind, load)
        proven = (b.seen_mib for b in self.bounds if b.load.batch <= load.batch and b.load.pixels <= load.pixels)
        expected = max(self.belief.mean(features), max(proven, default=0.0))
        granted = max(expected, min(self._rising(load), self._most(features, expected)))
        expected_bytes = math.ceil((expected + self.context_mib) * MIB)
        granted_bytes = math.ceil((granted + self.context_mib + self.context_doubt_mib) * MIB)
        return Estimate(expected_bytes=expected_bytes, margin_bytes=max(1, granted_bytes - expected_bytes))

    def _rising(self, load: Load) -> float:
        """Return the largest of the upper ends of all smaller loads: the margin may be wider at a smaller load.

        An upper end is convex in pixels, faces and batch each, so that the largest lies at a corner.
        """
        _, megapixels, faces, _ = _features(self.kind, load)
        corners = product((0.0, megapixels), (min(1.0, faces), faces), (1, load.batch))
        return max(self._upper((1.0, mp, face, mp * batch)) for mp, face, batch in corners)

    def _most(self, features: Vector, expected: float) -> float:
        """Return what the peak cannot credibly exceed, given what was measured at other loads.

        No number of the form is negative: from one load to another its value grows by no more than the largest ratio of
        their features. And at a load that was measured the margin is never wider than without evidence.
        """
        rendered = [bound for bound in self.bounds if bound.load.batch]
        if not rendered:
            return math.inf
        growths = [_growth(features, bound.features) for bound in rendered]
        from_seen = min(bound.most_mib * growth for bound, growth in zip(rendered, growths, strict=True))
        return min(from_seen, expected + _margin(self.table, features) * min(growths))

    def _bound(self, peak: Peak) -> _Bound:
        features, seen_mib = _features(self.kind, peak.load), peak.peak_bytes / MIB
        margin_mib = _margin(self.belief, features, weight=_weight(peak))
        most_mib = max(self.belief.mean(features) + margin_mib, seen_mib * (1 + REST) + REST_MIB)
        return _Bound(load=peak.load, features=features, seen_mib=seen_mib, most_mib=most_mib)

    def _upper(self, features: Vector) -> float:
        return self.belief.mean(features) + _margin(self.belief, features)


def _margin(belief: Belief, features: Vector, *, weight: float = 1.0) -> float:
    """Return the margin over the mean, in MiB; convex in the features. `weight`: of what was measured just there."""
    mean = belief.mean(features)
    return SPREADS * math.hypot(belief.deviation(features), _scatter(mean) / math.sqrt(weight)) + REST * mean + REST_MIB


def _scatter(mib: float) -> float:
    return SCATTER * mib + SCATTER_MIB


def _weight(peak: Peak) -> float:
    """A thousand equal measurements are no thousand proofs: what they have in common may be wrong."""
    return 1 + math.log(max(1, peak.count))


def _growth(features: Vector, since: Vector) -> float:
    ratios = (math.inf if then == 0 else now / then for now, then in zip(features, since, strict=True) if now > 0)
    return max(1.0, *ratios)


def _features(kind: Kind, load: Load) -> Vector:
    megapixels = load.pixels / 1e6
    return (1.0, megapixels, float(faces_at_once(kind, load.batch)), load.batch * megapixels)


def _observation(kind: Kind, peak: Peak) -> Observation:
    value = peak.peak_bytes / MIB
    features = _features(kind, peak.load)
    return Observation(features=features, value=value, deviation=_scatter(value), weight=_weight(peak))


# What fits -----------------------------------------------------------------------------------------------------------


def batches_up_to(most: int) -> tuple[int, ...]:
    """Return the batches that are worth trying: powers of two, and `most` itself."""
    return (*(1 << power for power in range(most.bit_length()) if 1 << power < most), most)


def largest_batch(
    model: MemoryModel, width_px: int, height_px: int, budget_bytes: int, most: int
) -> tuple[int, int] | None:
    """Return the largest batch up to `most` whose worker fits, and the bytes to grant; None when none fits."""
    for batch in reversed(batches_up_to(most)):
        needed = model.estimate(Load(batch=batch, width_px=width_px, height_px=height_px)).bytes
        if needed <= budget_bytes:
            return batch, needed
    return None
