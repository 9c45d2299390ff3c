"""Every form of submission beside the plain pair: what fails at the door, whole folders, markers, rows of a folder."""

import os

import pytest

from heygemd.intake.findings import Arrival
from heygemd.intake.submission import Member, Role
from heygemd.jobs.job import BatchRow
from heygemd.jobs.states import JobState
from tests.intake.claims_rig import AT_ONCE, audio, make_rig, sha256, submission, video

BATCH_ID = "20260304T120506789-bbbbbbbbbb"
RETRY_ID = "20260304T120506789-cccccccccc"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return make_rig(tmp_path)


def drop_pair(rig) -> None:
    rig.drop("anna.mp4", b"picture")
    rig.drop("anna.wav", b"sound")


# Submissions that fail at the door ---------------------------------------------------------------------------------


def never_asked(*_: object):
    raise AssertionError("a refused submission is never probed")


def test_orphan_is_claimed_settled_and_hashed_before_it_fails(rig):
    rig.probe = never_asked
    rig.drop("s/anna.wav", b"sound")
    assert rig.begin(submission(audio(folder="s"), film_folder="s", error=("E102", "no picture came")))
    rig.look()
    assert rig.stored == {}
    rig.look()
    job = rig.job()
    assert (job.state, job.error_code, job.error_message) == (JobState.FAILED, "E102", "no picture came")
    assert (job.video, job.media, job.folder) == (None, None, "s")
    assert (job.audio.path, job.audio.sha256) == (job.claim_dir / "anna.wav", sha256(b"sound"))


def test_lone_picture_fails_without_a_sound(rig):
    rig.drop("anna.mp4", b"picture")
    rig.begin(submission(video(), error=("E102", "-")))
    rig.run(2)
    assert (rig.job().audio, rig.job().video.name) == (None, "anna.mp4")


@pytest.mark.parametrize("gap", ["the last page lacks 300 bytes", "its end is missing"])
def test_what_stayed_cut_for_long_fails_and_is_never_decoded(rig, gap):
    """Half of a voice, or of a portrait, would else become a film."""
    rig.probe = never_asked
    drop_pair(rig)
    rig.begin(submission(video(), audio(evidence=("name", f"structure incomplete: {gap}"))))
    rig.run(2)
    job = rig.job()
    assert (job.state, job.error_code, job.error_message) == (JobState.FAILED, "E110", f"anna.wav: {gap}")


def test_what_only_looks_odd_at_its_end_is_judged_by_decoding(rig):
    drop_pair(rig)
    rig.begin(submission(video(evidence=("structure incomplete: no box at byte 4000",)), audio()))
    rig.run(2)
    assert rig.job().state is JobState.QUEUED


def test_bad_manifest_lies_in_the_claim_folder_and_is_no_input(rig):
    rig.drop("lines.heygem.json", b"{")
    wanted = Member(role=Role.OTHER, folder="", name="lines.heygem.json")
    rig.begin(submission(wanted, film_name="lines", error=("E121", "line 1")))
    rig.run(2)
    job = rig.job()
    assert (job.video, job.audio, job.state) == (None, None, JobState.FAILED)
    assert rig.files() == {"processing/lines__ID/lines.heygem.json": b"{"}


def test_row_whose_files_never_came_fails_in_an_empty_folder(rig):
    row = BatchRow(batch=BATCH_ID, number=9)
    assert rig.begin(submission(film_name="ep09", row=row, error=("E112", "never came")))
    rig.look()
    job = rig.job()
    assert (job.inputs, job.row, job.state) == ((), row, JobState.FAILED)
    assert job.claim_dir.is_dir()
    assert rig.leftovers() == []


# Whole folders -----------------------------------------------------------------------------------------------------

FOLDER = {
    "inbox/s/anna.job/anna.mp4": b"picture",
    "inbox/s/anna.job/anna.wav": b"sound",
    "inbox/s/anna.job/notes/a.txt": b"notes",
}


def whole(**more: object):
    home = "s/anna.job"
    return submission(video(folder=home), audio(folder=home), whole=home, film_folder="s", **more)


def drop_folder(rig, files=FOLDER) -> None:
    for place, content in files.items():
        rig.put(place, content)


