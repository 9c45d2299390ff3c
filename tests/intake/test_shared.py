"""Inputs that several jobs need: they stay where they are, and every job gets what was there when it was claimed."""

import errno
import fcntl
import hashlib
import os
import subprocess
import sys

import pytest

from heygemd.errors import InputError
from heygemd.intake import inspection
from heygemd.intake import shared as shared_module
from heygemd.intake.disk import Disk, FullDisk, PowerCut, StoppingDisk
from heygemd.intake.filesystems import is_local
from heygemd.intake.inspection import look_at
from heygemd.intake.shared import SharedCopies, copy_file, suffix_of
from heygemd.intake.submission import Role
from tests.intake.claims_rig import AT_ONCE, MEDIA, audio, make_rig, submission, video

HOLD = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
JOB_ID = "20260304T120506789-aaaaaaaaaa"
PICTURE = b"picture"
COPY = f"{hashlib.sha256(PICTURE).hexdigest()}.mp4"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rig = make_rig(tmp_path)
    rig.drop("_default.MP4", PICTURE)
    return rig


def row(rig, number: int, picture: str = "_default.MP4"):
    rig.drop(f"{number}.wav", f"sound {number}".encode())
    return submission(video(picture, is_shared=True), audio(f"{number}.wav"), film_name=str(number))


class CountingDisk(Disk):
    def __init__(self) -> None:
        self.slices = 0

    def copy_slice(self, *args) -> int:
        self.slices += 1
        return super().copy_slice(*args)

    def clone(self, source_fd: int, path) -> bool:
        return False


def begin_copy(rig, disk=None, name: str = "_default.MP4"):
    """A copy on its own, as a claim begins it."""
    copies = SharedCopies(rig.root, disk or CountingDisk())
    copies.prepare(())
    source = rig.root.inbox / name
    seen = look_at(source, at_s=0, is_local=is_local(source))
    return copies.begin(source, seen, JOB_ID, Role.VIDEO, is_local=is_local(source))


def test_shared_member_stays_and_the_job_gets_a_private_copy(rig):
    rig.begin(row(rig, 1))
    rig.run(3)
    job = rig.job()
    assert (rig.root.inbox / "_default.MP4").read_bytes() == PICTURE
    assert rig.copies() == {COPY: PICTURE}
    assert (job.video.name, job.video.path) == ("_default.MP4", rig.root.shared / COPY)
    assert job.video.evidence == ("copied", "hashed")
    assert job.audio.path == job.claim_dir / "1.wav"
    assert rig.leftovers() == []


def test_probe_sees_the_copy_and_never_the_shared_file(rig):
    asked = []
    rig.probe = lambda picture, sound: asked.append((picture.parent, sound.parent)) or MEDIA
    rig.begin(row(rig, 1), AT_ONCE)
    (claim,) = rig.claims.open.values()
    rig.claims.inspect(claim, lambda: False)
    assert asked == [(rig.root.shared, claim.record.claim_dir(rig.root))]


def test_later_change_of_the_shared_file_does_not_reach_the_job(rig):
    rig.begin(row(rig, 1))
    rig.run(3)
    rig.drop("_default.MP4", b"another")
    assert rig.job().video.path.read_bytes() == PICTURE
    rig.begin(row(rig, 2))
    rig.run(3)
    assert sorted(rig.copies().values()) == [b"another", PICTURE]


def test_shared_member_must_be_quiet_like_every_other(rig):
    rig.begin(row(rig, 1))
    rig.look()
    assert rig.stored == {}
    rig.look()
    assert len(rig.stored) == 1


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda path: path.write_bytes(b"changed"), "changed"),
        (lambda path: path.unlink(), "gone"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "exchanged"),
    ],
)
def test_claim_is_given_up_when_its_shared_member_changes_or_vanishes(rig, act, reason):
    rig.begin(row(rig, 1))
    act(rig.root.inbox / "_default.MP4")
    rig.look()
    assert rig.reasons == [reason]
    assert rig.went_back == {("", "1.wav"): ("", "1.wav")}
    assert (rig.root.inbox / "1.wav").exists()
    assert (rig.folders(), rig.leftovers(), rig.copies()) == ([], [], {})


def test_claim_is_given_up_when_somebody_writes_to_its_shared_member(rig):
    rig.begin(row(rig, 1))
    path = rig.root.inbox / "_default.MP4"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == b"open\n"
        rig.look()
        holder.stdin.close()
    assert rig.reasons == ["has a writer"]


def test_folder_of_a_shared_member_that_becomes_a_link_is_not_followed(rig):
    rig.drop("s/anna.mp4", PICTURE)
    rig.drop("1.wav", b"sound")
    rig.begin(submission(video(folder="s", is_shared=True), audio("1.wav")))
    moved = (rig.root.inbox / "s").rename(rig.root.path.parent / "away")
    (rig.root.inbox / "s").symlink_to(moved)
    rig.look()
    assert rig.reasons == ["gone"]


