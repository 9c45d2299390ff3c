import json
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from heygemd.errors import ADVICE
from heygemd.jobs.job import BatchRow, InputFile
from heygemd.jobs.states import JobState
from heygemd.outbox.report import Report, iso, pretty, stamped


def test_report_of_a_film_says_everything(samples) -> None:
    told = json.loads(samples.report(samples.job(published_name="anna.mp4")).to_json())
    assert told["heygemd_report"] == 1
    assert told["state"] == "done"
    assert told["output"] == "anna.mp4"
    assert (told["frames"], told["fps"], told["film_s"]) == (50, "25", 2.0)
    assert (told["wall_s"], told["realtime_factor"]) == (4.0, 2.0)
    assert told["stage_s"] == {"decode": 0.5, "render": 3.0}
    assert told["cached"] == ["track"]
    assert (told["engine"], told["engine_version"], told["weights"]) == ("atlas", "atlas-1", None)
    assert told["encoder"] == "x264 veryfast crf 18"
    assert list(told["versions"]) == ["ffmpeg", "heygemd", "torch"]
    assert told["inputs"]["video"] == {"name": "anna.mp4", "size_bytes": 3, "sha256": "aa", "evidence": ["quiet"]}
    assert told["options"]["length"] == "auto"
    assert told["queued_at"] == "2025-01-31T12:00:00.000Z"
    assert told["warnings"] == ["picture: odd height", "face: lost for 10 frames", "sound: clipped"]
    assert told["error"] is None


def test_fields_keep_their_order_and_the_log_line_is_the_same_dict(samples) -> None:
    report = samples.report(samples.job())
    assert list(report.to_dict()) == [*Report.__dataclass_fields__]
    assert report.to_dict() == json.loads(report.to_json())


def test_weights_of_the_user_are_named_without_their_folder(samples) -> None:
    job = samples.job()
    film = samples.ready(job)
    engine = replace(film.plan.order.engine, weights=Path("/srv/models/w.pth"), weights_sha256="cc")
    film = replace(film, plan=replace(film.plan, order=replace(film.plan.order, engine=engine)))
    told = Report.of_film(job, film, finished_at=samples.now).to_dict()
    assert told["weights"] == {"name": "w.pth", "sha256": "cc"}


def test_without_a_measured_time_the_clock_times_are_subtracted(samples) -> None:
    job = samples.job()
    end = samples.now + timedelta(seconds=8)
    film = samples.ready(job)
    assert Report.of_film(job, film, finished_at=end).wall_s == 8.0
    assert Report.of_film(job, film, finished_at=end, started_at=end - timedelta(seconds=2)).realtime_factor == 1.0


def test_clock_that_was_set_back_gives_no_negative_time(samples) -> None:
    job = samples.job()
    report = Report.of_film(job, samples.ready(job), finished_at=samples.now - timedelta(hours=1))
    assert (report.wall_s, report.realtime_factor) == (0.0, None)


def test_failed_job_is_reported_with_advice_and_traceback(samples) -> None:
    report = samples.failure("E131", "no face in 90 frames", traceback="Traceback …")
    assert report.error is not None
    assert report.error.code == "E131"
    assert report.error.advice == ADVICE["E131"].todo
    assert report.error.traceback == "Traceback …"
    assert (report.sha256, report.frames, report.output) == (None, None, None)


def test_code_nobody_knows_stays_readable(samples) -> None:
    report = samples.failure("E999", "odd")
    assert report.error is not None
    assert (report.error.code, report.error.message) == ("E500", "E999: odd")


def test_job_refused_by_the_probe_can_be_reported(samples) -> None:
    assert samples.failure("E110", "cut off", media=None).warnings == ()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (JobState.FAILED, "failed"),
        (JobState.CANCELLED, "cancelled"),
        (JobState.DONE, "done"),
    ],
)
def test_only_a_failed_job_carries_an_error(samples, state, told) -> None:
    report = samples.failure(state=state)
    assert report.state == told
    assert (report.error is not None) == (told == "failed")


def test_delivery_fills_in_its_fields_and_moves_none(samples) -> None:
    text = samples.report(samples.job()).to_json()
    told = json.loads(stamped(text, sha256="cc", sheet_sha256="dd", replaces="ee"))
    assert (told["sha256"], told["sheet_sha256"], told["replaces"]) == ("cc", "dd", "ee")
    assert list(told) == list(json.loads(text))


@pytest.mark.parametrize("name", ["安娜", "two\nlines", "\udcc4\udce3", "\ud800", '"quoted"\\', "<script>", "\x1b[31m"])
def test_any_name_gives_valid_utf8_json(samples, name: str) -> None:
    file = InputFile(name=name, path=Path("/x"), size_bytes=1, sha256="")
    text = samples.failure(message=name, name=name, video=file).to_json()
    told = json.loads(text.encode("utf-8"))
    if name.isprintable():
        assert told["name"] == name


def test_time_is_utc_whatever_zone_it_came_in(samples) -> None:
    assert iso(samples.now.astimezone(timezone(timedelta(hours=8)))) == "2025-01-31T12:00:00.000Z"


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        pretty({"x": float("nan")})


def test_job_that_failed_at_the_door_has_no_inputs_to_tell(samples) -> None:
    told = samples.failure("E102", "no sound came", audio=None, media=None).to_dict()
    assert told["inputs"]["video"]["name"] == "anna.mp4"
    assert told["inputs"]["audio"] is None
    assert samples.failure("E121", video=None, audio=None, media=None).to_dict()["inputs"] == {
        "video": None, "audio": None,
    }  # fmt: skip


def test_report_tells_batch_row_priority_and_whose_film_it_was_given(samples) -> None:
    row = BatchRow(batch=samples.job_id, number=3, row_id="ep03")
    told = samples.report(samples.job(row=row, priority=7, duplicate_of="another")).to_dict()
    assert (told["batch"], told["row"], told["row_id"]) == (samples.job_id, 3, "ep03")
    assert (told["priority"], told["duplicate_of"]) == (7, "another")
    alone = samples.report(samples.job()).to_dict()
    assert (alone["batch"], alone["row"], alone["row_id"], alone["duplicate_of"]) == (None, None, None, None)


def test_published_name_can_be_filled_in_later(samples) -> None:
    assert samples.report(samples.job()).published_as("anna.v2.mp4").output == "anna.v2.mp4"


def test_what_was_known_from_earlier_films_is_told_and_nothing_else_is(samples) -> None:
    job = samples.job()
    for cached in ((), ("speech",), ("track", "speech")):
        film = replace(samples.ready(job), cached=cached)
        assert Report.of_film(job, film, finished_at=samples.now).to_dict()["cached"] == list(cached)
    assert samples.failure().to_dict()["cached"] == []
