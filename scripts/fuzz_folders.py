"""People, bad luck and time against a model of the drop protocol, for as long as you like.

Runs the state machine of `tests/protocol` with one seed after the other, and prints what was done and checked. Of
each broken promise the acts that led there are kept in a text, with the seed with which they come again.
"""

import argparse
import json
import sys
import time
import traceback
import zlib
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.protocol.machine import TOTALS, FolderMachine  # noqa: E402

WORLDS_AT_ONCE = 20
"""Of one seed."""
DOINGS = ("seeds", "worlds", "acts", "ticks", "audits", "violations", "wall_s")
"""All other counts are of things that were there to be checked."""


def main() -> int:
    """Return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no new seed after so long")
    parser.add_argument("--seed", default="1", help="the first one; numbers are counted up, and a word is made one")
    parser.add_argument("--acts", type=int, default=30, help="most acts of one world")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest way to a broken promise")
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "fuzz" / "folders", help="where those ways go")
    parser.add_argument("--json", type=Path, help="write what was done and checked to this file")
    arguments = parser.parse_args()
    word, began_s, violations = arguments.seed, time.monotonic(), 0
    first = number = int(word) if word.isdecimal() else zlib.crc32(word.encode())
    while number == first or time.monotonic() - began_s < arguments.seconds:
        broken = broken_by(number, arguments.acts, shrink=arguments.shrink)
        if broken is not None:
            violations += 1
            keep(broken, number, arguments)
        worlds, acts = TOTALS["worlds"], TOTALS["acts"]
        print(f"seed {number}: {worlds} worlds, {acts} acts, {violations} violations so far", flush=True)
        number += 1
    wall_s = round(time.monotonic() - began_s, 1)
    tell({"seeds": number - first, "violations": violations, "wall_s": wall_s, **TOTALS}, arguments.json)
    return int(violations > 0)


def broken_by(number: int, acts: int, *, shrink: bool) -> Exception | None:
    """Run the worlds of one seed; returns how a promise was broken."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    wanted = settings(
        max_examples=WORLDS_AT_ONCE, stateful_step_count=acts, deadline=None, database=None, phases=phases,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    machine = seed(number)(type(f"Seed{number}", (FolderMachine,), {}))
    try:
        run_state_machine_as_test(machine, settings=wanted)
    except Exception as error:  # noqa: BLE001  # whatever it is, the seed belongs to it
        return error
    return None


def keep(broken: Exception, number: int, arguments: argparse.Namespace) -> None:
    """Write down what broke and after which acts."""
    again = f"again: {Path(__file__).name} --seconds 0 --seed {number} --acts {arguments.acts}\n"
    text = "".join(traceback.format_exception(broken)) + again
    arguments.kept.mkdir(parents=True, exist_ok=True)
    (arguments.kept / f"seed-{number}.txt").write_text(text)
    print(text, flush=True)


def tell(counts: dict[str, float], file: Path | None) -> None:
    """Print all counts, and how many checks that makes."""
    checks = sum(count for name, count in counts.items() if name not in DOINGS)
    told = {name: counts.get(name, 0) for name in DOINGS} | {"checks": checks} | dict(sorted(counts.items()))
    print(json.dumps(told))
    if file:
        file.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    sys.exit(main())
