import os

import pytest

from heygemd.intake.filesystems import can_tell_holes, handle_of, is_local


def test_proc_is_no_local_disk_and_a_missing_path_is_an_error(tmp_path):
    assert not is_local(type(tmp_path)("/proc"))
    assert not can_tell_holes(type(tmp_path)("/proc"))
    for ask in (is_local, can_tell_holes):
        with pytest.raises(FileNotFoundError):
            ask(tmp_path / "none")


def test_a_handle_goes_with_the_file_and_not_with_its_number(tmp_path):
    (tmp_path / "a.part").write_bytes(b"x")
    first = handle_of(str(tmp_path / "a.part"))
    if first is None:
        pytest.skip("this file system has no handles")
    number = (tmp_path / "a.part").stat().st_ino
    (tmp_path / "a.part").rename(tmp_path / "a.mp4")
    assert handle_of(str(tmp_path / "a.mp4")) == first
    (tmp_path / "a.mp4").unlink()
    for attempt in range(50):
        name = tmp_path / f"{attempt}.mp4"
        name.write_bytes(b"y")
        assert handle_of(str(name)) != first
        if name.stat().st_ino == number:
            break  # the number was given again, the handle was not


def test_a_handle_can_be_asked_relative_to_a_folder(tmp_path):
    (tmp_path / "a.part").write_bytes(b"x")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert handle_of("a.part", folder) == handle_of(str(tmp_path / "a.part"))
        assert handle_of("none", folder) is None
    finally:
        os.close(folder)
