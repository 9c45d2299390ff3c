"""One point of a scene: break the daemon there, let the next one bring it to rest, and judge what came of it."""

import json
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.judge import Account, Sightings, broken_promises, differences, log_lines, take_account
from tests.faults.scene import (
    EXIT_JOB_FAILED,
    REPOSITORY,
    REST_LIMIT_S,
    SCENES,
    Grounds,
    Template,
    clear,
    daemon_argv,
    environment,
    start,
)

RESTART_PART = 0.7
"""A restart has this part of the changes of a whole run at most, on average: the second kill is meant to be met."""
FAULT_LASTS_S = 1.0
"""Longer than the daemon's first pause after a fault, shorter than anybody's patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where something happens, and what."""

    scene: str
    act: str
    """As in `tracer.Plan`; `kill twice`: and once more in the restart; for faults the name of the errno."""
    name: str
    number: int

    @property
    def key(self) -> str:
        """Return what it is known by in a results file."""
        return f"{self.scene} | {self.act} | {self.name} | {self.number}"


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of one point."""

    key: str
    is_reached: bool = False
    is_reached_twice: bool = False
    refused: int = 0
    lives: int = 0
    seconds: float = 0.0
    violations: list[str]


@dataclass(frozen=True, slots=True)
class Reference:
    """A run that nothing disturbed."""

    account: Account
    names: Counter[str]
    """Every change by name, and how often."""

    @property
    def changes(self) -> int:
        """How many there are."""
        return self.names.total()


class Stage:
    """A folder in which one point after the other is tried."""

    def __init__(self, folder: Path, template: Template) -> None:
        self._folder, self._template = folder, template
        self.grounds = Grounds.in_folder(folder / "run")

    def set_scene(self, scene: str) -> None:
        """Begin anew."""
        clear(self.grounds)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._template.copy_to(self.grounds)
        SCENES[scene].drop(self._template, self.grounds)

    def record(self, scene: str) -> Reference:
        """Run a scene undisturbed; raises AssertionError when that alone breaks a promise."""
        self.set_scene(scene)
        outcome = self.traced({"is_recorded": True})
        wrong = broken_promises(self.grounds)
        account = take_account(self.grounds)
        films = {name for name in account["outbox"] if name.endswith(".mp4")} - {"old.mp4"}
        assert films == SCENES[scene].films, f"{scene}: {sorted(films)}"
        assert {name for name in account["failed"]} - {"torn"} == SCENES[scene].failed, f"{scene}: {account['failed']}"
        assert not wrong, f"{scene}: {wrong}"
        assert outcome["status"] is not None
        return Reference(account, Counter(outcome["names"]))

    def traced(self, plan: dict[str, Any], program: Path | None = None) -> dict[str, Any]:
        """Live one life under the tracer."""
        tops = {"R": str(self.grounds.root), "S": str(self.grounds.state)}
        plan_file, outcome_file = self._folder / "plan.json", self._folder / "outcome.json"
        plan_file.write_text(json.dumps({"tops": tops, "limit_s": REST_LIMIT_S, **plan}), encoding="utf-8")
        outcome_file.unlink(missing_ok=True)
        words = {} if program is None else {"program": program}
        argv = [sys.executable, "-m", "tests.faults.tracer", str(plan_file), str(outcome_file), "--"]
        argv += daemon_argv(self.grounds, "--until-idle", **words)
        with self.grounds.new_log().open("wb") as log:
            subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd=REPOSITORY, check=True
            )
        told: dict[str, Any] = json.loads(outcome_file.read_bytes())
        return told

    def rest(self, program: Path | None = None) -> int | None:
        """Live undisturbed to the end; returns the exit status, None when there is no end."""
        daemon = start(self.grounds, "--until-idle", **({} if program is None else {"program": program}))
        try:
            return daemon.wait(REST_LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            daemon.kill()
            daemon.wait()

    def try_point(self, point: Point, reference: Reference, program: Path | None = None) -> Result:
        """Break it at a point; see what comes of it."""
        began_s = time.monotonic()
        self.set_scene(point.scene)
        result = Result(key=point.key, violations=[])
        seen = Sightings()
        if point.act.startswith(("kill", "half")):
            self._kill(point, reference, seen, result, program)
        else:
            self._fail(point, result, program)
        result.violations += broken_promises(self.grounds, seen)
        result.violations += differences(reference.account, take_account(self.grounds))
        result.lives = len(list(self.grounds.logs.glob("*.jsonl")))
        result.seconds = round(time.monotonic() - began_s, 1)
        return result

    def _kill(self, point: Point, reference: Reference, seen: Sightings, result: Result, program: Path | None) -> None:
        act = point.act.removesuffix(" twice")
        outcome = self.traced({"act": act, "name": point.name, "number": point.number}, program)
        result.is_reached = bool(outcome["reached"])
        if point.act == "kill one":
            # The daemon lives on: it must come to the end by itself.
            result.violations += self._unrest(_code(outcome), point)
            return
        if not result.is_reached:
            result.violations += self._unrest(_code(outcome), point)
        seen.look(self.grounds)
        if point.act.endswith(" twice"):
            second = 1 + zlib.crc32(point.key.encode()) % max(1, round(reference.changes * RESTART_PART))
            outcome = self.traced({"act": "kill", "number": second}, program)
            result.is_reached_twice = bool(outcome["reached"])
            seen.look(self.grounds)
        result.violations += self._unrest(self.rest(program), point)

    def _fail(self, point: Point, result: Result, program: Path | None) -> None:
        plan = {"act": "fail", "name": point.name, "number": point.number}
        outcome = self.traced({**plan, "fault": point.act, "lasts_s": FAULT_LASTS_S}, program)
        result.is_reached, result.refused = bool(outcome["reached"]), int(outcome["refused"])
        if not any(line["event"] == "daemon.started" for line in log_lines(self.grounds)):
            # A daemon that cannot begin says so and ends; whoever started it tries again.
            result.violations += self._unrest(self.rest(program), point)
            return
        result.violations += self._unrest(_code(outcome), point)
        if any(line["event"] == "daemon.work_kept" for line in log_lines(self.grounds)):
            # It tries again in every tick, but a daemon that is to end when all is done may end before.
            result.violations += self._unrest(self.rest(program), point)

    def _unrest(self, status: int | None, point: Point) -> list[str]:
        """Say what is wrong with the end of the latest life, which was to be a calm one."""
        if status is None:
            return [f"it was killed, or did not come to rest within {REST_LIMIT_S:.0f} s"]
        # A traceback ends with the status of a failed job, too.
        is_told = bool(lines := log_lines(self.grounds)) and lines[-1]["event"] == "daemon.stopped"
        may_fail = bool(SCENES[point.scene].failed)
        if is_told and (status == 0 or (status == EXIT_JOB_FAILED and may_fail)):
            return []
        return [f"the latest run ended with status {status}"]


def _code(outcome: dict[str, Any]) -> int | None:
    status = outcome["status"]
    return None if status is None or outcome["is_late"] or status & 0x7F else status >> 8


def as_line(result: Result) -> str:
    """Return a line of a results file."""
    return json.dumps(asdict(result), ensure_ascii=False) + "\n"
