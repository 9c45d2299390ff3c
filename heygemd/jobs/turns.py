"""Whose turn is it? Waiting, priority and length of the film in one number, so that nothing starves. Pure."""

from datetime import datetime


def turn_of(queued_at: datetime, priority: int, aging_s: float, film_s: float = 0.0) -> float:
    """Return the place in the queue of a folder: the smallest is next.

    It is when the film would be ready if it had been begun at once and took as long as it plays; one step of priority
    is worth `aging_s` of waiting. All jobs age at the same rate, so their order never changes while they wait: a short
    film passes a long one that is ready later, and a long one waits for later ones at most as long as it plays.
    """
    return queued_at.timestamp() - priority * aging_s + film_s