def test_job_folder_is_claimed_by_one_rename_with_all_that_lies_in_it(rig):
    drop_folder(rig)
    before = (rig.root.inbox / "s" / "anna.job").stat().st_ino
    assert rig.begin(whole())
    rig.run(3)
    assert rig.files() == {place.replace("inbox/s/anna.job", "processing/anna__ID"): c for place, c in FOLDER.items()}
    assert rig.job().claim_dir.stat().st_ino == before
    assert list((rig.root.inbox / "s").iterdir()) == []


def test_job_folder_goes_back_as_it_was(rig):
    drop_folder(rig)
    rig.begin(whole())
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert rig.went_back == {("s/anna.job", name): ("s/anna.job", name) for name in ("anna.mp4", "anna.wav")}
    rig.check_untouched({**FOLDER, "inbox/s/anna.job/anna.wav": b"changed"})


def test_job_folder_goes_back_beside_a_new_one_and_stays_a_job_folder(rig):
    drop_folder(rig)
    rig.begin(whole())
    rig.drop("s/anna.job/new.wav", b"new")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert rig.went_back[("s/anna.job", "anna.wav")] == ("s/anna (1).job", "anna.wav")
    assert rig.files()["inbox/s/anna (1).job/notes/a.txt"] == b"notes"
    assert rig.files()["inbox/s/anna.job/new.wav"] == b"new"
    assert (rig.folders(), rig.leftovers()) == ([], [])


def test_member_that_leaves_a_claimed_job_folder_sends_the_rest_back(rig):
    drop_folder(rig)
    rig.begin(whole())
    (rig.claim_dir() / "anna.wav").unlink()
    rig.restart()
    rig.look()
    rig.check_untouched({place: content for place, content in FOLDER.items() if "wav" not in place})


def test_arrival_names_the_failed_job_that_was_put_back(rig):
    rig.put("inbox/anna__cccccccc/anna.mp4", b"picture")
    rig.put("inbox/anna__cccccccc/anna.wav", b"sound")
    home = "anna__cccccccc"
    assert rig.begin(submission(video(folder=home), audio(folder=home), whole=home, retry_of=RETRY_ID), AT_ONCE)
    (claim,) = rig.claims.open.values()
    with pytest.raises(ValueError, match="not complete"):
        _ = claim.record.arrival
    assert rig.claims.inspect(claim, lambda: False)
    assert claim.record.arrival == Arrival(job=claim.record.job, retry_of=RETRY_ID)


TOLD = {"inbox/s/anna.job/error.json": b"{}", "inbox/s/anna.job/REASON.txt": b"why"}


def test_reasons_of_an_earlier_run_go_when_the_claim_is_complete_and_not_before(rig):
    drop_folder(rig, FOLDER | TOLD)
    rig.begin(whole(retry_of=RETRY_ID))
    rig.look()
    assert "processing/anna__ID/error.json" in rig.files()
    rig.look()
    assert len(rig.stored) == 1
    assert rig.files() == {place.replace("inbox/s/anna.job", "processing/anna__ID"): c for place, c in FOLDER.items()}


def test_reasons_of_an_earlier_run_go_back_with_their_folder(rig):
    drop_folder(rig, FOLDER | TOLD)
    rig.begin(whole(retry_of=RETRY_ID, priority=1))
    (rig.claim_dir() / "anna.wav").write_bytes(b"sound!")
    rig.look()
    rig.check_untouched(FOLDER | TOLD | {"inbox/s/anna.job/anna.wav": b"sound!"})


def test_foreign_error_json_in_a_job_folder_is_kept(rig):
    drop_folder(rig, FOLDER | TOLD)
    rig.begin(whole())
    rig.run(3)
    assert rig.files()["processing/anna__ID/error.json"] == b"{}"


def test_reasons_written_after_the_job_was_announced_are_not_removed_by_a_restart(rig):
    drop_folder(rig, FOLDER | TOLD)
    rig.begin(whole(retry_of=RETRY_ID), AT_ONCE)
    (claim,) = rig.claims.open.values()
    rig.claims.inspect(claim, lambda: False)
    (rig.claim_dir() / "error.json").write_bytes(b"new")
    rig.restart()
    rig.look()
    assert rig.files()["processing/anna__ID/error.json"] == b"new"
    assert len(rig.stored) == 1


