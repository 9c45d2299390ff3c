"""What leaves the inbox as one job: whole or not at all, once, and never under somebody's hands."""

import errno
import os
from pathlib import Path

import pytest

from heygemd.intake import claim as claim_module
from heygemd.intake.disk import Disk, FullDisk, StoppingDisk
from heygemd.intake.submission import Member, Role
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import BatchRow, EngineName, Lane, RenderOptions
from heygemd.jobs.states import JobState
from tests.intake.claimed_pair import AT_HOME, drop_pair
from tests.intake.claims_rig import AT_ONCE, MEDIA, PAIR, audio, make_rig, sha256, submission, video

BATCH_ID = "20260304T120506789-bbbbbbbbbb"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return make_rig(tmp_path)


# Pairs -------------------------------------------------------------------------------------------------------------


def test_pair_becomes_one_job_with_everything_that_was_chosen(rig):
    drop_pair(rig)
    wanted = submission(
        video(evidence=("name", "no writer")), audio(),
        film_folder="lines", film_name="Anna speaks", options=RenderOptions(engine=EngineName.ATLAS, crf=20),
        priority=7, lane=Lane(folder="lines", most=2), keep_days=3,
        row=BatchRow(batch=BATCH_ID, number=4, row_id="ep04"),
    )  # fmt: skip
    assert rig.begin(wanted)
    rig.run()
    job = rig.job()
    assert (job.state, job.media, job.name, job.folder) == (JobState.QUEUED, MEDIA, "Anna speaks", "lines")
    assert (job.options, job.priority, job.lane, job.keep_days) == (
        wanted.options, 7, Lane(folder="lines", most=2), 3
    )  # fmt: skip
    assert job.row == wanted.row
    assert rig.files() == {
        "processing/Anna speaks__ID/anna.mp4": b"picture",
        "processing/Anna speaks__ID/anna.wav": b"sound",
    }
    assert (job.video.path, job.video.sha256) == (job.claim_dir / "anna.mp4", sha256(b"picture"))
    assert job.video.evidence == ("name", "no writer", "claimed quiet 4.0 s", "hashed")
    assert rig.leftovers() == []


def test_members_of_two_folders_and_one_name_lie_side_by_side_in_the_claim(rig):
    rig.drop("a/anna.mp4", b"picture")
    rig.drop("b/ANNA.MP4.wav", b"sound")
    wanted = submission(video(folder="a"), audio("ANNA.MP4.wav", folder="b"))
    assert rig.begin(wanted)
    rig.run()
    assert set(rig.files()) == {"processing/anna__ID/anna.mp4", "processing/anna__ID/ANNA.MP4.wav"}


def test_second_member_of_equal_name_is_numbered_and_keeps_the_name_the_user_gave_it(rig):
    rig.drop("a/anna.wav", b"manifest")
    rig.drop("b/ANNA.wav", b"sound")
    other = Member(role=Role.OTHER, folder="a", name="anna.wav")
    wanted = submission(other, audio("ANNA.wav", folder="b"), error=("E121", "-"))
    assert rig.begin(wanted)
    rig.run(3)
    assert rig.files() == {"processing/anna__ID/anna.wav": b"manifest", "processing/anna__ID/ANNA (1).wav": b"sound"}
    job = rig.job()
    assert (job.audio.name, job.audio.path) == ("ANNA.wav", job.claim_dir / "ANNA (1).wav")


def test_numbered_member_goes_back_under_its_own_name(rig):
    rig.drop("a/anna.wav", b"manifest")
    rig.drop("b/ANNA.wav", b"sound")
    other = Member(role=Role.OTHER, folder="a", name="anna.wav")
    rig.begin(submission(other, audio("ANNA.wav", folder="b"), error=("E121", "-")))
    (rig.claim_dir() / "ANNA (1).wav").write_bytes(b"changed")
    rig.look()
    rig.check_untouched({"inbox/a/anna.wav": b"manifest", "inbox/b/ANNA.wav": b"changed"})


def test_a_member_that_is_not_as_seen_any_more_claims_nothing(rig):
    drop_pair(rig)
    rig.restart()
    origin = rig.seen("anna.mp4", "anna.wav")
    rig.drop("anna.wav", b"sound and more")
    assert not rig.claims.begin(PAIR, origin, AT_ONCE, rig.now_s)
    rig.check_untouched({**AT_HOME, "inbox/anna.wav": b"sound and more"})


