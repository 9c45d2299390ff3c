"""A whole daemon in one process, on a clock that moves when it is told to: real desk, clerk, errands, store, scheduler.

Stand-ins are only: the processes (`children`), the workers and the probe (`goods`), the alarm, the clock, and fsync.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import structlog

from heygemd.daemon import backdesk, batchbook, desk, frontdesk, handover, latecomers, loop, opening, reception
from heygemd.daemon import requests as request_clerk
from heygemd.daemon import sweeper as sweepers
from heygemd.intake import disk as intake_disk
from heygemd.intake.roots import init_root
from heygemd.jobs import ids
from heygemd.jobs.job import EngineName
from heygemd.limits import Limits
from heygemd.log import LogChoice
from heygemd.planning.plan import EngineChoice
from heygemd.scheduler import machine
from heygemd.scheduler.devices import Device
from heygemd.scheduler.scheduler import Scheduler
from heygemd.settings import IntakeSettings, RenderSettings, RetentionSettings, Settings
from tests.protocol import goods
from tests.protocol.children import Errand, Playroom, Resident, SilentAlarm

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
NEVER_S = 1e9
DAY_S = 86400.0
GRACE_S = 30.0
"""How long a file that seems cut off is waited for."""
CPU = Device(index=0, name="CPU", kind="cpu", total_bytes=8 << 30, free_bytes=8 << 30, cores=2)


class Killed(BaseException):
    """The power of `kill -9`: nobody may catch it."""


class World:
    """A share, a state directory, and the daemons that are run on them one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = init_root(folder / "root")
        self.state_dir = folder / "state"
        self.studio = goods.Studio()
        self.room = Playroom(LogChoice(level="error"))
        self.now_s = 1000.0
        self.daemon: loop.Daemon | None = None
        self.ambush: Callable[[str, Path], None] | None = None
        """Called before each step of the intake that changes the share."""
        self._is_ticking, self._ids = False, 0
        self.away: str = ""
        """What lies in place of the share; empty while it is there."""
        self._life = ExitStack()
        self._patches = ExitStack()
        self._stand_in()

    # The daemon -------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        silences = dict.fromkeys(
            ("silence_start_s", "silence_analyse_s", "silence_render_s", "silence_finish_s"), NEVER_S
        )
        return Settings(
            roots=(self.root.path,),
            state_dir=self.state_dir,
            models_dir=self.state_dir / "none",
            intake=IntakeSettings(
                settle_s=1.0, settle_unsure_s=2.0, settle_scans=2, scan_active_s=0.5, scan_idle_s=5.0, reserve_mib=0,
                orphan_notice_s=1.0, orphan_timeout_s=DAY_S, structure_grace_s=GRACE_S,
            ),
            render=RenderSettings(engine="passthrough", segment_s=1.0, min_segment_s=1.0, **silences),
            retention=RetentionSettings(done_days=0, failed_days=0, low_water_gib=0),
        )  # fmt: skip

    def start(self) -> None:
        """Start a daemon on what lies there."""
        lag_polls, self.room.lag_polls = self.room.lag_polls, 0  # a start waits for its errands
        self.daemon = self._life.enter_context(opening.open_daemon(self.settings))
        self.room.lag_polls = lag_polls
        self._life.callback(os.close, self.daemon._bell._out)
        self._life.callback(os.close, self.daemon._bell._in)
        self.daemon.requests._clock = self.clock
        self.daemon.bulletin._due_s = self.daemon.bulletin._soonest_s = NEVER_S  # for operators, who are elsewhere

    def stop(self) -> None:
        """As systemd does."""
        self.daemon.stop()
        self.kill()

    def kill(self) -> None:
        """Nobody gets to clean up; what the children were doing is done or not, and nobody hears of it."""
        self.daemon = None
        self._life.close()
        self.room.busy = 0

    def close(self) -> None:
        self._life.close()
        self._patches.close()
        shutil.rmtree(self.folder)

    def clock(self) -> float:
        return self.now_s

    def wall(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.now_s)

    def step(self) -> None:
        """Sleep as the loop does, then tick."""
        self.now_s += self._pause_s()
        self._is_ticking = True
        try:
            self.daemon.tick()
        except Killed:
            self.ambush = None
            self.kill()
            self.start()
        finally:
            self._is_ticking = False

    def _pause_s(self) -> float:
        if self.room.busy:
            return 0.05
        daemon, now_s = self.daemon, self.now_s
        waits = [desk.due_s(now_s) for desk in daemon.desks] + [clerk.due_s(now_s) for clerk in daemon.clerks.values()]
        return max(0.05, min([5.0, daemon.latecomers.due_s(now_s), *waits]))

    # The share --------------------------------------------------------------------------------------------------

    @property
    def kept(self) -> Path:
        """Where the share's files are now."""
        return self.folder / "aside" if self.away else self.root.path

    def take_share_away(self, instead: str) -> None:
        """`instead`: `nothing`, an `empty` folder, or `another` root lies in its place."""
        self.root.path.rename(self.folder / "aside")
        self.away = instead
        if instead == "empty":
            self.root.path.mkdir()
        elif instead == "another":
            init_root(self.root.path)

    def bring_share_back(self) -> None:
        if self.root.path.exists():
            shutil.rmtree(self.root.path)
        (self.folder / "aside").rename(self.root.path)
        self.away = ""

    def events(self) -> list[dict]:
        file = self.state_dir / "events.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    # Stand-ins --------------------------------------------------------------------------------------------------

    def _stand_in(self) -> None:
        clock = SimpleNamespace(monotonic=self.clock)
        put = {
            opening: {
                "require_tools": lambda: None, "open_nursery": self._open_nursery, "time": clock,
                "open_scheduler": self._open_scheduler, "utc_now": self.wall,
            },
            loop: {"time": clock, "utc_now": self.wall},
            reception: {"utc_now": self.wall},
            desk: {
                "time": clock, "datetime": SimpleNamespace(now=lambda zone: self.wall()),
                "probe_video": goods.probe_video, "probe_audio": goods.probe_audio,
            },
            frontdesk: {"Resident": Resident, "Alarm": SilentAlarm},
            backdesk: {"Resident": Resident},
            handover: {"Errand": Errand},
            batchbook: {"Errand": Errand},
            sweepers: {"Errand": Errand},
            request_clerk: {"Errand": Errand},
            latecomers: {"Errand": Errand},
            os: {"fsync": lambda number: None},
            ids: {"secrets": SimpleNamespace(token_bytes=self._noise)},
            machine.Machine: {"oom_kills": lambda machine: 0},
            intake_disk.Disk: {"reach": lambda disk, step, path: self._reach(step, path)},
        }  # fmt: skip
        for where, names in put.items():
            for name, instead in names.items():
                self._patches.enter_context(patch.object(where, name, instead))
        self._patches.enter_context(quiet_logs())

    def _pass_time(self, seconds: float) -> None:
        """What a daemon that stops does while its workers end their tasks."""
        self.now_s += max(0.1, seconds)

    def _noise(self, count: int) -> bytes:
        """Ids that are the same in the same world: what people meet must not depend on chance."""
        self._ids += 1
        return hashlib.sha256(b"%d" % self._ids).digest()[:count]

    def _reach(self, step: str, path: Path) -> None:
        if self._is_ticking and self.ambush is not None:
            self.ambush(step, path)

    def _open_nursery(self, logs: LogChoice) -> Playroom:
        self.room.logs = logs
        return self.room

    def _open_scheduler(self, settings: Settings, store, state_dir: Path) -> Scheduler:
        (state_dir / "work").mkdir(exist_ok=True)
        (state_dir / "cache").mkdir(exist_ok=True)
        store._db.execute("PRAGMA synchronous = OFF")
        workers = self.studio.hire()
        workers.on_wait = self._pass_time
        return Scheduler(
            store, workers, StillGauge(), settings.render, Limits(), state_dir,
            lambda wanted: EngineChoice(name=EngineName.PASSTHROUGH), self.clock, self.wall,
        )  # fmt: skip


class StillGauge:
    """Shows a CPU with room for two workers."""

    def look(self) -> tuple[Device, ...]:
        return (CPU,)

    def close(self) -> None:
        pass


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Make log lines and throw them away: what cannot be logged still fails."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    try:
        yield
    finally:
        structlog.configure(**before)
