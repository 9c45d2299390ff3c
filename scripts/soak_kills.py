"""Kill the daemon, again and again, while it makes small films; then count what was lost, doubled or left half done.

    python scripts/soak_kills.py [--films 1000] [--kills 400] [--shards 9] [--parallel 3] [--seed 1] [--mix]
                                 [--mutant NAME] [--keep FOLDER] [--json FILE]

SIGKILL meets the daemon alone, the daemon with all that it forked, a worker, a desk or errand, or the fork server: at
the start, in the work, or right behind a change on the disk. Each shard has a root and a state directory of its own.
Exits 1 when any promise was broken. With `--mutant` a daemon with a bug to order runs instead, and the exit status is
turned round: a soak that does not catch it is broken itself (a rare one may need more kills).
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from soak.goods import Clips, make_clips, make_goods
from soak.mutants import MUTANTS
from soak.shard import SEEN, Shard, Tally

TELLING = (SEEN, "lost", "published twice", "originals", "store")
"""Kinds of violations that tell of a broken promise about films; a mutant must show one of them."""
SHOWN = 5
"""Violations of each kind that are printed; the JSON holds all."""


def main() -> int:
    args = read_arguments()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        clips = make_clips(Path(scratch))
        tallies = run_shards(folder, clips, args)
    result = summary(tallies, time.monotonic() - began_s, args)
    show(result)
    if args.json:
        Path(args.json).write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if args.mutant:
        caught = [kind for kind in TELLING if result["violations"].get(kind)]
        print(f"the mutant {args.mutant} was {'caught by: ' + ', '.join(caught) if caught else 'NOT caught'}")
        return 0 if caught else 1
    return 1 if result["broken"] else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=400)
    parser.add_argument("--shards", type=int, default=9)
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", action="store_true", help="Also job folders, _default folders and manifests.")
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--keep", help="Work in this folder and leave everything there.")
    parser.add_argument("--json", help="Write the result there, too.")
    return parser.parse_args()


def run_shards(folder: Path, clips: Clips, args: argparse.Namespace) -> list[Tally]:
    """Each in a process of its own, which takes in the orphans of its daemons."""
    processes = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.parallel, processes, max_tasks_per_child=1) as pool:
        runs = [pool.submit(run_shard, folder, clips, number, args) for number in range(args.shards)]
        tallies = []
        for number, run in enumerate(runs):
            tallies.append(run.result())
            print(f"shard {number}: {line_of(tallies[-1])}", flush=True)
    return tallies


def run_shard(folder: Path, clips: Clips, number: int, args: argparse.Namespace) -> Tally:
    seed = args.seed * 1000 + number
    goods = make_goods(clips, share(args.films, number, args.shards), seed, mix=args.mix)
    kills = share(args.kills, number, args.shards)
    return Shard(folder / f"shard-{number:02d}", goods, kills, seed, args.mutant).run()


def share(total: int, index: int, parts: int) -> int:
    """Split as evenly as can be."""
    return total * (index + 1) // parts - total * index // parts


def line_of(tally: Tally) -> str:
    kills = ", ".join(f"{count} {victim}" for victim, count in tally.kills.most_common())
    broken = sum(map(len, tally.violations.values()))
    return (
        f"{tally.films} films, {tally.kills.total()} kills ({kills}) in {tally.lives} lives, {tally.looks} looks, "
        f"{tally.seconds:.0f} s, {broken} violations"
    )


def summary(tallies: list[Tally], seconds: float, args: argparse.Namespace) -> dict:
    kinds = sorted({kind for tally in tallies for kind in tally.violations})
    violations = {kind: [text for tally in tallies for text in tally.violations.get(kind, [])] for kind in kinds}
    return {
        "films": sum(tally.films for tally in tallies),
        "kills": dict(sum((tally.kills for tally in tallies), Counter())),
        "lives": sum(tally.lives for tally in tallies),
        "looks": sum(tally.looks for tally in tallies),
        "slowest_orphan_s": round(max(tally.slowest_orphan_s for tally in tallies), 3),
        "seconds": round(seconds, 1),
        "seed": args.seed,
        "mix": args.mix,
        "mutant": args.mutant,
        "violations": violations,
        "broken": any(violations.values()),
        "shards": [asdict(replace(tally, kills=dict(tally.kills))) for tally in tallies],
    }


def show(result: dict) -> None:
    kills = ", ".join(f"{count} of a {victim}" for victim, count in result["kills"].items())
    print(f"{result['films']} films, {sum(result['kills'].values())} kills ({kills}), {result['lives']} lives, "
          f"{result['seconds']:.0f} s")  # fmt: skip
    print(f"the last child of a killed daemon was gone after {result['slowest_orphan_s']:.2f} s")
    for kind, found in result["violations"].items():
        print(f"{kind:20} {len(found):5}")
        for text in found[:SHOWN]:
            print(f"    {text}")


if __name__ == "__main__":
    sys.exit(main())
