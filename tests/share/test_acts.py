"""What people can do with files alone, after the door has taken them: cancel, take away, mend and put back."""

import time

import pytest

from tests.share.media import pair
from tests.share.premises import SETTLE_S

pytestmark = [pytest.mark.samba, pytest.mark.ffmpeg, pytest.mark.slow]

PROMISED_S = 5.0
LONG_S = 100.0
"""A film of this length takes much longer than what is promised."""


@pytest.fixture
def was(premises):
    """A function: does the log have this event about the job with this folder in `processing/`?"""

    def look(event, folder, **fields):
        id8 = folder.name.rpartition("__")[2]
        lines = [line for line in premises.log() if line["event"] == event and id8 in line.get("job_id", "")]
        return any(fields.items() <= line.items() for line in lines)

    return look


@pytest.fixture
def accepted(was):
    """A function: wait until the pair of this name is a job; returns its folder in `processing/`."""

    def wait(person, stem):
        folder = person.held(stem)
        person.wait_for(lambda: was("job.added", folder))
        return folder

    return wait


def test_cancel_put_beside_the_inputs_ends_the_job_in_time(anna, accepted, was):
    mine = pair("cancelled", seconds=LONG_S)
    anna.put_pair(mine, "cancelled")
    held = accepted(anna, "cancelled")
    anna.wait_for(lambda: was("job.moved", held, state="running"))
    began_s = time.monotonic()
    anna.put(b"", f"processing/{held.name}/CANCEL")
    ended = anna.failure("cancelled", PROMISED_S)
    assert time.monotonic() - began_s < PROMISED_S
    assert ended.path.name == held.name
    assert (ended.path / "cancelled.wav").read_bytes() == mine.audio
    assert (ended.path / "cancelled.mp4").read_bytes() == mine.video
    assert was("job.moved", held, state="cancelled")
    assert not (anna.root.outbox / "cancelled.mp4").exists()


def test_folders_taken_out_of_processing_end_their_jobs_in_time(bert, accepted, was):
    acts = {
        "moved": 'mkdir attic; rename "processing/{0}" "attic/{0}"',
        "renamed": 'rename "processing/{0}" "processing/mine again"',
        "deleted": 'deltree "processing/{0}"',
    }
    mine = {act: pair(act, seconds=LONG_S) for act in acts}
    for act, data in mine.items():
        bert.put_pair(data, act)
    held = {act: accepted(bert, act) for act in acts}
    bert.smb(*(command.format(held[act].name) for act, command in acts.items()))
    began_s = time.monotonic()
    for act in acts:
        bert.wait_for(lambda act=act: was("job.moved", held[act], state="cancelled"), PROMISED_S)
    assert time.monotonic() - began_s < PROMISED_S
    assert not list(bert.root.outbox.glob("*ed.mp4"))
    assert (bert.root.path / "attic" / held["moved"].name / "moved.wav").read_bytes() == mine["moved"].audio
    (kept,) = bert.root.path.rglob("renamed.wav")
    assert kept.read_bytes() == mine["renamed"].audio


def test_a_folder_taken_out_while_it_is_checked_leaves_its_files_with_the_person(bert, was):
    mine = pair("hasty", is_refused=True)
    bert.put_pair(mine, "hasty")
    held = bert.held("hasty")
    bert.wait_for(lambda: (held / "hasty.wav").exists() and (held / "hasty.mp4").exists())
    bert.smb(f'rename "processing/{held.name}" "hasty again"')
    if was("job.added", held):
        pytest.skip("the check came first")
    time.sleep(3 * SETTLE_S)
    assert not was("job.added", held)
    folder = bert.root.path / "hasty again"
    assert ((folder / "hasty.mp4").read_bytes(), (folder / "hasty.wav").read_bytes()) == (mine.video, mine.audio)


@pytest.fixture(scope="module")
def dropped(premises):
    """What the tests below go on with, put into Anna's inbox at once; returns the pairs by name."""
    mine = {
        name: pair(name, is_refused=name in ("mended", "hopeless")) for name in ("mended", "hopeless", "again", "name")
    }
    for name, data in mine.items():
        premises.people["anna"].put_pair(data, name)
    return mine


def test_a_failed_job_that_was_mended_and_moved_back_is_made(anna, dropped, sums):
    failed = anna.failure("mended").path
    anna.put(pair("mended").video, f"failed/{failed.name}/mended.mp4")
    anna.smb(f'rename "failed/{failed.name}" "inbox/{failed.name}"')
    anna.wait_for(lambda: not failed.exists())
    assert anna.film("mended").sums == sums(pair("mended"))
    assert not (anna.root.inbox / failed.name).exists()


def test_a_failed_job_that_was_moved_back_unchanged_fails_again_with_its_files(anna, dropped):
    first = anna.failure("hopeless")
    anna.smb(f'rename "failed/{first.path.name}" "inbox/{first.path.name}"')
    anna.wait_for(lambda: not (anna.root.inbox / first.path.name).exists())
    second = anna.failure("hopeless")
    assert second.report["error"]["code"] == "E105"
    assert (second.path / "hopeless.wav").read_bytes() == dropped["hopeless"].audio
    assert len(list(anna.root.failed.glob("hopeless__*"))) == 1


def test_the_same_bytes_again_are_not_computed_twice(anna, dropped):
    film = anna.film("again")
    stamp = film.path.stat().st_mtime_ns
    anna.put_pair(dropped["again"], "again")
    anna.wait_for(lambda: len(list(anna.root.done.glob("*/again__*/again.wav"))) == 2)
    assert film.path.stat().st_mtime_ns == stamp
    assert [path.name for path in anna.root.outbox.glob("again*.mp4")] == ["again.mp4"]


def test_new_bytes_under_an_old_name_are_a_second_version(anna, dropped, sums):
    assert anna.film("name").sums == sums(dropped["name"])
    other = pair("version 2")
    anna.put_pair(other, "name")
    assert anna.film("name.v2").sums == sums(other)
    assert anna.film("name").sums == sums(dropped["name"])
