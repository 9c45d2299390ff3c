"""A daemon that is killed, or whose disk refuses, ends as if nothing had been; and the judge sees it when it does not.

A few points of one small scene. All of them: `make faults`.
"""

import json
import shutil
import sqlite3
from argparse import Namespace

import pytest

from heygemd.jobs.states import JobState
from tests.faults.crashes import Point, Stage
from tests.faults.everywhere import points_of, read_results
from tests.faults.judge import Sightings, broken_promises, differences, take_account
from tests.faults.scene import Grounds, make_template
from tests.faults.syscalls import IS_KNOWN_MACHINE

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_KNOWN_MACHINE, reason="the tracer needs x86-64"),
]
SCENE = "default"
POINTS = (
    ("kill twice", "R/inbox/talks/hello.wav > R/processing/"),
    ("kill", "R/outbox/talks/.hello.ID.part > R/outbox/talks/hello.mp4"),
    ("kill one", "SEGMENT.mp4.part > S/work/JOB/segments-HASH/SEGMENT.mp4"),
    ("half", "daemon pwrite64 S/jobs.sqlite-wal"),
    ("ENOSPC", "R/.heygemd/claims/.JOB.json.part"),
    ("EIO", "daemon write S/work/JOB/plan.json.part"),
)
"""What happens, and in the middle of which changes."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Where points are tried."""
    folder = tmp_path_factory.mktemp("faults")
    return Stage(folder / "stage", make_template(folder / "template"))


@pytest.fixture(scope="module")
def kept(stage, tmp_path_factory):
    """The reference, and the folder of the run that it was made of."""
    reference = stage.record(SCENE)
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    shutil.copytree(stage.grounds.root.parent, folder)
    return reference, folder


@pytest.fixture
def reference(kept):
    """What comes of the scene when nothing disturbs it."""
    return kept[0]


@pytest.fixture
def ended(kept, tmp_path):
    """A copy of the undisturbed run, to be damaged."""
    shutil.copytree(kept[1], tmp_path / "run")
    return Grounds.in_folder(tmp_path / "run")


