"""The encoders that can write a film, as data: what ffmpeg is told, by whom it may run, and what it is called. Pure.

One film is written by one encoder with one set of parameters, whatever happens to its workers: joining copies the
packets of all segments behind one description of the stream. Which one is settled in the analysis (`render/
encoder_choice.py`) and part of the plan.

**x264** does its work on the processor: the same file on every machine with as many threads, the best picture for
the bytes. Threads change the stream a little (its bits, never its parameter sets, size or time stamps), so segments
made with other counts fit together, but decoded films are not promised to be equal on machines with other cores.

**NVENC** is the encoder of NVIDIA's cards. It has no B frames here: then the order of decoding is that of showing,
a segment starts at 0 without an edit list, and nothing depends on the shift between the two, which ffmpeg's wrapper
multiplies by the numerator of the time base (libavcodec/nvenc.c, `nvenc_set_timestamp`): 1001 where that is 1001/30000.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from heygemd.errors import FaultError, ResourceError
from heygemd.jobs.job import EncoderName
from heygemd.limits import X264Preset

KEY_FRAME_S = 5
"""One can jump into the film every so often."""
MOST_KEY_FRAMES = 250

MOST_X264_THREADS = 8
"""Each holds frames: at 1080p and `veryfast` an encoder takes 219 MB with one thread, 265 with 2, 286 with 3 and 391
with 8 (VmHWM, ffmpeg 5.1)."""
QUICK_PRESETS = frozenset({"ultrafast", "superfast", "veryfast"})
QUICK_SHARE = Fraction(1, 2)
"""How much of a worker's processor time is x264's at most, with a quick preset.

At 1080p `veryfast` x264 takes 14-18 ms a frame, decoding 3 and engines 10-24. More threads than that share wait for
frames, and cost: two instead of one took up to 13 % more processor time (250 frames of two clips; 3.7 and 3.5, 4.2 and
4.7 s). Beside a busy core of two, one thread had the film ready in 7.0 s and two in 6.1.
`lookahead-threads=1` changed nothing, `sliced-threads` made the file 1 % larger, and `sync-lookahead=0` saved 30 MB but
took a quarter longer.
"""
SLOW_THREADS = 4
"""What x264 gets at least with a slower preset, where the machine has so many cores: it is then what a film waits for,
and not every film has workers enough for the machine. `medium` with 4 threads took 3-6 % more processor time than with
one, and 502 instead of 409 MB (75 frames of 1080p)."""

NVENC_PRESETS: Mapping[X264Preset, str] = MappingProxyType({
    "ultrafast": "p1", "superfast": "p2", "veryfast": "p3", "faster": "p4", "fast": "p4", "medium": "p5", "slow": "p6",
    "slower": "p7", "veryslow": "p7", "placebo": "p7",
})  # fmt: skip
"""From the fastest to the slowest, as the ten names of x264 go; NVENC has seven."""

X264_OPTIONS: Mapping[str, object] = MappingProxyType({"c_v": "libx264"})
NVENC_OPTIONS: Mapping[str, object] = MappingProxyType({
    "c_v": "h264_nvenc",
    "tune": "hq",
    "profile_v": "high",
    "rc": "vbr",
    "b_v": 0,  # else ffmpeg asks for 2 Mbit/s, and quality comes second
    "bf": 0,
    "spatial-aq": 1,  # as x264 does by itself: flat skin keeps its bits
    "forced-idr": 1,
    "strict_gop": 1,
})  # fmt: skip
"""Names are those of ffmpeg 5.1 and later (`ffmpeg -h encoder=h264_nvenc`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderPlace:
    """What an encoder may count on where its worker runs."""

    cores: int = 0
    """Cores that the worker and everything beside it may count on; 0: all there are."""
    machine_cores: int = 0
    """Cores that it may use while others leave them idle; 0: all there are."""
    card: int | None = None
    """Index of the worker's card among those that the process sees; None: it works on the processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One film's encoder with the settings of the film."""

    encoder: EncoderName
    crf: int
    """x264's; 0 is lossless."""
    preset: X264Preset
    """x264's."""
    place: EncoderPlace = field(default_factory=EncoderPlace)

    @property
    def needs_card(self) -> bool:
        """Tell whether it works on a graphics card."""
        return self.encoder is EncoderName.NVENC

    def options(self, fps: Fraction) -> dict[str, object]:
        """Return ffmpeg's output options for closed groups of pictures of `KEY_FRAME_S`, spelt as for `ffmpeg.sink`."""
        group = {"g": max(1, min(MOST_KEY_FRAMES, round(KEY_FRAME_S * fps))), "flags": "+cgop"}
        if not self.needs_card:
            threads = x264_threads(self.preset, self.place)
            return {**X264_OPTIONS, "preset": self.preset, "crf": self.crf, **group, "threads": threads}
        preset, card = NVENC_PRESETS[self.preset], self.place.card or 0
        return {**NVENC_OPTIONS, "preset": preset, "cq": nvenc_cq(self.crf), **group, "gpu": card}


def described(encoder: EncoderName, *, crf: int, preset: X264Preset) -> str:
    """Say in a few words how a film was written: `x264 veryfast crf 18`, `nvenc p3 cq 18`."""
    if encoder is EncoderName.NVENC:
        return f"{encoder} {NVENC_PRESETS[preset]} cq {nvenc_cq(crf)}"
    return f"{encoder} {preset} crf {crf}"


@contextmanager
def blamed_on(encoder: EncoderName) -> Iterator[None]:
    """Make a fault inside the block one of the card's encoder, if it was that: its film is then made with x264.

    Raises ResourceError E304 in place of a FaultError.
    """
    try:
        yield
    except FaultError as error:
        if encoder is EncoderName.X264:
            raise
        raise ResourceError("E304", f"the film of the card's encoder: {error.message}") from error


def x264_threads(preset: X264Preset, place: EncoderPlace) -> int:
    """How many threads x264 gets: its share of the worker's cores, rounded up; all of them with a slower preset."""
    if preset in QUICK_PRESETS:
        wanted = ceil(place.cores * QUICK_SHARE)
    else:
        wanted = max(place.cores, min(SLOW_THREADS, place.machine_cores))
    return max(1, min(MOST_X264_THREADS, wanted))


def nvenc_cq(crf: int) -> int:
    """Quality level of NVENC for x264's `crf`, 1 to 51: the same number.

    Both are numbers on H.264's scale of quantisers; NVENC needs more bytes for the same one. Nobody here has measured
    the two against each other on a card. Raises ValueError for 0: NVENC would take it for "automatic".
    """
    if crf < 1:
        raise ValueError("lossless films are x264's")
    return crf
