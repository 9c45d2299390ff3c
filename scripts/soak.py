"""Live through accelerated days: drops of every kind, failures, lost shares, full disks, crashes, kills; then judge.

    python scripts/soak.py [--rough 6] [--steady 14] [--pairs 6] [--troubles N] [--seed 1]
                           [--leak NAME] [--keep FOLDER] [--json FILE]

A root and a state directory on small file systems of their own (root, a private mount namespace), a real daemon whose
calendar runs a day ahead each minute. Every day people bring pairs, batches, copies and wrong files, cancel, delete
and put back, while the share is unmounted, exchanged, full or read-only, the state directory full, the clock wrong,
tools are killed, and the configuration is reloaded. On every fourth day workers and helpers are killed or frozen, too,
and on rough ones also the daemon; the steady days are one life, so that its memory, descriptors, threads, disk, store
and logs can be measured every evening and a line be laid through them. Exits 1 when anything was lost, doubled or left
over, or when something grows. With `--leak` a daemon that keeps what it should give back runs instead, and the exit
status is turned round.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from soak.days import Days, Story  # noqa: E402
from soak.goods import make_clips  # noqa: E402
from soak.grounds import World  # noqa: E402
from soak.growth import growths, table  # noqa: E402
from soak.leaks import LEAKS  # noqa: E402

from tests.mounts.namespace import INSIDE, UNSHARE, can_mount  # noqa: E402

SHOWN = 6
"""Violations of each kind that are printed; the JSON holds all."""


def main() -> int:
    args = read_arguments()
    if INSIDE not in os.environ:
        if not can_mount():
            print("this soak needs root and a private mount namespace", file=sys.stderr)
            return 2
        os.environ[INSIDE] = "1"
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, __file__, *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        world = World(folder=folder / "days", random=random.Random(args.seed), leak=args.leak)
        days = Days(world, make_clips(folder), folder, pairs=args.pairs, troubles=args.troubles)
        story = days.run(rough=args.rough, steady=args.steady)
        result = summary(world, story, args)
    show(result)
    if args.json:
        Path(args.json).write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if args.leak != "none":
        print(f"the leak {args.leak} was {'caught' if result['broken'] else 'NOT caught'}")
        return 0 if result["broken"] else 1
    return 1 if result["broken"] else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rough", type=int, default=6, help="Days on which the daemon is killed.")
    parser.add_argument("--steady", type=int, default=14, help="Days of one life, behind them.")
    parser.add_argument("--pairs", type=int, default=6, help="Pairs a day, beside one order of every other kind.")
    parser.add_argument("--troubles", type=int, help="So many a day, chosen at random, instead of all.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leak", choices=["none", *sorted(LEAKS)], default="none")
    parser.add_argument("--keep", help="Work in this folder and leave the logs there.")
    parser.add_argument("--json", help="Write the result there, too.")
    return parser.parse_args()


def summary(world: World, story: Story, args: argparse.Namespace) -> dict:
    book = world.book
    found = growths(story, first_day=args.rough + 1)
    book.note("growth", [growth.sentence for growth in found if growth.is_too_much])
    return {
        "days": {"rough": args.rough, "steady": args.steady},
        "lives": world.lives,
        "seconds": round(story.seconds, 1),
        "seed": args.seed,
        "leak": args.leak,
        "totals": dict(book.totals),
        "growth": [asdict(growth) for growth in found],
        "peak_pss_bytes": story.peak_bytes,
        "violations": book.violations,
        "broken": any(book.violations.values()),
        "sizes": [asdict(size) for size in story.sizes],
        "readings": [asdict(reading) for reading in story.readings],
    }


def show(result: dict) -> None:
    totals = result["totals"]
    kills = {name: count for name, count in totals.items() if name.startswith(("kills", "frozen"))}
    days = sum(result["days"].values())
    print(f"{days} days, {totals['jobs']} jobs, {totals['films']} films, {result['lives']} lives, "
          f"{result['seconds']:.0f} s")  # fmt: skip
    print(f"{sum(kills.values())} kills: " + ", ".join(f"{count} {name}" for name, count in sorted(kills.items())))
    print(", ".join(f"{name} {count}" for name, count in totals.items() if name not in kills))
    print(table(result["growth"]))
    print(f"memory of all processes: {result['peak_pss_bytes'] / 1e6:.0f} MB at the most")
    lost, doubled = (len(result["violations"].get(kind, [])) for kind in ("lost", "published twice"))
    print(f"lost {lost}, published twice {doubled}")
    for kind, found in result["violations"].items():
        print(f"{kind:20} {len(found):5}")
        for text in found[:SHOWN]:
            print(f"    {text}")


if __name__ == "__main__":
    sys.exit(main())
