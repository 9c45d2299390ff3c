"""What tests ask about the packets and frames of a film, told by ffmpeg itself; and a face to make films of."""

import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DISPOSABLE, IDR = 1, 5
"""Kinds of H.264 NAL units that hold pictures: any other picture, and one with which decoding can begin."""


def ffmpeg(*words: object) -> None:
    """Run it; raises when it fails."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, words)], check=True)


def make_presenter(demo: ModuleType, file: Path, frame_count: int) -> None:
    """Let the presenter of the demo (`scripts/demo/make_presenter.py`) move for some frames of 256 × 256."""
    pytest.importorskip("skimage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "SIZE_PX", 256)
        patch.setattr(demo, "FRAME_COUNT", frame_count)
        demo.write(file)


def picture_hashes(film: Path) -> list[tuple[int, int, str]]:
    """Stamp, duration and MD5 of every decoded frame, in the order of their showing; raises when one is damaged."""
    words = ["ffmpeg", "-v", "error", "-xerror", "-i", str(film), "-map", "0:v", "-f", "framemd5", "-"]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if not line.startswith("#")]
    return [(int(stamp), int(duration), md5) for _, _, stamp, duration, _, md5 in rows]


def packets(film: Path, kind: str) -> list[dict[str, Any]]:
    """Packets of the picture (`v`) or the sound (`a`) as they lie in the file, each with the hash of its bytes."""
    words = ["ffprobe", "-v", "error", "-select_streams", kind, "-show_packets", "-show_data_hash", "sha256"]
    found = subprocess.run([*words, "-of", "json", str(film)], check=True, capture_output=True).stdout
    return list(json.loads(found)["packets"])


def picture_units(film: Path) -> list[int]:
    """Kinds of the NAL units that hold pictures, in the order of decoding."""
    words = ["ffmpeg", "-v", "error", "-i", str(film), "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb"]
    raw = subprocess.run([*words, "-f", "h264", "-"], check=True, capture_output=True).stdout
    kinds = (unit[0] & 31 for unit in raw.split(b"\0\0\1")[1:])
    return [kind for kind in kinds if kind in (DISPOSABLE, IDR)]
