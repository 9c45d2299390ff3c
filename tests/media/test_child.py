"""Processes on a leash: bounded patience, memory, chatter; none is left behind."""

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heygemd.media.child import STDERR_KEPT_BYTES, Child, Leash
from heygemd.media.ffmpeg import require_tools
from heygemd.media.pipes import StalledError

EASY = Leash(stall_s=10)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_output_comes_back_and_status_is_kept() -> None:
    with Child(python("import sys; print('hello'); sys.exit(3)"), leash=EASY) as child:
        outcome = child.finish()
    assert (outcome.stdout, outcome.returncode, outcome.ok) == (b"hello\n", 3, False)


def test_what_is_written_arrives() -> None:
    data = bytes(range(256)) * 20_000
    code = "import sys,hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    with Child(python(code), leash=EASY, feed=True) as child:
        child.write(memoryview(data))
        digest = child.finish().stdout.decode().strip()
    assert digest == hashlib.sha256(data).hexdigest()


def test_silence_beyond_the_limit_ends_it() -> None:
    with Child(["sleep", "60"], leash=Leash(stall_s=0.1)) as child:
        with pytest.raises(StalledError):
            child.stdout.fill(memoryview(bytearray(10)))
        pid = child.pid
    assert not alive(pid)


def test_a_reader_that_stops_reading_is_ended() -> None:
    with Child(["sleep", "60"], leash=Leash(stall_s=0.1), feed=True) as child, pytest.raises(StalledError):
        child.write(memoryview(bytes(8 << 20)))


def test_the_wall_clock_holds_even_with_output() -> None:
    with Child(["yes"], leash=Leash(stall_s=5, wall_s=0.3)) as child, pytest.raises(StalledError):
        while True:
            child.stdout.fill(memoryview(bytearray(1 << 16)))


def test_chatter_is_counted_and_only_its_end_is_kept() -> None:
    code = "import sys\nfor i in range(20000): print('[x @ 0x1] [error] no', i, file=sys.stderr)"
    with Child(python(code), leash=EASY) as child:
        outcome = child.finish()
    assert outcome.errors == 20_000
    assert len(outcome.stderr) <= STDERR_KEPT_BYTES
    assert "no 19999" in outcome.stderr
    assert outcome.reason.startswith("no 1")


def test_a_reason_is_one_printable_line() -> None:
    code = r"import sys; sys.stderr.write('[mov @ 0x55] [error] bad \x1b[31m\u202ename\n')"
    with Child(python(code), leash=EASY) as child:
        assert child.finish().reason == "bad ?[31m?name"


def test_limits_are_set_on_the_child_alone() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    code = "import sys,resource; sys.stdin.read(); print(resource.getrlimit(resource.RLIMIT_AS)[0], end='')"
    with Child(python(code), leash=Leash(stall_s=10, memory_bytes=1 << 30), feed=True) as child:
        assert child.finish().stdout == str(1 << 30).encode()
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_child_sees_little_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=/tmp/report.txt")
    with Child(python("import os; print('FFREPORT' in os.environ)"), leash=EASY) as child:
        assert child.finish().stdout == b"False\n"


@pytest.mark.ffmpeg
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    if not require_tools().leash:
        pytest.skip("this machine has no setpriv")
    code = (
        "import sys; from heygemd.media.child import Child, Leash\n"
        "from heygemd.media.ffmpeg import require_tools\n"
        "child = Child([*require_tools().leash, 'sleep', '60'], leash=Leash())\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        parent.kill()
    wait_until(lambda: not alive(pid))
