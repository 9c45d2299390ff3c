"""Measure the peak memory of a render, and that it does not grow with the length of the clip.

    python scripts/bench_memory.py                         two 1080p renders of different length, made here
    python scripts/bench_memory.py --durations 10 120 --engine atlas --size 1920x1080
    python scripts/bench_memory.py --durations 10 600 --engine wav2lip
    python scripts/bench_memory.py -- heygemd render …     any command

One worker, because a long film is spread over more of them than a short one. wav2lip renders with weights made here,
which know nothing and cost what trained ones cost. Memory is the proportional set size (PSS) of the whole process tree,
from /proc/<pid>/smaps_rollup: pages that several processes share count once. It is sampled; a peak shorter than the
sampling interval can be missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench.clips import make_weights

ROOT = Path(__file__).resolve().parents[1]
INTERVAL_S = 0.1
GROWTH_LIMIT = 1.10
"""Longest film over shortest film: more means that memory grows with length."""
PEAK_LIMIT_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """What one run took."""

    bytes: int
    by_process: dict[str, int]
    """PSS by process name, at the moment of the peak."""
    wall_s: float
    exit_status: int


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of one process; 0 when it has just ended."""
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as rollup:
            return next((int(line.split()[1]) << 10 for line in rollup if line.startswith(b"Pss:")), 0)
    except OSError:
        return 0


def tree_pss(process: psutil.Process) -> Counter[str]:
    """Return PSS by process name for a process and all its descendants."""
    found: Counter[str] = Counter()
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for member in family:
        try:
            found[member.name()] += pss_bytes(member.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def measure(command: list[str]) -> Peak:
    """Run a command and watch it until it ends."""
    began_s = time.monotonic()
    highest: Counter[str] = Counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            now = tree_pss(process)
            if now.total() > highest.total():
                highest = now
            time.sleep(INTERVAL_S)
    return Peak(
        bytes=highest.total(),
        by_process=dict(highest.most_common()),
        wall_s=time.monotonic() - began_s,
        exit_status=child.returncode,
    )


def make_pair(folder: Path, duration_s: int, size: str) -> tuple[Path, Path]:
    """Make a clip and a sound of this length from the demo's presenter and voice."""
    presenter, video, audio = folder / "presenter.mp4", folder / f"{duration_s}.mp4", folder / f"{duration_s}.wav"
    if not presenter.exists():
        subprocess.run([sys.executable, ROOT / "scripts" / "demo" / "make_presenter.py", presenter], check=True)
    width, height = size.split("x")
    fit = f"scale=-2:{height}:flags=lanczos,pad={width}:{height}:(ow-iw)/2:0:gray,setsar=1"
    ffmpeg = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-stream_loop", "-1"]
    length = ["-t", str(duration_s)]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    subprocess.run([*ffmpeg, "-i", presenter, *length, "-vf", fit, *encode, video], check=True)
    voice = ROOT / "scripts" / "demo" / "voice_en.flac"
    subprocess.run([*ffmpeg, "-i", voice, *length, "-c:a", "pcm_s16le", audio], check=True)
    return video, audio


def show(title: str, peak: Peak) -> None:
    parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in peak.by_process.items() if size >= 1_000_000)
    print(f"{title:>10}  peak {peak.bytes / 1e6:7.0f} MB  ({parts})  {peak.wall_s:6.1f} s  exit {peak.exit_status}")


def compare(durations_s: list[int], size: str, engine: str) -> bool:
    """Render each length; return whether every run worked and memory stayed bounded and level."""
    peaks = []
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as name:
        folder = Path(name)
        os.environ["HEYGEMD_STATE_DIR"] = str(folder / "state")
        os.environ["HEYGEMD_RENDER__WORKERS"] = "1"  # a long film would be spread over more of them than a short one
        if engine == "wav2lip":
            models = folder / "models"
            models.mkdir()
            make_weights(models)
            os.environ["HEYGEMD_MODELS_DIR"] = str(models)
        for duration_s in durations_s:
            video, audio = make_pair(folder, duration_s, size)
            inputs = ["--video", str(video), "--audio", str(audio), "--output", str(folder / f"film-{duration_s}.mp4")]
            peak = measure([sys.executable, "-m", "heygemd", "render", *inputs, "--engine", engine])
            show(f"{duration_s} s", peak)
            peaks.append(peak)
    growth = peaks[-1].bytes / peaks[0].bytes
    highest = max(peak.bytes for peak in peaks)
    limits = (GROWTH_LIMIT, PEAK_LIMIT_BYTES / 1e6)
    print(f"growth {growth:.3f} (limit {limits[0]}), highest {highest / 1e6:.0f} MB (limit {limits[1]:.0f})")
    return growth <= GROWTH_LIMIT and highest <= PEAK_LIMIT_BYTES and all(peak.exit_status == 0 for peak in peaks)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the peak memory of a render.")
    parser.add_argument("--durations", type=int, nargs="+", default=[10, 120], metavar="SECONDS")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--engine", default="atlas")
    parser.add_argument("command", nargs="*", help="after --: measure this command instead")
    asked = parser.parse_args()
    if asked.command:
        peak = measure(asked.command)
        show("command", peak)
        sys.exit(peak.exit_status)
    if not compare(sorted(asked.durations), asked.size, asked.engine):
        sys.exit("memory grew with length, passed the limit, or a render failed")


if __name__ == "__main__":
    main()
