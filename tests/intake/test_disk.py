import errno

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
