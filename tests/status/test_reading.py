"""What is read of store and shares."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from heygemd import places
from heygemd.errors import ADVICE, SetupError
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox.status import RootState, RootStatus, Snapshot, write_status
from heygemd.settings import Settings
from heygemd.status.reading import read_status
from tests.status.rig import NOW, running, shown, tell


def test_without_a_root_there_is_nothing_to_ask():
    with pytest.raises(SetupError, match="--root") as caught:
        read_status(Settings())
    assert caught.value.code == "E401"


def test_a_folder_that_is_no_root_is_refused(tmp_path):
    with pytest.raises(SetupError):
        read_status(Settings(roots=(tmp_path,)))


def test_a_root_that_was_never_served(settings, root):
    found = read_status(settings)
    told = {
        "running": False, "holder": None, "counts": {}, "jobs": [], "results": [], "roots": {str(root.path): {}},
    }  # fmt: skip
    assert told.items() <= found.items()
    assert shown(found).splitlines() == [
        f"daemon: not running (it has never run with {settings.state_dir})",
        f"  start it: heygemd run --root {root.path}",
        "jobs: none",
        f"root {root.path}: never served",
    ]


def test_a_running_daemon_is_seen_by_its_lock(settings):
    with places.locked(settings.state_dir / "lock"):
        found = read_status(settings)
        assert found["running"] is True
        assert f"pid {os.getpid()}" in shown(found).splitlines()[0]
    assert read_status(settings)["running"] is False


def test_jobs_in_work_and_results_are_told_apart(settings, add):
    waiting, working = add("waiting"), add("working", JobState.RUNNING)
    bad = add("bad", JobState.FAILED, error_code="E131", error_message="no face")
    good = add("good", JobState.RUNNING, JobState.DONE)
    found = read_status(settings)
    assert {row["id"] for row in found["jobs"]} == {waiting.id, working.id}
    assert [row["id"] for row in found["results"]] == [good.id, bad.id]
    assert found["counts"] == {"queued": 1, "running": 1, "done": 1, "failed": 1, "cancelled": 0}
    json.dumps(found)


def test_only_the_latest_results_are_listed(settings, add):
    for number in range(22):
        add(f"film {number}", JobState.FAILED)
    assert len(read_status(settings)["results"]) == 20


def test_progress_comes_from_the_share(settings, root, add):
    job = add("working", JobState.RUNNING, folder="客户 A")
    tell(root, running=[running(job) | {"eta_s": 12.4}])
    found = read_status(settings)
    (row,) = found["jobs"]
    assert (row["stage"], row["frames_done"], row["frames_total"], row["eta_s"]) == ("render", 5, 50, 12.4)
    text = shown(found)
    assert "render 5/50, 12 s left" in text
    assert "客户 A/working" in text


def test_an_old_status_is_called_stale(settings, root):
    tell(root, written_at=datetime.now(UTC).isoformat())
    fresh = read_status(settings)["roots"][str(root.path)]
    assert (fresh["stale"], fresh["age_s"] < 60) == (False, True)
    tell(root, written_at=(NOW - timedelta(seconds=90)).isoformat())
    assert read_status(settings)["roots"][str(root.path)]["stale"] is True


def test_a_root_in_trouble_tells_why_and_what_waits(settings, root):
    waiting = [{"path": "lonely.wav", "reason": "no partner", "since": NOW.isoformat()}]
    trouble = {"path": str(root.path), "uuid": root.uuid, "state": "offline", "reason": "the share [away] is gone"}
    tell(root, root=trouble, waiting=waiting)
    text = shown(read_status(settings))
    assert f"root {root.path}: offline (the share [away] is gone)" in text
    assert "  lonely.wav: no partner" in text


def test_manifests_and_wrong_settings_are_told(settings, root):
    batch = {
        "batch": "b",
        "name": "lines",
        "folder": "",
        "kind": "manifest",
        "accepted_at": NOW.isoformat(),
        "rows": 100,
    }
    waiting = [{"path": "lonely.wav", "reason": "no partner", "since": NOW.isoformat(), "why": "PARTNER"}]
    problems = [{"path": "a/.heygemd.toml", "message": "line 3: [unknown] key"}]
    tell(
        root, schema=2, batches=[batch | {"done": 61, "failed": 7}], problems=problems, waiting=waiting, waiting_count=9
    )
    text = shown(read_status(settings))
    assert "  manifest lines: 61 of 100 done, 7 failed" in text
    assert "  a/.heygemd.toml: line 3: [unknown] key" in text
    assert "CONFIG-ERROR.txt beside it says where" in text
    assert "  lonely.wav: waits for its partner\n  and 8 more" in text


def test_the_status_that_the_daemon_writes_is_read_back(settings, root):
    snapshot = Snapshot(
        written_at=NOW, pid=1, host="here", version="0",
        root=RootStatus(path=root.path, uuid=root.uuid, state=RootState.PAUSED, reason="E202 full", code="E202"),
        counts=dict.fromkeys(JobState, 0), queue_ends_at=NOW, advice={"E202": ADVICE["E202"]},
    )  # fmt: skip
    write_status(root.status, snapshot)
    found = read_status(settings)["roots"][str(root.path)]
    assert (found["schema"], found["root"]["code"], found["advice"]["E202"]["title"]) == (
        2,
        "E202",
        ADVICE["E202"].title,
    )


def test_the_status_of_an_older_daemon_is_read(settings, root):
    tell(root, schema=1)
    found = read_status(settings)["roots"][str(root.path)]
    assert (found["schema"], found["batches"], found["waiting_count"]) == (1, [], 0)


def test_every_kind_of_result_is_told_in_a_line(settings, add):
    add("bad", JobState.FAILED, error_code="E131", error_message="no face")
    good = add("good", JobState.RUNNING)
    with JobStore(settings.state_dir / "jobs.sqlite") as store:
        store.set_published_name(good.id, "good.v2.mp4")
        store.move(good.id, JobState.DONE, at=NOW)
    text = shown(read_status(settings))
    assert f"E131 {ADVICE['E131'].title} no face" in text
    assert f"→ {ADVICE['E131'].todo}" in text
    assert "good.v2.mp4" in text
    assert "jobs: 1 done, 1 failed" in text


@pytest.mark.parametrize("name", ["[bold]loud", "odd[/]", "a [link=http://x]b", "100 % [red]"])
def test_names_are_shown_as_they_are(settings, add, name):
    add(name, JobState.FAILED, error_code="E500", error_message="[/red] in a message")
    text = shown(read_status(settings))
    assert name in text
    assert "[/red] in a message" in text


GARBAGE = [
    b"", b"no json", b"[]", b"5", b'"text"', b"null", b"\xff\xfe", b"{}", b'{"written_at": 5}',
    b'{"written_at": "yesterday"}', b'{"written_at": "2025-01-01"}', b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_a_status_file_that_people_spoilt_counts_as_none(settings, root, text):
    (root.status / "status.json").write_bytes(text)
    found = read_status(settings)
    assert found["roots"] == {str(root.path): {}}
    assert "never served" in shown(found)


@pytest.mark.parametrize(
    "fields",
    [
        {"running": 5}, {"running": [1]}, {"running": [{}]}, {"running": None}, {"root": "text"}, {"root": None},
        {"waiting": [1]}, {"waiting": None}, {"batches": [{}]}, {"problems": 5}, {"advice": {"E1": 2}},
        {"waiting_count": "a"},
    ],
    ids=str,
)  # fmt: skip
def test_fields_of_the_wrong_kind_do_no_harm(settings, root, add, fields):
    add("working", JobState.RUNNING)
    tell(root, **fields)
    assert "working" in shown(read_status(settings))


def test_an_eta_that_is_no_number_does_no_harm(settings, root, add):
    job = add("working", JobState.RUNNING)
    tell(root, running=[running(job) | {"eta_s": "soon"}])
    assert "working" in shown(read_status(settings))


def test_a_fifo_in_the_place_of_the_status_is_not_waited_for(settings, root):
    os.mkfifo(root.status / "status.json")

    def too_long(number, frame):
        raise AssertionError("still waiting")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        assert read_status(settings)["roots"] == {str(root.path): {}}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
