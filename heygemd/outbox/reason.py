"""The text of REASON.txt: why a job failed, what to do, and how to try again, in English and in Chinese.

Lines end in CRLF and the file begins with a byte order mark (`ENCODING`): Notepad before Windows 10 1903
otherwise shows Chinese text in the machine's own code page.
"""

from heygemd.errors import ADVICE, Advice
from heygemd.jobs.states import JobState
from heygemd.naming import printable
from heygemd.outbox.report import InputFacts, Report

ENCODING = "utf-8-sig"

_ENGLISH = """\
{opening}

Film:           {name}
Code:           {code}
What happened:  {title}
Details:        {message}
What to do:     {todo}
To try again:   Move this whole folder back into the inbox, or drop the corrected files there.
                Nothing was changed in your files.
"""
_CHINESE = """\
{opening}

视频名称：{name}
错误代码：{code}
发生了什么：{title}
详细信息：{message}
如何处理：{todo}
如何重试：将整个文件夹移回 inbox，或将更正后的文件重新放入 inbox。
您的文件未作任何更改。
"""
_FACTS = """\
Picture / 画面:  {video}
Sound / 声音:    {audio}
Time / 时间:     {time} (UTC)
Attempts / 次数: {attempts}
{row}Job / 任务:      {job}
More in error.json. / 更多信息见 error.json。
"""
_RULE = "-" * 60
_FAILED_OPENING = ("heygemd could not make this film.", "heygemd 未能生成此视频。")
_CANCELLED_OPENING = ("This film was cancelled.", "此视频已取消。")


_CANCELLED = Advice(
    "The job was cancelled.",
    "Nothing, or put it back when it is wanted after all.",
    "任务已取消。",
    "无需处理；如仍需要，可重新放入。",
)


def reason_text(report: Report) -> str:
    """Write REASON.txt for the report of a failed or cancelled job; raises ValueError for a finished one."""
    if report.error is None and report.state is not JobState.CANCELLED:
        raise ValueError(f"job {report.job} is {report.state}, and there is no reason to tell")
    advice = ADVICE[report.error.code] if report.error else _CANCELLED
    message = " ".join(report.error.message.split()) if report.error else ""
    told = {
        "name": printable(report.name),
        "code": report.error.code if report.error else "-",
        "message": printable(message) or "-",
    }
    opening, opening_zh = _FAILED_OPENING if report.error else _CANCELLED_OPENING
    blocks = (
        _ENGLISH.format(opening=opening, title=advice.title, todo=advice.todo, **told),
        _CHINESE.format(opening=opening_zh, title=advice.title_zh, todo=advice.todo_zh, **told),
        _FACTS.format(
            video=_named(report.inputs.video),
            audio=_named(report.inputs.audio),
            time=report.finished_at,
            attempts=report.attempts,
            row=_row(report),
            job=report.job,
        ),
    )
    return f"\n{_RULE}\n\n".join(blocks).replace("\n", "\r\n")


def _named(file: InputFacts | None) -> str:
    return printable(file.name) if file else "-"


def _row(report: Report) -> str:
    """Return the line that says which row of a manifest it was; nothing for a job that came alone."""
    if report.row is None:
        return ""
    called = f" ({printable(report.row_id)})" if report.row_id else ""
    return f"Row / 行:        {report.row}{called}\n"
