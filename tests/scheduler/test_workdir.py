"""Work directories: progress is what the files say, and bad files count as absent."""

import errno
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.errors import ResourceError
from heygemd.jobs.job import LengthPolicy
from heygemd.planning.plan import Analysis, Order, Plan, Task, TaskKind, from_json, to_json
from heygemd.scheduler.fake_workers import leave_files
from heygemd.scheduler.order import make_order
from heygemd.scheduler.workdir import Progress, Took, WorkDir, make_plan
from heygemd.settings import RenderSettings
from tests.scheduler.conftest import a_job, choose_engine


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir.of(tmp_path, "job")


@pytest.fixture
def order(workdir: WorkDir) -> Order:
    """A film of 30 frames in three segments."""
    order = make_order(
        a_job(), None, work_dir=workdir.path, cache_dir=workdir.path / "cache",
        settings=RenderSettings(segment_s=1.0), choose=choose_engine,
    )  # fmt: skip
    workdir.open_for(order)
    return order


def work_on(workdir: WorkDir, order: Order, steps: int) -> Progress:
    """Leave the files of the next `steps` tasks."""
    for _ in range(steps):
        progress = workdir.look(order)
        kind = progress.next_kind
        assert kind is not None
        file = workdir.order_file if kind is TaskKind.ANALYSE else workdir.plan_file
        segment = progress.missing[0] if kind is TaskKind.RENDER else None
        leave_files(Task(job_id="job", kind=kind, order_path=file, segment=segment))
    return workdir.look(order)


def test_a_new_job_needs_its_analysis(workdir: WorkDir, order: Order) -> None:
    assert workdir.look(order) == Progress()
    assert Progress().next_kind is TaskKind.ANALYSE
    assert from_json(Order, workdir.order_file.read_bytes()) == order


def test_the_plan_is_made_and_saved_as_soon_as_the_analysis_is_there(workdir: WorkDir, order: Order) -> None:
    progress = work_on(workdir, order, 1)
    assert progress.plan is not None
    assert [s.frame_count for s in progress.missing] == [10, 10, 10]
    assert (progress.next_kind, progress.frames_done, progress.frames_total) == (TaskKind.RENDER, 0, 30)
    assert from_json(Plan, workdir.plan_file.read_bytes()) == progress.plan


def test_segments_count_when_their_files_exist(workdir: WorkDir, order: Order) -> None:
    progress = work_on(workdir, order, 3)
    assert [s.index for s in progress.missing] == [2]
    assert progress.frames_done == 20
    assert work_on(workdir, order, 1).next_kind is TaskKind.FINISH


def test_a_finished_film_leaves_nothing_to_do(workdir: WorkDir, order: Order) -> None:
    progress = work_on(workdir, order, 5)
    assert progress.next_kind is None
    assert progress.film is not None
    assert progress.film.frame_count == 30


def test_looking_twice_changes_nothing(workdir: WorkDir, order: Order) -> None:
    work_on(workdir, order, 3)
    before = {path: path.read_bytes() for path in workdir.path.rglob("*") if path.is_file()}
    assert workdir.look(order) == workdir.look(order)
    assert {path: path.read_bytes() for path in workdir.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["00001.mp4", "00001.json"])
@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_half_a_segment_is_none(workdir: WorkDir, order: Order, name: str, damage: str) -> None:
    plan = work_on(workdir, order, 4).plan
    assert plan is not None
    file = plan.segments_dir / name
    file.unlink()
    if damage == "empty":
        file.touch()
    assert [s.index for s in workdir.look(order).missing] == [1]


@pytest.mark.parametrize("rubbish", [b"", b"{", b"null", b"\xff" * 9])
def test_a_damaged_plan_is_made_again_and_its_segments_still_count(
    workdir: WorkDir, order: Order, rubbish: bytes
) -> None:
    before = work_on(workdir, order, 3)
    workdir.plan_file.write_bytes(rubbish)
    assert workdir.look(order) == before


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"[]",
        b'{"tick_count": 0, "face_frames": 0, "source_frames": 0}',
        b'{"tick_count": 20, "face_frames": 0, "source_frames": 0, "pauses_s": [[0.5, NaN]]}',
    ],
)
def test_a_damaged_analysis_is_made_again(workdir: WorkDir, order: Order, rubbish: bytes) -> None:
    order.analysis_file.write_bytes(rubbish)
    assert workdir.look(order).next_kind is TaskKind.ANALYSE
    assert not order.analysis_file.exists()


