"""What one look at a full inbox costs: scan and ladder, while the files settle, at the look that reads them, and after.

    python scripts/bench_scan.py [--files 20000] [--looks 7] [--folder DIR]...

Lone sounds in 100 folders, on every given folder (a tmpfs and the temporary disk by default); medians in ms.
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from heygemd.intake.names import key_of, kind_of
from heygemd.intake.pairing import Candidate, group
from heygemd.intake.scan import scan
from heygemd.intake.settle import SettleRule
from heygemd.intake.watch import Watch

RULE = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3)
FOLDERS = 100
HEAD = "524946462408000057415645666d7420100000000100010040 1f0000803e00000200100064617461 00080000"
SOUND = bytes.fromhex(HEAD) + b"\x01" * 2048
LOOK_BUDGET_S = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--looks", type=int, default=7)
    parser.add_argument("--folder", type=Path, action="append")
    args = parser.parse_args()
    for place in args.folder or [Path("/dev/shm"), Path(tempfile.gettempdir())]:  # the tmpfs is meant
        with tempfile.TemporaryDirectory(dir=place) as folder:
            fill(Path(folder), args.files)
            measure(Path(folder), args.files, args.looks)


def fill(inbox: Path, files: int) -> None:
    for number in range(files):
        folder = inbox / f"{number % FOLDERS:03d}"
        if number < FOLDERS:
            folder.mkdir()
        (folder / f"Speech {number:05d}.wav").write_bytes(SOUND)


def measure(inbox: Path, files: int, looks: int) -> None:
    watch, device = Watch(inbox, lambda _: RULE), inbox.stat().st_dev
    scans: list[float] = []
    notes: dict[str, list[float]] = {"first": [], "settling": [], "reading": [], "steady": []}
    now_s = 0.0
    while len(notes["steady"]) < looks:
        read_before = count_read(watch)
        start_s = time.perf_counter()
        seen = scan(inbox, device)
        scanned_s = time.perf_counter()
        watch.note(seen, now_s, partial(is_late, start_s))
        done_s = time.perf_counter()
        scans.append(scanned_s - start_s)
        if count_read(watch) > read_before:
            kind = "reading"
        else:
            kind = "first" if not now_s else "settling" if watch.has_settling else "steady"
        notes[kind].append(done_s - scanned_s)
        now_s += 1.0
    scan_ms = 1e3 * statistics.median(scans)
    print(f"{inbox.parent}: {files} files, scan {scan_ms:.0f} ms, sorting into groups {1e3 * sort_s(watch):.0f} ms")
    for kind, taken in notes.items():
        note_ms = 1e3 * statistics.median(taken)
        print(f"  {kind:8s} look {scan_ms + note_ms:6.0f} ms (note {note_ms:.0f} ms, {len(taken)} looks)")


def is_late(start_s: float) -> bool:
    return time.perf_counter() - start_s > LOOK_BUDGET_S


def count_read(watch: Watch) -> int:
    return sum(watched.content is not None for watched in watch.files.values())


def sort_s(watch: Watch) -> float:
    start_s = time.perf_counter()
    group(
        Candidate(folder=folder, name=name, key=key_of(name), kind=kind, is_settled=True)
        for folder, name in watch.files
        if (kind := kind_of(name)) is not None
    )
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
