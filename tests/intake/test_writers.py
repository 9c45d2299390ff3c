import os
import signal
import subprocess
import sys
import threading

import pytest

from heygemd.intake import writers
from heygemd.intake.filesystems import is_local
from heygemd.intake.settle import Writer
from heygemd.intake.writers import find_writer

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


def test_proc_is_no_local_disk_and_a_missing_path_is_an_error(tmp_path):
    assert not is_local(type(tmp_path)("/proc"))
    with pytest.raises(FileNotFoundError):
        is_local(tmp_path / "none")
