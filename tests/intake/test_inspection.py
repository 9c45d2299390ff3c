import hashlib

import pytest

from heygemd.errors import InputError
from heygemd.intake import inspection
from heygemd.intake.inspection import Digest, look_at


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
