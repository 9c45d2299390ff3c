"""What the clerk sees in `processing/`, and what it never infers."""

import errno
import os
import shutil
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from heygemd.daemon.clerk import Clerk, Round
from heygemd.errors import ResourceError
from heygemd.intake.roots import init_root
from heygemd.jobs.states import JobState
from heygemd.outbox.status import RootState, RootStatus, Snapshot


@pytest.fixture
def root(tmp_path):
    root = init_root(tmp_path / "root")
    for name in ("anna__abcdefgh", "ben__bcdefghi"):
        (root.processing / name).mkdir()
    return root


def snapshot_of(root):
    status = RootStatus(path=root.path, uuid=root.uuid, state=RootState.ONLINE)
    counts = dict.fromkeys(JobState, 0)
    return Snapshot(written_at=datetime.now(UTC), pid=1, host="h", version="1", root=status, counts=counts)


FOLDERS = {"job-a": "anna__abcdefgh", "job-b": "ben__bcdefghi"}


def test_nothing_is_noticed_where_nothing_was_done(root):
    noticed = Clerk(root).go_round(Round(folders=FOLDERS))
    assert (noticed.cancelled, noticed.taken_away) == ((), ())


@pytest.mark.parametrize("name", ["CANCEL", "cancel", "Cancel.txt", "CANCEL.TXT"])
def test_a_file_named_cancel_is_seen_whatever_its_case_and_with_the_suffix_that_windows_adds(root, name):
    (root.processing / "anna__abcdefgh" / name).touch()
    assert Clerk(root).go_round(Round(folders=FOLDERS)).cancelled == ("job-a",)


def test_other_names_cancel_nothing(root):
    (root.processing / "anna__abcdefgh" / "CANCELLED.mp4").touch()
    assert Clerk(root).go_round(Round(folders=FOLDERS)).cancelled == ()


def test_a_folder_that_was_taken_away_is_seen(root):
    (root.processing / "ben__bcdefghi").rename(root.path.parent / "mine")
    assert Clerk(root).go_round(Round(folders=FOLDERS)).taken_away == ("job-b",)


INPUTS = {"job-a": ("anna.mp4", "anna.wav"), "job-b": ("ben.wav",)}


def test_an_input_that_was_taken_out_or_renamed_is_missed_in_its_folder_only(root):
    for place in ("anna__abcdefgh/anna.mp4", "anna__abcdefgh/anna.wav", "ben__bcdefghi/ben.wav"):
        (root.processing / place).touch()
    clerk, round_ = Clerk(root), Round(folders=FOLDERS, inputs=INPUTS)
    assert clerk.go_round(round_).taken_away == ()
    (root.processing / "anna__abcdefgh/anna.wav").rename(root.processing / "ben__bcdefghi/anna.wav")
    assert clerk.go_round(round_).taken_away == ("job-a",)
    (root.processing / "ben__bcdefghi/ben.wav").rename(root.processing / "ben__bcdefghi/Ben.wav")
    assert clerk.go_round(round_).taken_away == ("job-a", "job-b")


def test_a_name_that_a_share_lists_otherwise_is_not_missed(root, monkeypatch):
    for name in INPUTS["job-a"]:
        (root.processing / "anna__abcdefgh" / name).touch()
    listed = os.listdir
    monkeypatch.setattr("os.listdir", lambda path: [name.replace("anna.", "ANNA.") for name in listed(path)])
    assert Clerk(root).go_round(Round(folders={"job-a": FOLDERS["job-a"]}, inputs=INPUTS)).taken_away == ()


def test_an_input_that_cannot_be_looked_at_is_not_missed(root, monkeypatch):
    from heygemd.daemon import clerk as module

    def broken(path):
        raise OSError(errno.EIO, "broken", str(path))

    monkeypatch.setattr(module.os, "lstat", broken)
    with pytest.raises(ResourceError):
        Clerk(root)._look({"job-b": FOLDERS["job-b"]}, INPUTS)


def test_a_share_that_went_away_says_nothing_about_its_jobs(root):
    shutil.rmtree(root.path)
    root.processing.mkdir(parents=True)
    with pytest.raises(ResourceError, match="root"):
        Clerk(root).go_round(Round(folders=FOLDERS))


def test_another_share_in_its_place_says_nothing_either(root):
    shutil.rmtree(root.path)
    init_root(root.path)
    with pytest.raises(ResourceError):
        Clerk(root).go_round(Round(folders=FOLDERS))


def test_a_share_that_goes_away_between_two_looks_cancels_nothing(root, monkeypatch):
    from heygemd.daemon import clerk as module

    answers = iter([None, ResourceError("E201", "gone")])

    def require(_root):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(module, "require_root", require)
    for name in FOLDERS.values():
        (root.processing / name).rmdir()
    with pytest.raises(ResourceError):
        Clerk(root).go_round(Round(folders=FOLDERS))


def test_a_note_says_how_to_cancel(root):
    Clerk(root).go_round(Round(folders={}, notes=(("anna__abcdefgh", "put CANCEL here"), ("gone__aaaaaaaa", "x"))))
    text = (root.processing / "anna__abcdefgh" / "STATUS.txt").read_bytes().decode("utf-8-sig")
    assert "CANCEL" in text
    assert not (root.processing / "gone__aaaaaaaa").exists()


def test_what_cannot_be_written_is_said_once(root):
    clerk = Clerk(root)
    root.status.rmdir()
    root.status.write_text("")
    with capture_logs() as logs:
        for _ in range(3):
            clerk.go_round(Round(folders={}, snapshot=snapshot_of(root)))
        root.status.unlink()
        root.status.mkdir()
        clerk.go_round(Round(folders={}, snapshot=snapshot_of(root)))
    assert [line["event"] for line in logs] == ["status.not_written"]
    assert (root.status / "index.html").exists()
