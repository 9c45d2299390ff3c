"""Watches what becomes of an order, by what the daemon writes on the share: it needs no right to the job store."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from heygemd.errors import FaultError, ResourceError, error_for
from heygemd.outbox import batchfiles, names
from heygemd.outbox import disk as disks
from heygemd.outbox.originals import ERROR_NAME
from heygemd.outbox.standing import REPORT_MAX_BYTES
from heygemd.outbox.status import STATUS_NAME
from heygemd.submitting.writing import MANIFEST_SUFFIX, Target

POLL_S = 1.0
STALE_S = 60.0
UNHEARD_S = 60.0
"""A manifest that has left the inbox is in a report by then."""
_REPORT_BYTES = 64 << 20
_STATUS_BYTES = 4 << 20

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How an order stands at one moment."""

    report: Report | None
    """The batch report, once there is one."""
    running: tuple[dict[str, Any], ...] = ()
    """Its jobs in work, as `status.json` tells them."""
    is_served: bool = True
    """A daemon that lives looks after the root."""


def known_batches(target: Target, stem: str) -> frozenset[str]:
    """Return the batches of this name whose reports are there already: not those that come."""
    return frozenset(report["batch"] for report in _reports(target, stem))


def follow(
    target: Target,
    stem: str,
    *,
    but: frozenset[str] = frozenset(),
    clock: Callable[[], float],
    pause: Callable[[float], None],
    on_sight: Callable[[Sight], None] = lambda sight: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Report:
    """Wait until every film of the manifest `stem` is there or has failed; returns the last report.

    Raises the error with which the daemon has refused the manifest, or FaultError E500 when it has left the inbox
    without a trace.
    """
    gone_since_s: float | None = None
    while True:
        sight = look(target, stem, but=but, now=now())
        on_sight(sight)
        if sight.report is not None and sight.report.get("complete") is True:
            return sight.report
        if sight.report is None and not (target.path / (stem + MANIFEST_SUFFIX)).exists():
            gone_since_s = clock() if gone_since_s is None else gone_since_s
            _raise_refusal(target, stem)
            if clock() - gone_since_s > UNHEARD_S and sight.is_served:
                raise FaultError("E500", f"the manifest {stem} has left the inbox, and nothing is told of it")
        pause(POLL_S)


def look(target: Target, stem: str, *, but: frozenset[str] = frozenset(), now: datetime) -> Sight:
    """Look at the share once; what cannot be read counts as not there."""
    report = next((one for one in _reports(target, stem) if one["batch"] not in but), None)
    status = _status(target)
    jobs = {row.get("job") for row in report["rows"]} if report is not None else set()
    listed = status.get("running")
    running = (
        tuple(one for one in listed if isinstance(one, dict) and one.get("job") in jobs)
        if isinstance(listed, list)
        else ()
    )
    return Sight(report=report, running=running, is_served=_is_fresh(status, now))


def _reports(target: Target, stem: str) -> Iterator[Report]:
    """Yield the reports of batches of this name, whatever had to be added to the name of the file."""
    beginning = names.film_stem(stem)
    try:
        with disks.folder_if_there(target.root.path, *batchfiles.LIVE_PARTS, *names.mirrored(target.folder)) as fd:
            for name in sorted(disks.names_in(fd)) if fd is not None else ():
                if fd is None or not (name.startswith(beginning) and name.endswith(batchfiles.JSON_ENDING)):
                    continue
                told = _json(disks.read_at_most(fd, name, _REPORT_BYTES))
                is_ours = told.get("name") == stem and told.get("folder") == target.folder
                if is_ours and isinstance(told.get("batch"), str) and isinstance(told.get("rows"), list):
                    told["rows"] = [row for row in told["rows"] if isinstance(row, dict)]
                    yield told
    except (OSError, ResourceError):
        return


def _status(target: Target) -> Report:
    try:
        with disks.folder_if_there(target.root.status) as fd:
            return _json(disks.read_at_most(fd, STATUS_NAME, _STATUS_BYTES)) if fd is not None else {}
    except (OSError, ResourceError):
        return {}


def _is_fresh(status: Report, now: datetime) -> bool:
    try:
        return (now - datetime.fromisoformat(status["written_at"])).total_seconds() <= STALE_S
    except (KeyError, TypeError, ValueError):
        return False


def _raise_refusal(target: Target, stem: str) -> None:
    """Raise why the manifest as a whole was refused, when it lies in `failed/`."""
    error = _refusal(target, stem)
    if error:
        raise error_for(str(error.get("code", "E500")), str(error.get("message", "")))


def _refusal(target: Target, stem: str) -> Report:
    try:
        with disks.folder_if_there(target.root.failed) as failed_fd:
            listed = disks.names_in(failed_fd) if failed_fd is not None else []
        for place in (name for name in listed if name.startswith(names.film_stem(stem))):
            with disks.folder_if_there(target.root.failed, place) as fd:
                if fd is not None and disks.exists(fd, stem + MANIFEST_SUFFIX):
                    error = _json(disks.read_at_most(fd, ERROR_NAME, REPORT_MAX_BYTES)).get("error")
                    return error if isinstance(error, dict) else {}
    except (OSError, ResourceError):
        pass  # not for us to read
    return {}


def _json(text: bytes | None) -> Report:
    try:
        told = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
