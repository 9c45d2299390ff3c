"""Claim records lie where share users can write: what they say is believed only as far as it could be ours."""

import json
import os

import pytest

from heygemd.intake.disk import Disk
from heygemd.intake.record import read_record, record_file, recorded_sums, write_record
from heygemd.jobs.job import BatchRow, Lane
from tests.intake.claims_rig import AT_ONCE, PAIR, audio, make_rig, record_of, submission, video

FOREIGN_ID = "20260304T120506789-aaaaaaaaaa"
BATCH_ID = "20260304T120506789-bbbbbbbbbb"
SHARED = submission(
    video(is_shared=True, evidence=("name", "no writer")), audio(size_bytes=5), film_folder="lines", priority=3,
    lane=Lane(folder="", most=2), keep_days=9, row=BatchRow(batch=BATCH_ID, number=1, row_id="ep01"),
)  # fmt: skip


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rig = make_rig(tmp_path)
    rig.drop("anna.mp4", b"picture")
    rig.drop("anna.wav", b"sound")
    return rig


def claimed(rig, wanted=PAIR):
    """Let a pair be claimed and inspected; returns the path of the record, complete but not acknowledged."""
    assert rig.begin(wanted, AT_ONCE)
    (claim,) = rig.claims.open.values()
    assert rig.claims.inspect(claim, lambda: False)
    (record,) = rig.root.claims.iterdir()
    return record


def forge(rig, record, **changes) -> None:
    """Change fields of the record, by the way to them (`submission/members/0/name`), and start a new process."""
    fields = json.loads(record.read_text())
    for way, value in changes.items():
        *above, last = way.split("/")
        place = fields
        for step in above:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value
    record.write_text(json.dumps(fields))
    rig.restart()


@pytest.mark.parametrize("wanted", [PAIR, SHARED])
def test_complete_record_is_announced_as_it_was_written(rig, wanted):
    record = claimed(rig, wanted)
    (claim,) = rig.claims.open.values()
    rig.restart()
    rig.look()
    assert list(rig.stored.values()) == [claim.record.job]
    assert not record.exists()


@pytest.mark.parametrize("wanted", [PAIR, SHARED])
def test_record_survives_being_written_and_read(rig, wanted):
    record = record_of(wanted, rig.root, returning=2)
    write_record(Disk(), rig.root, record)
    assert read_record(rig.root, record.job_id) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"submission/members/1/name": "../../secret.wav"},
        {"submission/members/1/name": "/etc/x.wav"},
        {"submission/members/0/name": "anna.txt"},
        {"submission/members/0/folder": "../.."},
        {"submission/members/0/role": "other"},
        {"submission/film_name": "../x"},
        {"submission/film_folder": "/etc"},
        {"submission/base": ".."},
        {"submission/base": "talks"},
        {"submission/whole": "../x"},
        {"submission/markers": [["..", "x.ready"]]},
        {"submission/options/crf": 99},
        {"submission/options/preset": "rm -rf"},
        {"submission/options/engine": "other"},
        {"submission/priority": 1 << 40},
        {"submission/keep_days": -5},
        {"submission/error": ["E999", "-"]},
        {"submission": None},
        {"claim_name": ".."},
        {"claim_name": "other__aaaaaaaa"},
        {"root": "other"},
        {"job_id": FOREIGN_ID},
        {"protocol": 3},
        {"protocol": 1},
        {"returning": -1},
        {"claimed_at": "2026-01-01T00:00:00"},
    ],
)
def test_forged_record_is_left_alone(rig, changes):
    record = claimed(rig)
    forge(rig, record, **changes)
    before = rig.files()
    rig.run(3)
    assert (rig.stored, rig.files(), record.exists()) == ({}, before, True)
    assert rig.claims.open == {}


def test_claim_that_names_itself_as_its_base_is_refused(rig):
    record = claimed(rig)
    forge(rig, record, **{"submission/base": json.loads(record.read_text())["claim_name"]})
    rig.run(3)
    assert rig.stored == {}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b" " * (1 << 21), b"[" * 200_000])
def test_garbage_in_the_claims_folder_is_left_alone(rig, text):
    (rig.root.claims / f"{FOREIGN_ID}.json").write_bytes(text)
    (rig.root.claims / "notes.json").write_bytes(text)
    (rig.root.claims / ".x.json.part").write_bytes(text)
    rig.begin(PAIR)
    rig.run()
    assert len(rig.stored) == 1
    assert rig.leftovers() == [f"{FOREIGN_ID}.json", "notes.json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../../etc"),
        ("folder", "elsewhere"),
        ("published_name", "x.mp4"),
        ("state", "done"),
        ("media", None),
        ("claim_dir", "/etc"),
        ("priority", 9),
        ("turn", -1e9),
        ("content_key", "x"),
        ("lane", None),
        ("row", None),
        ("keep_days", 1),
        ("attempts", -5),
        ("root", "other"),
        ("video", None),
        ("error_code", "E104"),
        ("state", "unheard of"),
    ],
)
def test_forged_job_is_made_anew(rig, key, value):
    record = claimed(rig, SHARED)
    honest = json.loads(record.read_text())["job"]
    forge(rig, record, **{f"job/{key}": value})
    rig.look()
    assert rig.stored == {}
    rig.run(4)
    job = rig.job()
    assert (job.id, job.name, job.published_name, job.attempts) == (honest["id"], "anna", None, 0)
    assert (job.audio.sha256, job.priority) == (honest["audio"]["sha256"], 3)


