"""Power cuts at every step of a claim and of its undoing: nothing lost, nothing twice."""

import json

import pytest

from heygemd.intake.disk import PowerCut, StoppingDisk

PAIR = {"anna.mp4": b"picture", "anna.wav": b"sound"}


def run_until_cut(rig, steps: int, meddle=None) -> bool:
    """Run with a disk that stops after `steps`; True when it did stop."""
    rig.restart(StoppingDisk(steps))
    try:
        for _ in range(9):
            rig.store(rig.look())
            if meddle is not None:
                meddle(rig)
    except PowerCut:
        return True
    return False


def check_whole(rig, wanted: dict[str, bytes]) -> None:
    """Every byte lies in exactly one place, and belongs to exactly one job."""
    (job,) = rig.stored.values()
    assert rig.files() == {f"processing/{job.claim_dir.name}/{name}": content for name, content in wanted.items()}
    assert {job.video.path, job.audio.path} == {job.claim_dir / name for name in wanted}
    assert rig.records() == []
    assert [path.name for path in rig.root.processing.iterdir()] == [job.claim_dir.name]
    assert not list(rig.root.inbox.iterdir())


def test_power_cut_at_every_step_of_a_claim(tmp_path_factory, make_rig):
    steps = 0
    while True:
        rig = make_rig(tmp_path_factory.mktemp("cut"))
        rig.drop_pair()
        was_cut = run_until_cut(rig, steps)
        rig.restart()
        rig.run(10)
        check_whole(rig, PAIR)
        if not was_cut:
            break
        steps += 1
    assert steps > 15


def test_two_power_cuts_in_a_row(tmp_path_factory, make_rig):
    for first in range(0, 20, 3):
        for second in range(0, 20, 3):
            rig = make_rig(tmp_path_factory.mktemp("cut"))
            rig.drop_pair()
            run_until_cut(rig, first)
            run_until_cut(rig, second)
            rig.restart()
            rig.run(10)
            check_whole(rig, PAIR)


def change_once(rig) -> None:
    """A writer that the rename did not stop adds to the sound; somebody drops a new picture of the same name."""
    for claimed in rig.root.processing.glob("*/anna.wav"):
        if claimed.read_bytes() == b"sound":
            claimed.write_bytes(b"sound and more")
            rig.drop("anna.mp4", b"another picture")


def test_power_cut_at_every_step_of_giving_a_claim_up(tmp_path_factory, make_rig):
    steps = 0
    while True:
        rig = make_rig(tmp_path_factory.mktemp("cut"))
        rig.drop_pair()
        was_cut = run_until_cut(rig, steps, change_once)
        rig.restart()
        for _ in range(20):
            rig.store(rig.look())
            change_once(rig)
        contents = sorted(rig.files().values())
        assert contents == [b"another picture", b"picture", b"sound and more"]
        assert [job.audio.size_bytes for job in rig.stored.values()] == [len(b"sound and more")]
        assert [job.video.size_bytes for job in rig.stored.values()] == [len(b"picture")]
        assert rig.records() == []
        if not was_cut:
            break
        steps += 1
    assert steps > 25


def test_half_renamed_pair_goes_back(rig):
    rig.drop_pair()
    rig.restart(StoppingDisk(6))
    with pytest.raises(PowerCut):
        rig.run()
    assert sorted(path.split("/")[0] for path in rig.files()) == ["inbox", "processing"]
    rig.restart()
    rig.look()
    assert rig.files() == {"inbox/anna.mp4": b"picture", "inbox/anna.wav": b"sound"}
    assert rig.records() == []


def claimed(rig):
    """Drop a pair and let it be claimed; returns the path of the record, complete but not acknowledged."""
    rig.drop_pair()
    while not rig.look().arrivals:
        pass
    (record,) = rig.root.claims.iterdir()
    return record


def forge(rig, record, **changes) -> None:
    fields = json.loads(record.read_text())
    record.write_text(json.dumps({**fields, **changes}))
    rig.restart()


@pytest.mark.parametrize(
    "changes",
    [
        {"audio": "../../secret.wav"},
        {"audio": "/etc/x.wav"},
        {"audio": "a/b.wav"},
        {"video": "anna.txt"},
        {"video": "\x1b.mp4"},
        {"folder": "../.."},
        {"folder": "/etc"},
        {"folder": "a//b"},
        {"folder": ".heygemd"},
        {"claim_name": ".."},
        {"claim_name": "other__aaaaaaaa"},
        {"root": "other"},
        {"job_id": "20260304T120506789-aaaaaaaaaa"},
        {"protocol": 2},
        {"returning": -1},
        {"claimed_at": "2026-01-01T00:00:00"},
    ],
)
def test_forged_record_is_left_alone(rig, changes):
    record = claimed(rig)
    forge(rig, record, **changes)
    before = rig.files()
    found = rig.run(5)
    assert (found.arrivals, rig.stored, rig.files()) == ((), {}, before)
    assert record.exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b" " * (1 << 21)])
def test_garbage_in_the_claims_folder_is_left_alone(rig, text):
    (rig.root.claims / "20260304T120506789-aaaaaaaaaa.json").write_bytes(text)
    (rig.root.claims / "notes.json").write_bytes(text)
    (rig.root.claims / ".x.json.part").write_bytes(text)
    rig.drop_pair()
    rig.run()
    assert len(rig.stored) == 1
    assert rig.records() == ["20260304T120506789-aaaaaaaaaa.json", "notes.json"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../../etc"),
        ("published_name", "x.mp4"),
        ("state", "done"),
        ("media", None),
        ("claim_dir", "/etc"),
        ("priority", 9),
        ("attempts", -5),
        ("root", "other"),
    ],
)
def test_forged_job_is_made_anew(rig, key, value):
    record = claimed(rig)
    honest = json.loads(record.read_text())["job"]
    forge(rig, record, job={**honest, key: value})
    assert rig.look().arrivals == ()
    rig.run(4)
    (job,) = rig.stored.values()
    assert job.id == honest["id"]
    assert (job.name, job.published_name, job.attempts) == ("anna", None, 0)
    assert job.audio.sha256 == honest["audio"]["sha256"]


def test_forged_paths_of_inputs_are_never_followed(rig):
    record = claimed(rig)
    job = json.loads(record.read_text())["job"]
    forge(rig, record, job={**job, "video": {**job["video"], "path": "/etc/passwd"}})
    rig.run(5)
    (job,) = rig.stored.values()
    assert job.video.path.parent == job.claim_dir


def test_input_exchanged_after_its_inspection_is_inspected_again(rig):
    record = claimed(rig)
    (audio,) = rig.root.processing.glob("*/anna.wav")
    audio.write_bytes(b"another sound")
    rig.restart()
    rig.run(5)
    (job,) = rig.stored.values()
    assert job.audio.size_bytes == 13
    assert not record.exists()


def test_record_that_is_a_link_is_not_followed(rig):
    record = claimed(rig)
    elsewhere = rig.root.path.parent / "record.json"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    rig.restart()
    assert rig.run(3).arrivals == ()
    assert rig.stored == {}


def test_second_name_left_by_a_cut_link_rename_is_not_a_second_job(rig):
    rig.drop_pair()
    while not rig.records():
        rig.look()
    (claimed_file,) = rig.root.processing.glob("*/anna.mp4")
    (rig.root.inbox / "anna.mp4").hardlink_to(claimed_file)
    rig.restart()
    rig.run()
    check_whole(rig, PAIR)
