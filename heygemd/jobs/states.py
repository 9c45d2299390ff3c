"""The life of a job: five states, and the only table that says which step may follow which."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Inputs are claimed and valid; waiting for a device."""
    RUNNING = "running"
    """A worker owns it, or its result is being published."""
    DONE = "done"
    """The film lies in the outbox."""
    FAILED = "failed"
    """Given up; the inputs lie in failed/ with a reason."""
    CANCELLED = "cancelled"
    """Withdrawn by the operator."""


_S = JobState
NEXT: dict[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.QUEUED, _S.DONE, _S.FAILED, _S.CANCELLED}),
    _S.DONE: frozenset(),
    _S.FAILED: frozenset({_S.QUEUED}),
    _S.CANCELLED: frozenset({_S.QUEUED}),
}


def may_follow(now: JobState, then: JobState) -> bool:
    """Tell whether a job in state `now` may go to `then`."""
    return then in NEXT[now]


def sources_of(then: JobState) -> frozenset[JobState]:
    """Return every state from which `then` can be reached in one step."""
    return frozenset(now for now, nexts in NEXT.items() if then in nexts)