@pytest.mark.parametrize(
    ("role", "key", "value"),
    [
        ("video", "path", "/etc/passwd"),
        ("audio", "path", "/etc/passwd"),
        ("video", "sha256", "../x"),
        ("video", "sha256", "0" * 64),
        ("audio", "sha256", "../x"),
        ("video", "name", "x.mp4"),
        ("audio", "name", "x.wav"),
        ("audio", "size_bytes", 4),
        ("video", "evidence", ["a\nb"]),
        ("audio", "evidence", ["hashed"]),
    ],
)
def test_forged_input_is_never_followed(rig, role, key, value):
    record = claimed(rig, submission(video(is_shared=True), audio(evidence=("name",))))
    honest = json.loads(record.read_text())["job"]["video"]["path"]
    forge(rig, record, **{f"job/{role}/{key}": value})
    rig.look()
    assert rig.stored == {}
    rig.run(4)
    job = rig.job()
    assert (str(job.video.path), job.audio.path) == (honest, job.claim_dir / "anna.wav")
    assert job.audio.evidence[0] == "name"


def test_input_exchanged_after_its_inspection_is_inspected_again(rig):
    record = claimed(rig)
    (rig.claim_dir() / "anna.wav").write_bytes(b"another sound")
    rig.restart()
    rig.run(5)
    assert rig.job().audio.size_bytes == 13
    assert not record.exists()


def test_record_that_is_a_link_is_not_followed_and_stops_nobody_else(rig):
    record = claimed(rig)
    elsewhere = rig.root.path.parent / "record.json"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    rig.restart()
    rig.drop("bert.mp4", b"picture")
    rig.drop("bert.wav", b"sound")
    rig.begin(submission(video("bert.mp4"), audio("bert.wav"), film_name="bert"))
    rig.run(4)
    assert rig.job().name == "bert"
    assert recorded_sums(rig.root) == set()


# The first version -------------------------------------------------------------------------------------------------


def as_protocol_1(rig, record) -> dict:
    """The record as the first version wrote it."""
    fields = json.loads(record.read_text())
    old = {key: fields[key] for key in ("job_id", "root", "claim_name", "claimed_at", "returning")}
    old |= {"protocol": 1, "folder": "", "video": "anna.mp4", "audio": "anna.wav", "job": fields["job"]}
    new = ("turn", "lane", "keep_days", "row", "content_key", "forgiven", "film_sha256")
    if old["job"] is not None:
        old["job"] = {key: value for key, value in old["job"].items() if key not in new}
        for role in ("video", "audio"):
            old["job"][role]["evidence"] = ["name", "no writer", "quiet", "claimed", "hashed"]
    return old


def test_complete_record_of_the_first_version_is_announced(rig):
    record = claimed(rig)
    record.write_text(json.dumps(as_protocol_1(rig, record)))
    rig.restart()
    rig.look()
    assert rig.job().audio.evidence == ("name", "no writer", "quiet", "claimed", "hashed")
    assert (rig.job().name, rig.leftovers()) == ("anna", [])


def test_open_record_of_the_first_version_goes_on(rig):
    assert rig.begin(PAIR)
    (record,) = rig.root.claims.iterdir()
    record.write_text(json.dumps(as_protocol_1(rig, record)))
    rig.restart()
    rig.run(4)
    assert rig.job().name == "anna"


def test_returning_record_of_the_first_version_is_undone(rig):
    assert rig.begin(PAIR)
    (record,) = rig.root.claims.iterdir()
    record.write_text(json.dumps(as_protocol_1(rig, record) | {"returning": 3}))
    rig.restart()
    rig.look()
    assert set(rig.files()) == {"inbox/anna (3).mp4", "inbox/anna (3).wav"}
    assert rig.leftovers() == []


@pytest.mark.parametrize("changes", [{"audio": "../x.wav"}, {"folder": ".."}, {"video": None}, {"folder": 5}])
def test_forged_record_of_the_first_version_is_left_alone(rig, changes):
    record = claimed(rig)
    record.write_text(json.dumps(as_protocol_1(rig, record) | changes))
    rig.restart()
    rig.run(3)
    assert (rig.stored, record.exists()) == ({}, True)


def test_path_of_a_record_carries_the_job_id(rig):
    assert record_file(rig.root, FOREIGN_ID).name == f"{FOREIGN_ID}.json"
