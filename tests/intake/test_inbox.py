import errno
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from heygemd.errors import InputError, ResourceError, SetupError
from heygemd.intake import inbox as inbox_module
from heygemd.intake import inspection
from heygemd.intake.disk import FullDisk
from heygemd.intake.inbox import CLAIMS_PER_LOOK, MAX_OPEN_CLAIMS
from heygemd.intake.pairing import Why
from heygemd.intake.roots import init_root
from heygemd.jobs.states import JobState

HOLD = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"


def test_a_pair_becomes_one_job_once(rig):
    rig.drop("Anna.mp4", b"picture")
    rig.drop("anna.wav", b"sound")
    rig.run(20)
    (job,) = rig.stored.values()
    assert (job.name, job.folder, job.state, job.media, job.root) == (
        "anna",
        "",
        JobState.QUEUED,
        rig.media,
        rig.root.uuid,
    )
    assert job.claim_dir == rig.root.processing / f"anna__{job.id8}"
    assert (job.video.path, job.video.name) == (job.claim_dir / "Anna.mp4", "Anna.mp4")
    assert job.audio.path.read_bytes() == b"sound"
    assert job.audio.size_bytes == 5
    assert job.audio.sha256 == hashlib.sha256(b"sound").hexdigest()
    assert set(job.video.evidence) >= {"quiet", "claimed", "hashed"}
    assert rig.records() == []
    assert not list(rig.root.inbox.iterdir())


def test_nothing_is_claimed_before_it_has_been_quiet_twice(rig):
    rig.drop_pair()
    found = [rig.look() for _ in range(8)]
    assert [bool(look.arrivals) for look in found].index(True) == 4
    assert [look.waiting[0].why for look in found[:4]] == [Why.ARRIVING] * 2 + [Why.CHECKING] * 2
    assert all(look.busy for look in found[:4])


def test_a_pair_in_a_sub_folder_keeps_its_folder(rig):
    rig.drop_pair("课程/第一集/你好")
    rig.run()
    (job,) = rig.stored.values()
    assert (job.folder, job.name) == ("课程/第一集", "你好")
    assert (rig.root.inbox / "课程" / "第一集").is_dir()


def test_partners_find_each_other_across_normal_forms(rig):
    rig.drop(unicodedata.normalize("NFD", "café が.mp4"))
    rig.drop("CAFÉ が.wav")
    rig.run()
    (job,) = rig.stored.values()
    assert job.name == "CAFÉ が"


def test_names_of_255_bytes_are_claimed(rig):
    stem = "你" * 83 + "ab"
    rig.drop_pair(stem)
    rig.run()
    (job,) = rig.stored.values()
    assert (job.name, job.state) == (stem, JobState.QUEUED)
    assert len(job.claim_dir.name.encode()) <= 255


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


def test_refused_file_is_a_failed_job_with_its_inputs(rig):
    def strict_probe(video: Path, audio: Path):
        raise InputError("E101", "anna.mp4 is a text")

    rig.probe = strict_probe
    rig.drop_pair()
    rig.run()
    (job,) = rig.stored.values()
    assert (job.state, job.error_code, job.error_message, job.media) == (
        JobState.FAILED,
        "E101",
        "anna.mp4 is a text",
        None,
    )
    assert job.video.path.read_bytes() == b"picture"


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


def test_arrival_is_announced_until_it_is_acknowledged(rig):
    rig.drop_pair()
    while not (first := rig.look()).arrivals:
        pass
    assert rig.look().arrivals == first.arrivals
    rig.restart()
    assert rig.look().arrivals == first.arrivals
    rig.inbox.acknowledge([job.id for job in first.arrivals])
    assert rig.look().arrivals == ()
    rig.restart()
    assert rig.look().arrivals == ()


def test_restart_announces_without_hashing_or_probing_again(rig, monkeypatch):
    rig.drop_pair()
    while not (first := rig.look()).arrivals:
        pass
    rig.probe = None
    monkeypatch.setattr(inspection.Digest, "go_on", None)
    rig.restart()
    assert rig.look().arrivals == first.arrivals


def test_findings_cross_a_pipe(rig):
    rig.drop_pair()
    rig.drop("b.mp4")
    while not (found := rig.look()).arrivals:
        pass
    assert pickle.loads(pickle.dumps(found)) == found


def test_lone_file_waits_and_is_shown_after_a_while(rig):
    rig.drop("a.mp4")
    found = rig.run(40)
    assert (found.waiting, found.busy) == ((), False)
    found = rig.run(40)
    assert [(w.names, w.why) for w in found.waiting] == [(("a.mp4",), Why.PARTNER)]
    rig.drop("a.wav")
    rig.run()
    assert len(rig.stored) == 1


