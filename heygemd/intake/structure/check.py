"""Is a file whole, as far as its container can tell? Reads a little of it, with `pread`, and starts no program.

`ffprobe` ends well on half of a faststart MP4, an MKV, an MP3, a FLAC, and names the full duration; so the
containers are looked at here. The content decides what a file is, not its name.
"""

import os
from collections.abc import Callable

from heygemd.errors import InputError
from heygemd.intake.structure import flac, frames, matroska, mp4, ogg, riff, stills
from heygemd.intake.structure.verdict import Incomplete, Unchecked, Verdict, Whole
from heygemd.intake.structure.window import Unjudgeable, Window
from heygemd.media.sniff import HEAD_BYTES, sniff

PARSERS: dict[str, tuple[str, Callable[[Window], str | None]]] = {
    "mov": ("mp4", mp4.find_gap),
    "matroska": ("matroska", matroska.find_gap),
    "avi": ("avi", riff.find_gap_in_avi),
    "wav": ("wav", riff.find_gap_in_sound),
    "aiff": ("aiff", riff.find_gap_in_sound),
    "flac": ("flac", flac.find_gap),
    "mp3": ("mp3", frames.find_gap_in_mp3),
    "aac": ("aac", frames.find_gap_in_aac),
    "ogg": ("ogg", ogg.find_gap),
    "jpeg_pipe": ("jpeg", stills.find_gap_in_jpeg),
    "png_pipe": ("png", stills.find_gap_in_png),
    "webp_pipe": ("webp", riff.find_gap_in_webp),
}
"""Demuxer as `sniff` names it → what people call it, and who says what is missing. Of the others (MPEG-TS and -PS,
ASF, FLV, CAF …) the end looks like any other place."""


def check_structure(number: int, size_bytes: int) -> Verdict:
    """Judge the regular file behind the descriptor `number`; raises OSError when it cannot be read."""
    return judge(Window(lambda offset, count: os.pread(number, count, offset), size_bytes))


def judge(window: Window) -> Verdict:
    """Judge what a window shows."""
    try:
        demuxer = sniff(window.at(0, HEAD_BYTES))
        if demuxer not in PARSERS:
            return Unchecked(f"{demuxer} says nothing about its end")
        kind, find_gap = PARSERS[demuxer]
        gap = find_gap(window)
    except InputError as error:
        return Unchecked(error.message)
    except Unjudgeable as answer:
        return Unchecked(str(answer))
    return Whole(kind) if gap is None else Incomplete(kind, gap)
