import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.errors import ADVICE
from heygemd.jobs.batch import Row, RowError, Wanted
from heygemd.jobs.states import JobState
from heygemd.outbox.batchreport import STATES, batch_report, output_path, to_csv, to_json


def row(number: int, **changes: object) -> Row:
    told = {
        "line": number + 1, "row_id": f"ep{number:02}", "video": Wanted(path="anna.mp4"),
        "audio": Wanted(path=f"lines/{number}.wav"), "film_folder": "lines", "film_name": f"ep{number:02}",
    }  # fmt: skip
    return Row(number=number, **(told | changes))


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def report(samples):
    """Rows in every state."""
    batch = samples.batch(*(row(number) for number in range(1, 7)), row(7, error=RowError(
        code="E126", message="'..' leads out", line=9, column=14)))  # fmt: skip
    at = {"folder": "lines", "name": "x"}
    jobs = {
        2: samples.job(state=JobState.QUEUED, **at),
        3: samples.job(state=JobState.RUNNING, published_name="early.mp4", **at),
        4: samples.job(state=JobState.DONE, published_name="ep04.v2.mp4", duplicate_of="first", **at),
        5: samples.job(state=JobState.FAILED, error_code="E131", error_message="no face", **at),
        6: samples.job(state=JobState.CANCELLED, **at),
    }
    return batch_report(batch, jobs, written_at=samples.now, waiting={1: "lines/1.wav has not come"})


def test_every_row_tells_its_state_and_what_came_of_it(report) -> None:
    assert [told.state for told in report.rows] == [
        "waiting", "queued", "running", "done", "failed", "cancelled", "refused",
    ]  # fmt: skip
    assert [told.output for told in report.rows] == [None, None, None, "lines/ep04.v2.mp4", None, None, None]
    assert report.rows[0].message == "lines/1.wav has not come"
    assert report.rows[3].duplicate_of == "first"
    failed, refused = report.rows[4], report.rows[6]
    assert (failed.error_code, failed.message, failed.advice) == ("E131", "no face", ADVICE["E131"].todo)
    assert failed.advice_zh == ADVICE["E131"].todo_zh
    assert (refused.error_code, refused.line, refused.column, refused.job) == ("E126", 9, 14, None)
    assert (report.rows[0].line, report.rows[0].id, report.rows[0].audio) == (2, "ep01", "lines/1.wav")


def test_totals_list_every_state_and_add_up(report) -> None:
    assert report.totals == dict.fromkeys(STATES, 1)
    assert not report.complete


def test_batch_is_complete_when_every_row_has_ended(samples) -> None:
    batch = samples.batch(row(1), row(2, error=RowError(code="E124", message="no audio")))
    for state in JobState:
        report = batch_report(batch, {1: samples.job(state=state)}, written_at=samples.now)
        assert report.complete == (state not in (JobState.QUEUED, JobState.RUNNING))


def test_a_hundred_rows_with_seven_bad_ones_give_seven_reasons_with_their_rows(samples) -> None:
    bad = {3, 17, 20, 44, 45, 81, 100}
    rows = [row(n, error=RowError(code="E124", message=f"row {n}") if n in bad else None) for n in range(1, 101)]
    done = {
        n: samples.job(state=JobState.DONE, folder="lines", published_name=f"ep{n}.mp4")
        for n in range(1, 101) if n not in bad
    }  # fmt: skip
    report = batch_report(samples.batch(*rows), done, written_at=samples.now)
    assert report.complete
    assert (report.totals["done"], report.totals["refused"]) == (93, 7)
    told = cells(to_csv(report))
    assert {int(line["number"]) for line in told if line["error_code"]} == bad
    assert all(line["message"] == f"row {line['number']}" for line in told if line["error_code"])
    assert len({line["output"] for line in told if line["output"]}) == 93


def test_json_is_the_report_and_names_the_batch_in_its_first_lines(report, samples) -> None:
    told = json.loads(to_json(report))
    assert (told["heygemd_batch_report"], told["batch"], told["name"]) == (1, report.batch, "lines")
    assert list(told)[:4] == ["heygemd_batch_report", "batch", "complete", "written_at"]
    assert [line["state"] for line in told["rows"]] == list(
        ("waiting", "queued", "running", "done", "failed", "cancelled", "refused")
    )


def test_csv_says_the_same_as_the_json(report) -> None:
    for line, told in zip(cells(to_csv(report)), json.loads(to_json(report))["rows"], strict=True):
        for column, value in told.items():
            if not (isinstance(value, str) and value[:1] in "=+-@'"):
                assert line[column] == ("" if value is None else str(value))
        assert line["batch"] == report.batch


def test_csv_lines_end_as_spreadsheets_expect(report) -> None:
    text = to_csv(report)
    assert text.count("\n") == text.count("\r\n") == 8
    assert text.endswith("\r\n")


@pytest.mark.parametrize(
    "evil", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "＝1", "x;=1", "x\t=1", "\n-1", "=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula(samples, evil) -> None:
    told = Row(number=1, row_id=evil, error=RowError(code="E124", message=evil), video=Wanted(path=evil))
    text = to_csv(batch_report(samples.batch(told), {}, written_at=samples.now))
    (line,) = cells(text)
    for column in ("id", "message", "video"):
        assert "'" in line[column]
        for delimiter in ";\t":
            for cell in line[column].split(delimiter):
                assert cell.lstrip()[:1] not in set("=+-@＝＋－＠")


@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_keeps_one_line_a_row_and_starts_no_formula(samples, text) -> None:
    told = Row(number=1, row_id=text, error=RowError(code="E124", message=text))
    report = batch_report(samples.batch(told), {}, written_at=samples.now)
    written = to_csv(report)
    written.encode("utf-8")
    json.loads(to_json(report).encode("utf-8"))
    assert written.count("\n") == 2
    (line,) = cells(written)
    assert line["message"].lstrip()[:1] not in set("=+-@＝＋－＠\t\r")
    assert line["batch"] == report.batch


def test_harmless_text_is_kept_as_written(samples) -> None:
    told = Row(number=1, row_id='ep-01 a=b; 安娜, "x"', error=RowError(code="E124", message="a - b, -1"))
    (line,) = cells(to_csv(batch_report(samples.batch(told), {}, written_at=samples.now)))
    assert (line["id"], line["message"]) == ('ep-01 a=b; 安娜, "x"', "a - b, -1")


def test_output_is_told_only_of_a_published_film_under_its_escaped_folders(samples) -> None:
    done = samples.job(state=JobState.DONE, folder="a:b/CON", published_name="x.mp4")
    assert output_path(done) == "a%3Ab/%43ON/x.mp4"
    assert output_path(samples.job(state=JobState.RUNNING, published_name="x.mp4")) is None


def test_code_that_nobody_knows_is_told_without_advice(samples) -> None:
    job = samples.job(state=JobState.FAILED, error_code="E999", error_message="odd")
    report = batch_report(samples.batch(row(1)), {1: job}, written_at=samples.now)
    assert (report.rows[0].error_code, report.rows[0].advice) == ("E999", None)


def test_pure_text_needs_no_folder(samples) -> None:
    batch = samples.batch(root=Path("/does/not/exist"))
    assert to_csv(batch_report(batch, {}, written_at=samples.now)).startswith('"number"')
