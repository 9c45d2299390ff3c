"""A share and a state directory on file systems of their own, and the daemon of the day that works there."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil

from soak.daybook import KEEP_DAYS, DayBook
from soak.gauges import role_of
from soak.ledger import Grounds
from tests.mounts.namespace import mount
from tests.mounts.rig import Share

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
log_file = "{state}/debug.jsonl"
metrics_file = "{state}/heygemd.prom"
metrics_every_s = 2
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.2
scan_idle_s = 0.5
orphan_notice_s = 0.5
reserve_mib = 0
[limits]
max_pixels = 10000
[render]
engine = "passthrough"
preset = "ultrafast"
segment_s = 0.6
crf = {crf}
recycle_tasks = 400
# A worker that was frozen is found out after this.
silence_start_s = 45
silence_render_s = 12
silence_analyse_s = 12
silence_finish_s = 12
# Every kill costs the job in work an attempt, and every killed worker is a strike: as they should.
max_attempts = 1000
max_strikes = 1000
[retention]
done_days = {keep_days}
failed_days = {keep_days}
low_water_gib = {low_water_gib}
cache_gib = {cache_gib:.9f}
"""
CACHE_BYTES = 8192
"""Full on the first day, so that the days behind it show whether it stays so."""
SHARE_MIB, STATE_MIB = 128, 96
LOOK_S = 0.05
STOP_LIMIT_S = 40.0
START_LIMIT_S = 60.0
ORPHANS_LIMIT_S = 10.0
"""Children of a killed daemon must be gone by then."""
DEATHS_MOST = 10
"""With more the days are not worth going on with."""
DAY_S = 86_400
GIB = 1 << 30


