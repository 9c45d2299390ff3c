"""Is it now? The clock of this machine, that of the newest entry in the store, and those of the shares."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, good, warning
from heygemd.doctor.folders import STORE_NAME
from heygemd.doctor.patience import BrokenCallError, StillWaitingError
from heygemd.doctor.rights import as_account
from heygemd.doctor.sentinel import read_sentinel
from heygemd.errors import HeygemdError
from heygemd.jobs.health import newest_event
from heygemd.jobs.roots import Root

EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""A clock before this has lost its battery."""
SLACK_S = 60.0
SHARE_SLACK_S = 5.0
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def look(case: Case) -> Iterator[Finding]:
    """Judge the machine's own clock."""
    now = case.around.now()
    if now < EARLIEST:
        yield bad(
            "clock", f"it says {now:%Y-%m-%d}", f"系统时间为 {now:%Y-%m-%d}", code="E401",
            fix="sudo timedatectl set-ntp true; or by hand: sudo timedatectl set-time 'YYYY-MM-DD HH:MM'",
        )  # fmt: skip
        return
    yield from _went_back(case, now)
    yield _kept(case)


def look_at_share(case: Case, folder: Path) -> Iterator[Finding]:
    """Compare the clock that stamps files on a root with ours, by a file of one moment."""
    found = read_sentinel(folder)
    temporary = Root(folder.absolute(), found.uuid).private / "tmp"
    if not found.uuid or case.around.is_local(folder) or not temporary.is_dir():
        return
    try:
        off_s = as_account(case.account, lambda: _offset_s(temporary))
    except (StillWaitingError, BrokenCallError):
        return  # the examination of the root tells what is wrong there
    if off_s is None:
        return
    subject = f"clock of {folder}"
    if abs(off_s) > SHARE_SLACK_S:
        yield warning(
            subject, f"it is {off_s:+.0f} s off ours", f"与本机相差 {off_s:+.0f} 秒", code="E401",
            fix="set both clocks by one time server; on the server of the share and here: timedatectl",
            fix_zh="两台机器使用同一时间服务器；分别在共享服务器和本机运行 timedatectl",
        )  # fmt: skip
    else:
        yield good(subject, f"{off_s:+.1f} s against ours", f"与本机相差 {off_s:+.1f} 秒")


def _went_back(case: Case, now: datetime) -> Iterator[Finding]:
    state_dir = case.state_dir()
    if state_dir is None or not (state_dir / STORE_NAME).is_file():
        return
    try:
        newest = as_account(case.account, lambda: newest_event(state_dir / STORE_NAME))
    except (HeygemdError, StillWaitingError, BrokenCallError):
        return  # the examination of the store tells what is wrong there
    if newest is not None and (newest - now).total_seconds() > SLACK_S:
        yield warning(
            "clock",
            f"it says {now:%Y-%m-%d %H:%M} UTC, but the store has an entry of {newest:%Y-%m-%d %H:%M}: it went back",
            f"系统时间为 {now:%Y-%m-%d %H:%M} UTC，而任务库已有 {newest:%Y-%m-%d %H:%M} 的记录：时钟被调回",
            code="E401",
            fix="timedatectl; then: sudo timedatectl set-ntp true",
            fix_zh="timedatectl；然后：sudo timedatectl set-ntp true",
        )  # fmt: skip


def _kept(case: Case) -> Finding:
    """Ask the kernel, and systemd-timesyncd's mark; in a container both belong to the host."""
    mark = case.around.run / "systemd/timesync/synchronized"
    is_kept = case.around.is_synchronised()
    now = f"{case.around.now():%Y-%m-%d %H:%M:%S} UTC"
    if is_kept or mark.exists():
        return good("clock", f"{now}, synchronised", f"{now}，已同步")
    if is_kept is None or case.around.is_container:
        return good("clock", f"{now}; the host keeps it, if anybody", f"{now}；由宿主机维护")
    return warning(
        "clock", f"{now}, but nobody keeps it right: reports and retention go by it",
        f"{now}，但没有时间同步：报告与保留期以它为准", code="E401",
        fix="sudo timedatectl set-ntp true; where that fails: sudo apt-get install systemd-timesyncd",
        fix_zh="sudo timedatectl set-ntp true；若失败：sudo apt-get install systemd-timesyncd",
    )  # fmt: skip


def _offset_s(temporary: Path) -> float | None:
    """Return by how much the share's clock is ahead of ours; None when nothing can be written there."""
    file = temporary / f".clock-{os.getpid()}.part"
    try:
        before = time.time()
        os.close(os.open(file, _NEW, 0o600))
        try:
            stamp = file.stat().st_mtime
        finally:
            file.unlink(missing_ok=True)
    except OSError:
        return None
    after = time.time()
    return stamp - before if stamp < before else max(0.0, stamp - after)
