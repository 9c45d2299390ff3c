"""Whole runs of a real daemon with real workers; the passthrough engine keeps them short."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from heygemd.jobs.states import JobState

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]


def drop(workshop, pair, name="hello", folder=""):
    video, audio = pair
    inbox = workshop.root.inbox / folder
    inbox.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, inbox / f"{name}.mp4")
    shutil.copy(audio, inbox / f"{name}.wav")


def frames_of(film):
    """Digest of every decoded frame and of the sound."""
    argv = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(film), "-map", "0", "-f", "framemd5", "-"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_dropped_pair_comes_out_as_a_film_and_nothing_is_left_behind(workshop, pair):
    drop(workshop, pair, "你好", "客户 A")
    assert workshop.run_until_idle() == 0
    film = workshop.root.outbox / "客户 A" / "你好.mp4"
    report = json.loads((film.parent / "你好.mp4.json").read_text())
    assert (report["state"], report["frames"], report["engine"]) == ("done", 300, "passthrough")
    assert film.with_suffix(".jpg").stat().st_size > 0
    assert workshop.leftovers() == []
    (archived,) = workshop.root.done.glob("*/*")
    assert sorted(path.name for path in archived.iterdir()) == ["你好.mp4", "你好.wav"]
    assert len(workshop.named("job.ended")) == 1


def test_a_broken_file_fails_with_its_reason_and_the_others_go_on(workshop, short_pair):
    drop(workshop, short_pair, "good")
    (workshop.root.inbox / "bad.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 4000)
    shutil.copy(short_pair[1], workshop.root.inbox / "bad.wav")
    assert workshop.run_until_idle() == 1
    assert [film.name for film in workshop.films()] == ["good.mp4"]
    (failed,) = workshop.root.failed.iterdir()
    reason = (failed / "REASON.txt").read_bytes().decode("utf-8-sig")
    assert "E110" in reason
    assert sorted(path.name for path in failed.iterdir()) == ["REASON.txt", "bad.mp4", "bad.wav", "error.json"]
    assert workshop.leftovers() == []


def test_a_lone_file_is_not_waited_for(workshop, short_pair):
    drop(workshop, short_pair)
    shutil.copy(short_pair[1], workshop.root.inbox / "lonely.wav")
    assert workshop.run_until_idle() == 0
    assert (workshop.root.inbox / "lonely.wav").exists()
    assert len(workshop.films()) == 1


def worker_pids(workshop):
    return [line["pid"] for line in workshop.named("worker.started")]


def moments(workshop):
    """Three moments of a job: before the first segment, in the middle, at the very end."""
    return {
        "analysing": lambda: workshop.named("worker.started"),
        "rendering": lambda: len(workshop.segments()) >= 3,
        "finishing": lambda: len(workshop.segments()) == 6,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, pair, open_workshop):
    """The film that every disturbed run must come to."""
    workshop = open_workshop(tmp_path_factory.mktemp("undisturbed"))
    drop(workshop, pair)
    assert workshop.run_until_idle() == 0
    return frames_of(workshop.films()[0])


@pytest.mark.parametrize("moment", ["analysing", "rendering", "finishing"])
def test_a_killed_worker_costs_at_most_the_segment_in_work(workshop, pair, undisturbed, moment):
    drop(workshop, pair)
    daemon = workshop.start("--until-idle")
    workshop.wait_for(moments(workshop)[moment], daemon)
    os.kill(worker_pids(workshop)[0], signal.SIGKILL)
    assert daemon.wait(120) == 0
    assert [frames_of(film) for film in workshop.films()] == [undisturbed]
    assert len(workshop.named("job.ended")) == 1
    assert workshop.leftovers() == []
    # A worker may die between the name of its segment and the line that says so; then nobody says it, and it stays.
    renders = [line["segment"] for line in workshop.named("task.done") if line["task"] == "render"]
    assert len(renders) == len(set(renders)), "no segment is rendered twice"
    assert len(renders) >= 5


@pytest.mark.parametrize("moment", ["analysing", "rendering", "finishing"])
def test_a_killed_daemon_is_resumed_without_rendering_anything_twice(workshop, pair, undisturbed, moment):
    drop(workshop, pair)
    daemon = workshop.start("--until-idle")
    workshop.wait_for(moments(workshop)[moment], daemon)
    workshop.kill(daemon)
    kept = {path.name for path in workshop.segments()}
    log = workshop.folder / "daemon.log"
    log.rename(workshop.folder / "first.log")
    assert workshop.run_until_idle() == 0
    assert [frames_of(film) for film in workshop.films()] == [undisturbed]
    renders = {f"{line['segment']:05d}.mp4" for line in workshop.named("task.done") if line["task"] == "render"}
    assert renders.isdisjoint(kept)
    assert len(renders) + len(kept) == 6
    assert workshop.leftovers() == []
    assert workshop.states() == [JobState.DONE]


def test_sigterm_stops_cleanly_and_a_restart_goes_on(workshop, pair, undisturbed):
    drop(workshop, pair)
    daemon = workshop.start()
    workshop.wait_for(lambda: len(workshop.segments()) >= 2, daemon)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    assert workshop.states() == [JobState.QUEUED]
    assert workshop.jobs()[0].attempts == 0, "a clean stop costs no attempt"
    kept = len(workshop.segments())
    assert workshop.run_until_idle() == 0
    assert [frames_of(film) for film in workshop.films()] == [undisturbed]
    renders = [line["segment"] for line in workshop.named("task.done") if line["task"] == "render"]
    assert sorted(renders) == list(range(6)), f"{kept} segments were kept"


def test_a_second_daemon_on_the_same_root_is_refused(workshop):
    daemon = workshop.start()
    try:
        workshop.wait_for(lambda: workshop.named("daemon.started"), daemon)
        assert workshop.start().wait(30) == 78
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def test_an_engine_without_its_weights_is_a_fault_of_the_setup(workshop):
    workshop.config.write_text(workshop.config.read_text().replace('"passthrough"', '"wav2lip"'))
    daemon = workshop.start()
    assert daemon.wait(30) == 78
    assert "E402" in (workshop.folder / "daemon.log").read_text()


def test_the_same_name_with_other_bytes_becomes_a_second_version(workshop, short_pair):
    drop(workshop, short_pair)
    assert workshop.run_until_idle() == 0
    drop(workshop, short_pair)
    with (workshop.root.inbox / "hello.wav").open("ab") as sound:
        sound.write(b"one more chunk")
    assert workshop.run_until_idle() == 0
    assert [film.name for film in workshop.films()] == ["hello.mp4", "hello.v2.mp4"]


def test_the_status_on_the_share_tells_the_result(workshop, short_pair):
    drop(workshop, short_pair)
    daemon = workshop.start()
    status = workshop.root.status / "status.json"

    def told():
        return status.exists() and json.loads(status.read_text())["results"]

    try:
        (result,) = workshop.wait_for(told, daemon)
        assert (result["state"], result["output"]) == ("done", "hello.mp4")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
