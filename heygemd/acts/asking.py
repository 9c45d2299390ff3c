"""Asks the daemon for something through the store, and waits a while for what came of it."""

import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heygemd import places
from heygemd.jobs.requests import Act, Request, RequestBook

WAIT_S = 15.0
"""A daemon that works looks at the requests every few seconds."""
POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request, as far as it is known."""

    request: Request
    outcome: str
    """`done`, `refused`, `asked` (a daemon runs, and has not answered yet) or `later` (none runs)."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "request": self.request.seq, "act": self.request.act.value, "target": self.request.target,
            "outcome": self.outcome, "note": self.request.note,
        }  # fmt: skip


def ask(
    store: Path,
    act: Act,
    targets: Sequence[str],
    options: Mapping[str, Any] | None = None,
    *,
    lock: Path,
    wait_s: float = WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """Ask for the same act on every target, and wait for the answers if a daemon holds `lock`.

    The requests are durable before the waiting begins, so an interruption takes nothing back. `on_answer` is told
    each answer as it comes. Raises SetupError E401 or E407, ResourceError E202.
    """
    with RequestBook.open(store) as book:
        now = datetime.now(UTC)
        asked = [book.ask(act, target, by=asker(), at=now, options=options) for target in targets]
        answers: dict[int, Answer] = {}
        end_s = clock() + wait_s
        is_running = places.holder_of(lock) is not None
        while True:
            for request in asked:
                if request.seq not in answers and (answer := _answer(book, request)) is not None:
                    answers[request.seq] = answer
                    on_answer(answer)
            if len(answers) == len({request.seq for request in asked}) or not is_running or clock() >= end_s:
                break
            pause(POLL_S)
            is_running = places.holder_of(lock) is not None
        open_outcome = "asked" if is_running else "later"
        return [answers.get(one.seq) or Answer(request=one, outcome=open_outcome) for one in asked]


def asker() -> str:
    """Return the name of the account that asks; behind sudo, of the person who used it."""
    behind = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    if behind:
        return behind
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _answer(book: RequestBook, request: Request) -> Answer | None:
    """Return what came of a request; one that is gone was carried out so long ago that it has been forgotten."""
    now = book.get(request.seq)
    if now is None:
        return Answer(request=request, outcome="done")
    if now.ended_at is None:
        return None
    return Answer(request=now, outcome="refused" if now.is_refused else "done")
