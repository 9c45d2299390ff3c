"""Manifests, and batches of any kind, on their way from the inbox to jobs and back."""

import errno
import hashlib
import json

import pytest

from heygemd.intake import manifestdesk
from heygemd.intake.disk import PowerCut, StoppingDisk
from heygemd.intake.findings import KnownRows, Word
from heygemd.intake.pairing import Why
from heygemd.jobs.states import JobState
from heygemd.settings import IntakeSettings
from tests.intake.ways import LONG, made, names


def drop_manifest(rig, jobs, name="m.heygem.json", **more):
    return rig.drop(name, json.dumps({"heygem": 1, "jobs": jobs, **more}).encode())


def test_a_manifest_is_claimed_and_each_row_becomes_a_job(rig):
    rig.drop("face.mp4", b"face")
    for number in (1, 2):
        rig.drop(f"ep{number}.wav", f"sound {number}".encode())
    drop_manifest(rig, [{"id": f"e{n}", "video": "face.mp4", "audio": f"ep{n}.wav"} for n in (1, 2)])
    rig.run(LONG)
    (batch,) = rig.batches.values()
    assert set(made(rig)) == {"m/e1", "m/e2"}
    assert names(batch.claim_dir) == ["m.heygem.json"]
    assert names(rig.root.inbox) == ["face.mp4"], "a member of two rows stays until the last has ended"
    assert [job.row.number for job in made(rig).values()] == [1, 2]
    rig.close(batch.id)
    assert names(rig.root.inbox) == []
    assert names(rig.root.done / "2026-01-01" / batch.claim_dir.name) == ["face.mp4", "m.heygem.json"]


def test_a_row_whose_claim_meets_a_fault_is_not_claimed_once_more(rig):
    faults = [OSError(errno.EIO, "Input/output error")] * 2

    def failing_probe(video, audio):
        if faults:
            raise faults.pop()
        return rig.media

    rig.probe = failing_probe
    rig.drop("face.mp4", b"face")
    rig.drop("voice.wav", b"voice")
    drop_manifest(rig, [{"id": f"e{n}", "video": "face.mp4", "audio": "voice.wav"} for n in (1, 2)])
    rig.run(LONG)
    assert faults == []
    assert sorted(job.row.number for job in rig.stored.values()) == [1, 2]


def test_a_member_that_another_manifest_names_stays_when_the_first_is_closed(rig):
    rig.drop("face.mp4")
    rig.drop("a.wav", b"a")
    drop_manifest(rig, [{"video": "face.mp4", "audio": "a.wav"}], "one.heygem.json")
    drop_manifest(rig, [{"video": "face.mp4", "audio": "later.wav"}], "two.heygem.json")
    rig.run(LONG)
    first = next(batch for batch in rig.batches.values() if batch.name == "one")
    rig.close(first.id)
    assert (rig.root.inbox / "face.mp4").exists()


def test_members_are_no_loose_pairs(rig):
    rig.drop("x.mp4")
    drop_manifest(rig, [{"video": "x.mp4", "audio": "missing.wav"}])
    rig.run(12)
    rig.drop("x.wav")
    rig.run(LONG)
    assert rig.stored == {}


def test_pairs_wait_for_a_manifest_that_still_arrives_beside_them(rig):
    rig.drop("a.mp4")
    rig.drop("a.wav")
    rig.run(3)
    path = drop_manifest(rig, [{"id": "e", "video": "a.mp4", "audio": "a.wav"}])
    for _ in range(4):
        rig.look()
        path.write_bytes(path.read_bytes() + b" ")
    rig.run(LONG)
    assert set(made(rig)) <= {"m/e", "a"}


def test_a_row_waits_for_its_files_and_is_failed_when_they_never_come(rig):
    rig.settings = IntakeSettings(reserve_mib=0, orphan_timeout_s=60)
    rig.drop("a.mp4", b"a")
    drop_manifest(rig, [{"id": "late", "video": "a.mp4", "audio": "late.wav"}])
    found = rig.run(20)
    assert rig.stored == {}
    assert [wait.reason for wait in found.row_waits] == ["waiting for late.wav"]
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert (job.state, job.error_code, job.audio) == (JobState.FAILED, "E102", None)
    assert "late.wav" in job.error_message
    assert job.video.path.read_bytes() == b"a"


