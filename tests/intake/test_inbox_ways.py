"""`_default` partners, orphans, job folders and folder files on their way from the inbox to jobs and back."""

import hashlib
import json

import pytest

from heygemd.intake.findings import Word
from heygemd.intake.pairing import Why
from heygemd.jobs.batch import BatchKind
from heygemd.jobs.states import JobState
from heygemd.settings import IntakeSettings
from tests.intake.ways import LONG, made, names

# `_default` partners -------------------------------------------------------------------------------------------------


def test_a_default_partner_stays_and_each_job_has_a_private_copy(rig):
    rig.drop("talks/_default.mp4", b"presenter")
    for name in ("one", "two"):
        rig.drop(f"talks/{name}.wav", name.encode())
    rig.run(LONG)
    jobs = made(rig)
    assert set(jobs) == {"talks/one", "talks/two"}
    assert names(rig.root.inbox / "talks") == ["_default.mp4"]
    assert {job.video.path for job in jobs.values()} == {
        rig.root.shared / f"{hashlib.sha256(b'presenter').hexdigest()}.mp4"
    }
    assert all(job.video.path.read_bytes() == b"presenter" for job in jobs.values())
    assert all(job.video.name == "_default.mp4" for job in jobs.values())


def test_a_default_partner_is_never_an_orphan(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=10)
    rig.drop("_default.mp4")
    rig.run(LONG)
    assert rig.stored == {}
    assert names(rig.root.inbox) == ["_default.mp4"]


def test_private_copies_that_nobody_needs_are_swept(rig):
    rig.drop("_default.mp4", b"presenter")
    rig.drop("one.wav")
    rig.run(LONG)
    assert len(names(rig.root.shared)) == 1
    rig.word = Word(shared_in_use=frozenset(names(rig.root.shared)))
    rig.look()
    assert len(names(rig.root.shared)) == 1
    rig.word = Word(shared_in_use=frozenset())
    rig.look()
    assert names(rig.root.shared) == []


# Orphans -------------------------------------------------------------------------------------------------------------


def test_a_lone_file_is_failed_when_its_time_is_up(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=40)
    rig.drop("alone.wav", b"sound")
    rig.run(15)
    assert rig.stored == {}
    rig.run(15)
    (job,) = rig.stored.values()
    assert (job.state, job.error_code, job.video, job.name) == (JobState.FAILED, "E102", None, "alone")
    assert job.audio.path.read_bytes() == b"sound"
    assert "picture" in job.error_message


def test_a_new_member_starts_the_orphans_time_again(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=40)
    rig.drop("alone.wav")
    rig.run(15)
    (rig.root.inbox / "alone.wav").unlink()
    rig.drop("alone.mp3")
    rig.run(15)
    assert rig.stored == {}


# Job folders ---------------------------------------------------------------------------------------------------------


def test_a_job_folder_is_claimed_by_one_rename_with_all_that_is_in_it(rig):
    rig.drop("a/Spring.job/x.mp4", b"picture")
    rig.drop("a/Spring.job/y.wav", b"sound")
    rig.drop("a/Spring.job/notes.txt", b"notes")
    inode = (rig.root.inbox / "a/Spring.job").stat().st_ino
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert (job.folder, job.name, job.state) == ("a", "Spring", JobState.QUEUED)
    assert job.claim_dir.stat().st_ino == inode
    assert names(job.claim_dir) == ["notes.txt", "x.mp4", "y.wav"]
    assert names(rig.root.inbox / "a") == []


def test_a_job_folder_must_have_had_the_same_files_for_a_while(rig):
    rig.drop("A.job/x.mp4")
    rig.drop("A.job/y.wav")
    rig.run(7)
    assert rig.stored == {}
    rig.drop("A.job/z.wav")
    rig.run(9)
    assert rig.stored == {}
    assert rig.batches == {}
    rig.run(LONG)
    assert set(made(rig)) == {"A/y", "A/z"}


