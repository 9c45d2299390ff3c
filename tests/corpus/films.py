"""What a finished film says of itself, as ffprobe tells it: shape of its pixels, format, colours."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

ENTRIES = {
    "sample_aspect": "sample_aspect_ratio",
    "pixel_format": "pix_fmt",
    "colour_range": "color_range",
    "matrix": "color_space",
    "primaries": "color_primaries",
    "transfer": "color_transfer",
}
"""Name of a fact → what ffprobe calls it."""


def told_by(film: Path, wanted: Iterable[str]) -> dict[str, object]:
    """Return those of the wanted facts that a film itself knows; ffprobe runs only where there is one."""
    asked = [name for name in wanted if name in ENTRIES]
    if not asked:
        return {}
    entries = ",".join(ENTRIES[name] for name in asked)
    argv = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", f"stream={entries}", "-of", "json"]
    done = subprocess.run([*argv, str(film)], check=True, capture_output=True)
    stream = json.loads(done.stdout)["streams"][0]
    return {name: stream.get(ENTRIES[name]) for name in asked}
