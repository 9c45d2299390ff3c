"""What the parts of a film cost when nothing else runs: decoder, encoder, face following, network; CPU s per frame.

A floor is the difference between many frames and a fifth of them, so that starting a program is left out: our own cost
per frame is taken from films of several lengths, which leaves the start out as well.
"""

import json
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clips import FFMPEG, facts_of
from bench.goods import SCRIPTS

FEWER = 5
RAW_FRAMES = 150
"""Of raw picture, for the encoder: 467 MB at 1080p, in the bench's folder, read through the page cache."""
DECODED_FRAMES = 750
"""Decoding is cheap, so it needs more frames to be told from noise."""
FOLLOWED_FRAMES = 150
PAINTED_FRAMES = 64
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "medium")


@dataclass(frozen=True, slots=True)
class Commands:
    """The command lines of the product's own decoder and encoder, as they were seen beside a worker."""

    decoder: Sequence[str]
    encoder: Sequence[str]

    @property
    def decoder_threads(self) -> str:
        """What stands behind -threads before the input; ffmpeg's own choice where it does not."""
        words = self.decoder[: self.decoder.index("-i")]
        return words[words.index("-threads") + 1] if "-threads" in words else "0"

    @property
    def decoder_form(self) -> str:
        """Muxer of what the decoder gives."""
        words = self.decoder[self.decoder.index("-i") :]
        return words[words.index("-f") + 1]

    @property
    def raw_form(self) -> tuple[str, str]:
        """Demuxer and pixel format of what the encoder is fed with."""
        words = self.encoder[: self.encoder.index("-i")]
        pixels = [words[words.index(name) + 1] for name in ("-pixel_format", "-pix_fmt") if name in words]
        return words[words.index("-f") + 1], (pixels or ["yuv420p"])[0]

    def encode(self, raw: Path, out: Path, frames: int, **instead: str) -> list[str]:
        """The encoder's command with a file for its pipe, ended after so many frames; `instead`: other options."""
        words = [str(raw) if word == "pipe:0" else word for word in self.encoder]
        words = words[next(i for i, word in enumerate(words) if Path(word).name == "ffmpeg") :]
        for option, value in instead.items():
            words[words.index(f"-{option}") + 1] = value
        return [*words[:-1], "-frames:v", str(frames), str(out)]


def child_cpu_s(argv: Sequence[str | Path]) -> float:
    """Run a command to its end; its processor time. Raises CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def decode_s(clip: Path, threads: str, *, into_pipe: str = "") -> float:
    """A frame of this clip, decoded to nowhere, or in this form into a pipe that somebody empties."""
    frames = min(DECODED_FRAMES, facts_of(clip).frames)
    few = max(1, frames // FEWER)
    costs = [child_cpu_s(_decode(clip, threads, count, into_pipe=into_pipe)) for count in (few, frames)]
    return (costs[1] - costs[0]) / max(1, frames - few)


def _decode(clip: Path, threads: str, frames: int, *, into_pipe: str) -> list[str | Path]:
    words = [*FFMPEG, "-threads", threads, "-i", clip, "-map", "0:v:0", "-frames:v", str(frames)]
    if not into_pipe:
        return [*words, "-f", "null", "-"]
    # The shell's pipe; dd takes 20 ms of processor time for a gigabyte, and shows nothing.
    line = shlex.join(map(str, [*words, "-f", into_pipe, "-pix_fmt", "yuv420p", "pipe:1"]))
    return ["sh", "-c", f"{line} | dd of=/dev/null bs=1M status=none"]


def make_raw(folder: Path, clip: Path, commands: Commands) -> Path:
    """Write the first frames of a clip as the encoder is fed with them."""
    raw = folder / "frames.raw"
    if not raw.exists():
        demuxer, pixels = commands.raw_form
        shape = ["-frames:v", str(RAW_FRAMES), "-pix_fmt", pixels, "-f", demuxer]
        subprocess.run([*FFMPEG, "-i", clip, "-map", "0:v:0", *shape, raw], check=True)
    return raw


def encode_s(raw: Path, clip: Path, commands: Commands, **instead: str) -> tuple[float, float]:
    """A frame encoded with the product's own words: CPU seconds, and bytes in the file."""
    frames = min(RAW_FRAMES, facts_of(clip).frames)
    few, out = max(1, frames // FEWER), raw.with_suffix(".mp4")
    costs = [child_cpu_s(commands.encode(raw, out, count, **instead)) for count in (few, frames)]
    size_bytes = out.stat().st_size
    out.unlink()
    return (costs[1] - costs[0]) / max(1, frames - few), size_bytes / frames


def alone(part: str, what: str | Path, frames: int) -> dict[str, Any]:
    """Measure one part in a process of its own (`alone.py`)."""
    asked = [sys.executable, SCRIPTS / "bench" / "alone.py", part, what, str(frames)]
    answer = subprocess.run(asked, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def presets_of(raw: Path, clip: Path, commands: Commands) -> list[dict[str, Any]]:
    """What the encoder's presets cost and give, at the same quality setting."""
    rows = []
    for preset in PRESETS:
        cpu_s, frame_bytes = encode_s(raw, clip, commands, preset=preset)
        rows.append({"preset": preset, "ms_a_frame": 1000 * cpu_s, "kilobytes_a_frame": frame_bytes / 1000})
    return rows
