"""The debug file: many processes, one line a write, and any rotation; nothing that happens to it reaches the caller."""

import errno
import getpass
import grp
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heygemd.logfile import MODE, RETRY_S, Fate, LogFile, Written

LOGROTATE = shutil.which("logrotate", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "debug.jsonl"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(path: Path, clock: Clock):
    made = LogFile(path, clock=clock)
    yield made
    made.close()


def test_lines_are_appended_to_a_file_that_others_may_not_read(file: LogFile, path: Path) -> None:
    path.write_bytes(b"older\n")
    path.unlink()
    before = os.umask(0)
    try:
        assert file.write(b"one\n") == Written(Fate.WRITTEN)
    finally:
        os.umask(before)
    file.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == MODE == 0o640


def test_a_file_that_was_renamed_is_left_and_a_new_one_begun(file: LogFile, path: Path) -> None:
    file.write(b"one\n")
    path.rename(path.with_suffix(".1"))
    file.write(b"two\n")
    assert path.with_suffix(".1").read_bytes() == b"one\n"
    assert path.read_bytes() == b"two\n"


def test_a_file_that_was_replaced_is_taken(file: LogFile, path: Path) -> None:
    file.write(b"one\n")
    path.rename(path.with_suffix(".1"))
    path.touch(mode=0o600)
    file.write(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_after_copytruncate_the_next_line_stands_at_the_beginning(file: LogFile, path: Path) -> None:
    file.write(b"one\n")
    os.truncate(path, 0)
    file.write(b"two\n")
    assert path.read_bytes() == b"two\n", "no hole of zeros before it"


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again_later(tmp_path: Path, clock: Clock) -> None:
    file = LogFile(tmp_path / "missing" / "debug.jsonl", clock=clock)
    assert file.write(b"1\n") == Written(Fate.FAILED, "No such file or directory")
    assert file.write(b"2\n").fate is Fate.LOST
    clock.now_s += RETRY_S
    assert file.write(b"3\n").fate is Fate.LOST, "said already"
    (tmp_path / "missing").mkdir()
    assert file.write(b"4\n").fate is Fate.LOST, "it rests"
    clock.now_s += RETRY_S
    assert file.write(b"5\n") == Written(Fate.RESUMED, lost=4)
    assert file.write(b"6\n") == Written(Fate.WRITTEN)
    assert (tmp_path / "missing" / "debug.jsonl").read_bytes() == b"5\n6\n"
    file.close()


def test_a_line_that_a_full_disk_cut_does_not_spoil_the_next(
    file: LogFile, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(b"one\n")
    with monkeypatch.context() as full:
        real = os.write
        full.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
        assert file.write(b"interrupted\n").fate is Fate.FAILED
    clock.now_s += RETRY_S
    assert file.write(b"two\n").fate is Fate.RESUMED
    assert path.read_bytes() == b"one\nint\ntwo\n"


def test_a_full_disk_stops_nobody(file: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    assert file.write(b"one\n") == Written(Fate.FAILED, "No space left on device")


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device"])
def test_only_a_regular_file_is_written(path: Path, tmp_path: Path, kind: str) -> None:
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "device":
            path = Path("/dev/null")
    assert LogFile(path).write(b"one\n").fate is Fate.FAILED
    assert not (tmp_path / "elsewhere").exists()


def test_no_descriptor_is_left_behind_by_a_hundred_rotations(file: LogFile, path: Path) -> None:
    file.write(b"one\n")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(100):
        path.rename(path.with_suffix(f".{number}"))
        file.write(b"two\n")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


WRITE = """
import sys
from pathlib import Path
from heygemd.logfile import Fate, LogFile
file = LogFile(Path(sys.argv[1]))
for number in range(2000):
    line = f"{sys.argv[2]} {number} {'x' * (number % 700)} end\\n".encode()
    assert file.write(line).fate is Fate.WRITTEN
"""


def test_several_processes_and_threads_write_whole_lines_while_the_file_is_rotated(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), str(n)]) for n in range(3)]
    file = LogFile(path)

    def write(name: str) -> None:
        for number in range(2000):
            assert file.write(f"{name} {number} {'y' * (number % 900)} end\n".encode()).fate is Fate.WRITTEN

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    rotations = 0
    while any(thread.is_alive() for thread in threads) or any(writer.poll() is None for writer in writers):
        if path.exists() and path.stat().st_size > 1 << 17:
            path.rename(path.with_suffix(f".{rotations}"))
            rotations += 1
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    file.close()
    lines = [line for part in path.parent.iterdir() for line in part.read_text().splitlines()]
    assert rotations > 3
    assert all(re.fullmatch(r"[ab012] \d+ x*y* end", line) for line in lines)
    found = {tuple(line.split()[:2]) for line in lines}
    assert len(lines) == len(found) == 5 * 2000


@pytest.mark.skipif(LOGROTATE is None, reason="needs logrotate")
def test_the_shipped_configuration_rotates_both_files(repository: Path, tmp_path: Path) -> None:
    assert LOGROTATE is not None
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    text = (repository / "systemd" / "heygemd.logrotate").read_text(encoding="utf-8")
    text = text.replace("/var/log/heygemd", str(tmp_path)).replace("/var/lib/heygemd", str(tmp_path))
    text = text.replace("heygemd heygemd", f"{user} {group}").replace("monthly", "daily")
    config = tmp_path / "rotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    tmp_path.chmod(0o755)
    events, debug = tmp_path / "events.jsonl", tmp_path / "debug.jsonl"
    file = LogFile(debug)
    for number in range(3):
        file.write(b"%d\n" % number)
        events.write_bytes(b"%d\n" % number)
        run = subprocess.run(
            [LOGROTATE, "--force", "--state", str(tmp_path / "state"), str(config)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, "")
    file.write(b"3\n")
    file.close()
    assert debug.read_bytes() == b"3\n"
    assert (tmp_path / "debug.jsonl.1").read_bytes() == b"2\n"
    assert {path.name for path in tmp_path.iterdir()} >= {"debug.jsonl.2.gz", "events.jsonl.1", "events.jsonl.2.gz"}
    assert debug.stat().st_mode & 0o777 == 0o640
