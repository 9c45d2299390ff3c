"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from heygemd.media.parts import whole_file


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
