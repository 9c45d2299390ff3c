import hashlib
import os

import pytest

from heygemd.errors import InputError
from heygemd.intake import inspection
from heygemd.intake.inspection import Digest, is_as_seen, is_folder, leads_straight, look_at, open_as_seen


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(range(256)))
    return path


def test_digest_is_the_same_in_slices(file, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 100)
    digest = Digest(file, look_at(file, at_s=0, is_local=True))
    assert [digest.go_on(lambda: True) for _ in range(4)] == [False, False, True, True]
    assert digest.sha256 == hashlib.sha256(bytes(range(256))).hexdigest()


def test_change_before_or_between_slices_is_noticed(file, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 100)
    digest = Digest(file, look_at(file, at_s=0, is_local=True))
    digest.go_on(lambda: True)
    file.write_bytes(bytes(256))
    with pytest.raises(InputError) as caught:
        digest.go_on(lambda: True)
    assert caught.value.code == "E111"


def test_change_during_the_reading_is_noticed(file, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 100)
    digest = Digest(file, look_at(file, at_s=0, is_local=True))

    def meddle() -> bool:
        with file.open("ab") as handle:
            handle.write(b"more")
        return False

    with pytest.raises(InputError, match="changed"):
        digest.go_on(meddle)


def test_link_in_place_of_a_file_is_never_looked_through(file):
    link = file.with_name("b.wav")
    link.symlink_to(file)
    with pytest.raises(InputError, match="regular"):
        look_at(link, at_s=0, is_local=True)


def test_link_that_takes_the_place_of_a_file_during_the_look_is_no_fault_of_the_disk(file, monkeypatch):
    def exchange(path, **_):
        path.unlink()
        path.symlink_to("/etc/passwd")
        return os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW))

    monkeypatch.setattr(inspection, "find_writer", exchange)
    with pytest.raises(InputError, match="regular"):
        look_at(file, at_s=0, is_local=True)


def test_file_that_is_gone_is_told_as_a_change_and_not_as_a_fault_of_the_disk(file):
    digest = Digest(file, look_at(file, at_s=0, is_local=True))
    file.unlink()
    with pytest.raises(InputError, match="gone"):
        digest.go_on(lambda: False)


def test_file_that_shrinks_is_noticed(file):
    seen = look_at(file, at_s=0, is_local=True)
    with pytest.raises(InputError, match="changed"), open_as_seen(file, seen):
        file.write_bytes(b"less")


def test_file_is_as_seen_until_anything_about_it_changes(file):
    seen = look_at(file, at_s=0, is_local=True)
    assert is_as_seen(file, seen, is_local=True)
    os.utime(file)
    assert not is_as_seen(file, seen, is_local=True)
    file.unlink()
    assert not is_as_seen(file, seen, is_local=True)
    assert not is_as_seen(file / "below", seen, is_local=True)


def test_way_through_a_link_or_a_file_does_not_lead_straight(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "file").touch()
    assert leads_straight(tmp_path, "")
    assert leads_straight(tmp_path, "a/b")
    for folder in ("link", "link/b", "a/c", "file", "file/b"):
        assert not leads_straight(tmp_path, folder)
    assert not leads_straight(tmp_path / "link", "")
    assert (is_folder(tmp_path / "a"), is_folder(tmp_path / "link"), is_folder(tmp_path / "none")) == (
        True, False, False
    )  # fmt: skip