@pytest.mark.parametrize(("act", "what"), POINTS, ids=[f"{act}-{number}" for number, (act, _) in enumerate(POINTS)])
def test_nothing_is_lost_doubled_or_left_behind(stage, reference, act, what):
    name, count = next((name, count) for name, count in reference.names.items() if what in name)
    result = stage.try_point(Point(scene=SCENE, act=act, name=name, number=(count + 1) // 2), reference)
    assert result.violations == []
    assert result.is_reached


# The judge --------------------------------------------------------------------------------------------------------


def wrong_with(grounds, reference, seen=None):
    return [*broken_promises(grounds, seen), *differences(reference.account, take_account(grounds))]


def change_store(grounds, sql):
    db = sqlite3.connect(grounds.state / "jobs.sqlite")
    with db:
        db.execute(sql)
    db.close()


def log(grounds, **line):
    with (grounds.logs / "00.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def film(grounds):
    return grounds.root / "outbox/talks/hello.mp4"


def done_with(grounds, name):
    (found,) = grounds.root.glob(f"done/*/*/{name}")
    return found


DAMAGE = {
    "a film is lost": lambda run: film(run).unlink(),
    "a film is not the one of its report": lambda run: film(run).write_bytes(b"half"),
    "a report is lost": lambda run: film(run).with_name("hello.mp4.json").unlink(),
    "a film is there twice": lambda run: shutil.copy(film(run), film(run).with_name("hello.v2.mp4")),
    "a picture is lost": lambda run: film(run).with_name("hello.jpg").unlink(),
    "a part is left": lambda run: film(run).with_name(".hello.abcdefgh.part").touch(),
    "an original is lost": lambda run: done_with(run, "hello.wav").unlink(),
    "an original is changed": lambda run: done_with(run, "hello.wav").write_bytes(b"changed"),
    "an original is put away twice": lambda run: shutil.copytree(
        done_with(run, "hello.wav").parent, run.root / "done/2026-01-01/hello__aaaaaaaa"
    ),
    "what stays was taken": lambda run: (run.inbox / "talks/_default.mp4").unlink(),
    "a claim is left": lambda run: (run.root / "processing/hello__abcdefgh").mkdir(),
    "a record is left": lambda run: (run.root / ".heygemd/claims/x.json").touch(),
    "work is left": lambda run: (run.state / "work/x").mkdir(),
    "a failed job is lost": lambda run: shutil.rmtree(next((run.root / "failed").iterdir())),
    "a failed job has no reason": lambda run: next(run.root.glob("failed/*/REASON.txt")).write_text("it failed"),
    "a line of the events is lost": lambda run: cut_lines(run, slice(0, -1)),
    "a line of the events is doubled": lambda run: cut_lines(run, [0, 0]),
    "half a line is left": lambda run: cut_lines(run, slice(0, None), b'{"seq": 9'),
    "a state is wrong": lambda run: change_store(run, "UPDATE job SET state = 'failed' WHERE name = 'hello'"),
    "a job is lost": lambda run: change_store(run, "UPDATE job SET name = 'other' WHERE name = 'hello'"),
    "an event is missing": lambda run: change_store(run, "DELETE FROM event WHERE state = 'running'"),
    "it was done twice": lambda run: change_store(run, doubled("done")),
    "it was published twice": lambda run: [
        log(run, event="outbox.published", job_id="x", already=False, level="info") for _ in range(2)
    ],
    "there was a fault": lambda run: log(run, event="daemon.tick_failed", level="error"),
}


def cut_lines(run, chosen, more=b""):
    file = run.state / "events.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    kept = lines[chosen] if isinstance(chosen, slice) else [*(lines[number] for number in chosen), *lines[1:]]
    file.write_bytes(b"".join(kept) + more)


def doubled(state):
    return (
        "INSERT INTO event (job_id, at, state, attempts) SELECT job_id, at, state, attempts FROM event "
        f"WHERE state = '{state}' ORDER BY seq DESC LIMIT 1"
    )


def test_undisturbed_run_is_like_itself(ended, reference):
    assert wrong_with(ended, reference, Sightings()) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_judge_sees_that(ended, reference, damage):
    DAMAGE[damage](ended)
    assert wrong_with(ended, reference) != []


def test_judge_sees_a_start_that_was_not_counted(ended, reference):
    change_store(ended, "UPDATE event SET attempts = 0 WHERE state = 'running'")
    assert [line for line in wrong_with(ended, reference) if "not counted" in line]


def test_judge_sees_that_a_finished_segment_is_rendered_again(ended, reference):
    folder = ended.state / "work/j1/segments-abc"
    folder.mkdir(parents=True)
    for name in ("00000.mp4", "00000.json", "00001.mp4"):
        (folder / name).touch()
    seen = Sightings()
    seen.look(ended)
    shutil.rmtree(ended.state / "work/j1")
    later = [{"event": "task.done", "task": "render", "job_id": "j1", "segment": number} for number in (0, 1)]
    (ended.logs / "01.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in later))
    wrong = wrong_with(ended, reference, seen)
    assert len(wrong) == 1, "the second one had no facts yet, so it was not finished"
    assert "segment 0 was finished" in wrong[0]


def test_step_that_may_not_follow_the_last_one_is_seen(ended):
    change_store(ended, f"UPDATE event SET state = '{JobState.QUEUED}' WHERE state = '{JobState.RUNNING}'")
    assert [line for line in broken_promises(ended) if "after" in line]


# The points -------------------------------------------------------------------------------------------------------


def test_points_are_every_change_for_every_act_that_can_meet_it(reference):
    wish = Namespace(act=["kill", "half", "ENOSPC"], only="", each_name=0, every=1)
    points = points_of(SCENE, reference, wish)
    kills = [point for point in points if point.act == "kill"]
    assert len({point.key for point in points}) == len(points)
    assert {point.name for point in kills} == set(reference.names)
    assert {point.name.split()[1] for point in points if point.act == "half"} <= {"write", "pwrite64"}
    assert not [point for point in points if point.act == "ENOSPC" and "unlink" in point.name.split()[1]]
    few = points_of(SCENE, reference, Namespace(act=["kill"], only="", each_name=2, every=1))
    assert max(reference.names.values()) > 2
    assert {point.name for point in few} == set(reference.names)
    assert all(point.number <= reference.names[point.name] for point in few)


def test_what_was_tried_is_read_again(tmp_path):
    assert read_results(str(tmp_path / "none.jsonl")) == {}
    line = {"key": "pairs | kill | x | 1", "is_reached": True, "violations": ["lost"]}
    (tmp_path / "some.jsonl").write_text(json.dumps(line) + "\n")
    assert read_results(str(tmp_path / "some.jsonl"))["pairs | kill | x | 1"].violations == ["lost"]
