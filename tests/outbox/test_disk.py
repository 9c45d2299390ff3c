import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.filesystem import rename_no_replace
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, open_folder, share_faults
from heygemd.outbox.faulty_disk import BARE, FaultyDisk


@pytest.fixture
def fd(tmp_path) -> Iterator[int]:
    with open_folder(tmp_path) as found:
        yield found


def knows(*without: tuple[str, int]) -> FaultyDisk:
    return FaultyDisk(lambda step, call: None, without=dict(without))


DISKS = {
    "renameat2": knows(),
    "links only": knows(("rename_noreplace", errno.EINVAL)),
    "neither": knows(("rename_noreplace", errno.ENOSYS), ("link", errno.EPERM)),
    "nothing at all": FaultyDisk(lambda step, call: None, without=BARE),
}


@pytest.mark.parametrize("kind", list(DISKS))
def test_final_name_is_given_once_on_every_kind_of_file_system(tmp_path, fd, kind) -> None:
    (tmp_path / "part").write_text("film")
    rename_no_replace("part", "film", from_fd=fd, to_fd=fd, calls=DISKS[kind])
    assert (tmp_path / "film").read_text() == "film"
    assert not (tmp_path / "part").exists()
    (tmp_path / "part").write_text("other")
    with pytest.raises(FileExistsError):
        rename_no_replace("part", "film", from_fd=fd, to_fd=fd, calls=DISKS[kind])
    assert (tmp_path / "film").read_text() == "film"
    assert (tmp_path / "part").read_text() == "other"


@pytest.mark.parametrize("kind", list(DISKS))
def test_folder_can_be_given_its_name_too(tmp_path, fd, kind) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim" / "x").write_text("")
    rename_no_replace("claim", "done", from_fd=fd, to_fd=fd, calls=DISKS[kind])
    assert (tmp_path / "done" / "x").exists()


def test_dangling_link_counts_as_a_taken_name(tmp_path, fd) -> None:
    (tmp_path / "film").symlink_to(tmp_path / "nowhere")
    (tmp_path / "part").write_text("film")
    for disk in DISKS.values():
        with pytest.raises(FileExistsError):
            rename_no_replace("part", "film", from_fd=fd, to_fd=fd, calls=disk)


@pytest.mark.parametrize(
    ("code", "becomes"),
    [(errno.ENOSPC, "E202"), (errno.EROFS, "E202"), (errno.EIO, "E202"), (errno.EMFILE, "E202"), (errno.EDQUOT, "E202"),
     (errno.ESTALE, "E201"), (errno.ENOENT, "E201"), (errno.EHOSTDOWN, "E201")],
)  # fmt: skip
def test_fault_of_the_share_gets_its_code(tmp_path, code, becomes) -> None:
    with pytest.raises(ResourceError) as caught, share_faults(tmp_path):
        raise OSError(code, os.strerror(code), "two\nlines")
    assert caught.value.code == becomes
    assert "two%0Alines" in caught.value.message


def test_bug_of_ours_is_no_fault_of_the_share(tmp_path) -> None:
    with pytest.raises(OSError, match="Bad file"), share_faults(tmp_path):
        os.fsync(1 << 20)


@pytest.mark.parametrize("below", [True, False])
def test_link_among_the_folders_is_refused(tmp_path, below) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    steps = (tmp_path, "link", "inner") if below else (tmp_path / "link", "inner")
    with pytest.raises(ResourceError) as caught, share_faults(tmp_path), open_folder(*steps, make=DISK):
        pass
    assert caught.value.code == "E202"


def test_file_in_place_of_a_folder_is_refused(tmp_path) -> None:
    (tmp_path / "sub").write_text("")
    with pytest.raises(ResourceError, match="not a folder"), open_folder(tmp_path, "sub", make=DISK):
        pass


def test_path_longer_than_the_system_allows_can_be_reached(tmp_path) -> None:
    parts = ["x" * 250] * 20
    with open_folder(tmp_path, *parts, make=DISK) as deep:
        disks.write_new(DISK, deep, "file", b"data")
        assert disks.read_at_most(deep, "file", 10) == b"data"
    shutil.rmtree(tmp_path / parts[0])


