"""Processes on a leash: bounded patience, memory, chatter; none is left behind."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heygemd.media.child import STDERR_KEPT_BYTES, Child, Leash, bounds_of, environment_of
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


def test_all_waits_together_have_a_limit() -> None:
    """A file that drips is never silent for long, and would keep its reader for ever."""
    drip = "import sys, time\nwhile True: sys.stdout.write('x' * 70000); sys.stdout.flush(); time.sleep(0.05)"
    with Child(python(drip), leash=Leash(stall_s=5, waits_s=1)) as child:
        began_s = time.monotonic()
        with pytest.raises(StalledError):
            while True:
                child.stdout.fill(memoryview(bytearray(1000)))
        assert time.monotonic() - began_s < 4


def test_a_reader_that_takes_its_time_does_not_use_up_the_patience() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000)"
    with Child(python(code), leash=Leash(stall_s=5, waits_s=1.5)) as child:
        child.stdout.fill(memoryview(bytearray(1000)))
        time.sleep(1.6)  # it paints
        assert child.stdout.fill(memoryview(bytearray(2_999_000))) == 2_999_000
        assert child.finish().ok


def test_who_has_a_clock_has_a_limit_of_processor_time() -> None:
    cores = os.cpu_count() or 1
    assert resource.RLIMIT_CPU not in bounds_of(EASY)
    assert bounds_of(Leash(wall_s=10))[resource.RLIMIT_CPU] == 10 * cores + 1
    assert bounds_of(Leash(wall_s=10, waits_s=2))[resource.RLIMIT_CPU] == 2 * cores + 1


def test_who_uses_up_its_processor_time_ends_in_another_way_than_who_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.media.child.bounds_of", lambda leash: {resource.RLIMIT_CPU: 1})
    with Child(python("while True: pass"), leash=Leash(stall_s=60)) as child:
        assert child.finish().returncode == -signal.SIGXCPU


def test_nobody_is_given_more_than_we_have() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert bounds_of(Leash(open_files=most + 1))[resource.RLIMIT_NOFILE] == most


def test_no_child_looks_for_libraries_where_somebody_stands() -> None:
    ours = {"LD_LIBRARY_PATH": "lib:/opt/cuda/lib64::.:", "PATH": ":/usr/bin:bin"}
    theirs = environment_of(ours)
    assert (theirs["LD_LIBRARY_PATH"], theirs["PATH"]) == ("/opt/cuda/lib64", "/usr/bin")
    assert "LD_LIBRARY_PATH" not in environment_of({"LD_LIBRARY_PATH": ":"}), "an empty list is the current folder, too"


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
