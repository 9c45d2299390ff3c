"""Power cuts: after each, a new daemon must bring everything to the same end as the run that nobody disturbed.

    python -m tests.faults.powercut --results FILE [--shard 0/2] [--each 20] [--seed 1]

A unit is one scene in one weather: it is recorded once, then cut at moments spread evenly over the run. Every fourth
cut is followed by a second one, somewhere in the life that came after the first. Results are lines of JSON; a second
run with the same file goes on where the first one ended, and shards may share it. Needs root and Linux on x86-64, see
`gate`.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

from tests.faults import judge
from tests.faults.aftermath import Aftermath
from tests.faults.gate import can_watch
from tests.faults.judge import Account
from tests.faults.machine import CALM, PATIENT, WEATHERS, Machine, Recording, Temper, Weather
from tests.faults.scene import EXIT_JOB_FAILED, REPOSITORY, SCENES, Clips, Grounds, Template, make_template
from tests.mounts.namespace import INSIDE, UNSHARE, can_mount, unmount

SCENES_CUT = ("pairs", "folder", "manifest", "past", "default")
"""Small ones: what is searched for are moments, not crowds."""
EVERY_SECOND = 4
EACH = 17
"""Cuts of a unit, besides the second ones: 5 scenes × 6 weathers × 21 are 630, and 315 on btrfs."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One scene in one weather."""

    scene: str
    weather: Weather
    disk: str = "ext4"

    def __str__(self) -> str:
        return f"{self.scene} {self.weather} {self.disk}"


def units() -> tuple[Unit, ...]:
    """Return all that can be made on this machine; btrfs needs its tools."""
    disks = ("ext4", "btrfs") if shutil.which("mkfs.btrfs") else ("ext4",)
    every = (Unit(scene, weather, disk) for disk in disks for weather in WEATHERS for scene in SCENES_CUT)
    # btrfs has no journal of names to be ahead with.
    return tuple(unit for unit in every if unit.disk == "ext4" or Temper.NAMES not in astuple(unit.weather))


@dataclass(slots=True)
class Result:
    """What became of one cut."""

    unit: str
    number: int
    moment: str
    """The look and the call at which it was made; of a second cut, behind that of the first."""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    is_second: bool = False


class Trial:
    """A unit on its machine."""

    def __init__(self, machine: Machine, unit: Unit, template: Template, kept: Path, program: Path = PATIENT) -> None:
        """`kept`: where the logs of whatever went wrong are kept."""
        self._machine, self._unit, self._kept, self._program = machine, unit, kept, program
        scene = SCENES[unit.scene]

        def furnish(grounds: Grounds) -> None:
            template.copy_to(grounds)
            scene.drop(template, grounds)

        machine.make(furnish)
        with machine.powered() as grounds:
            self.recording = machine.record(unit.weather, program)
            self.wanted = judge.take_account(grounds)
            self.undisturbed = [*judge.broken_promises(grounds), *_missing(self.wanted, scene.films)]
            if self.recording.status not in (0, EXIT_JOB_FAILED):
                self.undisturbed.append(f"the daemon ended with {self.recording.status}: {self.recording.log[-900:]!r}")
            """What was wrong without any cut: nothing may be."""

    def cut(self, number: int, look: int, *, second: random.Random | None = None) -> Iterator[Result]:
        """Cut the power at a look, and (with `second`) once more in the life that follows."""
        moment = _moment(self.recording, look)
        self._machine.cut(self.recording, look)
        result, life = self._live_on(Result(str(self._unit), number, moment))
        yield result
        if second is not None and life is not None:
            for again in life.chosen(1, second):
                self._machine.cut(life, again)
                moment = f"{moment}, then {_moment(life, again)}"
                yield self._live_on(Result(str(self._unit), number, moment, is_second=True))[0]
        if life is not None:
            self._machine.forget(life)

    def _live_on(self, result: Result) -> tuple[Result, Recording | None]:
        """Start a daemon on what the cut has left, and judge."""
        began_s, life = time.monotonic(), None
        with self._machine.powered() as grounds:
            left = Aftermath.look(grounds, self.wanted)
            result.wrong += left.wrong
            try:
                life = self._machine.record(CALM, self._program)
                result.wrong += left.rendered_again(life.log)
                result.wrong += judge.differences(self.wanted, judge.take_account(grounds))
                result.wrong += judge.broken_promises(grounds)
                if life.status not in (0, EXIT_JOB_FAILED):
                    result.wrong.append(f"the daemon ended with {life.status}")
            except (TimeoutError, OSError, LookupError, ValueError, sqlite3.Error) as error:
                result.wrong.append(f"the end cannot be told: {error!r}")
            if result.wrong:
                result.wrong.append(f"logs: {self._keep_logs(grounds, result)}")
        result.seconds = round(time.monotonic() - began_s, 1)
        return result, life

    def _keep_logs(self, grounds: Grounds, result: Result) -> Path:
        self._kept.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{result.unit.replace(' ', '-')}-{result.number}-", dir=self._kept))
        for log in sorted(grounds.logs.glob("*.jsonl")):
            (place / log.name).write_bytes(log.read_bytes())
        return place


