"""A model gets its name only whole and right; what was there before stays until then."""

import errno
import fcntl
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.download.transfer import Manner
from heygemd.errors import ResourceError, SetupError
from heygemd.modellist import Model
from heygemd.models.pulling import SPARE_BYTES, Pull
from heygemd.models.shelf import State
from tests import webserver
from tests.webserver import MODEL, cut, say


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web():
    with webserver.running() as web:
        yield web


@pytest.fixture
def model(web):
    return Model(
        name="thing", engine="faces", file="thing.pth", licence="L", commercial_use="yes", source="Made here.",
        size_bytes=len(MODEL), sha256=web.sha256,
    )  # fmt: skip


@pytest.fixture
def pull(tmp_path):
    return Pull(
        models_dir=tmp_path / "models", manner=Manner(connect_s=2, read_s=0.3, tries=2), rest=lambda rest_s: None
    )


def names(pull: Pull) -> set[str]:
    return {path.name for path in pull.models_dir.iterdir()}


def refusal(pull: Pull, model: Model, url: str | None = None) -> SetupError | ResourceError:
    with pytest.raises((SetupError, ResourceError)) as refused:
        pull.fetch(model, url)
    return refused.value


def test_a_model_lies_alone_in_a_new_folder(pull, model, web):
    pulled = pull.fetch(model, web.url())
    assert pulled.path.read_bytes() == MODEL
    assert (pulled.sha256, pulled.size_bytes, pulled.state) == (web.sha256, len(MODEL), State.VERIFIED)
    assert names(pull) == {"thing.pth"}
    assert pulled.path.stat().st_mode & 0o777 == 0o644


def test_a_model_that_is_there_is_not_fetched_again(pull, model, web):
    pull.fetch(model, web.url())
    again = pull.fetch(model, web.url())
    assert again.was_there
    assert len(web.requests) == 1
    assert names(pull) == {"thing.pth"}


def test_without_an_address_the_source_is_told(pull, model):
    error = refusal(pull, model)
    assert error.code == "E402"
    assert "Made here." in error.message
    assert "--url" in error.message


def test_a_wrong_file_never_gets_the_name(pull, model, web):
    web.content = MODEL[::-1]
    error = refusal(pull, model, web.url())
    assert error.code == "E409"
    assert web.sha256 in error.message
    assert names(pull) == set()


def test_a_wrong_file_does_not_replace_what_is_there(pull, model, web):
    pull.models_dir.mkdir()
    (pull.models_dir / "thing.pth").write_bytes(b"\x80 broken")
    web.content = MODEL[::-1]
    assert refusal(pull, model, web.url()).code == "E409"
    assert (pull.models_dir / "thing.pth").read_bytes() == b"\x80 broken"


def test_a_cut_or_wrong_file_gives_way_to_the_right_one(pull, model, web):
    pull.models_dir.mkdir()
    for content in (MODEL[:1000], b"<html>", MODEL[::-1]):
        (pull.models_dir / "thing.pth").write_bytes(b"\x80" + content[1:] if content is not MODEL else content)
        assert pull.fetch(model, web.url()).path.read_bytes() == MODEL


def test_what_was_joined_wrongly_is_fetched_once_more_whole(pull, model, web):
    """A server without validators changed the file between two requests: only the hash shows it."""
    web.etag = ""

    def other_half(answer, web):
        begin = 200_000
        rest = MODEL[::-1][begin:]
        answer.head(206, Content_Range=f"bytes {begin}-{len(MODEL) - 1}/{len(MODEL)}", Content_Length=len(rest))
        answer.wfile.write(rest)

    web.behaviours = [cut(200_000), other_half]
    assert pull.fetch(model, web.url()).path.read_bytes() == MODEL
    assert web.ranges == [None, "bytes=200000-", None]


