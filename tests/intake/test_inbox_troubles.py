"""Files that change or vanish under the inbox's hands, and machines, disks and shares that fail it."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.errors import ResourceError, SetupError
from heygemd.intake.disk import FullDisk
from heygemd.intake.findings import Word
from heygemd.intake.pairing import Why
from heygemd.intake.roots import init_root

HOLD = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"


def test_growing_file_is_not_claimed(rig):
    rig.drop("a.wav")
    for size in range(1, 30):
        rig.drop("a.mp4", b"x" * size)
        assert not rig.look().arrivals
    assert rig.records() == []
    rig.run(8)
    assert len(rig.stored) == 1


def test_file_held_open_by_a_writer_is_not_claimed(rig):
    rig.drop_pair()
    path = rig.root.inbox / "anna.mp4"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"open\n"
        found = rig.run(30)
        assert rig.stored == {}
        assert [waiting.why for waiting in found.waiting] == [Why.ARRIVING]
        assert not found.busy
        holder.stdin.close()
    rig.run()
    assert len(rig.stored) == 1


def test_writer_that_follows_the_file_into_the_claim_gets_it_back(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (claimed,) = rig.root.processing.glob("*/anna.wav")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(claimed)], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == b"open\n"
        rig.run(10)
        assert rig.stored == {}
        assert rig.files() == {"inbox/anna.mp4": b"picture", "inbox/anna.wav": b"sound"}
        holder.stdin.close()
    rig.run()
    assert len(rig.stored) == 1


def test_file_that_changes_after_the_claim_goes_back_and_must_be_quiet_for_longer(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (claimed,) = rig.root.processing.glob("*/anna.wav")
    claimed.write_bytes(b"longer sound")
    rig.look()
    assert rig.files() == {"inbox/anna.mp4": b"picture", "inbox/anna.wav": b"longer sound"}
    assert (rig.records(), list(rig.root.processing.iterdir())) == ([], [])
    looks = 0
    while not rig.records():
        rig.look()
        looks += 1
    assert looks == 4
    rig.run()
    (job,) = rig.stored.values()
    assert job.audio.size_bytes == 12


def test_file_that_changes_while_it_is_probed_goes_back(rig):
    def touching_probe(video: Path, audio: Path):
        audio.write_bytes(b"other")
        return rig.media

    rig.probe = touching_probe
    rig.drop_pair()
    rig.run(7)
    assert rig.stored == {}
    assert set(rig.files()) == {"inbox/anna.mp4", "inbox/anna.wav"}


def test_files_go_back_beside_new_ones_of_the_same_name_and_stay_a_pair(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (claimed,) = rig.root.processing.glob("*/anna.wav")
    rig.drop("anna.mp4", b"new picture")
    claimed.write_bytes(b"changed")
    rig.look()
    assert rig.files() == {
        "inbox/anna (1).mp4": b"picture",
        "inbox/anna (1).wav": b"changed",
        "inbox/anna.mp4": b"new picture",
    }
    rig.run(12)
    assert [job.name for job in rig.stored.values()] == ["anna (1)"]


def test_folder_that_was_deleted_meanwhile_is_made_again(rig):
    rig.drop_pair("s/t/anna")
    while not rig.records():
        rig.look()
    shutil.rmtree(rig.root.inbox / "s")
    (claimed,) = rig.root.processing.glob("*/anna.wav")
    claimed.write_bytes(b"changed")
    rig.look()
    assert set(rig.files()) == {"inbox/s/t/anna.mp4", "inbox/s/t/anna.wav"}


def test_claim_that_somebody_carries_away_is_forgotten(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (folder,) = rig.root.processing.iterdir()
    folder.rename(rig.root.path.parent / "mine")
    rig.run(4)
    assert (rig.records(), rig.stored, list(rig.root.processing.iterdir())) == ([], {}, [])


def test_fault_of_the_machine_pauses_and_fails_nothing(rig):
    faults = [ResourceError("E202", "disk low")]

    def probe(video: Path, audio: Path):
        if faults:
            raise faults[0]
        return rig.media

    rig.probe = probe
    rig.drop_pair()
    found = rig.run(8)
    assert (found.paused, found.busy, rig.stored) == ("E202 disk low", True, {})
    faults.clear()
    found = rig.run(1)
    assert (found.paused, len(rig.stored)) == (None, 1)


def test_missing_tool_is_told_to_the_operator(rig):
    def probe(video: Path, audio: Path):
        raise SetupError("E403", "no ffmpeg")

    rig.probe = probe
    rig.drop_pair()
    with pytest.raises(SetupError):
        rig.run()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("step", ["write", "sync", "rename", "mkdir", "unlink", "rmdir"])
def test_failing_disk_pauses_and_everything_goes_on_when_it_is_mended(rig, number, step):
    disk = FullDisk(number, frozenset({step}))
    rig.disk = disk
    rig.drop_pair()
    found = rig.run(8)
    assert os.strerror(number) in (found.paused or "") or step in ("unlink", "rmdir")
    disk.failing = frozenset()
    rig.run(10)
    (job,) = rig.stored.values()
    assert rig.records() == []
    assert rig.files() == {
        f"processing/{job.claim_dir.name}/anna.mp4": b"picture",
        f"processing/{job.claim_dir.name}/anna.wav": b"sound",
    }


def test_file_exchanged_for_a_link_after_the_claim_is_not_read(rig):
    secret = rig.root.path.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (claimed,) = rig.root.processing.glob("*/anna.mp4")
    claimed.unlink()
    claimed.symlink_to(secret)
    rig.run(10)
    assert rig.stored == {}
    assert (rig.root.inbox / "anna.mp4").is_symlink()
    assert (rig.root.inbox / "anna.wav").read_bytes() == b"sound"


def test_deleted_before_the_claim_is_forgotten(rig):
    rig.drop_pair()
    rig.look()
    (rig.root.inbox / "anna.wav").unlink()
    rig.run(10)
    assert rig.stored == {}
    assert set(rig.files()) == {"inbox/anna.mp4"}


def test_partner_that_vanishes_between_look_and_rename_claims_neither(rig, monkeypatch):
    rig.drop_pair()
    original = rig.root.inbox / "anna.wav"

    class Thief(FullDisk):
        def reach(self, step, path):
            if step == "mkdir":
                original.unlink(missing_ok=True)

    rig.disk = Thief(0, frozenset())
    rig.run(6)
    assert rig.files() == {"inbox/anna.mp4": b"picture"}
    assert (rig.records(), list(rig.root.processing.iterdir()), rig.stored) == ([], [], {})


def test_offline_root_says_so_infers_nothing_and_resumes(rig):
    rig.drop_pair()
    rig.look()
    away = rig.root.path.rename(rig.root.path.with_name("away"))
    found = rig.look()
    assert "no sentinel" in found.offline or "reached" in found.offline
    rig.root.path.mkdir()
    assert "not mounted" in rig.look().offline
    rig.root.path.rmdir()
    init_root(rig.root.path)
    assert "another root" in rig.look().offline
    shutil.rmtree(rig.root.path)
    away.rename(rig.root.path)
    assert rig.look().offline is None
    rig.run()
    assert len(rig.stored) == 1


def test_share_that_goes_with_an_open_claim_resumes_it(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    away = rig.root.path.rename(rig.root.path.with_name("away"))
    rig.word = Word(stored=("20260304T120506789-aaaaaaaaaa",))
    assert rig.look().offline
    away.rename(rig.root.path)
    rig.run()
    assert len(rig.stored) == 1


def test_many_pairs_that_may_not_be_moved_do_not_hold_up_the_others(rig, monkeypatch):
    for number in range(3):
        rig.drop_pair(f"locked/{number}")
    rig.run(2)
    rig.drop_pair("free/a")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, *more: "locked" not in str(path) and real(path, *more))
    monkeypatch.setattr("heygemd.intake.inbox.CLAIMS_PER_LOOK", 1)
    found = rig.run(12)
    assert [job.name for job in rig.stored.values()] == ["a"]
    assert len([waiting for waiting in found.waiting if waiting.why is Why.UNREADABLE]) == 6
    assert not found.settling
    monkeypatch.undo()
    rig.now_s += 100
    rig.run(12)
    assert len(rig.stored) == 4


def test_a_share_that_turned_read_only_pauses_and_is_no_fault_of_its_files(rig, monkeypatch):
    class ReadOnly:
        f_flag, f_bavail, f_frsize = os.ST_RDONLY, 1 << 30, 4096

    rig.drop_pair()
    rig.run(2)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda *_: ReadOnly())
    found = rig.run(4)
    assert "Read-only file system" in found.paused
    assert [waiting.why for waiting in found.waiting] == []
    monkeypatch.undo()
    rig.run(4)
    assert len(rig.stored) == 1


@pytest.mark.parametrize("lot", ["pair", "manifest", "job folder"])
def test_a_share_that_is_exchanged_while_files_are_judged_is_not_written_to(rig, tmp_path, monkeypatch, lot):
    """A look lasts for seconds, and longer where much is inspected."""
    other = init_root(tmp_path / "other").path
    folder = "talk.job/" if lot == "job folder" else ""
    rig.drop(f"{folder}anna.mp4", b"picture")
    rig.drop(f"{folder}anna.wav", b"sound")
    if lot == "manifest":
        rig.drop("m.heygem.json", b'{"heygem": 1, "jobs": [{"id": "e", "video": "anna.mp4", "audio": "anna.wav"}]}')
    shutil.copytree(rig.root.inbox, other / "inbox", dirs_exist_ok=True)
    rig.restart()
    begin, here = rig.inbox._begin, rig.root.path
    before = {path: path.lstat().st_mtime_ns for path in other.rglob("*")}
    paused = set()
    for _ in range(40):
        kept = sorted(here.rglob("*"))

        def exchanged(*args):
            here.rename(tmp_path / "mine")
            other.rename(here)
            begin(*args)
            here.rename(other)
            (tmp_path / "mine").rename(here)

        monkeypatch.setattr(rig.inbox, "_begin", exchanged)
        findings = rig.look()
        assert not findings.arrivals
        assert {path: path.lstat().st_mtime_ns for path in other.rglob("*")} == before
        assert sorted(here.rglob("*")) == kept
        paused.add(findings.paused)
    assert any("another root" in (reason or "") for reason in paused), "it wanted to"
    monkeypatch.undo()
    rig.run(40)
    assert len(rig.stored) == 1
