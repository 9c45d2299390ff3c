"""One root, one state directory, and a daemon that is killed again and again while it works through its goods."""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from soak.goods import Goods, Lot
from soak.ledger import Archive, Grounds, Outbox, check_end
from soak.moments import Changes

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.1
scan_idle_s = 0.5
[render]
engine = "passthrough"
preset = "ultrafast"
# Every kill costs the job in work an attempt, and every killed worker is a strike: as they should.
max_attempts = 1000
max_strikes = 1000
"""
SEEN = "seen on the way"
"""Kind of the violations that could be seen at some moment."""
VICTIMS = {"daemon": 40, "group": 40, "worker": 7, "helper": 9, "nursery": 4}
"""Who is killed, in percent. The group is the daemon with all that it forked, at one stroke, so that no errand gets to
its end; helpers are desks and errands alone, the nursery is the fork server they come from."""
MOMENTS = {"start": 25, "work": 25, "change": 20, "handing over": 30}
"""When, in percent: while it starts, at any time, right behind a change of any folder, or of one of the outbox."""
AHEAD = 3
"""Films ordered beyond those that the next kill waits for: there is always something to do."""
HEAD_START = 0.2
"""Share of the goods that lies in the inbox before the first start; the rest comes bit by bit, as it is needed."""
LIFE_LIMIT_S = 30.0
"""A life in which the moment does not come ends here."""
CHANGES_LIMIT_S = 10.0
"""Longer than a new daemon needs for its first film."""
LAST_LIMIT_S = 300.0
"""The undisturbed run at the end."""
ORPHANS_LIMIT_S = 10.0
"""Children of a killed daemon must be gone by then."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True)
class Tally:
    """What happened to one shard."""

    films: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    seconds: float = 0.0
    looks: int = 0
    slowest_orphan_s: float = 0.0
    violations: dict[str, list[str]] = field(default_factory=lambda: {SEEN: [], "survivors": [], "faults": []})

    def note(self, kind: str, found: list[str]) -> None:
        """Add violations of one kind."""
        self.violations.setdefault(kind, []).extend(found)