def test_a_job_folder_that_needs_only_time_keeps_the_inbox_from_being_quiet(rig):
    rig.drop("A.job/x.mp4")
    rig.drop("A.job/y.wav")
    while rig.stored == {}:
        found = rig.look()
        assert found.settling or found.arrivals, "`run --until-idle` would end, and leave the folder there"
        rig.store(found)
    rig.drop("B.job/lone.wav")
    assert not rig.run(LONG).settling, "what it waits for now may never come"


def test_one_picture_and_several_sounds_are_a_batch_named_by_what_varies(rig):
    rig.drop("A.job/face.mp4", b"face")
    for name in ("one", "two"):
        rig.drop(f"A.job/{name}.wav", name.encode())
    rig.run(LONG)
    (batch,) = rig.batches.values()
    assert (batch.kind, batch.name, len(batch.rows)) == (BatchKind.FOLDER, "A", 2)
    assert set(made(rig)) == {"A/one", "A/two"}
    assert {job.video.path.parent for job in rig.stored.values()} == {rig.root.shared}
    assert names(batch.claim_dir) == ["face.mp4"], "the shared one stays in the folder"
    rig.close(batch.id)
    assert names(rig.root.done / "2026-01-01") == [batch.claim_dir.name]
    assert names(rig.root.batches) == []


def test_a_row_whose_file_was_taken_out_of_the_job_folder_waits_for_it_and_is_failed(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=60)
    for place in ("A.job/face.mp4", "A.job/one.wav", "A.job/two.wav"):
        rig.drop(place, place.encode())
    while not rig.batches and rig.now_s < 10_000.0:
        rig.run(1)
    (batch,) = rig.batches.values()
    (batch.claim_dir / "two.wav").unlink()
    found = rig.run(10)
    assert [wait.reason for wait in found.row_waits] == ["waiting for two.wav"]
    rig.run(LONG)
    jobs = made(rig)
    assert (jobs["A/one"].state, jobs["A/two"].state) == (JobState.QUEUED, JobState.FAILED)
    assert (jobs["A/two"].error_code, jobs["A/two"].audio) == ("E102", None)
    assert names(batch.claim_dir) == ["face.mp4"], "the shared one stays in the folder"


def test_several_pictures_and_several_sounds_are_left_in_place(rig):
    for name in ("a.mp4", "b.mp4", "a.wav", "b.wav"):
        rig.drop(f"A.job/{name}")
    found = rig.run(LONG)
    assert rig.stored == {}
    assert (found.waiting[0].why, found.waiting[0].names[0]) == (Why.AMBIGUOUS, "A.job/")


def test_a_job_folder_without_a_sound_waits_and_then_fails_whole(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=100)
    rig.drop("A.job/x.mp4")
    rig.drop("A.job/notes.txt")
    found = rig.run(LONG)
    assert found.waiting[0].why is Why.JOB_FOLDER
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert (job.state, job.error_code) == (JobState.FAILED, "E102")
    assert names(job.claim_dir) == ["notes.txt", "x.mp4"]


def test_options_of_a_job_folder_hold_for_its_jobs_and_wrong_ones_fail_it(rig):
    for folder, text in (("Good.job", "priority = 4\n[options]\ncrf = 30\n"), ("Bad.job", "[options]\ncrff = 1\n")):
        rig.drop(f"{folder}/x.mp4", folder.encode())
        rig.drop(f"{folder}/y.wav", folder.encode())
        rig.drop(f"{folder}/job.toml", text.encode())
    rig.run(LONG)
    jobs = made(rig)
    assert (jobs["Good"].options.crf, jobs["Good"].priority) == (30, 4)
    assert (jobs["Bad"].state, jobs["Bad"].error_code) == (JobState.FAILED, "E123")


OLD_ID = "20250131T080000001-abcdefgh23"


