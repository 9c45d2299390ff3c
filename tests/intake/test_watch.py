"""What the looks at an inbox say of each file: settled, or what hinders it; and what disturbs the looks."""

import errno
import os
import subprocess
import sys

import pytest

from heygemd.intake import watch as watch_module
from heygemd.intake.filesystems import can_tell_holes
from heygemd.intake.watch import Hindrance
from tests.intake.watch_rig import CUT_FILM, FILM, make_rig


@pytest.fixture
def rig(tmp_path):
    return make_rig(tmp_path)


HOLD = "import sys; f = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def needs_holes(tmp_path):
    if not can_tell_holes(tmp_path):
        pytest.skip("this file system does not report holes")


def test_a_quiet_file_settles_and_says_how(rig, needs_holes):
    rig.drop("s/a.mp4", FILM)
    rig.looks(2)
    assert (rig.at("s/a.mp4").is_settled, rig.at("s/a.mp4").hindrance) == (False, Hindrance.QUIET)
    assert rig.watch.has_settling
    rig.look()
    found = rig.at("s/a.mp4")
    assert (found.is_settled, found.hindrance, found.commit) == (True, None, None)
    assert found.evidence == ("name", "no writer", "quiet 4.0 s in 3 looks", "no holes", "structure mp4")
    assert not rig.watch.has_settling


def test_where_the_writer_is_unknown_it_takes_longer_and_says_so(rig, unsure):
    rig.drop("a.txt.wav")
    rig.looks(10)
    assert not rig.at("a.txt.wav").is_settled
    rig.look()
    evidence = rig.at("a.txt.wav").evidence
    assert evidence[1:3] == ("writer unknown", "quiet 20.0 s in 11 looks")
    assert evidence[4] == "structure unchecked"


def test_a_file_held_open_stays_where_it_is_and_nothing_waits_for_it(rig):
    path = rig.drop("a.mp4", FILM)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"open\n"
        rig.looks(20)
        assert rig.at("a.mp4").hindrance is Hindrance.WRITER
        assert not rig.watch.has_settling
        holder.stdin.close()
        holder.wait()
    rig.looks(3)
    assert rig.at("a.mp4").is_settled


def test_an_empty_file_stays_where_it_is_and_nothing_waits_for_it(rig):
    rig.drop("a.mp4", b"")
    rig.looks(20)
    assert rig.at("a.mp4").hindrance is Hindrance.EMPTY
    assert not rig.watch.has_settling


def test_a_growing_file_does_not_settle(rig):
    for size in range(1, 20):
        rig.drop("a.wav", b"x" * size)
        rig.look()
        assert not rig.at("a.wav").is_settled


def test_a_pause_that_was_broken_doubles_the_wait(rig):
    rig.drop("a.wav", b"x")
    rig.looks(2)
    rig.drop("a.wav", b"xx")
    rig.looks(3)
    assert rig.at("a.wav").hindrance is Hindrance.QUIET
    rig.look()
    assert rig.at("a.wav").evidence[2] == "quiet 6.0 s in 4 looks"


def test_a_size_that_was_set_first_waits_for_its_holes_to_be_filled(rig, unsure, needs_holes):
    path = rig.drop("a.wav", b"")
    with path.open("r+b") as file:
        file.truncate(3 << 20)
    rig.looks(20)
    assert rig.at("a.wav").hindrance is Hindrance.HOLES
    assert rig.watch.has_settling
    path.write_bytes(os.urandom(3 << 20))
    rig.looks(40)
    assert rig.at("a.wav").is_settled
    assert rig.at("a.wav").evidence[3] == "no holes"


def test_holes_count_after_the_grace_and_are_named(rig, needs_holes):
    with rig.drop("a.wav", b"").open("r+b") as file:
        file.truncate(3 << 20)
    rig.looks(4)
    rig.look(after_s=590)
    assert rig.at("a.wav").hindrance is Hindrance.HOLES
    rig.look(after_s=10)
    assert rig.at("a.wav").evidence[3] == "holes"


def test_a_cut_film_waits_for_the_grace_and_is_then_taken_with_the_reason(rig):
    path = rig.drop("a.mp4", CUT_FILM)
    rig.looks(5)
    assert rig.at("a.mp4").hindrance is Hindrance.INCOMPLETE
    assert rig.watch.has_settling
    rig.look(after_s=600)
    assert rig.at("a.mp4").evidence[4] == "structure incomplete: the last box lacks 1000 bytes"
    path.write_bytes(FILM)
    rig.looks(1)
    assert not rig.at("a.mp4").is_settled
    rig.looks(6)
    assert rig.at("a.mp4").evidence[4] == "structure mp4"


def test_the_content_decides_what_the_structure_must_be(rig):
    rig.drop("film.wav", CUT_FILM)
    rig.looks(3)
    assert rig.at("film.wav").hindrance is Hindrance.INCOMPLETE


def test_a_file_is_read_once_for_each_face_and_not_before_it_is_quiet(rig, monkeypatch):
    calls = []
    check = watch_module.check_structure
    monkeypatch.setattr(watch_module, "check_structure", lambda *args: calls.append(args) or check(*args))
    rig.drop("a.mp4", CUT_FILM)
    rig.looks(2)
    assert not calls
    rig.looks(20)
    assert len(calls) == 1
    rig.drop("a.mp4", FILM)
    rig.looks(20)
    assert len(calls) == 2


