"""What a keyboard sends, key by key."""

import contextlib
import os
import pty
import termios

import pytest

from heygemd.top.keys import Keyboard, TerminalGoneError, split


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        ("q", ["q"]), ("jk", ["j", "k"]), ("\r", ["enter"]), ("\n", ["enter"]),
        ("\t", ["tab"]), ("\x7f", ["backspace"]),
        ("\x1b[A\x1b[B", ["up", "down"]), ("\x1bOA\x1bOB", ["up", "down"]), ("\x1b[5~\x1b[6~", ["pageup", "pagedown"]),
        ("\x1b[H\x1b[F\x1b[1~\x1b[4~", ["home", "end", "home", "end"]), ("\x1b[Z", ["backtab"]), ("\x1b", ["escape"]),
        ("\x1b\x1b[A", ["escape", "up"]), ("\x1bOP\x1b[11~\x1b[[A\x1b[21~", ["f1", "f1", "f1", "f10"]),
        ("\x1b[1;5A", []), ("\x1b[200~", []), ("\x1b[<0;1;1M", []), ("名é", ["名", "é"]), ("\x00\x01\x9b", []),
        ("\x1bx", ["escape", "x"]),
    ],
    ids=repr,
)  # fmt: skip
def test_keys_have_names(told, keys):
    assert list(split(told)) == keys


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    yield master, slave
    for number in (master, slave):
        with contextlib.suppress(OSError):
            os.close(number)


@pytest.mark.pty
def test_a_terminal_is_given_back_as_it_was_whatever_happens(terminal):
    _master, slave = terminal
    before = termios.tcgetattr(slave)
    with pytest.raises(ZeroDivisionError), Keyboard(slave):
        assert termios.tcgetattr(slave)[3] & termios.ECHO == 0
        raise ZeroDivisionError
    assert termios.tcgetattr(slave) == before


@pytest.mark.pty
def test_keys_nobody_read_do_not_reach_the_shell(terminal):
    master, slave = terminal
    with Keyboard(slave):
        os.write(master, b"rm -rf")
    os.set_blocking(slave, False)
    with pytest.raises(BlockingIOError):
        os.read(slave, 100)


@pytest.mark.pty
def test_a_character_that_comes_in_two_pieces(terminal):
    master, slave = terminal
    with Keyboard(slave) as keyboard:
        whole = "名".encode()
        os.write(master, whole[:1])
        assert keyboard.read_keys() == []
        os.write(master, whole[1:])
        assert keyboard.read_keys() == ["名"]


@pytest.mark.pty
def test_bytes_that_are_no_text_end_nothing(terminal):
    master, slave = terminal
    with Keyboard(slave) as keyboard:
        os.write(master, b"\xff\xfeq")
        assert keyboard.read_keys()[-1] == "q"


@pytest.mark.pty
def test_a_terminal_that_is_gone(terminal):
    master, slave = terminal
    with pytest.raises(TerminalGoneError), Keyboard(slave) as keyboard:
        os.close(master)
        keyboard.read_keys()