def test_a_failed_download_keeps_its_part_and_the_next_goes_on(pull, model, web):
    web.behaviours = [cut(200_000), cut(0), cut(0)]
    assert refusal(pull, model, web.url()).code == "E408"
    assert names(pull) == {"thing.pth.part", "thing.pth.part.json"}
    pulled = pull.fetch(model, web.url())
    assert pulled.path.read_bytes() == MODEL
    assert web.ranges[-1] == "bytes=200000-"
    assert names(pull) == {"thing.pth"}


def test_a_failed_download_without_a_byte_leaves_nothing(pull, model, web):
    web.behaviours = [say(404)]
    assert refusal(pull, model, web.url()).code == "E408"
    assert names(pull) == set()


def test_unlisted_content_is_taken_and_said_to_be_unlisted(pull, model, web):
    unlisted = model.model_copy(update={"sha256": None, "size_bytes": None})
    pulled = pull.fetch(unlisted, web.url())
    assert (pulled.state, pulled.sha256) == (State.UNLISTED, web.sha256)
    assert pull.fetch(unlisted, web.url()).was_there
    again = replace(pull, replace=True).fetch(unlisted, web.url())
    assert not again.was_there


def test_unlisted_content_that_is_cut_is_refused(pull, model, web):
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    web.content = struct.pack("<Q", len(header)) + header + bytes(35)
    error = refusal(pull, model.model_copy(update={"sha256": None, "size_bytes": None}), web.url())
    assert error.code == "E409"
    assert names(pull) == set()


def test_a_full_disk_is_seen_before_the_first_byte(pull, model, web):
    tight = replace(pull, free_bytes=lambda folder: len(MODEL) + SPARE_BYTES - 1)
    error = refusal(tight, model, web.url())
    assert error.code == "E202"
    assert names(pull) == set()
    replace(pull, free_bytes=lambda folder: len(MODEL) + SPARE_BYTES).fetch(model, web.url())


def test_only_what_is_missing_must_fit(pull, model, web):
    web.behaviours = [cut(200_000), cut(0), cut(0)]
    refusal(pull, model, web.url())
    left = len(MODEL) - 200_000
    replace(pull, free_bytes=lambda folder: left + SPARE_BYTES).fetch(model, web.url())


@pytest.mark.parametrize("failure", [(errno.ENOSPC, "E202"), (errno.EROFS, "E202"), (errno.EACCES, "E407")])
def test_a_disk_that_fails_has_its_code_and_keeps_the_part(pull, model, web, monkeypatch, failure):
    (number, code), real, written = failure, os.pwrite, []

    def fail(fd, data, at):
        if at > 0:
            raise OSError(number, os.strerror(number))
        written.append(len(data))
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", fail)
    assert refusal(pull, model, web.url()).code == code
    assert (pull.models_dir / "thing.pth.part").stat().st_size == sum(written) > 0


def test_two_pulls_do_not_fight(pull, model, web):
    pull.models_dir.mkdir()
    with (pull.models_dir / "thing.pth.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        error = refusal(pull, model, web.url())
    assert error.code == "E408"
    assert "another command" in error.message
    assert web.requests == []


def test_a_link_in_place_of_the_part_is_not_followed(pull, model, web, tmp_path: Path):
    pull.models_dir.mkdir()
    (tmp_path / "victim").write_bytes(b"mine")
    (pull.models_dir / "thing.pth.part").symlink_to(tmp_path / "victim")
    assert refusal(pull, model, web.url()).code == "E407"
    assert (tmp_path / "victim").read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_leaves_files_and_folders_to_whom_the_place_belongs(pull, model, web, tmp_path: Path):
    os.chown(tmp_path, 65534, 65534)
    deep = replace(pull, models_dir=tmp_path / "a" / "b")
    pulled = deep.fetch(model, web.url())
    owners = {path.stat().st_uid for path in (tmp_path / "a", tmp_path / "a" / "b", pulled.path)}
    assert owners == {65534}


def test_a_folder_that_cannot_be_made_is_explained(pull, model, web, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert refusal(replace(pull, models_dir=tmp_path / "file" / "models"), model, web.url()).code == "E407"
