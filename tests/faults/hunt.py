"""The hunt for mutants: every bug of `mutants` must be caught by the power cuts, or the power cuts are worth nothing.

    python -m tests.faults.hunt [NAME …]

Each mutant is recorded once, in the weather that shows its bug, then cut until something is wrong: first around the
moments that it has confessed, then evenly over the run. In eager weather a cut is the same as a kill of everybody.
"""

import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.machine import CALM, Machine, Temper, Weather
from tests.faults.mutants import CHOICE, MUTANTS
from tests.faults.powercut import Trial, Unit, can_cut, read_template
from tests.faults.scene import REPOSITORY, make_template
from tests.mounts.namespace import INSIDE, UNSHARE, unmount

MUTANT_DAEMON = Path(__file__).with_name("mutants.py")
NEAR, SPREAD = 16, 24
"""Cuts around confessed moments, and over the run."""
ROOT_AHEAD = Weather(Temper.LAZY, Temper.EAGER)
ROOT_NAMES = Weather(Temper.LAZY, Temper.NAMES)
PAIRS, LONE = Unit("pairs", CALM), Unit("default", CALM)
HAUNTS = {
    "record-before-output": PAIRS,
    "no-temp-name": Unit("default", ROOT_NAMES),
    "film-before-report": Unit("default", ROOT_AHEAD),
    "double-publish": PAIRS,
    "film-not-synced": LONE,
    "folder-not-synced": PAIRS,
    "store-not-synced": PAIRS,
    "claim-not-synced": PAIRS,
    "claim-forgotten-early": Unit("default", ROOT_AHEAD),
    "unclaim-lost": Unit("pairs", ROOT_NAMES),
    "state-before-rename": LONE,
    "attempts-counted-after": PAIRS,
    "events-noted-first": PAIRS,
    "segments-forgotten": LONE,
}
"""Where each bug shows."""


@dataclass(frozen=True, slots=True)
class Catch:
    """How a mutant was caught."""

    mutant: str
    cuts: int
    wrong: tuple[str, ...]
    """Empty when it was not."""


def hunt(mutant: str, template: Path, folder: Path) -> Catch:
    """Cut until something is wrong. Only inside a private mount namespace, with `MUTANT` set."""
    unit = HAUNTS[mutant]
    trial = Trial(Machine(folder / "machine", unit.disk), unit, read_template(template), folder / "logs", MUTANT_DAEMON)
    if trial.undisturbed:
        return Catch(mutant, 0, tuple(trial.undisturbed))
    recording, count = trial.recording, 0
    for look in (*recording.near_misdeeds(NEAR), *recording.chosen(SPREAD, random.Random(mutant))):
        count += 1
        for result in trial.cut(count, look):
            if result.wrong:
                return Catch(mutant, count, (result.moment, *result.wrong))
    return Catch(mutant, count, ())


def hunt_inside(mutant: str, template: Path) -> Catch:
    """Hunt one mutant in a namespace of its own."""
    argv = [*UNSHARE, sys.executable, "-m", "tests.faults.hunt", "--inside", str(template), mutant]
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(REPOSITORY), CHOICE: mutant}
    done = subprocess.run(
        argv, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    )
    count, *wrong = done.stdout.splitlines()
    return Catch(mutant, int(count), tuple(wrong))


def main(asked: list[str]) -> int:
    """Hunt those that were asked for, or all; returns how many got away."""
    if asked[:1] == ["--inside"]:
        with tempfile.TemporaryDirectory(prefix="hunt-") as name:
            subprocess.run(["mount", "-t", "tmpfs", "none", name], check=True)
            (Path(name) / "machine").mkdir()
            catch = hunt(asked[2], Path(asked[1]), Path(name))
            unmount(Path(name))
        sys.stdout.write("\n".join((str(catch.cuts), *(line.replace("\n", " ") for line in catch.wrong))) + "\n")
        return 0
    if not can_cut():
        sys.stderr.write("power cuts need root, loop devices, mount namespaces and seccomp on x86-64\n")
        return 0
    away = 0
    with tempfile.TemporaryDirectory(prefix="template-") as folder:
        template = make_template(Path(folder)).folder
        for mutant in asked or MUTANTS:
            catch = hunt_inside(mutant, template)
            is_caught = bool(catch.wrong and catch.cuts)  # what shows without any cut says nothing of them
            away += not is_caught
            told = ("" if is_caught else "NOT CAUGHT; ") + "; ".join(catch.wrong[:3])[:300]
            sys.stdout.write(f"{mutant:24} after {catch.cuts:2} cuts: {told}\n")
            sys.stdout.flush()
    return away


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