def test_a_thousand_rows_that_name_one_presenter_copy_it_once(rig):
    rig.disk = disk = CountingDisk()
    for number in range(1000):
        assert rig.begin(row(rig, number), AT_ONCE)
    rig.look()
    assert len(rig.stored) == 1000
    assert {job.video.path for job in rig.stored.values()} == {rig.root.shared / COPY}
    assert disk.slices == 1


def test_copy_that_was_swept_meanwhile_is_made_again(rig):
    rig.begin(row(rig, 1), AT_ONCE)
    rig.look()
    (rig.root.shared / COPY).unlink()
    rig.begin(row(rig, 2), AT_ONCE)
    rig.look()
    assert rig.copies() == {COPY: PICTURE}


def test_same_content_under_two_names_is_kept_once_for_each_suffix(rig):
    rig.drop("b.mp4", PICTURE)
    rig.drop("c.mov", PICTURE)
    for number, picture in enumerate(("_default.MP4", "b.mp4", "c.mov")):
        rig.begin(row(rig, number, picture), AT_ONCE)
    rig.look()
    assert set(rig.copies()) == {COPY, COPY.replace("mp4", "mov")}


def test_copy_of_an_earlier_process_is_used_again(rig):
    (rig.root.shared / COPY).write_bytes(PICTURE)
    before = (rig.root.shared / COPY).stat().st_ino
    rig.begin(row(rig, 1), AT_ONCE)
    rig.look()
    assert (rig.root.shared / COPY).stat().st_ino == before
    assert (len(rig.stored), rig.leftovers()) == (1, [])


def test_file_of_another_size_under_the_name_of_a_copy_is_replaced(rig):
    (rig.root.shared / COPY).write_bytes(b"torn")
    rig.begin(row(rig, 1), AT_ONCE)
    rig.look()
    assert (rig.copies(), rig.leftovers()) == ({COPY: PICTURE}, [])


def test_declared_sum_is_that_of_the_copy(rig):
    rig.drop("1.wav", b"sound")
    wrong = submission(video("_default.MP4", is_shared=True, sha256="0" * 64), audio("1.wav"))
    rig.begin(wrong)
    rig.run(3)
    assert rig.reasons == ["not the declared sha256"]
    assert (rig.root.inbox / "1.wav").exists()


def test_failed_row_keeps_a_copy_of_its_shared_member_too(rig):
    rig.begin(submission(video("_default.MP4", is_shared=True), error=("E112", "-")), AT_ONCE)
    rig.look()
    assert rig.job().video.path == rig.root.shared / COPY


# Slices ------------------------------------------------------------------------------------------------------------


def test_copy_pauses_between_slices_and_goes_on(rig, monkeypatch):
    monkeypatch.setattr(shared_module, "SLICE_BYTES", 3)
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 4)
    copy = begin_copy(rig)
    answers = [copy.go_on(lambda: True) for _ in range(6)]
    assert answers == [False, False, False, False, True, True]
    assert (copy.path.name, copy.path.read_bytes()) == (COPY, PICTURE)


def test_source_that_changes_between_slices_is_noticed_and_no_part_stays(rig, monkeypatch):
    monkeypatch.setattr(shared_module, "SLICE_BYTES", 3)
    copy = begin_copy(rig)
    copy.go_on(lambda: True)
    rig.drop("_default.MP4", b"changed")
    with pytest.raises(InputError, match="changed"):
        copy.go_on(lambda: True)
    assert rig.leftovers() == []


def test_source_that_changes_while_the_copy_is_hashed_is_noticed(rig, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 4)
    copy = begin_copy(rig)
    assert not copy.go_on(lambda: copy._digest is not None)
    rig.drop("_default.MP4", b"changed")
    with pytest.raises(InputError, match="changed"):
        copy.go_on(lambda: False)
    assert (rig.copies(), rig.leftovers()) == ({}, [])


def test_copy_is_hashed_and_not_the_source(rig):
    class Rotten(CountingDisk):
        def sync_file(self, path) -> None:
            path.write_bytes(b"PICTURE")

    copy = begin_copy(rig, Rotten())
    assert copy.go_on(lambda: False)
    assert copy.sha256 == hashlib.sha256(b"PICTURE").hexdigest()


def test_source_that_is_gone_is_told_as_a_change(rig):
    copy = begin_copy(rig)
    (rig.root.inbox / "_default.MP4").unlink()
    with pytest.raises(InputError, match="gone"):
        copy.go_on(lambda: False)