class Shard:
    """Kills by a seeded plan; `mutant` runs a daemon with a bug instead of the real one."""

    def __init__(self, folder: Path, goods: Goods, kills: int, seed: int, mutant: str | None) -> None:
        self._grounds, self._goods, self._kills, self._mutant = Grounds(folder), goods, kills, mutant
        self._random = random.Random(seed)
        self._outbox = Outbox(self._grounds.root / "outbox", goods.films.keys())
        self._archive = Archive(self._grounds.root / "done", self._outbox.folder, goods.films_of)
        self._to_drop = list(goods.lots)
        self._total = len(goods.films)
        self._daemon: psutil.Popen | None = None
        self.tally = Tally(films=self._total)

    def run(self) -> Tally:
        """Drop, kill, restart until the kills are used up; then let it finish, and check everything."""
        began_s = time.monotonic()
        # Whoever loses its parent becomes our child: so nobody can outlive its daemon unseen.
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        die_with_parent()
        self._prepare()
        self._drop_until(HEAD_START * self._total)
        while self.tally.kills.total() < self._kills and not self._is_caught:
            self._live()
        if self._is_caught:
            self._give_up()
        else:
            self._drop_until(self._total)
            self._finish()
            for kind, found in check_end(self._grounds, self._goods).items():
                self.tally.note(kind, found)
        self.tally.seconds = time.monotonic() - began_s
        return self.tally

    @property
    def _is_caught(self) -> bool:
        """A mutant need not be watched any longer."""
        return self._mutant is not None and bool(self.tally.violations[SEEN])

    def _prepare(self) -> None:
        self._grounds.logs.mkdir(parents=True)
        argv = [sys.executable, "-m", "heygemd", "init-root", str(self._grounds.root)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        config = CONFIG.format(root=self._grounds.root, state=self._grounds.state)
        (self._grounds.folder / "heygemd.toml").write_text(config, encoding="utf-8")

    def _start(self, *flags: str) -> psutil.Popen:
        self.tally.lives += 1
        mutants = Path(__file__).with_name("mutants.py")
        program = ["-m", "heygemd"] if self._mutant is None else [str(mutants), self._mutant]
        argv = [sys.executable, *program, "run", "--config", str(self._grounds.folder / "heygemd.toml"), *flags]
        with (self._grounds.logs / f"{self.tally.lives:04d}.jsonl").open("wb") as log:
            self._daemon = psutil.Popen(
                argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent
            )
        return self._daemon

    def _live(self) -> None:
        """One life of the daemon, from its start to its kill; helpers may be killed on the way."""
        daemon = self._start()
        while True:
            self._wait_for_moment(daemon)
            if daemon.poll() is not None:
                self.tally.note("faults", [f"life {self.tally.lives}: the daemon ended with {daemon.returncode}"])
                break
            (victim,) = self._random.choices(list(VICTIMS), list(VICTIMS.values()))
            if victim in ("daemon", "group") or not self._kill_child(daemon, victim):
                (os.killpg if victim == "group" else os.kill)(daemon.pid, signal.SIGKILL)
                daemon.wait()
                self.tally.kills["group" if victim == "group" else "daemon"] += 1
                break
            if self.tally.kills.total() >= self._kills:
                return
        self._look()
        if self._random.random() < 0.5:  # else the next daemon meets the children of the last one
            self._bury_orphans()

    def _kill_child(self, daemon: psutil.Popen, victim: str) -> bool:
        try:
            children = daemon.children()
            nursery = [child for child in children if "forkserver" in " ".join(child.cmdline())]
            found = {
                "worker": [child for child in children if "heygemd.render" in child.cmdline()],
                "nursery": nursery,
                "helper": [child for server in nursery for child in server.children()],
            }[victim]
            if not found:
                return False
            self._random.choice(found).kill()
        except psutil.NoSuchProcess:
            return False
        self.tally.kills[victim] += 1
        return True

    def _wait_for_moment(self, daemon: psutil.Popen) -> None:
        """Return at a random moment: in the start, in the work, or right behind some change on the disk."""
        (kind,) = self._random.choices(list(MOMENTS), list(MOMENTS.values()))
        if kind == "start":
            self._sleep(daemon, self._random.uniform(0.0, 1.2))
            return
        left = max(1, self._total - self._done())
        # So many films may come out before the next kill that the goods last until the last one.
        each = left / max(1, self._kills - self.tally.kills.total())
        goal = self._done() + self._random.randint(0, round(3 * each))
        self._drop_until(goal + AHEAD)
        ends_s = time.monotonic() + LIFE_LIMIT_S
        while self._done() < min(goal, self._total) and time.monotonic() < ends_s and daemon.poll() is None:
            self._sleep(daemon, 0.1)
        if kind == "work":
            self._sleep(daemon, self._random.uniform(0.0, 1.5))
        else:
            changes = Changes(self._outboxes() if kind == "handing over" else self._watched())
            changes.wait_for(self._random.randint(1, 15 if kind == "handing over" else 60), limit_s=CHANGES_LIMIT_S)
            changes.close()

    def _sleep(self, daemon: psutil.Popen, seconds: float) -> None:
        """Wait, but look at the outbox meanwhile."""
        ends_s = time.monotonic() + seconds
        while daemon.poll() is None and (left_s := ends_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))
            self._look()

    def _outboxes(self) -> list[Path]:
        outbox = self._grounds.root / "outbox"
        return [outbox, *(path for path in outbox.rglob("*") if path.is_dir())]

    def _watched(self) -> list[Path]:
        root, state = self._grounds.root, self._grounds.state
        tops = [root / "processing", root / ".heygemd/claims", root / "done", state, state / "work"]
        return [*tops, *self._outboxes(), *(root / "done").glob("*")]

    def _look(self) -> None:
        self.tally.looks += 1
        self.tally.note(SEEN, self._archive.look() + self._outbox.look())

    def _done(self) -> int:
        return len(self._outbox.seen)

    def _dropped(self) -> int:
        return self._total - sum(len(lot.films) for lot in self._to_drop)

    def _drop_until(self, films: float) -> None:
        """Drop lots until this many films have been ordered, or all."""
        while self._to_drop and self._dropped() < films:
            drop(self._to_drop.pop(0), self._grounds.root / "inbox")

    def _bury_orphans(self, daemon: psutil.Popen | None = None) -> None:
        """Wait until nobody of an earlier life is left; report and end whoever stays."""
        began_s = time.monotonic()
        while orphans := _children_except(daemon):
            waited_s = time.monotonic() - began_s
            self.tally.slowest_orphan_s = max(self.tally.slowest_orphan_s, waited_s)
            if waited_s > ORPHANS_LIMIT_S:
                self.tally.note("survivors", [" ".join(orphan.cmdline())[:200] for orphan in orphans])
                for orphan in orphans:
                    orphan.kill()
                return
            time.sleep(0.02)

    def _give_up(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        self._bury_orphans()

    def _finish(self) -> None:
        """Let it come to rest undisturbed."""
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            if (status := self._daemon.wait(60)) != 0:
                self.tally.note("faults", [f"SIGTERM was answered with exit status {status}"])
        daemon = self._start("--until-idle")
        try:
            status = daemon.wait(LAST_LIMIT_S)
        except psutil.TimeoutExpired:
            self.tally.note("faults", [f"it did not come to rest within {LAST_LIMIT_S:.0f} s"])
            daemon.kill()
            status = daemon.wait()
        if status != 0:
            self.tally.note("faults", [f"the last run ended with status {status}"])
        self._look()
        self._bury_orphans()


def die_with_parent() -> None:
    """A soak that is broken off leaves no daemon behind."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _children_except(daemon: psutil.Popen | None) -> list[psutil.Process]:
    """Return our children but this one; the dead are collected."""
    left = []
    for child in psutil.Process().children():
        if daemon is not None and child.pid == daemon.pid:
            continue
        if child.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(child.pid, 0)
        else:
            left.append(child)
    return left


def drop(lot: Lot, inbox: Path) -> None:
    """Write the files of a lot as a person would: one after the other, folders as they come."""
    for path, data in lot.files.items():
        file = inbox / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
