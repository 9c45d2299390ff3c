import pytest

from heygemd.errors import ADVICE
from heygemd.jobs.job import BatchRow
from heygemd.jobs.states import JobState
from heygemd.outbox.reason import ENCODING, reason_text


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_reason_tells_both_languages_code_and_what_to_do(samples, code: str) -> None:
    text = reason_text(samples.failure(code, "the details"))
    advice = ADVICE[code]
    for needed in (
        code,
        advice.title,
        advice.todo,
        advice.title_zh,
        advice.todo_zh,
        "inbox",
        "the details",
        "anna.wav",
    ):
        assert needed in text
    assert "{" not in text


def test_every_line_ends_as_windows_expects(samples) -> None:
    text = reason_text(samples.failure(message="first\nsecond\r\nthird"))
    assert text.replace("\r\n", "").count("\n") == 0
    assert text.replace("\r\n", "").count("\r") == 0
    assert text.endswith("\r\n")
    assert "first second third" in text


def test_file_begins_with_a_byte_order_mark(samples) -> None:
    assert reason_text(samples.failure()).encode(ENCODING).startswith(b"\xef\xbb\xbfheygemd")


def test_odd_names_stay_on_one_line(samples) -> None:
    text = reason_text(samples.failure(name="a\r\nWhat to do: rm {0} %s\udcff"))
    assert "a%0D%0AWhat to do: rm {0} %s%FF\r\n" in text
    text.encode(ENCODING)


def test_cancelled_job_is_told_without_a_code(samples) -> None:
    text = reason_text(samples.failure(state=JobState.CANCELLED))
    assert "cancelled" in text
    assert "取消" in text


def test_cancelled_job_is_not_called_a_failure(samples) -> None:
    text = reason_text(samples.failure(state=JobState.CANCELLED))
    assert "could not" not in text
    assert "未能" not in text


def test_missing_input_is_shown_as_a_dash(samples) -> None:
    text = reason_text(samples.failure("E102", audio=None, media=None))
    assert "Sound / 声音:    -\r\n" in text
    assert "anna.mp4" in text


def test_row_of_a_manifest_is_named_and_a_job_alone_has_none(samples) -> None:
    row = BatchRow(batch=samples.job_id, number=12, row_id="ep\n12")
    assert "Row / 行:        12 (ep%0A12)\r\n" in reason_text(samples.failure(row=row))
    assert "Row /" not in reason_text(samples.failure())


def test_finished_job_has_no_reason(samples) -> None:
    with pytest.raises(ValueError, match="is done"):
        reason_text(samples.report(samples.job()))