@pytest.mark.parametrize("gone", ["anna.mp4", "anna.wav"])
def test_a_member_that_is_gone_claims_nothing(rig, gone):
    drop_pair(rig)
    rig.restart()
    origin = rig.seen("anna.mp4", "anna.wav")
    (rig.root.inbox / gone).unlink()
    assert not rig.claims.begin(PAIR, origin, AT_ONCE, rig.now_s)
    rig.check_untouched({place: content for place, content in AT_HOME.items() if place != f"inbox/{gone}"})


class Meddler(Disk):
    """Somebody who acts just before a certain step."""

    def __init__(self, step: str, name: str, act) -> None:
        self._step, self._name, self._act = step, name, act

    def reach(self, step: str, path: Path) -> None:
        if step == self._step and path.name.endswith(self._name):
            self._act()


def test_partner_that_vanishes_between_look_and_rename_claims_neither(rig):
    drop_pair(rig)
    rig.disk = Meddler("rename", "anna.wav", (rig.root.inbox / "anna.wav").unlink)
    assert not rig.begin(PAIR)
    rig.check_untouched({"inbox/anna.mp4": b"picture"})


def test_file_exchanged_between_look_and_rename_goes_back(rig):
    drop_pair(rig)

    def exchange() -> None:
        (rig.root.inbox / "other").write_bytes(b"other sound")
        (rig.root.inbox / "other").replace(rig.root.inbox / "anna.wav")

    rig.disk = Meddler("mkdir", "", exchange)
    assert not rig.begin(PAIR)
    rig.check_untouched({"inbox/anna.mp4": b"picture", "inbox/anna.wav": b"other sound"})


def test_what_may_not_be_moved_is_told_and_goes_back(rig):
    drop_pair(rig)

    def refuse() -> None:
        raise PermissionError(errno.EPERM, "sticky")

    rig.disk = Meddler("rename", "anna.wav", refuse)
    with pytest.raises(PermissionError):
        rig.begin(PAIR)
    rig.check_untouched(AT_HOME)


def test_folder_that_may_not_be_written_is_told_before_anything_is_written(rig, monkeypatch):
    drop_pair(rig)
    monkeypatch.setattr(os, "access", lambda path, mode: path != rig.root.inbox)
    rig.disk = FullDisk(errno.EIO, frozenset({"write", "mkdir", "rename"}))
    with pytest.raises(PermissionError):
        rig.begin(PAIR)
    rig.check_untouched(AT_HOME)


def test_submission_that_no_restart_would_believe_is_never_begun(rig):
    drop_pair(rig)
    assert not rig.begin(submission(video(), audio(), film_name="../../etc"))
    rig.check_untouched(AT_HOME)


def test_link_in_place_of_a_file_or_a_folder_is_never_claimed(rig):
    elsewhere = rig.root.path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "anna.mp4").write_bytes(b"secret")
    (rig.root.inbox / "s").symlink_to(elsewhere)
    (rig.root.inbox / "bert.mp4").symlink_to(elsewhere / "anna.mp4")
    rig.drop("anna.wav", b"sound")
    rig.restart()
    for picture in (video(folder="s"), video("bert.mp4"), video(folder="s", is_shared=True)):
        assert not rig.claims.begin(submission(picture, audio()), {}, AT_ONCE, rig.now_s)
    for wanted in (
        submission(video(folder="s"), error=("E102", "-"), whole="s"),
        submission(error=("E102", "-"), whole="s"),
    ):
        assert not rig.claims.begin(wanted, {}, AT_ONCE, rig.now_s)
    assert (elsewhere / "anna.mp4").exists()
    assert rig.leftovers() == []


# Declared size and sum ---------------------------------------------------------------------------------------------


def test_member_of_another_size_than_declared_is_not_claimed(rig):
    drop_pair(rig)
    assert not rig.begin(submission(video(size_bytes=8), audio(size_bytes=5)))
    rig.check_untouched(AT_HOME)
    assert rig.begin(submission(video(size_bytes=7), audio(size_bytes=5)))


def test_member_of_another_sum_than_declared_goes_back_with_that_reason(rig):
    drop_pair(rig)
    assert rig.begin(submission(video(sha256=sha256(b"picture").upper()), audio(sha256=sha256(b"other"))))
    rig.run(3)
    assert rig.reasons == ["not the declared sha256"]
    rig.check_untouched(AT_HOME)


