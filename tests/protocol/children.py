"""The daemon's children without processes: they do their work when it is asked for or when it is due, one at a time.

As with real ones, a daemon that is killed never hears what they have done, and perhaps they have not done it.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

from heygemd.daemon.errands import Answer, _Failure, _guarded
from heygemd.errors import error_for
from heygemd.log import LogChoice


@dataclass
class Playroom:
    """Stands for the nursery: says how slow its children are."""

    logs: LogChoice
    lag_polls: int = 0
    """So often a child is asked in vain before it answers."""
    is_early: bool = True
    """The work is done when it is asked for; else when the answer is given."""
    faults: list[str] = field(default_factory=list)
    """Tracebacks of bugs."""
    busy: int = 0


class Child:
    """One call of a function, on its way."""

    def __init__(self, room: Playroom, work: Callable[[], object]) -> None:
        self._room, self._work = room, work
        self._left = room.lag_polls
        self._answer = self._do() if room.is_early else None
        room.busy += 1

    def poll(self) -> Answer | None:
        if self._left > 0:
            self._left -= 1
            return None
        if self._answer is None:
            self._answer = self._do()
        return self._answer

    def end(self) -> None:
        self._room.busy -= 1

    def _do(self) -> Answer:
        told = _guarded(self._work)
        if isinstance(told, _Failure) and told.code:
            return Answer(error=error_for(told.code, told.message))
        if isinstance(told, _Failure):
            self._room.faults.append(told.traceback)
            return Answer(fault=told.traceback)
        return Answer(value=pickle.loads(pickle.dumps(told)))


class Errand:
    """Stands for `daemon.errands.Errand`."""

    def __init__(self, room: Playroom, function, *args, now_s: float, limit_s: float) -> None:
        del now_s, limit_s
        sent = pickle.loads(pickle.dumps(args))
        self._child = Child(room, lambda: function(*sent))
        self._has_ended = False

    def fileno(self) -> int:
        raise AssertionError("nobody waits for it")

    def poll(self, now_s: float) -> Answer | None:
        del now_s
        answer = self._child.poll()
        if answer is not None:
            self.end()
        return answer

    def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._child.end()


class Resident:
    """Stands for `daemon.errands.Resident`."""

    def __init__(self, room: Playroom, factory, *args) -> None:
        self._room, self._factory, self._args = room, factory, args
        self._held = None
        self._call: Child | None = None

    @property
    def is_busy(self) -> bool:
        return self._call is not None

    def fileno(self) -> int | None:
        return None

    def ask(self, method: str, *args, now_s: float, limit_s: float) -> None:
        del now_s, limit_s
        if self._held is None:
            self._held = self._factory(*self._args)
        held, sent = self._held, pickle.loads(pickle.dumps(args))
        self._call = Child(self._room, lambda: getattr(held, method)(*sent))

    def poll(self, now_s: float) -> Answer | None:
        del now_s
        answer = self._call.poll() if self._call is not None else None
        if answer is not None:
            self._hang_up()
            if answer.fault:
                self.end()
        return answer

    def end(self) -> None:
        self._hang_up()
        self._held = None

    def _hang_up(self) -> None:
        if self._call is not None:
            self._call.end()
            self._call = None


class SilentAlarm:
    """Stands for `Alarm`: the scans find everything."""

    state = "polling"
    overflows = 0

    def __init__(self, inbox, wake) -> None:
        del inbox, wake

    def tend(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True
