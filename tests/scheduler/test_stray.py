"""What workers print reaches the log in portions: whole, bounded, and never as a flood."""

import os
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from heygemd.scheduler.stray import KEPT_BYTES, LINE_CHARACTERS, PORTION_S, PORTIONS, REFILL_S, StrayText


class Rig:
    """A pipe, its reader, and a clock."""

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        os.set_blocking(reading, False)
        self.now_s = 100.0
        self.stray = StrayText(reading, worker=3, pid=77, clock=lambda: self.now_s)

    def say(self, text: bytes, after_s: float = PORTION_S) -> None:
        os.write(self.writing, text)
        self.stray.listen()
        self.now_s += after_s
        self.stray.listen()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    os.close(made.writing)


def test_text_that_comes_together_is_told_together(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.say(b"Traceback:\n", after_s=0.0)
        rig.say(b"  File x\n", after_s=0.0)
        assert logs == []
        rig.say(b"ValueError: no\r\n")
        rig.stray.end(failed=False)
    assert logs == [
        {
            "event": "worker.wrote", "log_level": "warning", "worker": 3, "pid": 77,
            "printed": "Traceback:\n  File x\nValueError: no", "cut_bytes": 0,
        }
    ]  # fmt: skip


def test_of_much_text_the_end_is_kept(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.say(b"beginning\n" + b"line of a library\n" * 1000 + b"the end")
        rig.stray.end(failed=False)
    (line,) = logs
    assert line["printed"].endswith("line of a library\nthe end")
    assert len(line["printed"]) <= KEPT_BYTES
    assert line["cut_bytes"] == 10 + 18_000 + 7 - KEPT_BYTES


def test_an_endless_line_is_cut(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.say(b"Extension modules: " + b"m, " * 2000)
        rig.stray.end(failed=False)
    assert len(logs[0]["printed"]) == LINE_CHARACTERS


def test_a_chatterbox_is_told_now_and_then_and_its_last_words_always(rig: Rig) -> None:
    with capture_logs() as logs:
        for _ in range(10 * PORTIONS):
            rig.say(b"blah\n")
        assert PORTIONS <= len(logs) <= PORTIONS + 2
        rig.say(b"blah\n", after_s=2 * REFILL_S)
        rig.say(b"blah\n")
        hushed = sum(line["cut_bytes"] for line in logs)
        assert hushed > 100
        rig.say(b"the reason", after_s=0)
        rig.stray.end(failed=True)
    assert (logs[-1]["log_level"], logs[-1]["printed"]) == ("error", "the reason")


def test_the_end_of_a_silent_worker_says_nothing(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.say(b"\n")
        rig.stray.end(failed=True)
    assert logs == []