def test_member_that_is_as_declared_becomes_a_job(rig):
    drop_pair(rig)
    rig.begin(submission(video(sha256=sha256(b"picture").upper()), audio(sha256=sha256(b"sound"), size_bytes=5)))
    rig.run(3)
    assert rig.job().audio.sha256 == sha256(b"sound")


# Durability --------------------------------------------------------------------------------------------------------


def test_record_is_on_the_disk_before_the_first_rename_and_renames_before_the_claim_counts(rig):
    rig.drop("a/anna.mp4", b"picture")
    rig.drop("b/anna.wav", b"sound")
    rig.disk = disk = StoppingDisk(1000)
    rig.begin(submission(video(folder="a"), audio(folder="b")))
    (job_id,) = rig.claims.open
    claim = rig.claim_dir().name
    assert disk.log == [
        f"write .{job_id}.json.part", f"sync .{job_id}.json.part", f"rename {job_id}.json", "sync claims",
        f"mkdir {claim}", "rename anna.mp4", "rename anna.wav",
        f"sync {claim}", "sync processing", "sync a", "sync b",
    ]  # fmt: skip


def test_files_are_back_on_the_disk_before_the_record_goes(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    claim, (job_id,) = rig.claim_dir().name, rig.claims.open
    rig.restart(disk := StoppingDisk(1000))
    rig.claims.find_records()
    rig.claims.take_up(job_id)
    disk.log.clear()
    rig.claims.give_up(rig.claims.open[job_id], "a test")
    assert disk.log[4:] == [
        "rename anna.mp4", "rename anna.wav", "sync inbox",
        f"rmdir {claim}", "sync processing", f"unlink {job_id}.json", "sync claims",
    ]  # fmt: skip


def test_claim_that_is_taken_up_is_made_durable_first(rig):
    drop_pair(rig)
    rig.begin(PAIR)
    rig.restart(disk := StoppingDisk(1000))
    for job_id in rig.claims.find_records():
        rig.claims.take_up(job_id)
    assert disk.log[-2:] == [f"sync {rig.claim_dir().name}", "sync processing"]


# Ids ---------------------------------------------------------------------------------------------------------------


def test_fresh_id_that_is_taken_by_a_record_or_a_folder_is_never_used(rig, monkeypatch):
    rig.restart()
    taken = [new_job_id(rig.wall(), bytes([number] * 7)) for number in range(4)]
    rig.root.claims.joinpath(f"{taken[0]}.json").write_text("somebody's")
    (rig.root.processing / f"anna__{taken[1][-10:-2]}").mkdir()
    ids = iter(taken)
    monkeypatch.setattr(claim_module, "new_job_id", lambda _: next(ids))
    drop_pair(rig)
    assert rig.begin(PAIR)
    assert list(rig.claims.open) == [taken[2]]
    rig.drop("anna.mp4", b"p")
    rig.drop("anna.wav", b"s")
    ids = iter([taken[2], taken[2], taken[3]])
    assert rig.begin(PAIR)
    assert list(rig.claims.open) == taken[2:]


def test_ten_thousand_ids_of_one_millisecond_are_different(rig):
    assert len({new_job_id(rig.wall()) for _ in range(10_000)}) == 10_000


# Disks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("step", ["write", "sync", "rename", "mkdir", "unlink", "rmdir", "create"])
def test_failing_disk_loses_nothing_and_the_claim_goes_on_when_it_is_mended(rig, number, step):
    rig.disk = disk = FullDisk(number, frozenset({step}))
    rig.drop("anna.mp4", b"picture")
    rig.drop("anna.wav", b"sound")
    wanted = submission(video(is_shared=True), audio())
    for _ in range(6):
        try:
            if rig.claims is None or not rig.claims.open:
                rig.begin(wanted)
            rig.look()
        except OSError as error:
            assert error.errno == number, "every other error is a bug"
            rig.claims.open.clear()
    assert sorted(rig.files().values()) == [b"picture", b"sound"]
    disk.failing = frozenset()
    rig.look()
    if not rig.stored and not rig.claims.open:
        assert rig.begin(wanted)
    rig.run(4)
    assert rig.job().audio.sha256 == sha256(b"sound")
    assert rig.leftovers() == []
