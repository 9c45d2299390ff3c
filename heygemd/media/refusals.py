"""What a probe refuses, and what it merely remarks. Pure.

Everything is decided before a frame is converted: an 11 kB file whose two frames lie a day apart would flood a
conversion to a constant rate.
"""

from fractions import Fraction
from typing import Any

from heygemd.errors import InputError
from heygemd.limits import Limits
from heygemd.media.picture import UNTOUCHED, Picture
from heygemd.media.rates import Clock
from heygemd.media.sniff import missing_bytes

LONGEST_GAP_S = 300
"""Between two frames; no camera pauses that long, and a conversion to a constant rate must fill it."""

HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
DOLBY_ONLY_PROFILE = 5
"""Dolby Vision without a picture that ordinary decoders show in the right colours."""

MISSING_SHARE = Fraction(1, 50)
MISSING_S = Fraction(1, 2)
"""A stream may end before its declared end by both of these; more means that the file is cut off."""


def refuse_cut(head: bytes, size_bytes: int) -> None:
    """Raise InputError E110 when the header of the file asks for more bytes than there are."""
    if missing := missing_bytes(head, size_bytes):
        raise InputError("E110", f"{missing} bytes are missing at the end of the file")


def refuse_size(width_px: int, height_px: int, limits: Limits) -> None:
    """Raise InputError E105 for too many pixels."""
    if width_px * height_px > limits.max_pixels:
        raise InputError("E105", f"the picture has {width_px} x {height_px} pixels")


def refuse_hdr(stream: dict[str, Any], picture: Picture) -> None:
    """Raise InputError E104 for PQ, HLG, and Dolby Vision without an ordinary base picture."""
    profiles = {side.get("dv_profile") for side in stream.get("side_data_list", [])}
    if picture.colour.transfer in HDR_TRANSFERS or DOLBY_ONLY_PROFILE in profiles:
        raise InputError("E104", f"the picture's transfer is {picture.colour.transfer or 'Dolby Vision'}")


def refuse_lengths(clock: Clock, limits: Limits) -> None:
    """Raise InputError E105 when a constant-rate copy of the picture would be too long or mostly filling."""
    if clock.duration_s > limits.max_duration_s or clock.duration_s * clock.fps > limits.max_frames:
        raise InputError("E105", f"the picture lasts {float(clock.duration_s):.0f} s at {float(clock.fps):g} fps")
    if clock.longest_gap_s > LONGEST_GAP_S:
        raise InputError("E105", f"two neighbouring frames lie {float(clock.longest_gap_s):.0f} s apart")


def refuse_missing(duration_s: Fraction, declared_s: Fraction | None, complaints: str) -> None:
    """Raise InputError E110 when the stream ends well before its header says, or ffmpeg saw the file end early."""
    if "File ended prematurely" in complaints:
        raise InputError("E110", "the file ends in the middle of its content")
    if declared_s is not None and declared_s - duration_s > MISSING_S + declared_s * MISSING_SHARE:
        raise InputError("E110", f"{float(duration_s):.2f} s of {float(declared_s):.2f} s are there")


def remarks(picture: Picture, clock: Clock) -> tuple[str, ...]:
    """Tell the report how a usable picture differs from what comes out."""
    said = []
    if picture.padded_px != (picture.width_px, picture.height_px):
        said.append(f"odd size {picture.width_px} x {picture.height_px} padded to even by its edge pixels")
    if picture.pixel_format not in UNTOUCHED:
        said.append(f"{picture.pixel_format} converted to 8-bit 4:2:0")
    if clock.is_vfr:
        said.append(f"variable frame rate made constant at {clock.fps}")
    if picture.is_interlaced:
        said.append("the picture is interlaced and stays so")
    return tuple(said)
