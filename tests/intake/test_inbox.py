"""From files in the inbox to jobs, and what is said about files that wait."""

import hashlib
import os
import pickle
import unicodedata
from pathlib import Path

import pytest

from heygemd.errors import InputError
from heygemd.intake import inbox as inbox_module
from heygemd.intake import inspection
from heygemd.intake.inbox import CLAIMS_PER_LOOK, MAX_OPEN_CLAIMS
from heygemd.intake.pairing import Why
from heygemd.jobs.states import JobState


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
    assert [rung.split()[0] for rung in job.video.evidence] == [
        "name", "no", "quiet", "no", "structure", "claimed", "hashed",
    ], job.video.evidence  # fmt: skip
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


def test_arrival_is_announced_until_it_is_acknowledged(rig):
    rig.drop_pair()
    while not (first := rig.look()).arrivals:
        pass
    assert rig.look().arrivals == first.arrivals
    rig.restart()
    assert rig.look().arrivals == first.arrivals
    rig.store(first)
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


def test_empty_file_waits_without_keeping_the_daemon_busy(rig):
    rig.drop("a.mp4", b"")
    rig.drop("a.wav")
    found = rig.run(30)
    assert ([w.why for w in found.waiting], found.busy, rig.stored) == ([Why.ARRIVING], False, {})


def test_the_same_name_later_is_a_new_job(rig):
    rig.drop_pair()
    rig.run()
    rig.drop_pair()
    rig.run()
    assert len({job.claim_dir for job in rig.stored.values()}) == 2


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
