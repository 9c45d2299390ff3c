"""Asks the daemon to cancel a film or to try one again, and waits for its answer between two pictures."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from heygemd.errors import HeygemdError
from heygemd.jobs.requests import Act, RequestBook
from heygemd.jobs.store import JobStore
from heygemd.language import advice_of, said
from heygemd.lookout import STORE_NAME
from heygemd.top.screen import Question

PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of it so far."""

    text: str
    is_bad_news: bool = False
    is_last: bool = False


class Asking:
    """At most one request at a time is followed; all of them are carried out."""

    def __init__(self, state_dir: Path, by: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._by, self._clock = state_dir / STORE_NAME, by, clock
        self._seq: int | None = None
        self._what, self._since_s = "", 0.0

    def ask(self, question: Question, *, has_daemon: bool) -> Notice:
        """Write the request down."""
        self._seq, self._what = None, _words(question)
        try:
            with RequestBook.open(self._store) as book:
                request = book.ask(question.act, question.job, by=self._by, at=datetime.now(UTC))
        except HeygemdError as error:
            return Notice(f"{error.code} {error.message} - {advice_of(error.code)[1]}", is_bad_news=True, is_last=True)
        if not has_daemon:
            later = said("it is carried out when the daemon starts", "守护进程启动后执行")
            return Notice(f"{self._what}: {later}", is_last=True)
        self._seq, self._since_s = request.seq, self._clock()
        return Notice(f"{self._what}: {said('asked for ...', '已提交……')}")

    def hear(self) -> Notice | None:
        """Return the daemon's answer when there is one."""
        if self._seq is None:
            return None
        try:
            with JobStore.open_readonly(self._store) as store:
                request = store.requests.get(self._seq)
        except HeygemdError as error:
            request = None
            self._seq = None
            return Notice(f"{error.code} {error.message}", is_bad_news=True, is_last=True)
        if request is None or request.ended_at is None:
            if self._clock() - self._since_s < PATIENCE_S:
                return None
            self._seq = None
            late = said("asked for; the daemon has not answered yet", "已提交，守护进程尚未答复")
            return Notice(f"{self._what}: {late}", is_bad_news=True, is_last=True)
        self._seq = None
        outcome = said("refused", "被拒绝") if request.is_refused else said("done", "完成")
        note = f" - {request.note}" if request.note else ""
        return Notice(f"{self._what}: {outcome}{note}", is_bad_news=request.is_refused, is_last=True)


def _words(question: Question) -> str:
    verb = said("cancel", "取消") if question.act is Act.CANCEL else said("try again", "重试")
    return f"{verb} {question.name}"
