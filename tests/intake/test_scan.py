import os
from pathlib import Path

import pytest

from heygemd.intake import scan as scan_module
from heygemd.intake.filesystems import handle_of
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


def test_what_speaks_about_media_is_sorted_by_what_it_is(inbox):
    (inbox / "s.job").mkdir()
    for name in (
        "b.heygem.json", "B.HEYGEM.CSV", ".heygemd.toml", "s.job/.heygemd.toml", "a.mp4.ready", "A.READY", "job.toml",
        "s.job/job.toml", "CONFIG-ERROR.txt", "s.job/error.json", "REASON.txt", "CANCEL", "notes.json",
    ):  # fmt: skip
        (inbox / name).write_bytes(b"x")
    found = look(inbox)
    assert not found.files
    assert set(found.manifests) == {("", "b.heygem.json"), ("", "B.HEYGEM.CSV")}
    assert set(found.configs) == {"", "s.job"}
    assert set(found.markers) == {("", "a.mp4.ready"), ("", "A.READY")}
    assert set(found.extras) == {("", "job.toml"), ("s.job", "job.toml"), ("", "CONFIG-ERROR.txt")}
    assert found.tickets == {"s.job"}
    assert found.folders == {"", "s.job"}
    assert not found.hidden
    assert found.configs[""].st_size == 1


def test_nothing_but_regular_files_speaks_about_media(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "real").write_bytes(b"x")
    names = ["b.heygem.json", ".heygemd.toml", "a.ready", "job.toml", "error.json", ".a.part"]
    for name in names:
        (inbox / name).symlink_to(tmp_path / "real")
        (inbox / f"x{name}").mkdir()
    (inbox / "folder").mkdir()
    for name in names:
        os.mkfifo(inbox / "folder" / name)
    found = look(inbox)
    assert not (found.files or found.manifests or found.configs or found.markers or found.extras or found.refused)
    assert not (found.tickets or found.hidden)


def test_copies_under_way_are_known_by_their_inode(inbox):
    (inbox / "s").mkdir()
    for name in (".a.mp4.x7", "s/b.wav.part", "~c.tmp"):
        (inbox / name).write_bytes(b"x")
    found = look(inbox)
    assert not found.files
    assert found.hidden == {(inbox / name).stat().st_ino for name in (".a.mp4.x7", "s/b.wav.part", "~c.tmp")}
    if (handle := handle_of(str(inbox / "s" / "b.wav.part"))) is not None:
        assert found.handles[(inbox / "s" / "b.wav.part").stat().st_ino] == handle


def test_a_manifest_without_a_name_of_its_own_is_refused(inbox):
    (inbox / " .heygem.json").touch()
    assert look(inbox).refused == [("", " .heygem.json")]


def test_a_folder_that_turns_into_a_link_is_not_followed(tmp_path, monkeypatch):
    """Between reading the name of a folder and entering it, somebody exchanges it for a way out."""
    inbox, private = tmp_path / "inbox", tmp_path / "private"
    (inbox / "s").mkdir(parents=True)
    private.mkdir()
    (private / "secret.mp4").touch()
    enter = scan_module._enter

    def exchange_first(*args):
        (inbox / "s").rmdir()
        (inbox / "s").symlink_to(private)
        enter(*args)

    monkeypatch.setattr(scan_module, "_enter", exchange_first)
    found = look(inbox)
    assert (found.files, found.folders) == ({}, {""})


def test_a_folder_that_may_not_be_entered_is_named_and_the_others_are_looked_at(inbox, monkeypatch):
    for name in ("s", "t"):
        (inbox / name).mkdir()
        (inbox / name / "a.mp4").touch()
    open_ = os.open

    def refuse(path, *args, **kwargs):
        if path == "s":
            raise PermissionError(13, "no", path)
        return open_(path, *args, **kwargs)

    monkeypatch.setattr(scan_module.os, "open", refuse)
    found = look(inbox)
    assert found.unreadable == [("", "s")]
    assert set(found.files) == {("t", "a.mp4")}


def test_a_scan_leaves_no_descriptor_open(inbox):
    inbox.joinpath(*["d"] * 20).mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    look(inbox)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
