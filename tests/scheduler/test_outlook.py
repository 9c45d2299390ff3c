"""Outlook: what a forecast is told of the scheduler."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import SetupError
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.states import JobState
from heygemd.planning.plan import TaskKind
from heygemd.scheduler.facts import Service
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.outlook import Outlook, faces_of
from heygemd.scheduler.rates import Rates

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
FACE = InputFile(name="v", path=Path("/nowhere/v"), size_bytes=1, sha256="aa")
MEDIA = MediaInfo(
    video=VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=150, width_px=64, height_px=48,
        duration_s=6.0,
    ),
    audio=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=320_000),
)  # fmt: skip
JOB = Job(
    id="a", root="mine", name="film", folder="", state=JobState.QUEUED, video=FACE, audio=FACE,
    options=RenderOptions(engine=EngineName.ATLAS), media=MEDIA, claim_dir=None, queued_at=NOON, not_before=NOON,
    turn=NOON.timestamp(),
)  # fmt: skip
"""A picture of 150 frames, a sound of 500."""


def task_s(kind, frames, engine=EngineName.ATLAS, rates=None):
    return (rates or Rates()).task_s(kind, engine, "cpu", 64 * 48, frames)


def test_the_work_of_a_job_is_all_its_tasks():
    whole_s = Rates().job_s(EngineName.ATLAS, "cpu", 64 * 48, 150, 500)
    assert Outlook().work_s(JOB) == pytest.approx(whole_s)
    assert Outlook().work_s(JOB, analyse=False) == pytest.approx(whole_s - task_s(TaskKind.ANALYSE, 150))


def test_what_is_chosen_automatically_goes_by_the_engine_that_is_used():
    rates = Rates()
    rates.note(TaskKind.RENDER, EngineName.WAV2LIP, "cuda:0", 64 * 48, 500, 900.0)
    job = replace(JOB, options=RenderOptions(engine=EngineName.AUTO))
    told = Outlook(rates=rates, settle=lambda _: (EngineName.WAV2LIP, "cuda:0"))
    assert told.work_s(job) > 900
    assert Outlook(rates=rates).work_s(job) == Outlook().work_s(JOB)


def test_nothing_is_known_of_a_job_without_media_or_engine():
    def absent(wanted):
        raise SetupError("E402", f"no {wanted}")

    assert Outlook().work_s(replace(JOB, media=None)) is None
    assert Outlook(settle=absent).work_s(JOB) is None
    assert Outlook(settle=absent).left_s(JOB, at(Stage.RENDER, 1)) is None


def at(stage, done, total=500):
    return JobProgress(
        job_id="a", stage=stage, frames_done=done, frames_total=total, fps=None, eta_s=None, device="cpu"
    )


def test_what_is_left_is_the_rest_of_the_stage_and_the_later_ones():
    render_s, finish_s = task_s(TaskKind.RENDER, 500), task_s(TaskKind.FINISH, 500)
    told = Outlook()
    assert told.left_s(JOB, at(Stage.ANALYSE, 50, 150)) == pytest.approx(
        task_s(TaskKind.ANALYSE, 100) + render_s + finish_s
    )
    assert told.left_s(JOB, at(Stage.RENDER, 300)) == pytest.approx(task_s(TaskKind.RENDER, 200) + finish_s)
    assert told.left_s(JOB, at(Stage.FINISH, 500)) == pytest.approx(task_s(TaskKind.FINISH, 0))
    assert told.left_s(JOB, at(Stage.PUBLISH, 500)) == 0


def test_jobs_stand_in_the_order_in_which_folders_are_served():
    jobs = [replace(JOB, id=f"{folder}{number}", folder=folder, turn=number) for folder in "ab" for number in (1, 2)]
    assert [job.id for job in Outlook().in_turn(jobs)] == ["a1", "b1", "a2", "b2"]


def test_a_root_that_was_served_much_waits():
    jobs = [replace(JOB, id=root, root=root) for root in ("first", "second")]
    assert [job.id for job in Outlook(service=Service(roots={"first": 1e3})).in_turn(jobs)] == ["second", "first"]


def test_faces_are_known_by_their_bytes():
    assert faces_of([JOB, replace(JOB, id="b"), replace(JOB, id="c", video=None)]) == {"aa"}