def test_a_row_with_an_id_whose_files_do_not_come_is_asked_about(rig):
    drop_manifest(rig, [{"id": "e", "video": "a.mp4", "audio": "a.wav"}, {"video": "b.mp4", "audio": "b.wav"}])
    found = rig.run(10)
    assert found.absent == ()
    found = rig.run(90)
    assert [absent.number for absent in found.absent] == [1]
    rig.word = Word(batches=(KnownRows(batch=found.absent[0].batch, rows=frozenset({1})),))
    assert rig.look().absent == ()


def test_a_declared_sum_skips_the_wait_and_must_be_true(rig):
    right = hashlib.sha256(b"sound").hexdigest()
    rig.drop("a.mp4", b"face")
    rig.drop("b.mp4", b"face b")
    drop_manifest(
        rig,
        [
            {"id": "good", "video": "a.mp4", "audio": "a.wav", "sha256": {"audio": right}},
            {"id": "bad", "video": "b.mp4", "audio": "b.wav", "sha256": {"audio": "0" * 64}},
        ],
    )
    rig.run(15)
    rig.drop("a.wav", b"sound")
    rig.drop("b.wav", b"other")
    rig.run(6)
    assert "m/good" in made(rig)
    assert any("manifest" in rung for rung in made(rig)["m/good"].audio.evidence)
    rig.run(20)
    assert "m/bad" not in made(rig)
    rig.now_s += 700
    rig.run(LONG)
    assert made(rig)["m/bad"].error_code == "E112"


def test_a_pattern_waits_until_a_file_fits(rig):
    rig.drop("face.mp4")
    drop_manifest(rig, [{"video": "face.mp4", "audio": "lines/*.wav", "output": "out/{stem}.mp4"}])
    found = rig.run(15)
    assert [waiting.why for waiting in found.waiting] == [Why.MEMBERS]
    for name in ("one", "two"):
        rig.drop(f"lines/{name}.wav", name.encode())
    rig.run(LONG)
    assert set(made(rig)) == {"out/one", "out/two"}


def test_a_manifest_that_cannot_be_read_is_a_failed_job_with_the_file(rig):
    rig.drop("m.heygem.json", b'{"heygem": 1, "jobs": [}')
    rig.run(LONG)
    (job,) = rig.stored.values()
    assert (job.state, job.error_code, job.video, job.audio, job.name) == (JobState.FAILED, "E121", None, None, "m")
    assert "line 1" in job.error_message
    assert names(job.claim_dir) == ["m.heygem.json"]


def test_a_batch_is_announced_until_its_rows_are_known_and_survives_a_restart(rig):
    rig.drop("a.mp4")
    rig.drop("a.wav")
    drop_manifest(rig, [{"id": "e", "video": "a.mp4", "audio": "a.wav"}])
    while not (found := rig.look()).batches:
        pass
    assert rig.look().batches == found.batches
    rig.restart()
    assert rig.look().batches == found.batches
    rig.run(LONG)
    assert set(made(rig)) == {"m/e"}
    rig.restart()
    found = rig.run(LONG)
    assert len(rig.stored) == 1
    assert found.batches == ()


def test_a_stopped_batch_claims_no_further_row(rig):
    rig.drop("a.mp4")
    drop_manifest(rig, [{"id": "e", "video": "a.mp4", "audio": "late.wav"}])
    rig.run(15)
    (batch,) = rig.batches.values()
    rig.word = Word(batches=(KnownRows(batch=batch.id, is_stopped=True),))
    rig.look()
    rig.drop("late.wav")
    rig.run(LONG)
    assert rig.stored == {}
    rig.close(batch.id)
    assert sorted(names(rig.root.inbox)) == ["a.mp4", "late.wav"], "what was not used stays with its people"


def test_what_has_come_since_under_the_name_of_a_used_member_stays(rig):
    rig.drop("a.mp4", b"presenter")
    rig.drop("one.wav", b"first")
    rig.drop("two.wav", b"second")
    drop_manifest(rig, [{"id": name, "video": "a.mp4", "audio": f"{name}.wav"} for name in ("one", "two")])
    rig.run(LONG)
    (batch,) = rig.batches.values()
    pairs = zip(("a.mp4", "one.wav", "two.wav"), (b"presenter", b"first", b"second"), strict=True)
    used = frozenset((name, hashlib.sha256(content).hexdigest()) for name, content in pairs)
    rig.drop("one.wav", b"a new speech")
    rig.close(batch.id, used)
    assert names(rig.root.inbox) == ["one.wav"], "no film was made of it"
    (archived,) = (rig.root.done / "2026-01-01").iterdir()
    assert "a.mp4" in names(archived)


