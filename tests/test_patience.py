"""Looks that may hang do not make anybody wait."""

import os
import signal
import time
from pathlib import Path

import pytest

from heygemd.errors import ResourceError, SetupError
from heygemd.patience import Look, look_within
from tests.processes import is_alive


def hang() -> bytes:
    while True:
        signal.pause()


def refuse() -> bytes:
    raise SetupError("E401", "no: root\nat \udcff all")


def fail() -> bytes:
    Path("/does/not/exist").read_bytes()
    return b""


def break_down() -> bytes:
    raise ZeroDivisionError


def test_what_was_read_comes_back_whole():
    big = os.urandom(3 << 20)
    assert look_within(20, {"small": lambda: b"", "big": lambda: big}) == {"small": b"", "big": big}


def test_errors_come_back_as_they_were():
    found = look_within(20, {"ours": refuse, "system": fail})
    assert isinstance(found["ours"], SetupError)
    assert found["ours"].message == "no: root\nat \udcff all"
    assert isinstance(found["system"], ResourceError)
    assert found["system"].message == "No such file or directory"


def test_one_that_hangs_costs_the_limit_and_hides_no_other():
    began_s = time.monotonic()
    found = look_within(1, {"dead": hang, "live": lambda: b"here"})
    assert 1 <= time.monotonic() - began_s < 8
    assert found["live"] == b"here"
    assert isinstance(found["dead"], ResourceError)
    assert "within 1 s" in found["dead"].message


def test_nothing_is_left_of_one_that_was_given_up():
    look = Look(hang)
    assert look.poll() is False
    look.give_up()
    ends_s = time.monotonic() + 10
    while is_alive(look._pid) and time.monotonic() < ends_s:
        time.sleep(0.01)
    assert not is_alive(look._pid)
    with pytest.raises(ResourceError):
        look.answer()
    look.give_up()


def test_a_child_that_breaks_down_has_not_answered(capfd):
    found = look_within(20, {"broken": break_down})
    assert isinstance(found["broken"], ResourceError)
    capfd.readouterr()
