"""The tracer sees every change, and does at it what it was told."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.faults.points import plain
from tests.faults.scene import REPOSITORY, environment
from tests.faults.syscalls import IS_KNOWN_MACHINE

pytestmark = pytest.mark.skipif(not IS_KNOWN_MACHINE, reason="needs x86-64")

CHANGES = """
import os, sys, threading
os.chdir(sys.argv[2])
os.mkdir("folder")
os.makedirs("folder", exist_ok=True)                       # changes nothing
fd = os.open("folder", os.O_RDONLY)
part = os.open("film.part", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
os.write(part, b"0123456789")
os.fsync(part)
os.rename("film.part", "film.mp4", src_dir_fd=fd, dst_dir_fd=fd)
open("/dev/null", "wb").write(b"elsewhere")
def later():
    if os.fork() == 0:
        os.link("folder/film.mp4", "second")
        os._exit(0)
    os.wait()
thread = threading.Thread(target=later); thread.start(); thread.join()
try:
    os.unlink("not there")                                 # changes nothing either
except FileNotFoundError:
    pass
os.unlink("second")
"""
SEEN = [
    "daemon mkdir T/folder",
    "daemon openat T/folder/film.part",
    "daemon write T/folder/film.part",
    "daemon fsync T/folder/film.part",
    "daemon renameat T/folder/film.part > T/folder/film.mp4",
    "daemon link T/folder/film.mp4 > T/second",
    "daemon unlink T/second",
]


@pytest.fixture
def traced(tmp_path):
    """A function that runs a script under the tracer; returns the outcome."""
    top = tmp_path / "top"
    top.mkdir()

    def run(script=CHANGES, **plan):
        (tmp_path / "script.py").write_text(textwrap.dedent(script))
        (tmp_path / "plan.json").write_text(json.dumps({"tops": {"T": str(top)}, "is_recorded": True, **plan}))
        files = [str(tmp_path / name) for name in ("plan.json", "outcome.json")]
        argv = [sys.executable, "-m", "tests.faults.tracer", *files, "--", sys.executable, str(tmp_path / "script.py")]
        subprocess.run([*argv, "run", str(top)], check=True, env=environment(), cwd=REPOSITORY, timeout=60)
        return json.loads((tmp_path / "outcome.json").read_bytes())

    run.top = top
    return run


def test_every_change_is_seen_in_order_whoever_makes_it_and_nothing_else(traced):
    outcome = traced()
    assert outcome["names"] == SEEN
    assert (outcome["status"], outcome["reached"], outcome["refused"]) == (0, "", 0)
    assert (traced.top / "folder/film.mp4").read_bytes() == b"0123456789"


@pytest.mark.parametrize("number", range(1, len(SEEN) + 1))
def test_kill_comes_before_the_change(traced, number):
    outcome = traced(act="kill", number=number)
    assert outcome["names"] == SEEN[:number]
    assert outcome["reached"] == SEEN[number - 1]
    assert os.WIFSIGNALED(outcome["status"])
    there = {str(path.relative_to(traced.top)) for path in traced.top.rglob("*")}
    wanted = [set(), {"folder"}, *[{"folder", "folder/film.part"}] * 3]
    wanted += [{"folder", "folder/film.mp4"}, {"folder", "folder/film.mp4", "second"}]
    assert there == wanted[number - 1]
    if number == SEEN.index("daemon write T/folder/film.part") + 1:
        assert (traced.top / "folder/film.part").read_bytes() == b""


def test_change_can_be_told_by_its_name_and_number(traced):
    name = "daemon write T/many"
    outcome = traced(
        "import os, sys\nos.chdir(sys.argv[2])\nwith open('many', 'wb', buffering=0) as file:\n"
        "    for number in range(9): file.write(b'x')\n",
        act="kill", name=name, number=4,
    )  # fmt: skip
    assert outcome["reached"] == name
    assert (traced.top / "many").read_bytes() == b"xxx"


def test_write_can_be_cut_in_the_middle(traced):
    traced(act="half", name="daemon write T/folder/film.part", number=1)
    assert (traced.top / "folder/film.part").read_bytes() == b"01234"


def test_kill_of_one_leaves_the_others_alive(traced):
    outcome = traced(act="kill one", name="daemon link T/folder/film.mp4 > T/second", number=1)
    assert os.WIFEXITED(outcome["status"])
    assert os.WEXITSTATUS(outcome["status"]) == 1, "unlink of what was not made"
    assert not (traced.top / "second").exists()


def test_everybody_dies_at_one_stroke(traced):
    traced(
        """
        import os, sys, time
        os.chdir(sys.argv[2])
        if os.fork() == 0:
            time.sleep(1)
            os.mkdir("by the child")
            os._exit(0)
        os.mkdir("by the parent")
        """,
        act="kill",
        name="daemon mkdir T/by the parent",
        number=1,
    )
    assert list(traced.top.iterdir()) == []


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EROFS", "EMFILE"])
def test_fault_is_what_the_program_sees_and_it_ends(traced, fault):
    outcome = traced(
        """
        import os, sys, time
        os.chdir(sys.argv[2])
        seen = set()
        while True:
            try:
                os.close(os.open("file", os.O_WRONLY | os.O_CREAT))
                break
            except OSError as error:
                seen.add(error.errno)
                time.sleep(0.05)
        os._exit(seen.pop())
        """,
        act="fail", number=1, fault=fault, lasts_s=0.3,
    )  # fmt: skip
    assert outcome["refused"] > 1
    assert os.WEXITSTATUS(outcome["status"]) == getattr(errno, fault)
    assert (traced.top / "file").exists()


def test_full_disk_refuses_no_removal_and_a_fault_no_other_place(traced):
    script = """
        import os, sys
        os.chdir(sys.argv[2])
        os.mkdir("gone")
        os.rmdir("gone")
        os.mkdir("there")
    """
    outcome = traced(script, act="fail", number=2, fault="ENOSPC", lasts_s=60)
    assert outcome["names"][1] == "daemon rmdir T/gone"
    assert outcome["refused"] == 1, "the folder after it"
    assert list(traced.top.iterdir()) == []


def test_run_without_end_is_ended(traced):
    outcome = traced("import time\ntime.sleep(60)\n", limit_s=0.5)
    assert outcome["is_late"]
    assert os.WTERMSIG(outcome["status"]) == signal.SIGKILL


def test_names_hold_nothing_that_differs_from_run_to_run():
    one = plain("S/work/20261121T063215111-rtj2yizn5i/segments-0a1b2c3d4e5f6a7b/00001.mp4.part")
    assert one == "S/work/JOB/segments-HASH/SEGMENT.mp4.part"
    assert plain("R/done/2026-11-21/anna__rtj2yizn/anna.mp4") == "R/done/DAY/anna__ID/anna.mp4"
    assert plain("R/outbox/.anna.rtj2yizn.json.part") == "R/outbox/.anna.ID.json.part"
    assert plain("S/work/JOB/track.npz.24522.part") == "S/work/JOB/track.npz.N.part"
