import errno
import os
import subprocess
from pathlib import Path

import pytest

from heygemd.intake.filesystems import can_tell_holes
from heygemd.intake.holes import find_holes
from heygemd.intake.settle import Holes

MIB = 1 << 20


@pytest.fixture(params=["disk", "tmpfs"])
def place(request, tmp_path):
    """One file on the disk of the tests and one in memory; both are written here for real."""
    folder = tmp_path if request.param == "disk" else Path("/dev/shm")
    if not (folder.is_dir() and os.access(folder, os.W_OK) and can_tell_holes(folder)):
        pytest.skip("this file system does not report holes")
    path = folder / f"heygemd-test-{os.getpid()}.wav"
    yield path
    path.unlink(missing_ok=True)


def look(path: Path, *, can_tell: bool = True) -> Holes:
    with path.open("rb") as file:
        return find_holes(file.fileno(), path.stat().st_size, can_tell=can_tell)


def test_a_written_file_has_none_even_before_it_is_on_the_disk(place):
    place.write_bytes(os.urandom(3 * MIB + 17))
    assert look(place) is Holes.NONE
    place.write_bytes(b"tiny")
    assert look(place) is Holes.NONE


def test_written_zeros_are_no_hole(place):
    place.write_bytes(bytes(3 * MIB))
    assert look(place) is Holes.NONE


def test_a_size_that_was_set_first_leaves_holes_until_all_is_written(place):
    with place.open("wb", buffering=0) as file:
        file.truncate(3 * MIB)
        assert look(place) is Holes.SOME
        file.write(os.urandom(MIB))
        assert look(place) is Holes.SOME
        os.pwrite(file.fileno(), os.urandom(MIB), 2 * MIB)
        assert look(place) is Holes.SOME
        os.pwrite(file.fileno(), os.urandom(MIB), MIB)
        assert look(place) is Holes.NONE


def test_reserved_space_is_a_hole_although_its_blocks_are_there(place):
    with place.open("wb", buffering=0) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, 3 * MIB)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP
            pytest.skip("no fallocate here")
        assert place.stat().st_blocks * 512 >= 3 * MIB
        assert look(place) is Holes.SOME
        file.write(os.urandom(MIB))
        os.fsync(file.fileno())
        assert look(place) is Holes.SOME
        file.write(os.urandom(2 * MIB))
        assert look(place) is Holes.NONE


def test_a_sparse_copy_of_silence_has_holes(place):
    """Why holes only make a file wait: this one is complete."""
    command = ["dd", "if=/dev/zero", f"of={place}", "bs=1M", "count=2", "conv=sparse", "status=none"]
    subprocess.run(command, check=True, timeout=20)
    assert look(place) is Holes.SOME


def test_where_the_file_system_cannot_tell_nothing_is_said(place):
    place.write_bytes(b"")
    assert look(place) is Holes.UNKNOWN
    with place.open("wb") as file:
        file.truncate(MIB)
    assert look(place, can_tell=False) is Holes.UNKNOWN
