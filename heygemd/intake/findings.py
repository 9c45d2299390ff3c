"""What one look at an inbox found, in a form that crosses to the daemon."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from heygemd.intake.pairing import Group, Why
from heygemd.jobs.job import Job

WAITING_SHOWN = 1000
"""More than a status page can use; `waiting_count` tells how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Files that are not a job yet."""

    folder: str
    names: tuple[str, ...]
    why: Why
    since: datetime
    """When this process first saw them so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of one look."""

    arrivals: tuple[Job, ...] = ()
    """Jobs, queued or refused, that nobody has acknowledged yet; the same again at every look until then."""
    waiting: tuple[Waiting, ...] = ()
    """At most WAITING_SHOWN; notices first, oldest first."""
    waiting_count: int = 0
    busy: bool = False
    """Something still arrives or is being checked, or did a moment ago: look again soon."""
    settling: bool = False
    """Something that is here needs only time to become a job: whoever waits for the end of all work waits for it."""
    offline: str | None = None
    """Why the root cannot be reached; then nothing else is said."""
    paused: str | None = None
    """Why claims do not go on (a full disk, say); they do by themselves when it is mended."""


_URGENCY = (Why.AMBIGUOUS, Why.REFUSED_NAME, Why.UNREADABLE, Why.PARTNER, Why.CHECKING, Why.ARRIVING)


class WaitingRoom:
    """Remembers since when each group of files waits, and for what; a new member starts the time again."""

    def __init__(self, partner_notice_s: float) -> None:
        self._partner_notice_s = partner_notice_s
        self._known: dict[tuple[str, str], tuple[Waiting, float]] = {}

    def clear(self) -> None:
        """Forget everything: another share may be there now."""
        self._known.clear()

    def seat(self, groups: Iterable[Group], now_s: float, wall: datetime) -> list[Waiting]:
        """Take the groups of one look; returns those that people should see (a lone file only after a while)."""
        present: dict[tuple[str, str], tuple[Waiting, float]] = {}
        for group in groups:
            if group.why is None:
                continue
            known = self._known.get((group.folder, group.key))
            if known is None or known[0].why is not group.why or known[0].names != group.names:
                waiting = Waiting(folder=group.folder, names=group.names, why=group.why, since=wall)
                known = (waiting, now_s)
            present[group.folder, group.key] = known
        self._known = present
        return sorted(
            (
                waiting
                for waiting, since_s in present.values()
                if waiting.why is not Why.PARTNER or now_s - since_s >= self._partner_notice_s
            ),
            key=lambda waiting: (_URGENCY.index(waiting.why), waiting.since, waiting.folder, waiting.names),
        )
