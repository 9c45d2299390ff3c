"""Runs a program and all that it forks, and stops every change of a disk to be counted, killed or refused.

    python tracer.py PLAN.json OUTCOME.json -- program arguments…

strace(1) can inject faults, too, but counts the calls of each thread by itself: the third errand of a run cannot be
told from the first, and whoever is not killed goes on. Here one count goes through the whole tree, a call has a name
that says who changes what (`points.py`), and a kill takes everybody at one stroke: while the tracer looks at one
change, nobody else gets past his next one.
"""

import errno
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults import ptrace
from tests.faults.points import plain, within
from tests.faults.syscalls import AT_FDCWD, BY_NUMBER, GROWING, OPENS, Syscall, filter_program, install_filter

CONTROL_PLANE = frozenset({"daemon", "helper", "worker"})
SYNCS = frozenset({"fsync", "fdatasync", "sync_file_range"})
REFUSED = {"ENOSPC": GROWING - {"fsync", "fdatasync"}, "EDQUOT": GROWING - {"fsync", "fdatasync"}, "EMFILE": OPENS}
"""Which calls meet a fault; the others (EIO, EROFS) meet all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to happen, once, at which change."""

    tops: dict[str, str]
    """Letter → folder: changes elsewhere do not count."""
    act: str = ""
    """`kill` everybody before the change, `half`: in the middle of a write, `kill one`: who makes it, `fail`; none."""
    name: str = ""
    """Name of the change; empty: any."""
    number: int = 0
    """Which one of that name, from 1; 0: none."""
    fault: str = ""
    """Name of the errno, for `fail`."""
    lasts_s: float = 0.0
    """How long every call of the same place fails."""
    limit_s: float = 120.0
    is_recorded: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What happened."""

    status: int | None = None
    """Of the program, as waitpid tells it; None: it was killed."""
    reached: str = ""
    """Name of the change at which it was done."""
    changes: int = 0
    refused: int = 0
    is_late: bool = False
    names: list[str] = field(default_factory=list)
    """Every change, in order, where they are recorded."""


class Tracer:
    """One run. `run` returns when everybody of it is gone."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tops = {letter: Path(top) for letter, top in plan.tops.items()}
        self._counts: Counter[str] = Counter()
        self._roles: dict[int, str] = {}
        self._alive: set[int] = set()
        self._main = 0
        self._is_over = False
        self._halved: int | None = None
        self._fails_until_s = 0.0
        self._fails_at = ""
        self.outcome = Outcome()

    def run(self, argv: list[str]) -> Outcome:
        """Run it to its end, to its kill, or to the limit of time."""
        self._main = self._spawn(argv)
        signal.signal(signal.SIGALRM, self._be_late)
        signal.setitimer(signal.ITIMER_REAL, self._plan.limit_s)
        while True:
            try:
                pid, status = os.waitpid(-1, ptrace.WALL)
            except ChildProcessError:
                break
            self._alive.add(pid)
            if os.WIFSTOPPED(status) and self._is_over:
                self._kill(pid)  # born as the others died: it has done nothing yet
                continue
            if os.WIFSTOPPED(status):
                with suppress(ProcessLookupError):  # killed meanwhile
                    self._stopped(pid, status)
                continue
            self._alive.discard(pid)
            self._roles.pop(pid, None)
            if pid == self._main:
                self.outcome.status = status
                self._kill_all()  # whoever outlives it: nobody may disturb the next life
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self.outcome

    def _spawn(self, argv: list[str]) -> int:
        program = filter_program(every_open=self._plan.fault == "EMFILE")
        theirs, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(theirs, 1)  # until it is traced
            install_filter(program)
            os.execv(argv[0], argv)
        ptrace.ask(ptrace.SEIZE, pid, ptrace.OPTIONS)
        os.write(ours, b"g")
        os.close(ours)
        os.close(theirs)
        self._alive.add(pid)
        return pid

    def _be_late(self, *_: object) -> None:
        self.outcome.is_late = True
        self._kill_all()

    def _kill_all(self) -> None:
        self._is_over = True
        for pid in sorted(self._alive):
            self._kill(pid)

    @staticmethod
    def _kill(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _stopped(self, pid: int, status: int) -> None:
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == ptrace.EVENT_SECCOMP:
            self._meet(pid)
        elif event == ptrace.EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            ptrace.ask(ptrace.LISTEN, pid)
        elif number == ptrace.SYSGOOD_TRAP:
            if pid == self._halved:
                self._kill_all()
            else:
                ptrace.ask(ptrace.CONT, pid)
        elif event:
            if event == ptrace.EVENT_EXEC:
                self._roles.clear()
            ptrace.ask(ptrace.CONT, pid)
        else:
            ptrace.ask(ptrace.CONT, pid, number)

    def _meet(self, pid: int) -> None:
        """Look at a call that may change something."""
        found = ptrace.registers(pid)
        call = BY_NUMBER[found.orig_rax]
        places = [place for place in (self._place(pid, found, *each) for each in call.places) if place]
        if not places:
            ptrace.ask(ptrace.CONT, pid)
            return
        role = self._role(pid)
        if self._fails(call, places, role):
            self.outcome.refused += 1
            self._refuse(pid, found)
            return
        if role in CONTROL_PLANE and self._is_change(call, places, found):
            name = f"{role} {call.name} {' > '.join(map(plain, places))}"
            if self._is_the_one(name):
                self._act(pid, call, places, name, found)
                return
        ptrace.ask(ptrace.CONT, pid)

    def _is_change(self, call: Syscall, places: list[str], found: ptrace.Registers) -> bool:
        """Making a folder that is there, or removing a file that is not, changes nothing."""
        place = self._tops[places[0][0]] / places[0][2:]
        if call.name.startswith("mkdir"):
            return not os.path.lexists(place)
        if call.name.startswith("unlink"):
            return os.path.lexists(place)
        return call.flags is None or bool(found.argument(call.flags) & (os.O_CREAT | os.O_TRUNC))

    def _is_the_one(self, name: str) -> bool:
        self.outcome.changes += 1
        self._counts[name] += 1
        if self._plan.is_recorded:
            self.outcome.names.append(name)
        if self.outcome.reached or not self._plan.number:
            return False
        count = self._counts[name] if self._plan.name else self.outcome.changes
        return self._plan.name in ("", name) and count == self._plan.number

    def _act(self, pid: int, call: Syscall, places: list[str], name: str, found: ptrace.Registers) -> None:
        self.outcome.reached = name
        act = self._plan.act
        if act == "kill one":
            os.kill(pid, signal.SIGKILL)
        elif act == "half" and call.size is not None and found.argument(call.size) > 1:
            self._halved = pid
            found.rdx //= 2
            ptrace.set_registers(pid, found)
            ptrace.ask(ptrace.SYSCALL, pid)
        elif act == "fail":
            self._fails_until_s = time.monotonic() + self._plan.lasts_s
            self._fails_at = places[0][0]
            if call.name in REFUSED.get(self._plan.fault, {call.name}):
                self.outcome.refused += 1
                self._refuse(pid, found)
            else:
                ptrace.ask(ptrace.CONT, pid)
        else:
            self._kill_all()

    def _fails(self, call: Syscall, places: list[str], role: str) -> bool:
        if time.monotonic() >= self._fails_until_s or places[0][0] != self._fails_at:
            return False
        if self._plan.fault == "EMFILE" and role not in CONTROL_PLANE:
            return False  # each process has descriptors of its own
        return call.name in REFUSED.get(self._plan.fault, {call.name})

    def _refuse(self, pid: int, found: ptrace.Registers) -> None:
        """Let the call return the fault, without having been made."""
        found.orig_rax = (1 << 64) - 1
        found.rax = (1 << 64) - getattr(errno, self._plan.fault)
        ptrace.set_registers(pid, found)
        ptrace.ask(ptrace.CONT, pid)

    def _place(self, pid: int, found: ptrace.Registers, folder: int | None, path: int | None) -> str | None:
        """Return where one argument of a call lies, as `<letter>/<rest>`."""
        name = ptrace.text_at(pid, found.argument(path)) if path is not None else ""
        if path is not None and not name:
            return None
        if not name.startswith("/"):
            number = AT_FDCWD if folder is None else ((found.argument(folder) & 0xFFFFFFFF) ^ (1 << 31)) - (1 << 31)
            try:
                base = str(Path(f"/proc/{pid}", "cwd" if number == AT_FDCWD else f"fd/{number}").readlink())
            except OSError:
                return None
            name = f"{base}/{name}" if name else base
        return within(os.path.normpath(name), self._tops)

    def _role(self, pid: int) -> str:
        if pid not in self._roles:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            told = b" ".join(words)
            if b"forkserver" in told:
                role = "helper"
            elif b"heygemd.render" in told:
                role = "worker"
            else:
                role = "daemon" if b"run" in words else words[0].rpartition(b"/")[2].decode()
            self._roles[pid] = role
        return self._roles[pid]


def main() -> int:
    """Read the plan, run the program, write what happened."""
    plan_file, outcome_file, _, *argv = sys.argv[1:]
    outcome = Tracer(Plan(**json.loads(Path(plan_file).read_bytes()))).run(argv)
    Path(outcome_file).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
