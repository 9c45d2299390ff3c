"""How models stand is told rightly, for every way in which a file can be wrong."""

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest

from heygemd import modellist
from heygemd.catalogue import LEAST_WEIGHTS_BYTES
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName
from heygemd.modellist import Model, model_named, models
from heygemd.models.shelf import State, auto_choice, look, standing_of

CONTENT = bytes(range(256)) * 20


def model(**facts) -> Model:
    known = {"name": "thing", "engine": "faces", "file": "thing.pth", "licence": "L", "commercial_use": "no"}
    return Model(**{**known, "source": "S.", **facts})


LISTED = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size_bytes": len(CONTENT)}


def safetensors(data_bytes: int, *, there_bytes: int | None = None, metadata: object = None) -> bytes:
    header = {"a": {"dtype": "U8", "shape": [data_bytes], "data_offsets": [0, data_bytes]}}
    text = json.dumps({"__metadata__": metadata, **header} if metadata else header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data_bytes if there_bytes is None else there_bytes)


@pytest.mark.parametrize(
    ("content", "facts", "state"),
    [
        (None, LISTED, State.ABSENT),
        (CONTENT, LISTED, State.VERIFIED),
        (CONTENT, {}, State.UNLISTED),
        (CONTENT[::-1], LISTED, State.WRONG),
        (b"\x80" + CONTENT[1:100], LISTED, State.CUT),
        (b"\x80" + CONTENT * 2, LISTED, State.UNLISTED),
        (b"<html>no</html>", {}, State.WRONG),
        (b"version https://git-lfs.github.com/spec/v1\n", LISTED, State.WRONG),
        (b"", {}, State.WRONG),
        (b"PK\x03\x04" + bytes(500), {}, State.CUT),
        (safetensors(100), {}, State.UNLISTED),
        (safetensors(100, there_bytes=99), {}, State.CUT),
        (safetensors(100, there_bytes=101), {}, State.WRONG),
        (safetensors(100)[:20], {}, State.CUT),
        (struct.pack("<Q", 1 << 60) + b"{}" + bytes(50), {}, State.WRONG),
        (struct.pack("<Q", 3) + b"{a}" + bytes(50), {}, State.WRONG),
        (struct.pack("<Q", 9) + b'{"a": []}' + bytes(50), {}, State.WRONG),
        (safetensors(100), {"engine": "wav2lip"}, State.WRONG),
    ],
)
def test_states(tmp_path: Path, content, facts, state):
    if content is not None:
        (tmp_path / "thing.pth").write_bytes(content)
    standing = standing_of(model(**facts), tmp_path)
    assert standing.state is state
    assert (standing.sha256 is None) == (content is None)
    assert bool(standing.detail) == (state in (State.WRONG, State.CUT))


def test_what_is_no_file_is_wrong_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "thing.pth")
    assert standing_of(model(), tmp_path).state is State.WRONG
    (tmp_path / "thing.pth").unlink()
    (tmp_path / "thing.pth").mkdir()
    assert standing_of(model(), tmp_path).state is State.WRONG


def test_listed_bytes_under_another_name_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("heygemd.models.shelf.listed_sha256s", lambda: frozenset({LISTED["sha256"]}))
    (tmp_path / "thing.pth").write_bytes(CONTENT)
    assert standing_of(model(), tmp_path).state is State.VERIFIED


def test_weights_of_a_plausible_size_are_unlisted(tmp_path: Path):
    (tmp_path / "thing.pth").write_bytes(b"\x80")
    os.truncate(tmp_path / "thing.pth", LEAST_WEIGHTS_BYTES)
    assert standing_of(model(engine="wav2lip"), tmp_path).state is State.UNLISTED


def test_a_converted_file_tells_what_it_was_made_from(tmp_path: Path):
    known = next(model for model in models() if model.sha256)
    for sha256, words in ((known.sha256, known.name), ("0" * 64, "000000000000…")):
        note = json.dumps({"source_sha256": sha256})
        (tmp_path / "thing.pth").write_bytes(safetensors(5, metadata={"heygemd": note}))
        standing = standing_of(model(), tmp_path)
        assert standing.source_sha256 == sha256
        assert words in standing.detail
    (tmp_path / "thing.pth").write_bytes(safetensors(5, metadata={"heygemd": '{"source_sha256": "\\u001b"}'}))
    assert standing_of(model(), tmp_path).source_sha256 is None


def test_a_download_that_is_not_finished_is_seen(tmp_path: Path):
    (tmp_path / "thing.pth.part").write_bytes(b"1234")
    standing = standing_of(model(), tmp_path)
    assert (standing.state, standing.part_bytes) == (State.ABSENT, 4)


def test_all_that_ships_is_whole(tmp_path: Path):
    standings = look(tmp_path / "none")
    assert len(standings) == len(models())
    assert {standing.state for standing in standings if standing.model.shipped} == {State.SHIPPED}
    assert {standing.state for standing in standings if not standing.model.shipped} == {State.ABSENT}


def test_a_shipped_file_with_other_bytes_or_none_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shipped = next(model for model in models() if model.shipped)
    monkeypatch.setattr("heygemd.models.shelf.PACKAGE", tmp_path)
    assert standing_of(shipped, tmp_path).state is State.WRONG
    (tmp_path / shipped.file).parent.mkdir(parents=True)
    (tmp_path / shipped.file).write_bytes((modellist.PACKAGE / shipped.file).read_bytes()[:-1] + b"\x00")
    assert standing_of(shipped, tmp_path).state is State.WRONG


def test_a_folder_that_is_shut_is_said_and_not_taken_for_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def shut(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(SetupError) as refused:
        look(tmp_path)
    assert refused.value.code == "E407"


def test_auto_is_explained_by_the_model_it_takes(tmp_path: Path):
    assert (auto_choice(tmp_path).engine, auto_choice(tmp_path).model) == (EngineName.ATLAS, None)
    (tmp_path / "wav2lip.pth").write_bytes(b"\x80")
    os.truncate(tmp_path / "wav2lip.pth", LEAST_WEIGHTS_BYTES)
    assert auto_choice(tmp_path).model == model_named("wav2lip")


def test_a_standing_goes_into_json(tmp_path: Path):
    (tmp_path / "thing.pth").write_bytes(CONTENT)
    told = json.loads(json.dumps(standing_of(model(**LISTED), tmp_path).as_dict()))
    assert told["state"] == "verified"
    assert told["listed_sha256"] == told["sha256"] == LISTED["sha256"]
    assert told["licence"] == "L"
