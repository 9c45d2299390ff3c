import errno
import os
from pathlib import Path

import pytest

from heygemd import filesystem
from heygemd.intake.disk import Disk, FullDisk, PowerCut, StoppingDisk


def test_move_never_replaces(tmp_path):
    (tmp_path / "a").write_text("ours")
    (tmp_path / "b").write_text("theirs")
    with pytest.raises(FileExistsError):
        Disk().move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "theirs"
    Disk().move(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "ours"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("missing", [errno.EINVAL, errno.ENOSYS])
def test_move_never_replaces_where_the_kernel_cannot_promise_it(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(filesystem, "_renameat2", lambda *_: missing)
    test_move_never_replaces(tmp_path)


def test_move_ends_a_rename_that_was_cut_between_link_and_unlink(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem, "_renameat2", lambda *_: errno.EINVAL)
    (tmp_path / "a").write_text("ours")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    Disk().move(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_write_whole_replaces_and_leaves_nothing_else(tmp_path):
    for text in (b"one", b"two"):
        Disk().write_whole(tmp_path / "r.json", text)
    assert (tmp_path / "r.json").read_bytes() == b"two"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_full_disk_keeps_the_old_content_and_no_part(tmp_path, step):
    Disk().write_whole(tmp_path / "r.json", b"old")
    with pytest.raises(OSError, match="No space"):
        FullDisk(errno.ENOSPC, frozenset({step})).write_whole(tmp_path / "r.json", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_write_whole_does_not_follow_a_planted_link(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / ".r.json.part").symlink_to(tmp_path / "victim")
    Disk().write_whole(tmp_path / "r.json", b"new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "r.json").is_symlink()


def test_remove_folder_leaves_what_others_put_there(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "CANCEL").touch()
    Disk().remove_folder(tmp_path / "d")
    assert (tmp_path / "d" / "CANCEL").exists()
    (tmp_path / "d" / "CANCEL").unlink()
    Disk().remove_folder(tmp_path / "d")
    Disk().remove_folder(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_stopping_disk_stops_for_good(tmp_path):
    disk = StoppingDisk(1)
    disk.make_folder(tmp_path / "a")
    for _ in range(2):
        with pytest.raises(PowerCut):
            disk.make_folder(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def source(tmp_path):
    """A descriptor of a file of 10 bytes."""
    (tmp_path / "source").write_bytes(b"0123456789")
    number = os.open(tmp_path / "source", os.O_RDONLY)
    yield number
    os.close(number)


def copy_in_slices(source: int, target: Path, slice_bytes: int) -> list[int]:
    Disk().make_file(target)
    counts, done = [], 0
    while not counts or counts[-1]:
        counts.append(Disk().copy_slice(source, target, done, slice_bytes))
        done += counts[-1]
    Disk().sync_file(target)
    return counts


def test_slices_make_a_whole_copy(tmp_path, source):
    assert copy_in_slices(source, tmp_path / "copy", 4) == [4, 4, 2, 0]
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


@pytest.mark.parametrize("missing", [errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, 0])
def test_slices_make_a_whole_copy_where_the_kernel_cannot_copy(tmp_path, source, monkeypatch, missing):
    def refuse(*_: int) -> int:
        if missing:
            raise OSError(missing, os.strerror(missing))
        return 0  # some file systems say so in the middle of a file

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert copy_in_slices(source, tmp_path / "copy", 4) == [4, 4, 2, 0]
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


def test_full_disk_is_told_by_a_slice(tmp_path, source, monkeypatch):
    def fill_up(*_: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", fill_up)
    with pytest.raises(OSError, match="No space"):
        copy_in_slices(source, tmp_path / "copy", 4)


def test_clone_is_whole_or_nothing(tmp_path, source):
    Disk().make_file(tmp_path / "copy")
    is_cloned = Disk().clone(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (b"0123456789" if is_cloned else b"")


def test_new_file_and_its_slices_never_go_through_a_planted_link(tmp_path, source):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "copy").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        Disk().make_file(tmp_path / "copy")
    for act in (Disk().clone, lambda fd, path: Disk().copy_slice(fd, path, 0, 4)):
        with pytest.raises(OSError, match="symbolic links"):
            act(source, tmp_path / "copy")
    assert (tmp_path / "victim").read_text() == "kept"


def test_replace_puts_one_file_of_ours_over_another(tmp_path):
    (tmp_path / "a").write_text("whole")
    (tmp_path / "b").write_text("torn")
    Disk().replace(tmp_path / "a", tmp_path / "b")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b", "whole")]
