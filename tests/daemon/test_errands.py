import os
import select
import signal
import sys
import time
from multiprocessing import forkserver

import pytest

from heygemd.daemon.errands import Errand, Resident, open_nursery
from heygemd.errors import ResourceError
from heygemd.log import LogChoice


@pytest.fixture(scope="module")
def nursery():
    return open_nursery(LogChoice(level="error"))


def wait(child, *, now_s=0.0):
    """Until the child has an answer: on its pipe, not by sleeping."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        select.select([child.fileno()], [], [], 1)
        if (answer := child.poll(now_s)) is not None:
            return answer
    raise AssertionError("no answer within 30 s")


def double(number):
    return 2 * number


def refuse():
    raise ResourceError("E202", "the disk is full")


def stumble():
    raise ValueError("a bug")


def hang():
    time.sleep(1000)


class Counter:
    def __init__(self, start):
        self.value = start

    def add(self, number):
        self.value += number
        return self.value, os.getpid()

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self):
        time.sleep(1000)


def test_an_errand_returns_what_its_function_returns(nursery):
    assert wait(Errand(nursery, double, 21, now_s=0, limit_s=30)).value == 42


def test_an_error_of_ours_keeps_its_code(nursery):
    answer = wait(Errand(nursery, refuse, now_s=0, limit_s=30))
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("E202", "the disk is full")


def test_a_bug_comes_back_as_a_traceback(nursery):
    answer = wait(Errand(nursery, stumble, now_s=0, limit_s=30))
    assert not answer.is_good
    assert "ValueError: a bug" in answer.fault


def test_an_errand_that_takes_too_long_is_killed(nursery):
    errand = Errand(nursery, hang, now_s=0, limit_s=5)
    assert errand.poll(4.9) is None
    answer = errand.poll(5.0)
    assert answer is not None
    assert answer.error is not None
    assert answer.error.code == "E201"


def test_a_resident_keeps_its_object_between_calls(nursery):
    counter = Resident(nursery, Counter, 10)
    counter.ask("add", 1, now_s=0, limit_s=30)
    first = wait(counter).value
    counter.ask("add", 1, now_s=0, limit_s=30)
    assert wait(counter).value == (12, first[1])
    counter.end()


def test_a_resident_is_asked_one_thing_at_a_time(nursery):
    counter = Resident(nursery, Counter, 0)
    counter.ask("add", 1, now_s=0, limit_s=30)
    with pytest.raises(RuntimeError, match="busy"):
        counter.ask("add", 1, now_s=0, limit_s=30)
    counter.end()


@pytest.mark.parametrize("way", ["die", "hang"])
def test_a_dead_or_hanging_resident_is_replaced_by_a_new_one(nursery, way):
    counter = Resident(nursery, Counter, 5)
    counter.ask(way, now_s=0, limit_s=3)
    answer = wait(counter) if way == "die" else counter.poll(3.0)
    assert answer is not None
    assert not answer.is_good
    counter.ask("add", 1, now_s=0, limit_s=30)
    assert wait(counter).value[0] == 6
    counter.end()


def test_a_killed_fork_server_is_replaced_and_the_errand_is_run(nursery):
    assert wait(Errand(nursery, double, 1, now_s=0, limit_s=30)).value == 2
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    for number in (2, 3):
        assert wait(Errand(nursery, double, number, now_s=0, limit_s=30)).value == 2 * number


def is_on_its_guard():
    return sys.flags.safe_path, "" in sys.path


def test_a_child_imports_nothing_from_where_somebody_stands(nursery):
    """A `signal.py` in the current folder would be run by every child that Python starts with `-c` or `-m`."""
    assert wait(Errand(nursery, is_on_its_guard, now_s=0, limit_s=60)).value == (True, False)
    assert "PYTHONSAFEPATH" not in os.environ
