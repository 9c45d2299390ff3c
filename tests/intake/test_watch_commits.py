"""Files that somebody commits: by a rename, a marker or a manifest, where it is required, and when it was not true."""

import os
from dataclasses import replace

import pytest

from heygemd.intake.filesystems import handle_of
from heygemd.intake.watch import Hindrance
from tests.intake.watch_rig import CUT_FILM, FILM, RULE, make_rig


@pytest.fixture
def rig(tmp_path):
    return make_rig(tmp_path)


@pytest.fixture
def needs_handles(tmp_path):
    if handle_of(str(tmp_path)) is None:
        pytest.skip("this file system has no handles")


def test_a_file_renamed_from_an_ignored_name_is_committed(rig, needs_handles, unsure):
    rig.drop("s/.a.mp4.x7", FILM)
    rig.looks(2)
    (rig.inbox / "s" / ".a.mp4.x7").rename(rig.inbox / "s" / "a.mp4")
    rig.look()
    found = rig.at("s/a.mp4")
    assert (found.is_settled, found.commit) == (True, "rename")
    assert found.evidence[:3] == ("name", "writer unknown", "committed by rename")


def test_a_rename_over_an_older_file_commits_too(rig, needs_handles):
    rig.drop("a.mp4", CUT_FILM)
    rig.drop("a.mp4.part", FILM)
    rig.looks(3)
    (rig.inbox / "a.mp4.part").rename(rig.inbox / "a.mp4")
    rig.look()
    assert rig.at("a.mp4").evidence[2] == "committed by rename"


def test_a_number_that_was_given_again_commits_nothing(rig, monkeypatch):
    """The copy was deleted, and its inode number went to a new file that somebody still writes."""
    rig.drop("a.part", FILM)
    rig.look()
    (rig.inbox / "a.part").unlink()
    for attempt in range(50):
        rig.drop(f"{attempt}.mp4", FILM)
    rig.look()
    assert {watched.commit for watched in rig.watch.files.values()} == {None}


def test_a_second_name_beside_the_ignored_one_is_no_commit(rig):
    os.link(rig.drop("a.part", FILM), rig.inbox / "a.mp4")
    rig.looks(2)
    assert rig.at("a.mp4").commit is None


def test_a_first_look_knows_no_renames(rig):
    rig.drop("a.part", FILM).rename(rig.inbox / "a.mp4")
    rig.look()
    assert rig.at("a.mp4").commit is None


@pytest.mark.parametrize("marker", ["Anna.mp4.ready", "ANNA.READY", "anna .ready"])
def test_a_marker_beside_it_commits_a_file(rig, unsure, marker):
    rig.drop("s/Anna.mp4", FILM)
    rig.drop("s/other.mp4", FILM)
    rig.look()
    assert not rig.at("s/Anna.mp4").is_settled
    rig.drop(f"s/{marker}", b"")
    rig.look()
    assert rig.at("s/Anna.mp4").evidence[2] == "committed by marker"
    assert not rig.at("s/other.mp4").is_settled


def test_a_marker_in_another_folder_means_nothing(rig):
    rig.drop("s/a.mp4", FILM)
    rig.drop("a.mp4.ready", b"")
    rig.look()
    assert rig.at("s/a.mp4").commit is None


def test_a_marker_that_lay_there_before_the_file_vouches_for_nothing(rig, unsure):
    """Left over from the last time, or copied first: the file may still be on its way."""
    rig.drop("a.mp4.ready", b"")
    rig.look()
    rig.drop("a.mp4", FILM)
    rig.look()
    assert (rig.at("a.mp4").commit, rig.at("a.mp4").is_settled) == ("marker", False)
    rig.looks(10)
    assert rig.at("a.mp4").evidence[2] == "quiet 20.0 s in 11 looks"


def test_a_committed_file_is_never_taken_empty_or_from_its_writer_or_cut(rig):
    rig.drop("empty.mp4", b"")
    rig.drop("cut.mp4", CUT_FILM)
    rig.drop("held.mp4", FILM)
    for name in ("empty", "cut", "held"):
        rig.drop(f"{name}.ready", b"")
    with (rig.inbox / "held.mp4").open("r+b"):
        rig.looks(4)
        assert rig.at("empty.mp4").hindrance is Hindrance.EMPTY
        assert rig.at("cut.mp4").hindrance is Hindrance.INCOMPLETE
        assert rig.at("held.mp4").hindrance is Hindrance.WRITER
    assert {watched.commit for watched in rig.watch.files.values()} == {"marker"}


def test_a_commit_does_not_cover_what_is_written_after_it(rig, unsure):
    rig.drop("a.mp4", FILM)
    rig.drop("a.ready", b"")
    rig.look()
    assert rig.at("a.mp4").is_settled
    rig.drop("a.mp4", FILM + FILM)
    rig.looks(5)
    assert rig.at("a.mp4").hindrance is Hindrance.QUIET
    rig.drop("a.ready", b"again")
    rig.look()
    assert rig.at("a.mp4").evidence[2] == "committed by marker"


