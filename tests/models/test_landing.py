"""One command at a time makes a file, and nobody writes into a file that has its name already."""

import fcntl
import os
from pathlib import Path

import pytest

from heygemd.errors import SetupError
from heygemd.models.landing import landing, made


def test_a_file_is_made_beside_and_then_named(tmp_path: Path) -> None:
    part, target = tmp_path / "a.part", tmp_path / "a"
    with landing(part) as place:
        os.write(place.fd, b"whole")
        assert not target.exists()
        place.name_it(target)
    assert target.read_bytes() == b"whole"
    assert not part.exists()


def test_what_was_written_before_a_failure_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), landing(tmp_path / "a.part") as place:
        os.write(place.fd, b"some")
        raise ValueError("boom")
    with landing(tmp_path / "a.part") as place:
        assert os.read(place.fd, 10) == b"some"


def test_the_second_command_is_told_of_the_first(tmp_path: Path) -> None:
    with landing(tmp_path / "a.part"), pytest.raises(SetupError) as refused, landing(tmp_path / "a.part"):
        pass
    assert refused.value.code == "E408"


def test_a_file_that_got_its_name_between_opening_and_locking_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, target, real = tmp_path / "a.part", tmp_path / "a", fcntl.flock
    part.write_bytes(b"theirs")

    def flock(fd: int, how: int) -> None:
        if not target.exists():
            part.replace(target)  # the other command is done just now
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with landing(part) as place:
        os.write(place.fd, b"ours")
    assert target.read_bytes() == b"theirs"
    assert part.read_bytes() == b"ours"


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert made(tmp_path / "a" / "b").is_dir()
    assert made(tmp_path / "a" / "b").is_dir()
