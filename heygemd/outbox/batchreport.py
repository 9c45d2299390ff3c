"""What has become of every row of a batch, for people and for programs: one JSON and one CSV file.

While rows are open they lie in `status/manifests/`, replaced in one step as rows end; when the last row has ended a
copy is published beside the results. Which batch a pair of files belongs to is read from the files alone: the JSON
names it, and so does the last column of the CSV.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from heygemd.errors import ADVICE
from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.naming import printable
from heygemd.outbox import names
from heygemd.outbox.report import iso, pretty

FORMAT = 1
"""Value of `heygemd_batch_report`, the mark of a report of ours."""
WAITING = "waiting"
"""State of a row that is no job yet: its files are missing or still arriving."""
REFUSED = "refused"
"""State of a row that cannot become a job: what the manifest says of it is wrong."""
STATES = (WAITING, *(state.value for state in JobState), REFUSED)
_ENDED = frozenset({REFUSED, JobState.DONE.value, JobState.FAILED.value, JobState.CANCELLED.value})
_COLUMNS = (
    "number", "line", "column", "id", "state", "output", "error_code", "message", "advice", "advice_zh",
    "video", "audio", "job", "duplicate_of", "batch",
)  # fmt: skip
"""Of the CSV. The last one tells whose file it is."""
_FORMULA = re.compile(r"(^|[;\t\r\n])(\s*)(?=[=+\-@\t\r＝＋－＠])")
"""Where a spreadsheet may take a text for a formula: at its start, and behind what it may take for the end of a cell
(a `;` or tab, whatever the quotes say). East Asian versions also take the full-width signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReport:
    """What has become of one row."""

    number: int
    """From 1, as people count rows."""
    line: int | None
    """Where the manifest says it; with `column` where the error is."""
    column: int | None
    id: str | None
    state: str
    """One of `STATES`."""
    output: str | None
    """Path of the film, relative to the outbox, once it is published."""
    error_code: str | None
    message: str | None
    """What was wrong, or what the row waits for."""
    advice: str | None
    advice_zh: str | None
    video: str | None
    """As the row names it."""
    audio: str | None
    job: str | None
    duplicate_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What has become of a batch so far. Times are ISO 8601 in UTC. `_HEAD` reads the first four fields."""

    heygemd_batch_report: int = FORMAT
    batch: str
    complete: bool
    """Every row has ended."""
    written_at: str
    name: str
    folder: str
    """Sub-folder of the inbox."""
    kind: BatchKind
    strict: bool
    accepted_at: str
    totals: dict[str, int]
    """Rows by state; every state is listed."""
    rows: tuple[RowReport, ...]


def batch_report(
    batch: Batch,
    jobs: Mapping[int, Job],
    *,
    written_at: datetime,
    waiting: Mapping[int, str] | None = None,
    is_stopped: bool = False,
) -> BatchReport:
    """Tell how far a batch has come: `jobs` by row number as the store has them, `waiting` what a row waits for.

    When it `is_stopped`, rows that are no jobs yet never will be: they are cancelled, too.
    """
    waits_for = waiting or {}
    rows = tuple(_row(row, jobs.get(row.number), waits_for.get(row.number), is_stopped) for row in batch.rows)
    return BatchReport(
        batch=batch.id,
        name=batch.name,
        folder=batch.folder,
        kind=batch.kind,
        strict=batch.strict,
        accepted_at=iso(batch.accepted_at),
        written_at=iso(written_at),
        complete=all(row.state in _ENDED for row in rows),
        totals={state: sum(row.state == state for row in rows) for state in STATES},
        rows=rows,
    )


def output_path(job: Job) -> str | None:
    """Return where the job's film lies, relative to the outbox; None while it is not published."""
    if job.state is not JobState.DONE or job.published_name is None:
        return None
    return "/".join((*names.mirrored(job.folder), job.published_name))


def to_json(report: BatchReport) -> str:
    """Write the report as JSON, without a last line end; always valid UTF-8."""
    return pretty(report)


def to_csv(report: BatchReport) -> str:
    """Write one line a row, CRLF, every cell quoted, for a file in `utf-8-sig`: spreadsheets then know its encoding.

    No cell is a formula, whatever a manifest or a file name says: an apostrophe stands before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in report.rows:
        values = (getattr(row, column, report.batch) for column in _COLUMNS)
        writer.writerow([_cell(value) for value in values])
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return printable(_FORMULA.sub(r"\1\2'", str(value)))


def _row(row: Row, job: Job | None, waits_for: str | None, is_stopped: bool) -> RowReport:
    code, message = _trouble(row, job, waits_for)
    advice = ADVICE.get(code) if code else None
    at = row.error if row.error is not None and row.error.line is not None else None
    return RowReport(
        number=row.number,
        line=at.line if at else row.line,
        column=row.error.column if row.error else None,
        id=row.row_id,
        state=_state(row, job, is_stopped),
        output=output_path(job) if job else None,
        error_code=code,
        message=message,
        advice=advice.todo if advice else None,
        advice_zh=advice.todo_zh if advice else None,
        video=row.video.path if row.video else None,
        audio=row.audio.path if row.audio else None,
        job=job.id if job else None,
        duplicate_of=job.duplicate_of if job else None,
    )


def _state(row: Row, job: Job | None, is_stopped: bool) -> str:
    if job is not None:
        return job.state.value
    if row.error is not None:
        return REFUSED
    return JobState.CANCELLED.value if is_stopped else WAITING


def _trouble(row: Row, job: Job | None, waits_for: str | None) -> tuple[str | None, str | None]:
    """Return code and message. A job that goes on may still carry those of its last attempt: they are told too."""
    if job is not None:
        return job.error_code, job.error_message
    if row.error is not None:
        return row.error.code, row.error.message
    return None, waits_for
