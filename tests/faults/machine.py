"""A machine whose power can be cut: two disks, a daemon, and every state of the disks while it ran.

State and root lie on two images, of ext4 or btrfs. The daemon runs once through a whole scene behind the gate, which
stops it at each sync and each change of a name; every state in which the images are seen there is remembered. Any of
them can be put back later: that is the machine after a power cut at that moment.

    folder/              a tmpfs of a private mount namespace
      state.img  root.img     what the disks hold; mounted at state/ and root/
      logs/                   of the daemons; they survive every cut
"""

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.faults.disks import Image, Memory
from tests.faults.gate import NAMINGS, SYNCS, Gate
from tests.faults.scene import REST_LIMIT_S, Grounds, daemon_argv, environment

PATIENT = Path(__file__).with_name("patient_daemon.py")
STATE_MIB, ROOT_MIB = 24, 32
GATE_LIMIT_S = 3 * REST_LIMIT_S


class Temper(StrEnum):
    """What the kernel writes to a disk beside what it must."""

    LAZY = "lazy"
    """Nothing: only what was synced is there."""
    NAMES = "names"
    """The journal: every change of a name is there at once, the data of a new file is not."""
    EAGER = "eager"
    """Everything, at once."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How the two disks behave; each may be ahead of the other."""

    state: Temper
    root: Temper

    def __str__(self):
        return f"{self.state}-{self.root}"


CALM = Weather(Temper.LAZY, Temper.LAZY)
WEATHERS = (
    CALM,
    Weather(Temper.LAZY, Temper.NAMES),
    Weather(Temper.NAMES, Temper.LAZY),
    Weather(Temper.NAMES, Temper.NAMES),
    Weather(Temper.LAZY, Temper.EAGER),
    Weather(Temper.EAGER, Temper.LAZY),
)
"""Both eager is a plain kill."""


@dataclass(slots=True)
class Recording:
    """One life of a daemon, and every state of the disks on the way."""

    memories: tuple[Memory, ...]
    logs_before: tuple[bytes, ...]
    """Logs of the lives before."""
    log: bytes = b""
    calls: list[str] = field(default_factory=list)
    """What was called, at each look."""
    log_bytes: list[int] = field(default_factory=list)
    """Length of the log, at each look."""
    cuts: list[int] = field(default_factory=list)
    """Looks at which a disk had changed."""
    status: int | None = None
    """Exit status of the daemon."""

    def look(self, call: str, log_bytes: int) -> None:
        """Remember the disks as they are now."""
        changed = [memory.look() for memory in self.memories]
        if any(changed):
            self.cuts.append(len(self.calls))
        self.calls.append(call)
        self.log_bytes.append(log_bytes)

    def chosen(self, count: int, chance: random.Random) -> list[int]:
        """Choose cuts, evenly over the run."""
        share = len(self.cuts) / max(count, 1)
        return [self.cuts[int((index + chance.random()) * share)] for index in range(count if self.cuts else 0)]

    def near_misdeeds(self, count: int) -> list[int]:
        """Choose the cuts at and behind each moment that the program has confessed, nearest first."""
        misdeeds = [look for look, call in enumerate(self.calls) if call == "after misdeed"]
        ranks: dict[int, int] = {}
        for misdeed in misdeeds:
            last = max((cut for cut in self.cuts if cut <= misdeed), default=None)
            following = [cut for cut in self.cuts if cut > misdeed]
            for rank, cut in enumerate([last, *following] if last is not None else following):
                ranks[cut] = min(rank, ranks.get(cut, rank))
        return sorted(ranks, key=lambda cut: (ranks[cut], cut))[:count]


class Machine:
    """Two disks and whoever runs on them. Only inside a private mount namespace."""

    def __init__(self, folder: Path, disk: str = "ext4") -> None:
        self.folder = folder
        self.state = Image(folder / "state.img", folder / "state", disk)
        self.root = Image(folder / "root.img", folder / "root", disk)
        # Below the top of its disk: there lies what the machine itself needs.
        self.grounds = Grounds(root=self.root.place / "studio", state=self.state.place / "daemon", logs=folder / "logs")
        self._disks = (self.state, self.root)
        self._count = 0

    def make(self, furnish: Callable[[Grounds], None]) -> None:
        """Make both disks and let `furnish` put the first files there, safely."""
        self.state.make(STATE_MIB)
        self.root.make(ROOT_MIB)
        try:
            furnish(self.grounds)
        finally:
            self.power_off()

    def power_off(self) -> None:
        """Take the disks away; nobody may use them."""
        for image in self._disks:
            image.unmount()

    @contextmanager
    def powered(self) -> Iterator[Grounds]:
        """Have the disks mounted meanwhile."""
        self.state.mount()
        try:
            self.root.mount()
        except subprocess.CalledProcessError:
            self.state.unmount()
            raise
        try:
            yield self.grounds
        finally:
            self.power_off()

    def cut(self, recording: Recording, cut: int) -> None:
        """Leave the disks as the power cut did; of the logs, what was written by then."""
        for memory in recording.memories:
            memory.restore(cut)
        for log in self.grounds.logs.glob("*.jsonl"):
            log.unlink()
        for told in (*recording.logs_before, recording.log[: recording.log_bytes[cut]]):
            self.grounds.new_log().write_bytes(told)

    def record(self, weather: Weather = CALM, program: Path = PATIENT) -> Recording:
        """Run a daemon until it is idle; the disks must be mounted."""
        self._count += 1
        memories = tuple(Memory(image, image.file.with_suffix(f".{self._count}")) for image in self._disks)
        logs = sorted(self.grounds.logs.glob("*.jsonl"))
        recording = Recording(memories, tuple(log.read_bytes() for log in logs))
        for memory in memories:
            memory.begin()
        log = self.grounds.new_log()
        with log.open("wb") as out:
            gate = Gate(
                daemon_argv(self.grounds, "--until-idle", program=program),
                calls=SYNCS if weather == CALM else {**SYNCS, **NAMINGS},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment(),
                cwd=self.folder,
            )  # fmt: skip

        def before(call: str) -> None:
            for image, temper in zip(self._disks, (weather.state, weather.root), strict=True):
                if temper is Temper.NAMES:
                    image.commit_names()
                elif temper is Temper.EAGER:
                    image.flush()
            if weather != CALM:
                recording.look(f"before {call}", log.stat().st_size)

        try:
            gate.watch(before=before, after=lambda call: recording.look(f"after {call}", log.stat().st_size),
                       limit_s=GATE_LIMIT_S)  # fmt: skip
        finally:
            recording.status = gate.end()
            recording.log = log.read_bytes()
        return recording

    def forget(self, recording: Recording) -> None:
        """Free what a recording holds."""
        for memory in recording.memories:
            memory.first.unlink()