def test_manifests_settle_like_media_but_have_no_structure(rig):
    rig.drop("b.heygem.json", b"{}")
    rig.looks(3)
    assert rig.at("b.heygem.json").evidence[4] == "structure unchecked"


def test_a_file_that_came_back_from_its_claim_waits_twice_as_long(rig):
    rig.drop("a.wav")
    rig.looks(3)
    settling = rig.at("a.wav").settling
    rig.watch.forget(("", "a.wav"), rig.now_s)
    assert not rig.watch.files
    rig.watch.reinstate(("", "a.wav"), settling, rig.now_s)
    rig.looks(3)
    assert not rig.at("a.wav").is_settled
    rig.look()
    assert rig.at("a.wav").evidence[2] == "quiet 6.0 s in 4 looks"


def test_distrust_starts_a_longer_pause(rig):
    rig.drop("a.wav")
    rig.looks(3)
    rig.watch.distrust(("", "a.wav"), rig.now_s)
    found = rig.at("a.wav")
    assert (found.is_settled, found.evidence, found.hindrance) == (False, (), Hindrance.QUIET)
    rig.looks(4)
    assert rig.at("a.wav").is_settled


def test_the_revision_tells_whether_anything_is_to_be_sorted_anew(rig):
    revisions = [rig.watch.revision]

    def look() -> bool:
        rig.look()
        revisions.append(rig.watch.revision)
        return revisions[-1] > revisions[-2]

    path = rig.drop("a.wav")
    assert look()  # came
    assert not look()
    assert look()  # settled
    assert not look()
    rig.watch.distrust(("", "a.wav"), rig.now_s)
    assert look()
    path.unlink()
    assert look()  # gone
    assert not look()


def test_the_last_change_is_remembered(rig):
    assert rig.watch.changed_s is None
    path = rig.drop("a.wav")
    rig.look()
    came_s = rig.now_s
    rig.looks(4)
    assert rig.watch.changed_s == came_s
    path.unlink()
    rig.look()
    assert rig.watch.changed_s == rig.now_s


def test_a_file_that_may_not_be_read_is_named_and_not_watched(rig, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "no", str(path))

    rig.drop("a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(watch_module, "find_writer", refuse)
        rig.look()
        assert (rig.watch.unreadable, rig.watch.files) == ({("", "a.wav")}, {})
    rig.looks(3)
    assert rig.watch.unreadable == set()
    assert rig.at("a.wav").is_settled


def test_a_disk_that_fails_while_reading_settles_nothing_and_is_tried_again(rig, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "no")

    rig.drop("a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(watch_module, "check_structure", fail)
        rig.looks(5)
        assert rig.watch.unreadable == {("", "a.wav")}
        assert not rig.at("a.wav").is_settled
    rig.look()
    assert rig.at("a.wav").is_settled


def test_a_file_that_changes_while_it_is_read_does_not_settle(rig, monkeypatch):
    path = rig.drop("a.wav")
    check = watch_module.check_structure

    def touch(*args):
        os.utime(path, ns=(0, rig.watch.revision))
        return check(*args)

    monkeypatch.setattr(watch_module, "check_structure", touch)
    rig.looks(3)
    assert rig.at("a.wav").hindrance is Hindrance.QUIET


def test_a_late_look_notes_every_file_and_settles_none(rig):
    for number in range(5):
        rig.drop(f"{number}.wav")
    for _ in range(20):
        rig.look(is_late=lambda: True)
    assert len(rig.watch.files) == 5
    assert rig.watch.has_settling
    assert not any(watched.is_settled for watched in rig.watch.files.values())


def test_looks_that_are_cut_short_reach_every_file_in_turn(rig):
    """Six steps a look, and more files than that which do not settle: nobody is overtaken for ever."""
    for number in range(20):
        rig.drop(f"cut {number}.mp4", CUT_FILM)
    for number in range(3):
        rig.drop(f"{number}.wav")
    for _ in range(60):
        steps = iter([False] * 6)
        rig.look(is_late=lambda steps=steps: next(steps, True))
    assert all(rig.at(f"{number}.wav").is_settled for number in range(3))


def test_a_change_seen_by_a_late_look_unsettles(rig):
    rig.drop("a.wav")
    rig.looks(3)
    rig.drop("a.wav", b"other")
    rig.look(is_late=lambda: True)
    assert rig.at("a.wav").hindrance is Hindrance.QUIET
    rig.looks(4)
    assert rig.at("a.wav").is_settled


def test_files_that_settled_are_not_opened_again(rig, monkeypatch):
    rig.drop("a.wav")
    rig.looks(3)
    monkeypatch.setattr(watch_module, "find_writer", lambda *_, **__: pytest.fail("opened"))
    rig.looks(3)
    assert rig.at("a.wav").is_settled


def test_after_clear_everything_is_new(rig):
    rig.drop("a.wav")
    rig.looks(3)
    assert rig.watch.is_local
    revision = rig.watch.revision
    rig.watch.clear()
    assert (rig.watch.files, rig.watch.changed_s, rig.watch.is_local) == ({}, None, False)
    assert rig.watch.revision > revision
    rig.look()
    assert not rig.at("a.wav").is_settled


def test_on_what_is_said_to_be_a_mount_nobody_is_free(rig):
    rig.watch.is_local = False
    rig.drop("a.wav")
    rig.looks(11)
    assert rig.at("a.wav").evidence[1:4] == ("writer unknown", "quiet 20.0 s in 11 looks", "holes unknown")