def put_back(rig, ticket, folder="spring__abcdefgh"):
    rig.drop(f"{folder}/clip.mp4", b"picture")
    rig.drop(f"{folder}/clip.wav", b"sound")
    rig.drop(f"{folder}/error.json", json.dumps(ticket).encode())
    rig.drop(f"{folder}/REASON.txt", b"why")


def test_a_failed_folder_put_back_is_announced_as_the_old_job(rig):
    put_back(rig, {"heygemd_report": 1, "job": OLD_ID, "name": "spring"})
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert rig.retried == {job.id: OLD_ID}
    assert (job.name, job.folder) == ("spring", "")
    assert names(job.claim_dir) == ["clip.mp4", "clip.wav"], "the old reason is gone"


@pytest.mark.parametrize(
    "ticket",
    [{"heygemd_report": 1, "job": "../../x", "name": "spring"}, {"job": OLD_ID}, [], {"heygemd_report": 1}],
    ids=["forged id", "not ours", "no object", "no job"],
)
def test_a_forged_ticket_makes_a_new_job(rig, ticket):
    put_back(rig, ticket)
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert rig.retried == {}
    assert job.name == "spring__abcdefgh"


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "x" * 300, 5, ".."])
def test_a_ticket_cannot_choose_a_name_that_leads_elsewhere(rig, name):
    put_back(rig, {"heygemd_report": 1, "job": OLD_ID, "name": name})
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert job.name == "spring__abcdefgh"


# Room and configuration ----------------------------------------------------------------------------------------------


def test_nothing_is_claimed_without_room_for_it_and_it_goes_on_by_itself(rig, monkeypatch):
    from heygemd.intake import reserve

    class Full:
        f_bavail, f_frsize = 10, 1024

    rig.settings = IntakeSettings(reserve_mib=1)
    rig.drop_pair()
    monkeypatch.setattr(reserve.os, "statvfs", lambda place: Full())
    found = rig.run(LONG)
    assert rig.stored == {}
    assert found.paused.startswith("E202")
    assert "MiB" in found.paused
    monkeypatch.undo()
    found = rig.run(10)
    assert len(rig.stored) == 1
    assert found.paused is None


def test_a_folder_file_gives_options_and_a_wrong_one_is_explained_beside_it(rig):
    rig.drop("a/.heygemd.toml", b"priority = 2\n[options]\ncrf = 30\n")
    rig.drop_pair("a/one")
    rig.run(LONG)
    assert (made(rig)["a/one"].options.crf, made(rig)["a/one"].priority) == (30, 2)
    rig.drop("a/.heygemd.toml", b"priority = \n")
    found = rig.run(3)
    assert [wrong.folder for wrong in found.misconfigured] == ["a"]
    assert (rig.root.inbox / "a/CONFIG-ERROR.txt").exists()
    rig.drop_pair("a/two")
    rig.run(LONG)
    assert made(rig)["a/two"].options.crf == 30, "the last good one"
    rig.drop("a/.heygemd.toml", b"[options]\ncrf = 20\n")
    rig.run(3)
    assert not (rig.root.inbox / "a/CONFIG-ERROR.txt").exists()


def test_a_foreign_file_of_that_name_is_left_alone(rig):
    rig.drop("CONFIG-ERROR.txt", b"mine")
    rig.drop(".heygemd.toml", b"priority = \n")
    rig.run(3)
    (rig.root.inbox / ".heygemd.toml").unlink()
    rig.run(3)
    assert (rig.root.inbox / "CONFIG-ERROR.txt").read_bytes() == b"mine"


def test_a_copy_of_a_job_that_was_stored_after_the_daemon_had_looked_is_not_swept(rig):
    rig.drop("_default.mp4", b"presenter")
    rig.drop("one.wav")
    while not (found := rig.look()).arrivals:
        pass
    rig.store(found)
    rig.word = Word(stored=rig.word.stored, shared_in_use=frozenset())
    rig.look()
    assert len(names(rig.root.shared)) == 1