def test_a_film_that_is_not_the_recorded_one_is_finished_again(workdir: WorkDir, order: Order) -> None:
    plan = work_on(workdir, order, 5).plan
    assert plan is not None
    plan.film_file.write_bytes(b"")
    assert workdir.look(order).next_kind is TaskKind.FINISH
    work_on(workdir, order, 1)
    plan.facts_file.write_bytes(b"{}")
    assert workdir.look(order).next_kind is TaskKind.FINISH


def test_a_plan_of_another_order_is_not_used(workdir: WorkDir, order: Order) -> None:
    work_on(workdir, order, 2)
    other = replace(order, max_segment_s=1.5)
    progress = workdir.look(other)
    assert progress.plan is not None
    assert progress.plan.order == other
    assert len(progress.missing) == 2


def test_the_same_order_goes_on_and_another_starts_over(workdir: WorkDir, order: Order) -> None:
    work_on(workdir, order, 3)
    workdir.open_for(order)
    assert workdir.look(order).frames_done == 20
    other = replace(order, video_sha256="f" * 64)
    workdir.open_for(other)
    assert workdir.look(other) == Progress()
    assert [path.name for path in workdir.path.iterdir()] == ["order.json"]


def test_a_damaged_order_starts_over(workdir: WorkDir, order: Order) -> None:
    work_on(workdir, order, 3)
    workdir.order_file.write_text("{")
    assert workdir.saved_order() is None
    workdir.open_for(order)
    assert workdir.look(order) == Progress()


def test_unfinished_files_are_swept_when_the_job_is_taken_up(workdir: WorkDir, order: Order) -> None:
    plan = work_on(workdir, order, 2).plan
    assert plan is not None
    leftovers = [workdir.path / "track.npz.part", plan.segments_dir / "00001.mp4.part"]
    for leftover in leftovers:
        leftover.touch()
    workdir.open_for(order)
    assert not any(leftover.exists() for leftover in leftovers)


def test_seconds_are_summed_over_all_tasks(workdir: WorkDir, order: Order) -> None:
    plan = work_on(workdir, order, 5).plan
    assert plan is not None
    workdir.note_took(TaskKind.ANALYSE, {"track": 1.0}, "cuda:0")
    workdir.note_took(TaskKind.FINISH, {"stitch": 0.5, "render": 1.0}, "cuda:1")
    took = workdir.took(plan)
    assert took.seconds == {"track": 1.0, "stitch": 0.5, "render": 1.0 + 3 * 2.0, "encode": 3 * 1.0}
    assert (took.device, took.devices) == ("cuda:1", ("cuda:0", "cuda:1"))


def test_what_came_from_the_cache_is_known_until_the_clip_is_analysed_again(workdir: WorkDir, order: Order) -> None:
    plan = work_on(workdir, order, 5).plan
    assert plan is not None
    assert workdir.took(plan).cached == ()
    workdir.note_took(TaskKind.ANALYSE, {"track": 0.0}, "cpu", ["track", "speech"])
    workdir.note_took(TaskKind.FINISH, {"stitch": 0.5}, "cpu")
    assert (workdir.took(plan).cached, workdir.took(plan).devices) == (("track", "speech"), ("cpu",))
    workdir.note_took(TaskKind.ANALYSE, {"track": 2.0}, "cpu", ("speech",))
    assert workdir.took(plan).cached == ("speech",)


def test_notes_of_an_older_version_are_read(workdir: WorkDir, order: Order) -> None:
    plan = work_on(workdir, order, 2).plan
    assert plan is not None
    old = '{"by_kind": {"analyse": {"track": 1.5}, "finish": {"stitch": 0.5}}, "device": "cuda:1"}'
    (workdir.path / "took.json").write_text(old)
    took = workdir.took(plan)
    assert took == Took(
        seconds={"track": 1.5, "stitch": 0.5, "render": 2.0, "encode": 1.0}, device="cuda:1", devices=("cuda:1",),
        cached=(),
    )  # fmt: skip
    workdir.note_took(TaskKind.FINISH, {"stitch": 0.25}, "cpu")
    assert workdir.took(plan).devices == ("cpu",), "where the analysis ran is no longer known"