def _moment(recording: Recording, look: int) -> str:
    return f"look {look} of {len(recording.calls)}, {recording.calls[look]}"


def _missing(account: Account, films: frozenset[str]) -> list[str]:
    return [f"{film}: not there" for film in sorted(films - account["outbox"].keys())]


# Many units, each in a mount namespace of its own -----------------------------------------------------------------


def can_cut() -> bool:
    """Tell whether this machine lets us cut the power of another one."""
    has_disks = Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None
    return has_disks and can_watch() and can_mount()


def run_inside(unit: Unit, template: Template, *, each: int, skip: int, seed: int, kept: Path) -> Iterator[Result]:
    """Record a unit and make its cuts, but the first `skip`. Only inside a private mount namespace."""
    with tempfile.TemporaryDirectory(prefix="machine-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "none", name], check=True)
        trial = Trial(Machine(Path(name), unit.disk), unit, template, kept)
        yield Result(str(unit), -1, "undisturbed", trial.undisturbed)
        chance = random.Random(f"{seed} {unit}")
        for number, look in enumerate(trial.recording.chosen(each, chance)):
            second = random.Random(f"{seed} {unit} {number}") if number % EVERY_SECOND == EVERY_SECOND - 1 else None
            if number >= skip:
                yield from trial.cut(number, look, second=second)
        unmount(Path(name))


def run_unit(unit: Unit, template: Path, **more: object) -> Iterator[Result]:
    """Run a unit in a namespace of its own; yields what it finds as it is found."""
    argv = [*UNSHARE, sys.executable, "-m", "tests.faults.powercut", "--unit", str(unit), "--template", str(template)]
    for name, value in more.items():
        argv += [f"--{name}", str(value)]
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        argv, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as child:
        for line in child.stdout or ():
            yield Result(**json.loads(line))
    if child.returncode:
        yield Result(str(unit), -1, "the harness", [f"it ended with {child.returncode}"])


def run_shard(results: Path, shard: int, shards: int, each: int, seed: int) -> None:
    """Run what is missing of one share of the units."""
    made = Counter(result.unit for result in read(results) if result.number >= 0 and not result.is_second)
    with tempfile.TemporaryDirectory(prefix="template-") as folder:
        template = make_template(Path(folder)).folder
        for unit in units()[shard::shards]:
            if made[str(unit)] < each:
                kept = results.with_suffix(".logs")
                for result in run_unit(unit, template, each=each, skip=made[str(unit)], seed=seed, kept=kept):
                    with results.open("a") as out:
                        out.write(json.dumps(asdict(result)) + "\n")


def read(results: Path) -> list[Result]:
    """Read the results of all runs so far."""
    return [Result(**json.loads(line)) for line in results.read_text().splitlines()] if results.exists() else []


def summary(results: Path) -> str:
    """Count, and show what was wrong."""
    found = read(results)
    cuts = [result for result in found if result.number >= 0]
    wrong = [result for result in found if result.wrong]
    lines = [f"{result.unit} {result.number}: {result.moment}\n    " + "\n    ".join(result.wrong) for result in wrong]
    lines.append(
        f"{len(cuts)} power cuts ({sum(cut.is_second for cut in cuts)} of them second ones) in"
        f" {len({cut.unit for cut in cuts})} units, {len(wrong)} with violations,"
        f" {sum(cut.seconds for cut in cuts):.0f} s of new lives"
    )
    return "\n".join(lines)


def main() -> int:
    """Run a shard, or (inside) one unit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--shard", default="0/1", metavar="I/N")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--seed", type=int, default=1)
    inside = parser.add_argument_group("inside")
    inside.add_argument("--unit")
    inside.add_argument("--template", type=Path)
    inside.add_argument("--skip", type=int, default=0)
    inside.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    if asked.unit:
        (unit,) = (unit for unit in units() if str(unit) == asked.unit)
        template = read_template(asked.template)
        how = {"each": asked.each, "skip": asked.skip, "seed": asked.seed, "kept": asked.kept}
        for result in run_inside(unit, template, **how):
            sys.stdout.write(json.dumps(asdict(result)) + "\n")
            sys.stdout.flush()
        return 0
    if not can_cut():
        sys.stderr.write("power cuts need root, loop devices, mount namespaces and seccomp on x86-64\n")
        return 0
    shard, _, shards = asked.shard.partition("/")
    run_shard(asked.results, int(shard), int(shards), asked.each, asked.seed)
    sys.stdout.write(summary(asked.results) + "\n")
    return int(any(result.wrong for result in read(asked.results)))


def read_template(folder: Path) -> Template:
    """Return a template that another process has made."""
    logs = Grounds.in_folder(folder).logs
    return Template(folder, Clips((logs / "face.mp4").read_bytes(), (logs / "voice.wav").read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
