"""Who waits in an inbox, since when and for what: notices for people, and lone files that have waited too long."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from heygemd.intake.findings import Waiting
from heygemd.intake.pairing import Group, Why

URGENCY = (
    Why.AMBIGUOUS, Why.REFUSED_NAME, Why.UNREADABLE, Why.INCOMPLETE, Why.HOLES, Why.COMMIT, Why.PARTNER, Why.MEMBERS,
    Why.JOB_FOLDER, Why.CHECKING, Why.ARRIVING, Why.RESERVED, Why.DEFAULT,
)  # fmt: skip
"""What people should see first. `_default` files come last: they wait for nobody and are not shown."""
_RANK = {why: rank for rank, why in enumerate(URGENCY)}


@dataclass(frozen=True, slots=True)
class _Seat:
    waiting: Waiting
    since_s: float
    group: Group


class WaitingRoom:
    """Remembers since when each group of files waits, and for what; a new member starts the time again."""

    def __init__(self, partner_notice_s: float) -> None:
        self._partner_notice_s = partner_notice_s
        self._seats: dict[tuple[str, str], _Seat] = {}

    def clear(self) -> None:
        """Forget everything: another share may be there now."""
        self._seats.clear()

    def seat(self, groups: Iterable[Group], now_s: float, wall: datetime) -> list[Waiting]:
        """Take the groups of one look; returns those that people should see (a lone file only after a while)."""
        seats: dict[tuple[str, str], _Seat] = {}
        shown: list[Waiting] = []
        for group in groups:
            why = group.why
            if why is None:
                continue
            seat = self._seats.get((group.folder, group.key))
            if seat is None or seat.waiting.why is not why or seat.group.names != group.names:
                seat = _Seat(Waiting(folder=group.folder, names=group.names, why=why, since=wall), now_s, group)
            seats[group.folder, group.key] = seat
            is_young = why is Why.PARTNER and now_s - seat.since_s < self._partner_notice_s
            if not is_young and why is not Why.DEFAULT:
                shown.append(seat.waiting)
        self._seats = seats
        shown.sort(key=lambda waiting: (_RANK[waiting.why], waiting.since, waiting.folder, waiting.names))
        return shown

    def expired(self, now_s: float, timeout_of: Callable[[str], float]) -> list[Group]:
        """Return the lone groups of the last look that have waited for as long as `timeout_of(folder)` seconds."""
        return [
            seat.group
            for seat in self._seats.values()
            if seat.waiting.why is Why.PARTNER and now_s - seat.since_s >= timeout_of(seat.group.folder)
        ]