@pytest.mark.parametrize("rubbish", ["", "{", '{"by_kind": 7}'])
def test_damaged_notes_are_none(workdir: WorkDir, order: Order, rubbish: str) -> None:
    plan = work_on(workdir, order, 1).plan
    assert plan is not None
    (workdir.path / "took.json").write_text(rubbish)
    assert workdir.took(plan) == Took(seconds={}, device="", devices=(), cached=())


def test_a_disk_that_refuses_is_a_fault_of_the_machine(tmp_path: Path, order: Order) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError) as caught:
        WorkDir(tmp_path / "file" / "job").open_for(order)
    assert caught.value.code == "E202"


def test_a_full_disk_leaves_nothing_half_written(
    workdir: WorkDir, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    order.analysis_file.write_text(to_json(Analysis(tick_count=20, face_frames=20, source_frames=20)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(ResourceError) as caught:
            workdir.look(order)
    assert caught.value.code == "E202"
    assert not workdir.plan_file.exists()
    assert not list(workdir.path.glob("*.part"))
    assert workdir.look(order).next_kind is TaskKind.RENDER


@given(
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001), Fraction(1, 2)]),
    st.floats(0.001, 100),
    st.integers(1, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_no_segment_is_longer_than_asked_unless_it_is_one_frame(fps: Fraction, segment_s: float, ticks: int) -> None:
    job = a_job(film_s=30)
    base = make_order(
        job, None, work_dir=Path("/w"), cache_dir=Path("/c"), settings=RenderSettings(), choose=choose_engine
    )
    order = replace(base, max_segment_s=segment_s, video_info=replace(base.video_info, fps=fps))
    plan = make_plan(order, Analysis(tick_count=ticks, face_frames=1, source_frames=1))
    longest_s = Fraction(str(segment_s))
    assert all(s.frame_count == 1 or s.frame_count / fps <= longest_s for s in plan.segments)
    assert plan.segments[-1].stop == plan.timeline.frame_count


def test_a_segment_length_is_the_decimal_that_was_written(workdir: WorkDir, order: Order) -> None:
    order = replace(order, max_segment_s=0.3)  # as a binary fraction it is a little less
    plan = make_plan(order, Analysis(tick_count=20, face_frames=1, source_frames=1))
    assert {segment.frame_count for segment in plan.segments} == {3}


def film_of(order: Order, film_s: int, **changes: object) -> Order:
    sound = replace(order.audio_info, sample_count=order.audio_info.rate_hz * film_s)
    return replace(order, audio_info=sound, **changes)  # type: ignore[arg-type]


def starts(order: Order, **found: object) -> list[int]:
    facts = {"tick_count": 2000, "face_frames": 1, "source_frames": 1, **found}
    return [segment.start for segment in make_plan(order, Analysis(**facts)).segments]  # type: ignore[arg-type]


def test_a_film_is_spread_over_the_workers_of_its_order(order: Order) -> None:
    order = film_of(order, 120, max_segment_s=60.0)
    assert starts(order) == [0, 600]
    assert starts(replace(order, workers=2)) == [0, 200, 400, 600, 800, 1000]
    assert starts(replace(order, workers=2, min_segment_s=30.0)) == [0, 300, 600, 900]
    assert starts(replace(order, workers=2, min_segment_s=100.0)) == [0, 600], "no longer than the longest"


def test_a_film_is_cut_at_scenes_and_in_pauses(order: Order) -> None:
    order = film_of(order, 100, max_segment_s=60.0)
    pauses = ((52.0, 54.0), (90.0, 91.0))
    assert starts(order, pauses_s=pauses) == [0, 530]
    assert starts(order, pauses_s=pauses, scene_ticks=(300, 481)) == [0, 481]
    assert starts(order, tick_count=401, scene_ticks=(300,)) == [0, 501], "on its way back, one frame later"
    assert starts(replace(order, options=replace(order.options, length=LengthPolicy.LOOP)), tick_count=470) == [0, 470]


def test_an_analysis_of_an_older_version_is_cut_evenly(order: Order) -> None:
    old = from_json(Analysis, b'{"tick_count": 2000, "face_frames": 1, "source_frames": 1}')
    plan = make_plan(film_of(order, 100, max_segment_s=60.0), old)
    assert [segment.frame_count for segment in plan.segments] == [500, 500]