def test_a_bad_row_does_not_decide_which_of_two_pictures_is_meant(rig):
    """Two pictures of one name are never guessed, not even in the look in which a manifest takes one of them away."""
    rig.drop("anna.mp4")
    rig.drop("anna.mov")
    rig.drop("anna.wav")
    drop_manifest(rig, [{"video": "anna.mp4", "audio": "../x.wav"}])
    found = rig.run(LONG)
    assert rig.stored == {}
    assert [waiting.why for waiting in found.waiting] == [Why.AMBIGUOUS]


def test_closing_twice_is_closing_once(rig):
    rig.drop("A.job/x.mp4")
    for name in ("a", "b"):
        rig.drop(f"A.job/{name}.wav", name.encode())
    rig.run(LONG)
    (batch,) = rig.batches.values()
    assert rig.close(batch.id).closed == (batch.id,)
    assert rig.close(batch.id).closed == (batch.id,)
    assert len(names(rig.root.done / "2026-01-01")) == 1


@pytest.mark.parametrize("way", ["manifest", "job folder"])
def test_a_power_cut_at_any_step_of_a_batch_loses_nothing_and_doubles_nothing(make_rig, tmp_path, way):
    def fill(rig):
        if way == "manifest":
            rig.drop("face.mp4", b"face")
            for name in ("a", "b"):
                rig.drop(f"{name}.wav", name.encode())
            drop_manifest(rig, [{"id": name, "video": "face.mp4", "audio": f"{name}.wav"} for name in ("a", "b")])
        else:
            rig.drop("m.job/face.mp4", b"face")
            for name in ("a", "b"):
                rig.drop(f"m.job/{name}.wav", name.encode())

    def finish(rig):
        rig.run(LONG)
        for batch_id in list(rig.batches):
            rig.close(batch_id)

    calm = make_rig(tmp_path / "calm")
    calm.disk = StoppingDisk(10_000)
    fill(calm)
    finish(calm)
    steps = len(calm.disk.log)
    assert steps > 20
    for step in range(steps):
        rig = make_rig(tmp_path / f"{step}")
        fill(rig)
        rig.restart(StoppingDisk(step))
        with pytest.raises(PowerCut):
            finish(rig)
        rig.restart()
        finish(rig)
        rig.restart()
        finish(rig)
        assert sorted(made(rig)) == ["m/a", "m/b"], f"step {step}: {calm.disk.log[step]}"
        assert len(rig.stored) == 2, f"step {step}: {calm.disk.log[step]}"
        assert [path for path in rig.root.inbox.rglob("*") if path.is_file()] == []
        assert names(rig.root.batches) == []
        assert rig.records() == []


def test_many_slow_manifests_are_read_over_several_looks_and_their_files_are_not_taken_for_pairs(rig, monkeypatch):
    """A look that reads hundreds of bombs would last longer than any look may, and its reading would be lost."""
    read, begun_s = manifestdesk.read_manifest, []

    def slowly(*args):
        begun_s.append(rig.now_s)
        rig.now_s += 3.0
        return read(*args)

    monkeypatch.setattr(manifestdesk, "read_manifest", slowly)
    for number in range(7):
        rig.drop(f"{number}/talk.mp4", b"picture %d" % number)
        rig.drop(f"{number}/talk.wav", b"sound")
        drop_manifest(rig, [{"id": "x", "video": "talk.mp4", "audio": "talk.wav"}], name=f"{number}/m.heygem.json")
    most = 0
    for _ in range(LONG):
        before = len(begun_s)
        findings = rig.look()
        assert findings.settling or len(begun_s) in (0, 7), "the next look comes soon"
        rig.store(findings)
        most = max(most, len(begun_s) - before)
    assert len(begun_s) == 7, "each is read once"
    assert most == 2, "what three seconds each allow in five"
    assert set(made(rig)) == {f"{number}/m/x" for number in range(7)}