def test_odd_things_are_no_files_of_ours(tmp_path, fd) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    for name in ("fifo", "folder", "link"):
        assert disks.sha256_of(fd, name) == ""
        assert disks.read_at_most(fd, name, 100) is None
        assert disks.open_file(fd, name) is None
    assert disks.sha256_of(fd, "nothing") is None


def test_file_larger_than_allowed_is_not_read(tmp_path, fd) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    assert disks.read_at_most(fd, "big", 10) is None
    assert disks.read_at_most(fd, "big", 11) == b"x" * 11


def test_bare_disk_neither_clones_nor_copies_in_the_kernel_and_the_copy_is_whole(tmp_path, fd, monkeypatch) -> None:
    monkeypatch.setattr(os, "copy_file_range", lambda *_: pytest.fail("the kernel was asked to copy"))
    data = os.urandom(5000)
    (tmp_path / "source").write_bytes(data)
    disk = FaultyDisk(lambda step, call: None, without=BARE, clones=True)
    with (tmp_path / "source").open("rb") as source:
        disks.copy_new(disk, fd, "target", source.fileno())
    assert (tmp_path / "target").read_bytes() == data
    assert "clone" not in disk.calls


def test_disk_that_clones_copies_nothing_where_the_file_system_can(tmp_path, fd) -> None:
    class CloningDisk(FaultyDisk):
        def clone(self, source_fd: int, target_fd: int) -> bool:
            os.write(target_fd, os.read(source_fd, 1 << 20))
            return True

    (tmp_path / "source").write_bytes(b"film")
    disk = CloningDisk(lambda step, call: None)
    with (tmp_path / "source").open("rb") as source:
        disks.copy_new(disk, fd, "target", source.fileno())
    assert (tmp_path / "target").read_bytes() == b"film"
    assert "copy" not in disk.calls


def test_folder_that_is_missing_or_a_link_is_not_there(tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_text("")
    for name, is_there in (("real", True), ("link", False), ("file", False), ("nothing", False)):
        with disks.folder_if_there(tmp_path, name) as found:
            assert (found is not None) == is_there


@pytest.mark.parametrize("size", [0, 1, 1024, 5000])
def test_copy_is_whole_where_the_kernel_cannot_copy(tmp_path, fd, size, monkeypatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "other file system")

    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    for broken in (refuse, lambda *_: 0):
        monkeypatch.setattr(os, "copy_file_range", broken)
        with (tmp_path / "source").open("rb") as source:
            disks.copy_new(knows(), fd, "target", source.fileno())
        assert (tmp_path / "target").read_bytes() == data


def test_lock_that_a_stranger_never_gives_back_stops_nothing(tmp_path, fd, monkeypatch) -> None:
    monkeypatch.setattr(disks, "_LOCK_TRIES", 2)
    monkeypatch.setattr(disks, "_LOCK_PAUSE_S", 0.0)
    with open_folder(tmp_path) as stranger, disks.locked(stranger), disks.locked(fd):
        pass


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip("may not mount")
    yield place
    subprocess.run(["umount", place], check=True)


def test_full_disk_pauses_and_leaves_nothing(tiny_disk, make_delivery, tree) -> None:
    from heygemd.outbox.publish import deliver

    delivery = make_delivery(b"x" * 200_000, outbox=tiny_disk)
    with pytest.raises(ResourceError) as caught:
        deliver(delivery)
    assert caught.value.code == "E202"
    assert tree(tiny_disk) == {}
    subprocess.run(["mount", "-o", "remount,size=1m", tiny_disk], check=True)
    assert deliver(delivery).clash is None


def test_read_only_disk_pauses(tiny_disk, make_delivery) -> None:
    from heygemd.outbox.publish import choose_name, deliver

    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    for act in (deliver, lambda d: choose_name(d.outbox, d.folder, "anna", "version", d.job_id)):
        with pytest.raises(ResourceError) as caught:
            act(make_delivery(outbox=tiny_disk))
        assert caught.value.code == "E202"
