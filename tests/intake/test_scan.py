import os
from pathlib import Path

import pytest

from heygemd.intake.scan import MAX_DEPTH, scan


@pytest.fixture
def inbox(tmp_path):
    return tmp_path


def look(inbox):
    return scan(inbox, inbox.stat().st_dev)


def test_finds_media_in_every_folder_and_nothing_else(inbox):
    (inbox / "s" / "t").mkdir(parents=True)
    for name in ("a.mp4", "s/b.wav", "s/t/c.PNG", "notes.txt", ".hidden.mp4", "s/d.mp4.part"):
        (inbox / name).write_bytes(b"x")
    (inbox / ".trash").mkdir()
    (inbox / ".trash" / "e.mp4").touch()
    assert set(look(inbox).files) == {("", "a.mp4"), ("s", "b.wav"), ("s/t", "c.PNG")}


def test_links_pipes_and_folders_named_like_media_are_no_files(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.mp4").touch()
    (inbox / "link.mp4").symlink_to(tmp_path / "private" / "secret.mp4")
    (inbox / "way").symlink_to(tmp_path / "private")
    os.mkfifo(inbox / "pipe.mp4")
    (inbox / "folder.mp4").mkdir()
    (inbox / "folder.mp4" / "a.wav").touch()
    assert set(look(inbox).files) == {("folder.mp4", "a.wav")}


def test_names_that_cannot_be_used_are_shown_and_left(inbox):
    Path(os.fsdecode(os.fsencode(inbox) + b"/\xc4\xe3.mp4")).touch()
    (inbox / "a\nb.wav").touch()
    (inbox / " .wav").touch()
    (inbox / "d\x1b").mkdir()
    found = look(inbox)
    assert not found.files
    assert sorted(found.refused) == [("", " .wav"), ("", "\\xc4\\xe3.mp4"), ("", "a\\u000ab.wav"), ("", "d\\u001b")]


def test_other_file_systems_are_not_entered(inbox):
    (inbox / "s").mkdir()
    (inbox / "s" / "a.mp4").touch()
    found = scan(inbox, inbox.stat().st_dev + 1)
    assert (found.files, found.unreadable) == ({}, [("", "s")])


def test_depth_is_bounded(inbox):
    deep = inbox.joinpath(*["d"] * (MAX_DEPTH + 2))
    deep.mkdir(parents=True)
    (deep / "a.mp4").touch()
    found = look(inbox)
    assert not found.files
    assert len(found.unreadable) == 1


def test_missing_inbox_is_an_error(inbox):
    with pytest.raises(FileNotFoundError):
        scan(inbox / "none", 0)
