"""Whose turn is it? Priority and waiting in one number, so that nothing starves. Pure."""

from datetime import datetime


def turn_of(queued_at: datetime, priority: int, aging_s: float) -> float:
    """Return the place in the queue: the smallest is next.

    One step of priority is worth `aging_s` of waiting. All jobs age at the same rate, so their order never changes
    while they wait, and whoever was queued `aging_s` times the difference of priorities earlier comes first.
    """
    return queued_at.timestamp() - priority * aging_s
