"""`STATUS.txt` in a claim folder: what the folder is, how far its film has come, and how to cancel it.

Lines end in CRLF and the file begins with a byte order mark, as in `REASON.txt`.
"""

import os
import stat
from contextlib import suppress

from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.reason import ENCODING

NOTE_NAME = "STATUS.txt"
CANCEL_NAMES = frozenset({"cancel", "cancel.txt"})
"""Casefolded: Windows hides `.txt`, and people write as they like."""
_PART_NAME = ".STATUS.txt.part"
_MARK = "heygemd: "
"""Every note of ours begins so; another `STATUS.txt` came with the files and is left alone."""
_MAX_BYTES = 64 << 10

_TEXT = """\
{mark}this folder holds the files of a film that is being made.

Film:       {name}
State:      {state}
{more}To cancel:  Put an empty file named CANCEL into this folder, or move this folder away.
Please do not change or rename the files here. They are put away when the film is done.

{rule}

本文件夹存放正在制作的视频所用的文件。

视频：      {name}
状态：      {state_zh}
{more_zh}如何取消：  在本文件夹中放入一个名为 CANCEL 的空文件，或将本文件夹移走。
请勿更改或重命名这里的文件。视频完成后，它们会被自动归档。

Job / 任务: {job}
"""
_RULE = "-" * 60
_STAGES = {
    "analyse": ("looking at picture and sound", "正在分析画面和声音"),
    "render": ("moving the mouth", "正在生成口型"),
    "finish": ("joining and checking the film", "正在合成并检查视频"),
    "publish": ("handing the film over", "正在发布视频"),
}
_ENDED_ZH = {JobState.DONE: "已完成", JobState.FAILED: "失败", JobState.CANCELLED: "已取消"}


def status_note(
    job: Job,
    *,
    place: int | None = None,
    stage: str | None = None,
    film_s: float | None = None,
    left_s: float | None = None,
    waits_for: str | None = None,
) -> str:
    """Write the note of a job that waits at `place` of the queue (from 1), or is in `stage`.

    `film_s` is the length of the film to be, `left_s` the time until it is done, `waits_for` why work rests.
    """
    state, state_zh = _state(job, place, stage)
    more = [
        ("Waits for:  ", "等待原因：  ", waits_for),
        ("Length:     ", "时长：      ", None if film_s is None else _clock(film_s)),
        ("Time left:  ", "剩余时间：  ", None if left_s is None else _clock(left_s)),
    ]
    told = [(english, chinese, printable(value)) for english, chinese, value in more if value is not None]
    return _TEXT.format(
        mark=_MARK,
        name=printable(job.name),
        state=state,
        state_zh=state_zh,
        more="".join(f"{english}{value}\n" for english, _, value in told),
        more_zh="".join(f"{chinese}{value}\n" for _, chinese, value in told),
        rule=_RULE,
        job=job.id,
    )


def write_note(root: Root, claim_name: str, text: str, *, disk: Disk = DISK) -> None:
    """Replace `processing/<claim_name>/STATUS.txt` in one step; a folder that is gone is no error.

    A note that says the same already is not written again, and a `STATUS.txt` that is not ours stays. Not fsynced:
    it is written anew before long. Raises ResourceError E201 or E202; no `.part` is left then.
    """
    data = text.replace("\r\n", "\n").replace("\n", "\r\n").encode(ENCODING)
    with disks.share_faults(root.processing), disks.open_folder(root.path, "processing", follow=True) as above_fd:
        if not disks.exists(above_fd, claim_name):
            return
        with suppress(FileNotFoundError), disks.open_folder(root.processing, claim_name, follow=True) as fd:
            there = disks.read_at_most(fd, NOTE_NAME, _MAX_BYTES)
            if there == data or (disks.exists(fd, NOTE_NAME) and not _is_ours(there)):
                return
            try:
                disks.replace_with(disk, fd, NOTE_NAME, _PART_NAME, data, durable=False)
            finally:
                with suppress(OSError):
                    disks.remove(disk, fd, _PART_NAME)


def remove_notes(disk: Disk, fd: int) -> None:
    """Remove our note, and what asked to cancel, from an open claim folder whose job has ended."""
    for name in sorted(disks.names_in(fd)):
        is_note = name == NOTE_NAME and _is_ours(disks.read_at_most(fd, name, _MAX_BYTES))
        is_file = stat.S_ISREG(os.lstat(name, dir_fd=fd).st_mode)
        if is_note or name == _PART_NAME or (name.casefold() in CANCEL_NAMES and is_file):
            disk.unlink(name, fd)


def _is_ours(data: bytes | None) -> bool:
    """Tell whether we wrote it; a power cut may have left nothing, or zeros, of a note that was not synced."""
    return data is not None and (data.startswith(_MARK.encode(ENCODING)) or not data.strip(b"\0"))


def _state(job: Job, place: int | None, stage: str | None) -> tuple[str, str]:
    if job.state is JobState.RUNNING:
        doing, doing_zh = _STAGES.get(stage or "", ("in work", "进行中"))
        return f"in work: {doing}" if stage in _STAGES else doing, doing_zh
    if job.state is JobState.QUEUED and place is not None:
        return f"waiting, number {place} of the queue", f"排队中，第 {place} 位"
    if job.state is JobState.QUEUED:
        return "waiting", "排队中"
    return job.state.value, _ENDED_ZH[job.state]


def _clock(length_s: float) -> str:
    """Write a length as `1:02:03` or `2:03`."""
    minutes, seconds = divmod(max(0, round(length_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