@pytest.mark.parametrize("step", ["write", "create", "sync", "rename"])
def test_full_disk_leaves_no_part_and_the_copy_is_begun_anew(rig, step):
    disk = FullDisk(errno.ENOSPC, frozenset({step}))
    copy = begin_copy(rig, disk)
    with pytest.raises(OSError, match="No space"):
        copy.go_on(lambda: False)
    assert rig.leftovers() == []
    disk.failing = frozenset()
    assert copy.go_on(lambda: False)
    assert rig.copies() == {COPY: PICTURE}


def test_blocks_are_shared_where_the_file_system_can(rig, monkeypatch):
    def clone(target_fd: int, request: int, source_fd: int) -> int:
        assert request == 0x40049409
        os.write(target_fd, os.pread(source_fd, 100, 0))
        return 0

    disk = Disk()
    monkeypatch.setattr(disk, "copy_slice", None)
    monkeypatch.setattr(fcntl, "ioctl", clone)
    copy = begin_copy(rig, disk)
    assert copy.go_on(lambda: False)
    assert rig.copies() == {COPY: PICTURE}


# Parts and sweeping ------------------------------------------------------------------------------------------------


def test_power_cut_at_every_step_of_a_copy_leaves_a_whole_copy_or_none(rig):
    steps = 0
    while True:
        copy = begin_copy(rig, StoppingDisk(steps))
        try:
            copy.go_on(lambda: False)
        except PowerCut:
            assert rig.copies() in ({}, {COPY: PICTURE})
            SharedCopies(rig.root, Disk()).prepare(())
            assert rig.leftovers() == []
            steps += 1
        else:
            break
    assert steps >= 6


def test_parts_of_unknown_claims_are_swept_and_those_of_open_ones_kept(rig):
    rig.begin(row(rig, 1))
    (job_id,) = rig.claims.open
    tmp = rig.root.private / "tmp"
    for name in (f"{job_id}-video.part", f"{JOB_ID}-video.part", "other-video.part", f"{JOB_ID}-video.partial"):
        (tmp / name).write_bytes(b"half")
    rig.claims.find_records()
    left = {f"{job_id}-video.part", "other-video.part", f"{JOB_ID}-video.partial"}
    assert {path.name for path in tmp.iterdir()} == left


def sweepable(rig) -> list[str]:
    return sorted(path.name for path in rig.root.shared.iterdir())


def test_copies_that_nobody_needs_are_swept_and_foreign_names_left(rig):
    rig.begin(row(rig, 1), AT_ONCE)
    rig.look()
    foreign = ["notes.txt", f"{'0' * 63}.mp4", f"{'A' * 64}.mp4"]
    for name in foreign:
        (rig.root.shared / name).touch()
    (rig.root.shared / f"{'1' * 64}.mp4").mkdir()
    assert rig.claims.sweep_shared(frozenset({COPY})) == 0
    assert rig.claims.sweep_shared(frozenset()) == 1
    assert sweepable(rig) == sorted([*foreign, f"{'1' * 64}.mp4"])


def test_copy_of_an_open_claim_is_not_swept(rig, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 2)
    rig.begin(row(rig, 1), AT_ONCE)
    (claim,) = rig.claims.open.values()
    while not rig.copies():
        assert not rig.claims.inspect(claim, lambda: True)
    assert rig.claims.sweep_shared(frozenset()) == 0
    assert rig.claims.inspect(claim, lambda: False)


def test_copy_of_a_job_that_the_store_has_not_acknowledged_is_not_swept(rig):
    rig.begin(row(rig, 1), AT_ONCE)
    (claim,) = rig.claims.open.values()
    assert rig.claims.inspect(claim, lambda: False)
    rig.restart()
    assert rig.claims.sweep_shared(frozenset()) == 0
    rig.look()
    assert rig.claims.sweep_shared(frozenset()) == 1


def test_copy_named_by_a_record_nobody_understands_is_not_swept(rig):
    (rig.root.shared / COPY).write_bytes(PICTURE)
    (rig.root.claims / f"{JOB_ID}.json").write_text(f'{{"protocol": 9, "x": "{COPY}"}}')
    rig.restart()
    rig.look()
    assert rig.claims.sweep_shared(frozenset()) == 0


def test_sweeping_before_anything_was_shared_finds_nothing(rig):
    rig.restart()
    rig.root.shared.rmdir()
    assert rig.claims.sweep_shared(frozenset()) == 0


@pytest.mark.parametrize(("name", "suffix"), [("a.MP4", ".mp4"), ("a.b.WebM", ".webm"), ("a", ""), ("x.tſ", ".ts")])
def test_copy_has_the_suffix_of_its_source_in_lower_case(rig, name, suffix):
    assert suffix_of(name) == suffix
    assert copy_file(rig.root, "0" * 64, name).name == "0" * 64 + suffix
