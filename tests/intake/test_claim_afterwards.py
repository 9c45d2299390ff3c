"""After the claim: files are quiet once more and become a job, or all of them go back."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.errors import InputError, ResourceError
from heygemd.jobs.states import JobState
from tests.intake.claimed_pair import AT_HOME, drop_pair
from tests.intake.claims_rig import AT_ONCE, MEDIA, PAIR, audio, make_rig, sha256, submission, video

HOLD = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return make_rig(tmp_path)


def test_claimed_files_must_be_quiet_once_more(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    rig.look()
    assert rig.stored == {}
    rig.look()
    assert len(rig.stored) == 1


def test_rule_given_with_the_claim_decides_how_long(rig):
    drop_pair(rig)
    rig.begin(PAIR, AT_ONCE)
    rig.look(0.0)
    assert len(rig.stored) == 1


def test_claim_found_on_the_disk_waits_by_the_default_rule(rig):
    drop_pair(rig)
    rig.begin(PAIR, AT_ONCE)
    rig.restart()
    rig.look(0.0)
    assert rig.stored == {}
    rig.run(3)
    assert len(rig.stored) == 1


def test_writer_that_follows_the_file_into_the_claim_gets_it_back(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    claimed = rig.claim_dir() / "anna.wav"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(claimed)], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == b"open\n"
        rig.look()
        holder.stdin.close()
    assert rig.reasons == ["has a writer"]
    rig.check_untouched(AT_HOME)


def test_file_that_changes_after_the_claim_goes_back(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    (rig.claim_dir() / "anna.wav").write_bytes(b"longer sound")
    rig.look()
    assert rig.reasons == ["changed"]
    assert rig.went_back == {("", "anna.mp4"): ("", "anna.mp4"), ("", "anna.wav"): ("", "anna.wav")}
    rig.check_untouched({**AT_HOME, "inbox/anna.wav": b"longer sound"})


def test_file_that_changes_while_it_is_probed_goes_back(rig):
    def touching_probe(picture: Path, sound: Path):
        sound.write_bytes(b"other")
        return MEDIA

    rig.probe = touching_probe
    drop_pair(rig)
    rig.begin(PAIR)
    rig.run(3)
    assert rig.reasons == ["anna.wav changed while it was inspected"]
    rig.check_untouched({**AT_HOME, "inbox/anna.wav": b"other"})


def test_file_exchanged_for_a_link_after_the_claim_is_not_read(rig):
    secret = rig.root.path.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    drop_pair(rig)
    rig.begin(PAIR)
    claimed = rig.claim_dir() / "anna.mp4"
    claimed.unlink()
    claimed.symlink_to(secret)
    rig.run()
    assert (rig.reasons, rig.stored) == (["exchanged"], {})
    assert (rig.root.inbox / "anna.mp4").is_symlink()


def test_files_go_back_beside_new_ones_of_the_same_name_and_stay_a_pair(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    rig.drop("anna.mp4", b"new picture")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert rig.went_back == {("", "anna.mp4"): ("", "anna (1).mp4"), ("", "anna.wav"): ("", "anna (1).wav")}
    rig.check_untouched(
        {"inbox/anna (1).mp4": b"picture", "inbox/anna (1).wav": b"changed", "inbox/anna.mp4": b"new picture"},
    )


def test_folder_that_was_deleted_meanwhile_is_made_again(rig):
    rig.drop("s/t/anna.mp4", b"picture")
    rig.drop("s/anna.wav", b"sound")
    wanted = submission(video(folder="s/t"), audio(folder="s"))
    rig.begin(wanted)
    shutil.rmtree(rig.root.inbox / "s")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    rig.check_untouched({"inbox/s/t/anna.mp4": b"picture", "inbox/s/anna.wav": b"changed"})


def test_files_whose_folder_is_a_file_now_go_to_the_top(rig):
    rig.drop("s/anna.mp4", b"picture")
    rig.drop("s/anna.wav", b"sound")
    rig.begin(submission(video(folder="s"), audio(folder="s")))
    (rig.root.inbox / "s").rmdir()
    rig.drop("s", b"a file")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert rig.went_back == {("s", "anna.mp4"): ("", "anna.mp4"), ("s", "anna.wav"): ("", "anna.wav")}
    rig.check_untouched({"inbox/s": b"a file", "inbox/anna.mp4": b"picture", "inbox/anna.wav": b"changed"})


def test_claim_that_somebody_carries_away_is_forgotten(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    rig.claim_dir().rename(rig.root.path.parent / "mine")
    rig.look()
    assert rig.reasons == ["gone"]
    rig.check_untouched({})


def test_member_that_people_rename_in_the_claim_folder_goes_back_under_its_new_name(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    (rig.claim_dir() / "anna.mp4").rename(rig.claim_dir() / "bert.mp4")
    rig.look()
    assert rig.reasons == ["gone"]
    assert rig.files() == {"inbox/anna.wav": b"sound", "inbox/bert.mp4": b"picture"}
    assert rig.leftovers() == []


def test_what_people_put_into_a_claim_folder_stays_when_the_claim_is_given_up(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    (rig.claim_dir() / "CANCEL").touch()
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert rig.files() == {**AT_HOME, "inbox/anna.wav": b"changed", "processing/anna__ID/CANCEL": b""}
    assert rig.leftovers() == []


def test_second_name_left_by_a_cut_link_rename_is_not_a_second_job(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    (rig.root.inbox / "anna.mp4").hardlink_to(rig.claim_dir() / "anna.mp4")
    rig.restart()
    rig.run()
    assert set(rig.files()) == {"processing/anna__ID/anna.mp4", "processing/anna__ID/anna.wav"}
    assert len(rig.stored) == 1


def test_second_name_left_by_a_cut_link_rename_does_not_number_what_goes_back(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    claimed = rig.claim_dir()
    (rig.root.inbox / "anna.mp4").hardlink_to(claimed / "anna.mp4")
    (claimed / "anna.wav").rename(rig.root.inbox / "anna.wav")
    rig.restart()
    rig.look()
    rig.check_untouched(AT_HOME)


def test_what_the_probe_refuses_becomes_a_failed_job(rig):
    def refuse(picture: Path, sound: Path):
        raise InputError("E104", "HDR")

    rig.probe = refuse
    drop_pair(rig)
    rig.begin(PAIR)
    rig.run(3)
    job = rig.job()
    assert (job.state, job.error_code, job.error_message, job.media) == (JobState.FAILED, "E104", "HDR", None)
    assert job.video.sha256 == sha256(b"picture")


def test_fault_of_the_machine_keeps_the_claim(rig):
    def fail(picture: Path, sound: Path):
        raise ResourceError("E202", "disk low")

    rig.probe = fail
    drop_pair(rig)
    rig.begin(PAIR, AT_ONCE)
    with pytest.raises(ResourceError):
        rig.look()
    rig.claims._probe = lambda *_: MEDIA
    rig.look()
    assert len(rig.stored) == 1


def test_inspection_goes_on_where_it_was_late(rig):
    drop_pair(rig)
    rig.begin(PAIR, AT_ONCE)
    rig.is_late = lambda: True
    looks = 0
    while not rig.stored:
        rig.look()
        looks += 1
    assert looks == 1  # small files take one chunk each, and the lateness is asked between chunks only
