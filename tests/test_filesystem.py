"""Files appear whole or not at all, and a new name replaces nothing."""

import errno
import os
from pathlib import Path

import pytest

from heygemd import filesystem
from heygemd.filesystem import rename_no_replace, whole_file, write_text


def test_a_clean_exit_gives_the_file_its_name(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as fd:
        os.write(fd, b"whole")
        assert not (tmp_path / "a").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_an_exception_leaves_nothing_and_spares_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a") as fd:
        os.write(fd, b"half")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_part_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.part").symlink_to(tmp_path / "elsewhere")
    with whole_file(tmp_path / "a") as fd:
        os.write(fd, b"new")
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_part_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a", part=tmp_path / "a.1.part"):
        assert [p.name for p in tmp_path.iterdir()] == ["a.1.part"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_text_is_written_whole_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    write_text(target, "one")
    write_text(target, "二")
    assert target.read_text(encoding="utf-8") == "二"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("code", [0, errno.EINVAL], ids=["renameat2", "links only"])
def test_a_link_to_the_file_itself_is_no_second_name_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    if code:
        monkeypatch.setattr(filesystem, "_renameat2", lambda *_: code)
    (tmp_path / "a").write_bytes(b"ours")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileExistsError):
        rename_no_replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"ours"