@dataclass(slots=True)
class World:
    """Everything that troubles need."""

    folder: Path
    random: random.Random
    leak: str = "none"
    crf: int = 18
    low_water_gib: float = 0.0
    lives: int = 0
    day: int = 0
    daemon: psutil.Popen | None = None
    is_full: bool = False
    """People cannot put anything anywhere."""
    people: Callable[[], None] = lambda: None  # set by whoever sends them
    """What people do when they have the time."""
    share: Share = field(init=False)
    book: DayBook = field(init=False)

    def __post_init__(self) -> None:
        grounds = Grounds(self.folder)
        for place in (grounds.root, grounds.state, grounds.logs, self.folder / "place"):
            place.mkdir(parents=True)
        mount("tmpfs", grounds.root, "tmpfs", options=f"size={SHARE_MIB}m")
        mount("tmpfs", grounds.state, "tmpfs", options=f"size={STATE_MIB}m")
        self.share = Share(kept=grounds.root, place=self.folder / "place")
        self.share.mount()
        self.share.init_root()
        self.book = DayBook(grounds)
        self.set_ahead(0)
        self.write_config()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.book.grounds.state

    @property
    def root(self) -> Path:
        """The root as it is, whatever the daemon can see of it."""
        return self.share.kept

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "heygemd.toml"

    def set_ahead(self, seconds: float) -> None:
        """Move the calendar of the daemon: so many seconds ahead of this day."""
        part = self.folder / "calendar.part"
        part.write_text(str(self.day * DAY_S + seconds), encoding="ascii")
        part.rename(self.folder / "calendar")

    @property
    def cached_bytes(self) -> int:
        """What the caches hold."""
        found = 0
        for path in (self.state / "cache").glob("*/*"):
            with suppress(FileNotFoundError):  # it is being swept
                found += path.stat().st_size
        return found

    @property
    def date(self) -> date:
        """Today, on that calendar."""
        return (datetime.now(UTC) + timedelta(days=self.day)).date()

    def write_config(self) -> None:
        """Say what holds now; read at the next start or reload."""
        text = CONFIG.format(
            root=self.share.place, state=self.state, crf=self.crf, keep_days=KEEP_DAYS,
            low_water_gib=f"{self.low_water_gib:.9f}", cache_gib=CACHE_BYTES / GIB,
        )  # fmt: skip
        self.config.write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start a daemon; returns when it works."""
        self.lives += 1
        program = Path(__file__).with_name("quickdays.py")
        day = {"SOAK_CALENDAR": str(self.folder / "calendar"), "SOAK_LEAK": self.leak}
        with self.latest_log.open("wb") as file:
            self.daemon = psutil.Popen(
                [sys.executable, str(program), "run", "--config", str(self.config)],
                stderr=file, env=os.environ | day, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        if not self.wait_until(lambda: self.logged("daemon.started"), START_LIMIT_S):
            self.book.note("deaths", [f"life {self.lives} did not begin within {START_LIMIT_S:.0f} s"])

    def wander(self, seconds: float) -> None:
        """Let time pass, and look around meanwhile."""
        ends_s = time.monotonic() + seconds
        while True:
            self.book.look()
            self.notice_death()
            if not self.is_full:
                self.people()
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(LOOK_S, left_s))

    def wait_until(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Wander until it is so; False when the time is up."""
        ends_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > ends_s:
                return False
            self.wander(LOOK_S)
        return True

    def notice_death(self) -> None:
        """A daemon that nobody has ended is a violation; another one takes its place."""
        if self.daemon is not None and self.daemon.poll() is not None:
            self.book.note("deaths", [f"life {self.lives} ended with {self.daemon.returncode}"])
            if len(self.book.violations["deaths"]) > DEATHS_MOST:
                raise RuntimeError(f"it dies again and again: see {self.latest_log}")
            self.daemon = None
            self.start()

    def kill(self, *, is_group: bool) -> None:
        """End the daemon at one stroke, alone or with all that it forked."""
        daemon, self.daemon = self.running, None
        if is_group:
            signal_group(daemon.pid)
        else:
            daemon.kill()
        daemon.wait()
        self.book.look()
        self.bury_orphans()

    def stop(self) -> None:
        """End it as systemd does."""
        daemon, self.daemon = self.running, None
        daemon.terminate()
        try:
            status = daemon.wait(STOP_LIMIT_S)
        except psutil.TimeoutExpired:
            self.book.note("deaths", [f"SIGTERM was not obeyed within {STOP_LIMIT_S:.0f} s"])
            daemon.kill()
            status = daemon.wait()
        if status != 0:
            self.book.note("deaths", [f"SIGTERM was answered with exit status {status}"])
        self.bury_orphans()

    @property
    def running(self) -> psutil.Popen:
        """The daemon."""
        assert self.daemon is not None
        return self.daemon

    def members(self, role: str) -> list[psutil.Process]:
        """Return the processes of the daemon that have this role."""
        found = []
        for process in self.running.children(recursive=True):
            try:
                if role_of(process, self.running) == role:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def logged(self, event: str) -> int:
        """Count an event in the log of this life."""
        return len(re.findall(rb'"event": ?"%s"' % event.encode(), self.latest_log.read_bytes()))

    @property
    def latest_log(self) -> Path:
        """Of this life."""
        return self.book.grounds.logs / f"{self.lives:04d}.jsonl"

    def bury_orphans(self) -> None:
        """We are the first process of our name space: whoever loses its parent becomes our child."""
        ends_s = time.monotonic() + ORPHANS_LIMIT_S
        while orphans := [child for child in psutil.Process().children() if not is_dead(child)]:
            if time.monotonic() > ends_s:
                self.book.note("survivors", [" ".join(orphan.cmdline())[:200] for orphan in orphans])
                for orphan in orphans:
                    orphan.kill()
            time.sleep(0.02)


def is_dead(child: psutil.Process) -> bool:
    """Tell whether a child has ended; then it is collected."""
    try:
        if child.status() == psutil.STATUS_ZOMBIE:
            child.wait()
            return True
    except psutil.NoSuchProcess:
        return True
    return False


def signal_group(leader: int) -> None:
    """SIGKILL for a process and all of its group."""
    os.killpg(leader, signal.SIGKILL)