def test_two_videos_of_one_name_stay_and_are_noticed(rig):
    rig.drop_pair("a")
    rig.drop("A.mov")
    found = rig.run(10)
    assert [(w.names, w.why) for w in found.waiting] == [(("A.mov", "a.mp4", "a.wav"), Why.AMBIGUOUS)]
    assert len(rig.files()) == 3
    (rig.root.inbox / "A.mov").unlink()
    rig.run()
    assert len(rig.stored) == 1


def test_refused_names_stay_and_are_noticed(rig):
    Path(os.fsdecode(os.fsencode(rig.root.inbox) + b"/\xc4\xe3.mp4")).write_bytes(b"x")
    rig.drop("\x1b[31m.wav")
    found = rig.run(10)
    assert [(w.names, w.why) for w in found.waiting] == [
        (("\\u001b[31m.wav",), Why.REFUSED_NAME),
        (("\\xc4\\xe3.mp4",), Why.REFUSED_NAME),
    ]
    assert not found.busy


def test_links_pipes_and_folders_are_never_opened(rig):
    secret = rig.root.path.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    (rig.root.inbox / "a.mp4").symlink_to(secret)
    rig.drop("a.wav")
    os.mkfifo(rig.root.inbox / "b.mp4")
    rig.drop("b.wav")
    (rig.root.inbox / "c.mp4").mkdir()
    rig.drop("c.wav")
    rig.run(20)
    assert rig.stored == {}
    assert secret.read_bytes() == b"secret"
    assert (rig.root.inbox / "a.mp4").is_symlink()


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


def test_empty_file_waits_without_keeping_the_daemon_busy(rig):
    rig.drop("a.mp4", b"")
    rig.drop("a.wav")
    found = rig.run(30)
    assert ([w.why for w in found.waiting], found.busy, rig.stored) == ([Why.ARRIVING], False, {})


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


def test_the_same_name_later_is_a_new_job(rig):
    rig.drop_pair()
    rig.run()
    rig.drop_pair()
    rig.run()
    assert len({job.claim_dir for job in rig.stored.values()}) == 2


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
    assert rig.look().offline
    rig.inbox.acknowledge(["20260304T120506789-aaaaaaaaaa"])
    away.rename(rig.root.path)
    rig.run()
    assert len(rig.stored) == 1


def test_claims_of_one_look_are_bounded_and_oldest_go_first(rig):
    for number in range(MAX_OPEN_CLAIMS + 10):
        rig.drop_pair(f"p{number:03d}")
    while not rig.records():
        rig.look()
    assert len(rig.records()) == CLAIMS_PER_LOOK
    rig.drop_pair("a")
    rig.look()
    assert len(rig.records()) == MAX_OPEN_CLAIMS
    rig.run(12)
    assert len(rig.stored) == MAX_OPEN_CLAIMS + 11
    assert [job.name for job in rig.stored.values()][-1] == "a"


def test_hashing_goes_on_over_several_looks(rig, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK_BYTES", 10)
    monkeypatch.setattr(inbox_module, "LOOK_BUDGET_S", 0.5)
    rig.drop("a.mp4", bytes(range(100)))
    rig.drop("a.wav")
    while not rig.records():
        rig.look()
    late = rig.inbox._clock

    def slow_clock() -> float:
        rig.now_s += 0.3
        return late()

    rig.inbox._clock = slow_clock
    looks = 0
    while not rig.stored:
        rig.store(rig.look())
        looks += 1
    assert looks > 5
    (job,) = rig.stored.values()
    assert job.video.sha256 == "bce0aff19cf5aa6a7469a30d61d04e4376e4bbf6381052ee9e7f33925c954d52"


def test_unreadable_folder_is_noticed(rig):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    rig.drop_pair("s/a")
    (rig.root.inbox / "s").chmod(0)
    found = rig.run(4)
    (rig.root.inbox / "s").chmod(0o755)
    assert [w.why for w in found.waiting] == [Why.UNREADABLE]


def test_pair_that_may_not_be_moved_is_noticed_and_does_not_keep_the_daemon_busy(rig, monkeypatch):
    rig.drop_pair()
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = rig.run(30)
    assert {(w.names, w.why) for w in found.waiting} == {
        (("anna.mp4",), Why.UNREADABLE),
        (("anna.wav",), Why.UNREADABLE),
    }
    assert (found.busy, rig.stored, rig.records()) == (False, {}, [])
    monkeypatch.undo()
    rig.run()
    assert len(rig.stored) == 1