# Markers -----------------------------------------------------------------------------------------------------------


def test_markers_go_with_the_claim_and_vanish_when_it_is_complete(rig):
    drop_pair(rig)
    rig.drop("anna.wav.ready", b"")
    rig.begin(submission(video(), audio(), markers=(("", "anna.wav.ready"),)))
    assert not (rig.root.inbox / "anna.wav.ready").exists()
    rig.run(3)
    assert set(rig.files()) == {"processing/anna__ID/anna.mp4", "processing/anna__ID/anna.wav"}


def test_markers_go_back_under_the_number_of_what_they_commit(rig):
    drop_pair(rig)
    rig.drop("anna.wav.ready", b"")
    rig.begin(submission(video(), audio(), markers=(("", "anna.wav.ready"),)))
    rig.drop("anna.wav", b"new")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert set(rig.went_back) == {("", "anna.mp4"), ("", "anna.wav")}
    names = {"anna.wav", "anna (1).mp4", "anna (1).wav", "anna (1).wav.ready"}
    assert set(rig.files()) == {f"inbox/{name}" for name in names}


def test_marker_beside_a_job_folder_goes_and_comes_back_with_it(rig):
    drop_folder(rig)
    rig.drop("s/anna.job.ready", b"")
    wanted = whole(markers=(("s", "anna.job.ready"),))
    rig.begin(wanted)
    rig.drop("s/anna.job/new.wav", b"new")
    (rig.claim_dir() / "anna.wav").write_bytes(b"changed")
    rig.look()
    assert {"inbox/s/anna (1).job.ready", "inbox/s/anna (1).job/anna.wav"} <= set(rig.files())
    assert not any("ID" in place for place in rig.files())


def test_marker_inside_a_job_folder_stays_in_it_until_the_claim_is_complete(rig):
    drop_folder(rig, FOLDER | {"inbox/s/anna.job/anna.wav.ready": b""})
    rig.begin(whole(markers=(("s/anna.job", "anna.wav.ready"),)))
    rig.look()
    assert "processing/anna__ID/anna.wav.ready" in rig.files()
    rig.run(2)
    assert "processing/anna__ID/anna.wav.ready" not in rig.files()


# Rows of a claimed job folder --------------------------------------------------------------------------------------

BASE = "talks__bbbbbbbb"


def row_of_folder():
    row = BatchRow(batch=BATCH_ID, number=1)
    return submission(
        video("anna.mp4", is_shared=True), audio("one.wav"), film_folder="talks", film_name="one", base=BASE, row=row
    )


def drop_batch(rig) -> None:
    rig.put(f"processing/{BASE}/anna.mp4", b"picture")
    rig.put(f"processing/{BASE}/one.wav", b"sound")


def test_row_of_a_job_folder_takes_its_own_member_out_of_it(rig):
    drop_batch(rig)
    assert rig.begin(row_of_folder())
    rig.run(3)
    job = rig.job()
    assert rig.files() == {"processing/talks__ID/anna.mp4": b"picture", "processing/one__ID/one.wav": b"sound"}
    assert job.video.path == rig.root.shared / f"{sha256(b'picture')}.mp4"


def test_row_of_a_job_folder_is_put_back_into_it(rig):
    drop_batch(rig)
    rig.begin(row_of_folder())
    (rig.claim_dir(row_of_folder()) / "one.wav").write_bytes(b"changed")
    rig.look()
    assert rig.went_back == {("", "one.wav"): ("", "one.wav")}
    assert rig.files() == {"processing/talks__ID/anna.mp4": b"picture", "processing/talks__ID/one.wav": b"changed"}


def test_row_of_a_job_folder_that_was_carried_away_goes_to_the_inbox(rig):
    drop_batch(rig)
    rig.begin(row_of_folder())
    (rig.root.processing / BASE).rename(rig.root.path.parent / "mine")
    rig.look()
    assert (rig.reasons, rig.went_back) == (["gone"], {})
    rig.check_untouched({"inbox/one.wav": b"sound"})
