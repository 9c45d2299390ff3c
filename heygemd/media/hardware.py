"""Decoding by the card: for whom, with which options, and how every frame of it is checked.

A card must give what the software gives, bit for bit and frame by frame. So only 8-bit 4:2:0 goes there, of codecs
whose pictures the standard fixes to the bit; and every frame's stamp is compared with what the packets, or an earlier
decoding, promised *before* it is handed on. The first one that differs ends the attempt (`frames.py`), and the
software goes on from there.
"""

from array import array
from fractions import Fraction

from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg
from heygemd.media.openfile import OpenFile
from heygemd.media.picture import FLICKS_PER_S

CODECS = frozenset({"h264", "hevc", "vp9", "av1"})
PIXEL_FORMATS = frozenset({"yuv420p"})
"""It leaves the card as NV12, the same samples in another order. (Full range would do as well, but cannot be tested
without a card: ffmpeg has a name of its own for it.)"""


def suits(info: VideoInfo) -> bool:
    """Whether this picture may be given to a card at all."""
    return info.codec in CODECS and info.pixel_format in PIXEL_FORMATS and not info.is_still


def input_options(card: str) -> dict[str, object]:
    """Options of ffmpeg for a card as torch calls it: `cuda` or `cuda:1`."""
    kind, _, number = card.partition(":")
    return {"hwaccel": kind, **({"hwaccel_device": number} if number else {})}


def promised_flicks(file: OpenFile, info: VideoInfo, limits: Limits) -> "array[int] | None":
    """Stamps of all packets that will be shown, in order of showing; None where one has none, or not all are known."""
    stamps = array("q")
    questions = ("-select_streams", str(info.stream), "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0")
    with ffmpeg.start_probe(file, info.demuxer, limits, *questions) as child:
        for line in child.stdout.lines():
            pts_s, flags = [*line.split(b","), b""][:2]
            if b"D" in flags:
                continue
            if pts_s == b"N/A" or len(stamps) >= limits.max_frames:
                return None
            stamps.append(round(Fraction(pts_s.decode()) * FLICKS_PER_S))
        if child.finish().returncode < 0:
            return None
    return array("q", sorted(stamps))
