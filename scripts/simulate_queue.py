"""Try the policy of the queue in random worlds: machines, films and bad luck by the thousand, every promise checked.

    python scripts/simulate_queue.py [--count 10000] [--seed 0] [--shard 1/2] [--json FILE]

What is checked, and when, stands in tests/scheduler/simulator.py. Every tenth world is one of equal roots that are
always busy; for those Jain's index of the seconds that each was given is taken, too. A shard takes every n-th seed, so
that several processes share the work. Exits 1 when a promise was broken or equal roots were not served equally.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heygemd.scheduler import policy, shares
from tests.scheduler.promises import Broken, Figures
from tests.scheduler.simulator import Brain, Simulator
from tests.scheduler.workloads import draw, is_of_equal_roots, jain

BRAIN = Brain(policy.assign, shares.charge, shares.settle)
JAIN_LEAST = 0.95
SHOWN = 5
"""Broken promises of each kind that are printed; the JSON holds all."""
SUMMED = ("rounds", "starts", "new_workers", "switches", "ooms", "deaths")
MOST = ("overtaken_s", "of_bound")


@dataclass
class Tally:
    """What came of all worlds."""

    seed: int
    count: int
    shard: str
    worlds: int = 0
    broken: dict[str, list[str]] = field(default_factory=dict)
    """Messages by promise; each holds its seed."""
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    most: dict[str, float] = field(default_factory=lambda: dict.fromkeys(MOST, 0.0))
    jain_worlds: int = 0
    jain_least: float = 1.0
    jain_seed: int | None = None
    simulated_days: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def is_good(self) -> bool:
        """No promise was broken, and equal roots were served equally."""
        return not self.broken and self.jain_least >= JAIN_LEAST

    def add(self, seed: int, figures: Figures) -> None:
        """Take in a world in which every promise was kept."""
        self.sums = {name: total + getattr(figures, name) for name, total in self.sums.items()}
        self.most = {name: max(most, getattr(figures, name)) for name, most in self.most.items()}
        self.simulated_days += figures.ends_s / 86400
        if is_of_equal_roots(seed):
            self.jain_worlds += 1
            index = jain(figures.given_s.values())
            if index < self.jain_least:
                self.jain_least, self.jain_seed = index, seed

    def rows(self) -> list[tuple[str, str]]:
        """The table that is printed."""
        broken = sum(map(len, self.broken.values()))
        return [
            ("worlds", f"{self.worlds:,}, seeds {self.seed} to {self.seed + self.count - 1}, shard {self.shard}"),
            ("promises broken", f"{broken:,}"),
            ("admissions over budget", f"{len(self.broken.get('over budget', ())):,}"),
            ("calls of the policy", f"{self.sums['rounds']:,}"),
            ("tasks started", f"{self.sums['starts']:,}"),
            ("workers started", f"{self.sums['new_workers']:,}"),
            ("workers replaced for another engine", f"{self.sums['switches']:,}"),
            ("tasks that ran out of memory", f"{self.sums['ooms']:,}"),
            ("workers that died", f"{self.sums['deaths']:,}"),
            ("simulated time", f"{self.simulated_days:,.0f} days"),
            ("most given to others before a first film", f"{self.most['overtaken_s']:,.0f} s"),
            ("the same over its bound, at most", f"{self.most['of_bound']:.3f}"),
            (
                "Jain's index of equal roots, least",
                f"{self.jain_least:.4f} of {self.jain_worlds}, seed {self.jain_seed}",
            ),
            ("wall clock, processor time", f"{self.wall_s:.0f} s, {self.cpu_s:.0f} s"),
        ]


def main() -> int:
    args = read_arguments()
    part, parts = (int(number) for number in args.shard.split("/"))
    tally = Tally(args.seed, args.count, args.shard)
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for seed in range(args.seed + part - 1, args.seed + args.count, parts):
        tally.worlds += 1
        try:
            tally.add(seed, Simulator(draw(seed), BRAIN).run())
        except Broken as broken:
            tally.broken.setdefault(broken.promise, []).append(str(broken))
    tally.wall_s, tally.cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    for name, value in tally.rows():
        print(f"{name:44} {value}")
    for promise, messages in tally.broken.items():
        print(f"{promise}: {len(messages)} times")
        for message in messages[:SHOWN]:
            print(f"    {message}")
    if args.json:
        Path(args.json).write_text(json.dumps(asdict(tally), indent=1), encoding="utf-8")
    return 0 if tally.is_good else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="worlds, all shards together")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first world")
    parser.add_argument("--shard", default="1/1", help="which part of how many, for example 2/4")
    parser.add_argument("--json", help="file for the figures and every broken promise")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
