import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heygemd.intake import writers
from heygemd.intake.filesystems import is_local
from heygemd.intake.settle import Writer
from heygemd.intake.writers import find_writer, may_lease_any

HOLD = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def file(tmp_path):
    if not is_local(tmp_path):
        pytest.skip("leases need a local file system")
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    return path


def test_closed_file_is_free(file):
    assert find_writer(file, is_local=True) is Writer.FREE


def test_reader_is_no_writer(file):
    with file.open("rb"):
        assert find_writer(file, is_local=True) is Writer.FREE


def test_file_held_open_by_another_process_is_busy_until_closed(file):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"open\n"
        assert find_writer(file, is_local=True) is Writer.BUSY
        moved = file.rename(file.with_name("b.wav"))
        assert find_writer(moved, is_local=True) is Writer.BUSY
        holder.stdin.close()
        holder.wait()
    assert find_writer(moved, is_local=True) is Writer.FREE


def test_on_a_mount_nothing_is_certain(file):
    assert find_writer(file, is_local=False) is Writer.UNKNOWN


def test_probe_ignores_sigio_first(file):
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    try:
        find_writer(file, is_local=True)
        assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGIO, before)


def test_another_thread_is_not_certain_unless_sigio_is_ignored(file):
    found = []
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    try:
        thread = threading.Thread(target=lambda: found.append(find_writer(file, is_local=True)))
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGIO, before)
    assert found == [Writer.UNKNOWN]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_foreign_file_is_unknown(file):
    pid = os.fork()
    if pid == 0:
        result = None
        try:
            number = os.open(file, os.O_RDONLY)
            os.setgid(65534)
            os.setuid(65534)
            result = writers._ask_lease(number)
        finally:
            os._exit(0 if result is Writer.UNKNOWN else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_symlink_and_missing_file_are_errors_and_a_fifo_does_not_block(tmp_path):
    (tmp_path / "link.mp4").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("link.mp4", "none.mp4"):
        with pytest.raises(OSError, match=name):
            find_writer(tmp_path / name, is_local=True)
    assert find_writer(tmp_path / "pipe.mp4", is_local=True) is Writer.UNKNOWN


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ETXTBSY, errno.EAGAIN])
def test_on_a_mount_busy_on_open_means_busy(file, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writers.os, "open", refuse)
    assert find_writer(file, is_local=False) is Writer.BUSY


def test_a_file_that_may_not_be_leased_is_unknown_and_not_free(file, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(writers.fcntl, "fcntl", refuse)
    assert find_writer(file, is_local=True) is Writer.UNKNOWN


def test_a_writable_mapping_is_a_writer_although_nothing_is_open(file):
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0):
        opened.close()
        assert find_writer(file, is_local=True) is Writer.BUSY
    assert find_writer(file, is_local=True) is Writer.FREE


def test_the_probe_leaves_no_lease_behind(file):
    """A writer that comes a moment later opens at once: nobody breaks a lease that is gone."""
    assert find_writer(file, is_local=True) is Writer.FREE
    number = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    os.close(number)


def test_root_may_ask_about_any_file():
    effective = next(
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")
    )
    assert may_lease_any() is bool(int(effective, 16) & 1 << 28)


@pytest.mark.parametrize(("effective", "may"), [("0000000010000000", True), ("00000000efffffff", False)])
def test_the_capability_is_read_from_what_is_in_force(monkeypatch, effective, may):
    text = f"Name:\tpython\nCapPrm:\tffffffffffffffff\nCapEff:\t{effective}\n"
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert may_lease_any() is may
