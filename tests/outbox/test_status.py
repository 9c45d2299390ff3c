import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from heygemd.errors import ADVICE, ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.status import (
    LastResult,
    QueuedJob,
    RootState,
    RootStatus,
    RunningJob,
    Snapshot,
    WaitingFile,
    write_status,
)


@pytest.fixture
def snapshot(samples, root) -> Snapshot:
    now = samples.now
    return Snapshot(
        written_at=now,
        pid=1,
        host="h",
        version="0",
        root=RootStatus(path=root.path, uuid=root.uuid, state=RootState.PAUSED, reason="E202 disk", code="E202"),
        counts=dict.fromkeys(JobState, 0) | {JobState.QUEUED: 1},
        running=(
            RunningJob(job="j1", name="安娜", folder="", stage="render", frames_done=5, frames_total=50, eta_s=9.5),
        ),
        queue=(QueuedJob(job="j2", name="<script>", folder="a", queued_at=now),),
        waiting=(WaitingFile(path="lone.wav", reason="no partner", since=now),),
        results=(LastResult(job="j0", name="x", folder="", state=JobState.DONE, finished_at=now, output="x.mp4"),),
        advice={"E202": ADVICE["E202"]},
    )


def test_status_says_what_the_snapshot_says(root, snapshot) -> None:
    write_status(root.status, snapshot)
    told = json.loads((root.status / "status.json").read_text(encoding="utf-8"))
    assert list(told) == [*Snapshot.__dataclass_fields__]
    assert told["schema"] == 2
    assert told["root"] == {
        "path": str(root.path), "uuid": "root-uuid", "state": "paused", "reason": "E202 disk", "code": "E202",
    }  # fmt: skip
    assert told["counts"] == {"queued": 1, "running": 0, "done": 0, "failed": 0, "cancelled": 0}
    assert (told["running"][0]["name"], told["running"][0]["eta_s"]) == ("安娜", 9.5)
    assert told["queue"][0]["queued_at"] == "2025-01-31T12:00:00.000Z"
    assert told["waiting"][0]["reason"] == "no partner"
    assert told["results"][0]["state"] == "done"
    assert told["advice"]["E202"]["title_zh"] == ADVICE["E202"].title_zh


def test_status_is_replaced_whole_or_not_at_all(root, snapshot, tree) -> None:
    write_status(root.status, snapshot)
    before = tree(root.status)

    def full(step: int, call: str) -> None:
        if call == "write":
            raise OSError(28, "no space left")

    with pytest.raises(ResourceError) as caught:
        write_status(root.status, replace(snapshot, pid=2), disk=FaultyDisk(full))
    assert caught.value.code == "E202"
    assert tree(root.status) == before
    write_status(root.status, replace(snapshot, pid=2))
    assert json.loads((root.status / "status.json").read_text())["pid"] == 2
    assert list(tree(root.status)) == ["index.html", "status.json"]


def test_status_on_a_share_that_is_gone_is_e201(root, snapshot) -> None:
    root.status.rmdir()
    with pytest.raises(ResourceError) as caught:
        write_status(root.status, snapshot)
    assert caught.value.code == "E201"


@pytest.mark.parametrize("name", ["status.json", "index.html"])
def test_link_in_place_of_a_status_file_is_replaced_not_followed(root, snapshot, tmp_path, name) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (root.status / name).symlink_to(precious)
    (root.status / f".{name}.part").symlink_to(precious)
    write_status(root.status, snapshot)
    assert precious.read_text() == "keep"
    assert not (root.status / name).is_symlink()
    assert not (root.status / f".{name}.part").is_symlink()


def test_a_pipe_in_place_of_the_page_is_replaced_not_waited_for(root, snapshot) -> None:
    os.mkfifo(root.status / "index.html")
    write_status(root.status, snapshot)
    assert (root.status / "index.html").is_file()


def test_page_says_what_the_status_says(root, snapshot) -> None:
    write_status(root.status, snapshot)
    page = (root.status / "index.html").read_text(encoding="utf-8")
    assert "安娜" in page
    assert "<script>" not in page.partition('id="told">')[2].partition("</script>")[0]


def test_page_that_says_the_same_is_left_alone_for_a_while(root, snapshot) -> None:
    page = root.status / "index.html"

    def write(after_s: float, **changes: object) -> int:
        write_status(
            root.status, replace(snapshot, written_at=snapshot.written_at + timedelta(seconds=after_s), **changes)
        )
        return page.stat().st_ino

    first = write(0)
    assert write(5) == first
    assert json.loads((root.status / "status.json").read_text())["written_at"].endswith("12:00:05.000Z")
    second = write(20)
    assert second != first
    assert write(21, pid=2) != second


def test_a_page_that_cannot_be_written_leaves_the_status_written(root, snapshot) -> None:
    (root.status / "index.html").mkdir()
    with pytest.raises(ResourceError):
        write_status(root.status, snapshot)
    assert json.loads((root.status / "status.json").read_text())["pid"] == 1
    assert sorted(path.name for path in root.status.iterdir()) == ["index.html", "status.json"]
