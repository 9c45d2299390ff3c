"""How a source frame looks, and the filter chain that makes an upright 8-bit 4:2:0 picture of it. Pure.

    [autorotate] → clock in flicks → drop what comes before → one size, 8-bit 4:2:0 → stamp → [autoscale]

Rotation stands first because ffmpeg puts it before any chain of ours; at the end it scales all frames to the size of
the first, where we name none. Matrix and range are kept; a frame that is 8-bit 4:2:0 already passes bit for bit. Odd
sizes stay odd: ffmpeg's `pad` would cut the last column off first.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from heygemd.jobs.job import ColourTags

FLICKS_PER_S = 705_600_000
"""The clock of all stamps: whole numbers for nearly every time base and for the n/1001 rates (the flick of 2018)."""

UNTOUCHED = ("yuv420p", "yuvj420p")
"""The two names of 8-bit 4:2:0, by range."""

SCALER = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"

SCALE_MATRICES = {
    "bt709": "bt709",
    "fcc": "fcc",
    "bt470bg": "bt601",
    "smpte170m": "smpte170m",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
"""Matrices as ffprobe names them: as the scale filter spells them."""

SANE_ASPECT = 8
"""Sample aspect ratios beyond this, either way, are taken for 1."""

NOT_YUV = re.compile(r"gbr|rgb|bgr|argb|abgr|0rgb|0bgr|x2rgb|x2bgr|pal8|mono|gray|ya")
QUARTER_TURN_DEG = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """How one frame comes out of the decoder, upright but not yet padded to even sizes."""

    width_px: int
    height_px: int
    pixel_format: str
    rotation_deg: int
    """Clockwise turn that made it upright."""
    sample_aspect: Fraction
    colour: ColourTags
    """Of the converted picture: RGB becomes BT.709, limited range."""
    is_interlaced: bool

    @property
    def padded_px(self) -> tuple[int, int]:
        """Width and height of the film: the next even numbers."""
        return self.width_px + self.width_px % 2, self.height_px + self.height_px % 2


def picture_of(stream: dict[str, Any], frame: dict[str, Any]) -> Picture:
    """Read what ffprobe says about a stream and its first decoded frame."""
    width, height = int(frame["width"]), int(frame["height"])
    rotation = _rotation(stream) or _rotation(frame)
    aspect = ratio(stream.get("sample_aspect_ratio"))
    if aspect is None or not Fraction(1, SANE_ASPECT) <= aspect <= SANE_ASPECT:
        aspect = Fraction(1)
    if rotation % 180 == QUARTER_TURN_DEG:
        width, height, aspect = height, width, 1 / aspect
    return Picture(
        width_px=width,
        height_px=height,
        pixel_format=str(frame["pix_fmt"]),
        rotation_deg=rotation,
        sample_aspect=aspect,
        colour=_colour(stream, frame),
        is_interlaced=bool(frame.get("interlaced_frame")),
    )


def chain(
    pixel_format: str,
    colour: ColourTags,
    *,
    stamps_fd: int,
    skip_frames: int = 0,
    from_flicks: int | None = None,
    size_px: tuple[int, int] | None = None,
) -> str:
    """Write the chain for a picture that decodes to `pixel_format`; stamps go to descriptor `stamps_fd`.

    The first `skip_frames` frames, or those before `from_flicks`, are dropped before they cost a conversion. Without
    `size_px` the first frame that is decoded settles the size.
    """
    steps = [f"settb=1/{FLICKS_PER_S}"]
    if skip_frames:
        steps.append(f"select='gte(n,{skip_frames})'")
    if from_flicks is not None:
        steps.append(f"trim=start_pts={from_flicks}")
    steps += [_conversion(pixel_format, colour, size_px), f"format={output_format(pixel_format)}", stamp(stamps_fd)]
    return ",".join(steps)


def output_format(pixel_format: str) -> str:
    """Pixel format of the raw frames: full range keeps its own name, so that ffmpeg converts nothing."""
    return "yuvj420p" if pixel_format == "yuvj420p" else "yuv420p"


def stamp(fd: int) -> str:
    """Write the filters that leave a line `frame:N pts:P …` and one more for each frame in descriptor `fd`.

    What the file itself says about its frames is deleted first: it could hold such lines, or flood the pipe.
    """
    return f"metadata=delete,metadata=add:key=n:value=0,metadata=print:key=n:direct=1:file='pipe\\:{fd}'"


def pts_of(line: bytes) -> int | None:
    """Time in the line of a stamp that begins with `frame:`; None for a frame without any."""
    found = re.search(rb"pts:(-?\d+)", line)
    return int(found[1]) if found else None


def tag_options(colour: ColourTags) -> dict[str, str]:
    """Encoder options for the tags that are known; ffmpeg < 7 asks these."""
    named = {
        "color_range": colour.range,
        "color_primaries": colour.primaries,
        "color_trc": colour.transfer,
        "colorspace": colour.matrix,
    }
    return {name: value for name, value in named.items() if value}


def tags_filter(colour: ColourTags) -> str:
    """A filter that writes the same tags into every frame; ffmpeg ≥ 7 asks these."""
    known = [f"{name.replace('color_range', 'range')}={value}" for name, value in tag_options(colour).items()]
    return "setparams=" + ":".join(known) if known else "null"


def _conversion(pixel_format: str, colour: ColourTags, size_px: tuple[int, int] | None) -> str:
    steps = [f"scale={SCALER}", *(f"{side}={px}" for side, px in zip("wh", size_px or (), strict=False))]
    if pixel_format in UNTOUCHED:
        return ":".join(steps)
    span = colour.range or "tv"
    steps += ["interl=-1", f"out_range={span}"]
    matrix = SCALE_MATRICES.get(colour.matrix or "")
    if matrix:
        steps.append(f"out_color_matrix={matrix}")
    if not NOT_YUV.match(pixel_format):
        steps += [f"in_range={span}", *([f"in_color_matrix={matrix}"] if matrix else [])]
    return ":".join(steps)


def _rotation(place: dict[str, Any]) -> int:
    turns = [side["rotation"] for side in place.get("side_data_list", []) if "rotation" in side]
    return -round(float(turns[0])) % 360 if turns else 0


def _colour(stream: dict[str, Any], frame: dict[str, Any]) -> ColourTags:
    def tag(name: str) -> str | None:
        values = (frame.get(name), stream.get(name))
        return next((str(v) for v in values if v not in (None, "unknown", "reserved", "unspecified")), None)

    pixel_format = str(frame["pix_fmt"])
    primaries, transfer = tag("color_primaries"), tag("color_transfer")
    if NOT_YUV.match(pixel_format):
        return ColourTags(matrix="bt709", range="tv", primaries=primaries, transfer=transfer)
    range_ = tag("color_range") or ("pc" if pixel_format.startswith("yuvj") else None)
    return ColourTags(matrix=tag("color_space"), range=range_, primaries=primaries, transfer=transfer)


def ratio(text: object) -> Fraction | None:
    """Read `30000/1001` or `4:3`; None for anything else and for 0."""
    parts = re.fullmatch(r"(\d+)[:/](\d+)", str(text))
    return Fraction(int(parts[1]), int(parts[2])) if parts and int(parts[1]) and int(parts[2]) else None


def seconds(text: object) -> Fraction | None:
    """Read `12.345`; None for anything else."""
    return Fraction(str(text)) if re.fullmatch(r"\d+(\.\d+)?", str(text)) else None
