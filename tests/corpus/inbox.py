"""Many cases through one real inbox: everything is dropped, a real daemon runs until all is at rest, then it is judged.

`python -m heygemd run` itself, with shorter pauses; each case has a folder of the inbox of its own, named as the case.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.corpus.case import Case, Ending, Seen
from tests.corpus.films import told_by
from tests.corpus.footprints import footprint_bytes

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.1
scan_idle_s = 0.3
structure_grace_s = 1.0
orphan_notice_s = 0.5
reserve_mib = 0
[render]
engine = "passthrough"
preset = "ultrafast"
workers = 1
[retention]
low_water_gib = 0
"""
HASTY = Path(__file__).parents[1] / "mounts" / "hasty_daemon.py"
REST_S, LONG_REST_S = 3.0, 15.0
"""Nothing moves for so long: the first when everything has come as expected, the second when it has not."""
POLL_S = 0.1
STOP_LIMIT_S = 60.0
"""`TimeoutStopSec` of the unit."""
QUIET_ROOT = ("processing", "failed", "done", "outbox")
TROUBLES = ("root.went_offline",)
"""Nobody took the root away."""
UNFINISHED = ("queued", "running")


@dataclass
class Inbox:
    """A root and a daemon of its own; `root` may exist already, with whatever a test has prepared."""

    folder: Path
    more_config: str = ""
    """Appended to the configuration: further tables, or keys of the last one (retention)."""
    program: Path = HASTY
    """What is run; it ends with its process and takes the words of `heygemd`."""
    daemon: "subprocess.Popen[bytes] | None" = None
    seen: dict[str, Seen] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    """Of the daemon as a whole: faults in its log, deaths, files left where none should be."""
    is_weighed: bool = False
    """Look at the memory of all processes at every poll, which costs a few per cent of a core."""
    most_bytes: int = 0
    """Most memory that the daemon and all its children were seen to hold: no case took more."""

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def store(self) -> Path:
        return self.folder / "state" / "jobs.sqlite"

    def prepare(self) -> None:
        """Make the root and the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "heygemd", "init-root", str(self.root)]
        subprocess.run(argv, check=True, capture_output=True)
        text = CONFIG.format(root=self.root, state=self.folder / "state") + self.more_config
        (self.folder / "heygemd.toml").write_text(text)

    def drop(self, cases: Sequence[Case]) -> None:
        """Let every case write into its folder of the inbox."""
        for case in cases:
            place = self.inbox / case.name
            place.mkdir()
            case.drop(place)

    def run(self, cases: Sequence[Case], *, limit_s: float) -> None:
        """Run the daemon until it rests, stop it as systemd does, and note what became of each case."""
        argv = [sys.executable, str(self.program), "run", "--config", str(self.folder / "heygemd.toml")]
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self._wait_for_rest(cases, time.monotonic() + limit_s)
            status = self.status()
            self._stop(self.daemon)
        finally:
            if self.daemon.poll() is None:
                os.killpg(self.daemon.pid, signal.SIGKILL)
                self.daemon.wait()
        jobs = self.jobs()
        for case in cases:
            self.seen[case.name] = self._see(case, jobs, status)
        self.troubles += self._faults() + self._leavings()

    def _stop(self, daemon: "subprocess.Popen[bytes]") -> None:
        daemon.send_signal(signal.SIGTERM)
        try:
            ended = daemon.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.troubles.append(f"the daemon did not end within {STOP_LIMIT_S:.0f} s")
            return
        if ended != 0:
            self.troubles.append(f"the daemon ended with {ended}")

    def status(self) -> dict[str, Any]:
        """What programs on the share read."""
        with suppress(FileNotFoundError):
            return dict(json.loads((self.root / "status" / "status.json").read_text(encoding="utf-8")))
        return {}

    def jobs(self) -> list[dict[str, Any]]:
        """Every job of the store."""
        if not self.store.exists():
            return []
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=10)
        db.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in db.execute("SELECT * FROM job ORDER BY id")]
        except sqlite3.OperationalError:  # just being made
            return []
        finally:
            db.close()

    def log_lines(self) -> list[str]:
        """What the daemon said."""
        return self.log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()

    def _wait_for_rest(self, cases: Sequence[Case], ends_s: float) -> None:
        before, since_s = self._fingerprint(), time.monotonic()
        while time.monotonic() < ends_s:
            if self.daemon is not None and self.daemon.poll() is not None:
                self.troubles.append(f"the daemon died with {self.daemon.returncode}")
                return
            time.sleep(POLL_S)
            if self.is_weighed and self.daemon is not None:
                self.most_bytes = max(self.most_bytes, footprint_bytes(self.daemon.pid))
            now = self._fingerprint()
            if now != before:
                before, since_s = now, time.monotonic()
                continue
            rest_s = time.monotonic() - since_s
            if rest_s > LONG_REST_S and not self._is_busy():
                return
            if rest_s > REST_S and not self._is_busy() and self._all_came(cases):
                return
        self.troubles.append("no rest within the limit")

    def _fingerprint(self) -> tuple[object, ...]:
        """Whatever moves while something is done."""
        rows = tuple((job["id"], job["state"], job["attempts"]) for job in self.jobs())
        places = (self.root / name for name in QUIET_ROOT)
        listed = tuple(tuple(sorted(path.name for path in place.iterdir())) for place in places)
        return rows, listed, self._working()

    def _working(self) -> int:
        """How far the work directories have come: a segment that grows is work."""
        return sum(len(names) for _, _, names in os.walk(self.folder / "state" / "work"))

    def _is_busy(self) -> bool:
        return any(job["state"] in UNFINISHED for job in self.jobs()) or any((self.root / "processing").iterdir())

    def _all_came(self, cases: Sequence[Case]) -> bool:
        ended = {job["folder"].partition("/")[0] for job in self.jobs()}
        due = {case.name for case in cases if case.answer.ending in (Ending.RENDER, Ending.REJECT)}
        return due <= ended and bool(self.status())

    def _see(self, case: Case, jobs: list[dict[str, Any]], status: dict[str, Any]) -> Seen:
        mine = [job for job in jobs if _lies_in(job["folder"], case.name)]
        outbox = self.root / "outbox" / case.name
        films = sorted(path for path in outbox.rglob("*.mp4") if path.is_file()) if outbox.is_dir() else []
        failed = [job for job in mine if job["state"] == "failed"]
        waiting = [entry for entry in status.get("waiting", []) if _lies_in(entry["path"], case.name)]
        ending = Ending.IGNORE
        if films:
            ending = Ending.RENDER
        elif failed:
            ending = Ending.REJECT
        elif waiting:
            ending = Ending.WAIT
        facts = _report_of(films[0]) | told_by(films[0], case.answer.facts) if len(films) == 1 else {}
        told = [f"{job['error_code']} {job['error_message']}" for job in failed] or [e["reason"] for e in waiting]
        return Seen(
            ending=ending,
            codes=frozenset(job["error_code"] for job in failed),
            films=frozenset(str(path.relative_to(outbox)) for path in films),
            facts=facts,
            message=" | ".join(told[:3])[:300],
            troubles=tuple(f"job {job['name']!r} is {job['state']}" for job in mine if job["state"] in UNFINISHED),
        )

    def _faults(self) -> list[str]:
        faults = []
        for line in self.log_lines():
            try:
                said = json.loads(line)
            except ValueError:
                faults.append(f"not a JSON line: {line[:200]}")
                continue
            if said.get("level") in ("error", "critical") or said.get("event") in TROUBLES:
                faults.append(f"log: {line[:600]}")
        return faults

    def _leavings(self) -> list[str]:
        parts = [path.name for path in (self.root / "outbox").rglob(".*.part")]
        return [f"left behind: {name}" for name in parts]


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _report_of(film: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads(film.with_name(f"{film.name}.json").read_text(encoding="utf-8")))
    return {}


def through_inbox(
    folder: Path,
    cases: Sequence[Case],
    *,
    limit_s: float,
    more_config: str = "",
    meanwhile: Callable[[], None] | None = None,
    is_weighed: bool = False,
) -> Inbox:
    """Drop the cases into a new root, run a daemon over them, and return what was seen."""
    inbox = Inbox(folder, more_config, is_weighed=is_weighed)
    inbox.prepare()
    inbox.drop(cases)
    if meanwhile is not None:
        meanwhile()
    inbox.run(cases, limit_s=limit_s)
    return inbox
