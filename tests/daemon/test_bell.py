"""What wakes the loop: rings, signals, descriptors."""

import os
import signal
import threading
import time

import pytest

from heygemd.daemon.bell import Bell

LONG_S = 20.0


@pytest.fixture
def bell():
    return Bell(is_on_terminal=False)


def seconds_of(call):
    began_s = time.monotonic()
    call()
    return time.monotonic() - began_s


def test_a_ring_ends_the_sleep_and_only_one(bell):
    bell.ring()
    assert seconds_of(lambda: bell.sleep((), LONG_S)) < LONG_S / 2
    assert seconds_of(lambda: bell.sleep((), 0.05)) >= 0.04


def test_a_ring_from_another_thread_ends_the_sleep_under_way(bell):
    timer = threading.Timer(0.05, bell.ring)
    timer.start()
    assert seconds_of(lambda: bell.sleep((), LONG_S)) < LONG_S / 2
    timer.join()


def test_a_thousand_rings_nobody_hears_block_nobody(bell):
    for _ in range(100_000):  # more than a pipe holds
        bell.ring()
    bell.sleep((), 0.0)


def test_a_descriptor_ends_the_sleep(bell):
    out, into = os.pipe()
    os.write(into, b"x")
    assert seconds_of(lambda: bell.sleep((out,), LONG_S)) < LONG_S / 2
    os.close(out)
    os.close(into)


def test_a_rest_is_ended_by_the_end_and_by_nothing_else(bell):
    bell.ring()
    assert seconds_of(lambda: bell.rest(0.05)) >= 0.04
    with bell.answering_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        assert seconds_of(lambda: bell.rest(0.05)) >= 0.04
        os.kill(os.getpid(), signal.SIGTERM)
        assert seconds_of(lambda: bell.rest(LONG_S)) < LONG_S / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_tells_to_end_and_wakes(bell, number):
    with bell.answering_signals():
        os.kill(os.getpid(), number)
        assert seconds_of(lambda: bell.sleep((), LONG_S)) < LONG_S / 2
    assert (bell.end_signal, bell.is_reload_wanted, bell.is_hurried) == (number, False, False)


def test_a_hang_up_tells_a_service_to_reload_as_often_as_it_comes(bell):
    with bell.answering_signals():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert (bell.end_signal, bell.is_reload_wanted) == (None, True)
            bell.is_reload_wanted = False


def test_a_hang_up_of_the_terminal_ends_who_runs_on_it():
    bell = Bell(is_on_terminal=True)
    with bell.answering_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    assert (bell.end_signal, bell.is_reload_wanted) == (signal.SIGHUP, False)


def test_a_second_ctrl_c_hurries_and_a_second_sigterm_does_not(bell):
    with bell.answering_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert not bell.is_hurried
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert bell.is_hurried


def test_handlers_are_put_back(bell):
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(ZeroDivisionError), bell.answering_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in numbers] == before
