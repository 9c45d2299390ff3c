"""Sixty thousand files in ten seconds: how many looks until all are found, and what a full inbox costs.

    python scripts/bench_flood.py [--files 60000] [--orphans 20000] [--seconds 60]

A daemon runs on a root in a temporary folder; every look of its desk is timed. The flood comes twice: with the
daemon awake, and with the daemon stopped by SIGSTOP meanwhile, so that the kernel's queue of folder events
overflows. Then the inbox is one of lone files that nobody fetches. Exits 1 when the first two looks that began after
the last file did not find everything.
"""

import argparse
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
[intake]
settle_s = {settle_s}
settle_unsure_s = {settle_s}
[render]
engine = "passthrough"
"""
AS_DAEMON = "--as-daemon"
LOOKED = "bench.looked"
FLOOD_LIMIT_S = 10.0
MAX_LOOKS = 2
FOUND_LIMIT_S = 120.0
RECENT_S = 45.0
"""Recent activity makes the daemon look more often for 30 s."""
SCANS = 20
NEVER_S = 86400.0
"""A settle time: nothing is claimed while it is counted."""
LONE_WAV = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 40, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", 4)
LONE_WAV += bytes(4)
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the desk, as it told it itself."""

    began_s: float
    """Monotonic, the same for all processes of a machine."""
    took_s: float
    waiting: int
    """Names that wait in the inbox: pairs, or lone files that were told of."""


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon and what lies around it."""

    process: psutil.Popen
    root: Path
    log: Path

    def looks(self) -> list[Look]:
        """Return every look so far."""
        lines = [line for line in self.log.read_text(encoding="utf-8").splitlines() if LOOKED in line]
        return [Look(line["began_s"], line["took_s"], line["waiting"]) for line in map(json.loads, lines)]

    def wait_for_looks(self, count: int) -> None:
        """Return when the daemon is up and has looked."""
        while len(self.looks()) < count:
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--orphans", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    rows = []
    is_good = True
    for title, stopped in (("daemon awake", False), ("daemon stopped: event queue overflows", True)):
        with daemon(NEVER_S) as running:
            found, was_good = flood(running, args.files, stopped=stopped)
        rows += [(f"{args.files:,} files, {title}", *row) for row in found]
        is_good = is_good and was_good
    rows += [(f"inbox of {args.orphans:,} lone files", *row) for row in idle(args.orphans, args.seconds)]
    for scene, what, value in rows:
        print(f"{scene:60} {what:44} {value}")
    return 0 if is_good else 1


def flood(running: Running, count: int, *, stopped: bool) -> tuple[list[tuple[str, str]], bool]:
    """Create the files, and wait until a look has found all of them."""
    running.wait_for_looks(2)
    if stopped:
        running.process.send_signal(signal.SIGSTOP)
    created_s = create(running.root / "inbox", count // 2)
    last_s = time.monotonic()
    if stopped:
        running.process.send_signal(signal.SIGCONT)
    while True:
        after = [look for look in running.looks() if look.began_s > last_s]
        complete = [number for number, look in enumerate(after, 1) if look.waiting == count // 2]
        if complete or time.monotonic() - last_s > FOUND_LIMIT_S:
            break
        time.sleep(0.1)
    needed = complete[0] if complete else 0
    slow = "" if created_s <= FLOOD_LIMIT_S else f" (this disk took longer than the {FLOOD_LIMIT_S:.0f} s asked for)"
    rows = [
        ("created in", f"{created_s:.1f} s{slow}"),
        ("found by look number (after the last file)", str(needed or "never")),
    ]
    if needed:
        look = after[needed - 1]
        rows.append(("found after the last file", f"{look.began_s + look.took_s - last_s:.1f} s"))
        rows.append(("that look took", f"{look.took_s:.2f} s"))
    if stopped:
        rows.append(("kernel's queue of events", f"{int(QUEUE.read_text()):,}"))
    rows.append(("memory of the desk", memory_of_desks(running)))
    return rows, 0 < needed <= MAX_LOOKS


def create(inbox: Path, pairs: int) -> float:
    """Make two small files for each pair; returns the seconds."""
    began_s = time.monotonic()
    folder = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(pairs):
        for suffix in ("mp4", "wav"):
            file = os.open(f"{number:05d}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
            os.write(file, b"x")
            os.close(file)
    os.close(folder)
    return time.monotonic() - began_s


def idle(count: int, seconds: float) -> list[tuple[str, str]]:
    """What a daemon costs whose inbox holds many files and no news; and the bare scan of that inbox."""
    with daemon(3.0) as running:
        inbox = running.root / "inbox"
        for number in range(count):
            (inbox / f"lone_{number:05d}.wav").write_bytes(LONE_WAV)
        scan_s = statistics.median(bare_scan_s(inbox) for _ in range(SCANS))
        time.sleep(RECENT_S)
        tree = [running.process, *running.process.children(recursive=True)]
        before_s, from_s = sum(map(cpu_s, tree)), time.monotonic()
        time.sleep(seconds)
        used_s = sum(map(cpu_s, tree)) - before_s
        looks = [look for look in running.looks() if look.began_s >= from_s]
        took_s = statistics.median(look.took_s for look in looks)
        return [
            (f"one scan (median of {SCANS})", f"{scan_s * 1000:.0f} ms"),
            (f"one look (median of {len(looks)})", f"{took_s * 1000:.0f} ms"),
            (f"processor time over {seconds:.0f} s, all processes", f"{100 * used_s / seconds:.2f} % of a core"),
            ("memory of the desk", memory_of_desks(running)),
        ]


def bare_scan_s(inbox: Path) -> float:
    from heygemd.intake.scan import scan  # noqa: PLC0415  # the daemon's children load this file, too

    began_s = time.perf_counter()
    scan(inbox, inbox.stat().st_dev)
    return time.perf_counter() - began_s


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def memory_of_desks(running: Running) -> str:
    """The largest child of the fork server is the desk."""
    children = running.process.children(recursive=True)
    return f"{max(child.memory_info().rss for child in children) / 1e6:.0f} MB"


@contextmanager
def daemon(settle_s: float) -> Iterator[Running]:
    """A daemon on a new root; its desk tells of every look."""
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        root, state, config = Path(folder) / "root", Path(folder) / "state", Path(folder) / "heygemd.toml"
        subprocess.run([sys.executable, "-m", "heygemd", "init-root", str(root)], check=True, capture_output=True)
        config.write_text(CONFIG.format(root=root, state=state, settle_s=settle_s), encoding="utf-8")
        log = Path(folder) / "log"
        argv = [sys.executable, __file__, AS_DAEMON, "run", "--config", str(config)]
        with log.open("wb") as file:
            process = psutil.Popen(argv, stderr=file)
        try:
            yield Running(process, root, log)
        finally:
            process.kill()
            process.wait()


def tell_looks() -> None:
    """Let every look write one line. Children of the daemon load this file as their parent did, and so the desk."""
    from heygemd.daemon.desk import Desk  # noqa: PLC0415

    look = Desk.look

    def told(self: Desk, *args: object) -> object:
        began_s = time.monotonic()
        found = look(self, *args)  # type: ignore[arg-type]
        line = {"event": LOOKED, "began_s": began_s, "took_s": time.monotonic() - began_s}
        sys.stderr.write(json.dumps({**line, "waiting": found.waiting_count}) + "\n")
        sys.stderr.flush()
        return found

    Desk.look = told  # type: ignore[assignment,method-assign]


if AS_DAEMON in sys.argv[1:2]:
    tell_looks()

if __name__ == "__main__":
    if AS_DAEMON in sys.argv[1:2]:
        from heygemd.cli import app

        app(sys.argv[2:])
    else:
        sys.exit(main())