def test_a_declared_size_commits_when_it_agrees_and_nobody_writes(rig):
    rig.watch.declare(("s", "a.mp4"), len(FILM), None)
    rig.drop("s/a.mp4", FILM[:100])
    rig.look()
    assert rig.at("s/a.mp4").commit is None
    rig.drop("s/a.mp4", FILM)
    rig.look()
    assert rig.at("s/a.mp4").evidence[2] == "committed by manifest"


def test_a_declared_size_alone_proves_nothing_where_the_writer_is_unknown(rig, unsure):
    """A client that sets the size first makes it true at once."""
    rig.watch.declare(("", "size.wav"), 7, None)
    rig.watch.declare(("", "sum.wav"), None, "00" * 32)
    rig.drop("size.wav")
    rig.drop("sum.wav")
    rig.look()
    assert (rig.at("size.wav").commit, rig.at("size.wav").is_settled) == ("manifest", False)
    assert rig.at("sum.wav").is_settled


def test_a_row_that_only_names_a_file_commits_nothing(rig):
    """Else half a file that pauses would be taken, and where commits are required everything that is named."""
    rig.rules["strict"] = replace(RULE, require_commit=True)
    for folder in ("s", "strict"):
        rig.watch.declare((folder, "a.wav"), None, None)
        rig.drop(f"{folder}/a.wav")
    rig.look()
    assert not rig.at("s/a.wav").is_settled
    rig.looks(3)
    assert rig.at("s/a.wav").evidence[2].startswith("quiet")
    assert rig.at("strict/a.wav").hindrance is Hindrance.COMMIT


def test_where_commits_are_required_a_quiet_file_waits_for_its_own(rig):
    rig.rules["strict"] = replace(RULE, require_commit=True)
    rig.drop("strict/a.wav")
    rig.drop("b.wav")
    rig.looks(20)
    assert rig.at("strict/a.wav").hindrance is Hindrance.COMMIT
    assert rig.at("b.wav").is_settled
    assert not rig.watch.has_settling
    rig.drop("strict/a.wav.ready", b"")
    rig.look()
    assert rig.at("strict/a.wav").evidence[2] == "committed by marker"


def test_a_folder_that_changes_its_rule_is_judged_anew(rig):
    rig.drop("s/a.wav")
    rig.drop("b.wav")
    rig.looks(3)
    assert rig.at("s/a.wav").is_settled
    rig.rules["s"] = replace(RULE, require_commit=True)
    rig.look()
    assert rig.at("s/a.wav").hindrance is Hindrance.COMMIT
    assert rig.at("b.wav").is_settled


def test_the_rule_after_the_claim_needs_no_waiting_for_a_committed_file(rig):
    rig.drop("a.wav")
    rig.drop("b.wav")
    rig.drop("b.ready", b"")
    rig.look()
    assert rig.watch.rule_for(("", "a.wav")) == RULE
    found = rig.watch.rule_for(("", "b.wav"))
    assert (found.settle_s, found.settle_unsure_s, found.settle_scans) == (0.0, 0.0, 2)
    assert rig.watch.rule_for(("", "none.wav")) == RULE


@pytest.mark.parametrize("said", ["marker", "manifest"])
def test_a_broken_promise_is_not_believed_again(rig, said):
    """Else a committed file that is still written would be claimed and put back at every look."""
    rig.drop("a.wav")
    if said == "marker":
        rig.drop("a.ready", b"")
    else:
        rig.watch.declare(("", "a.wav"), 7, None)
    rig.look()
    settling = rig.at("a.wav").settling
    rig.watch.forget(("", "a.wav"), rig.now_s)
    rig.watch.reinstate(("", "a.wav"), settling, rig.now_s)
    rig.looks(3)
    assert (rig.at("a.wav").commit, rig.at("a.wav").is_settled) == (said, False)
    rig.look()
    assert rig.at("a.wav").evidence[2] == "quiet 6.0 s in 4 looks"


def test_a_distrusted_file_is_not_believed_again(rig):
    rig.drop("a.wav")
    rig.drop("a.ready", b"")
    rig.look()
    rig.watch.distrust(("", "a.wav"), rig.now_s)
    rig.looks(3)
    assert not rig.at("a.wav").is_settled


def test_a_declaration_comes_back_with_its_file_and_goes_with_it(rig):
    rig.rules[""] = replace(RULE, require_commit=True)
    rig.watch.declare(("", "a.wav"), 7, None)
    rig.drop("a.wav")
    rig.look()
    settling = rig.at("a.wav").settling
    rig.watch.forget(("", "a.wav"), rig.now_s)
    rig.watch.reinstate(("", "a.wav"), settling, rig.now_s)
    rig.looks(5)
    assert rig.at("a.wav").is_settled
    rig.watch.forget(("", "a.wav"), rig.now_s)
    rig.looks(5)
    assert rig.at("a.wav").hindrance is Hindrance.COMMIT
