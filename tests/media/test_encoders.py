"""What ffmpeg is told about the encoder, and how many threads it gets."""

import re
import subprocess
from fractions import Fraction
from typing import get_args

import pytest

from heygemd.errors import FaultError, ResourceError
from heygemd.jobs.job import EncoderName
from heygemd.limits import X264Preset
from heygemd.media.encoders import (
    MOST_X264_THREADS,
    NVENC_OPTIONS,
    NVENC_PRESETS,
    EncoderPlace,
    Encoding,
    blamed_on,
    described,
    nvenc_cq,
    x264_threads,
)

PRESETS: tuple[X264Preset, ...] = get_args(X264Preset)
PAL = Fraction(25)


def told(encoder: EncoderName, crf: int = 18, preset: X264Preset = "veryfast", fps: Fraction = PAL, **place: int):
    return Encoding(encoder=encoder, crf=crf, preset=preset, place=EncoderPlace(**place)).options(fps)


def test_x264_is_told_what_it_was_always_told() -> None:
    assert told(EncoderName.X264, cores=2) == {
        "c_v": "libx264", "preset": "veryfast", "crf": 18, "g": 125, "flags": "+cgop", "threads": 1,
    }  # fmt: skip


def test_nvenc_is_told_quality_and_card_and_makes_no_b_frames() -> None:
    asked = told(EncoderName.NVENC, 21, "medium", cores=4, card=3)
    assert asked == {
        "c_v": "h264_nvenc", "tune": "hq", "profile_v": "high", "rc": "vbr", "b_v": 0, "bf": 0, "spatial-aq": 1,
        "forced-idr": 1, "strict_gop": 1, "preset": "p5", "cq": 21, "g": 125, "flags": "+cgop", "gpu": 3,
    }  # fmt: skip


@pytest.mark.parametrize(("fps", "frames"), [("25", 125), ("24000/1001", 120), ("60", 250), ("240", 250), ("1/30", 1)])
@pytest.mark.parametrize("encoder", list(EncoderName))
def test_one_can_jump_into_the_film_every_five_seconds(encoder: EncoderName, fps: str, frames: int) -> None:
    assert told(encoder, fps=Fraction(fps), card=0)["g"] == frames


def test_every_preset_has_a_place_in_the_same_order() -> None:
    numbers = [int(NVENC_PRESETS[preset][1:]) for preset in PRESETS]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (1, 7)


@pytest.mark.parametrize("crf", [1, 18, 40])
def test_quality_is_the_same_number(crf: int) -> None:
    assert nvenc_cq(crf) == crf


def test_lossless_is_never_nvenc_s() -> None:
    with pytest.raises(ValueError, match="x264"):
        told(EncoderName.NVENC, crf=0, card=0)


def test_a_film_says_what_wrote_it() -> None:
    assert described(EncoderName.X264, crf=18, preset="veryfast") == "x264 veryfast crf 18"
    assert described(EncoderName.NVENC, crf=18, preset="veryfast") == "nvenc p3 cq 18"


@pytest.mark.parametrize(
    ("preset", "cores", "machine", "threads"),
    [("veryfast", 1, 1, 1), ("veryfast", 2, 2, 1), ("veryfast", 3, 3, 2), ("veryfast", 4, 4, 2), ("ultrafast", 8, 8, 4),
     ("veryfast", 1, 16, 1), ("medium", 1, 1, 1), ("medium", 1, 2, 2), ("medium", 1, 16, 4), ("faster", 6, 16, 6),
     ("placebo", 64, 64, MOST_X264_THREADS), ("veryfast", 64, 64, MOST_X264_THREADS)],
)  # fmt: skip
def test_x264_gets_its_share_of_the_cores(preset: X264Preset, cores: int, machine: int, threads: int) -> None:
    assert x264_threads(preset, EncoderPlace(cores=cores, machine_cores=machine)) == threads


def test_a_fault_is_blamed_on_a_card_s_encoder_only() -> None:
    with pytest.raises(FaultError), blamed_on(EncoderName.X264):
        raise FaultError("E502", "a frame is missing")
    with pytest.raises(ResourceError, match="a frame is missing") as caught, blamed_on(EncoderName.NVENC):
        raise FaultError("E502", "a frame is missing")
    assert caught.value.code == "E304"
    with pytest.raises(ResourceError) as caught, blamed_on(EncoderName.NVENC):
        raise ResourceError("E202", "the disk is full")
    assert caught.value.code == "E202"


@pytest.mark.ffmpeg
def test_this_ffmpeg_knows_every_option_and_preset_of_nvenc() -> None:
    words = ["ffmpeg", "-hide_banner", "-h", "encoder=h264_nvenc"]
    page = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    if "h264_nvenc" not in page:
        pytest.skip("this ffmpeg was built without NVENC")
    general = {"c_v", "b_v", "bf", "profile_v"}
    names = {*(NVENC_OPTIONS.keys() - general), "preset", "cq", "gpu", "profile"}
    assert [name for name in names if not re.search(rf"^  -{name} ", page, re.MULTILINE)] == []
    assert [preset for preset in NVENC_PRESETS.values() if not re.search(rf"^     {preset} ", page, re.MULTILINE)] == []
