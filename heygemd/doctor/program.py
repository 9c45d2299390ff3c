"""The program itself: which Python and which heygemd, on what machine, as whom, and whether a daemon is running."""

import os
import platform
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heygemd import __version__, places, vitals
from heygemd.doctor.account import name_of
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, good, warning
from heygemd.doctor.surroundings import PACKAGE

LEAST_PYTHON = (3, 11)


def look(case: Case) -> Iterator[Finding]:
    """Say what runs, on what, as whom."""
    yield _python()
    yield good("platform", f"{_distribution(case)}, Linux {platform.release()}, {platform.machine()}")
    yield good("heygemd", f"{__version__} in {PACKAGE}")
    name, own = case.account_name, name_of(os.geteuid())
    if case.account.is_me:
        yield good("user", f"rights are judged for {name}", f"按用户 {name} 的权限检查")
    elif os.geteuid() == 0:
        yield good("user", f"rights are judged for {name}, as the service runs", f"按服务用户 {name} 的权限检查")
    else:
        yield warning(
            "user", f"run as {own}, the service runs as {name}: not everything can be seen",
            f"当前用户为 {own}，服务用户为 {name}：部分内容无法查看", fix="sudo heygemd doctor",
        )  # fmt: skip


def look_at_daemon(case: Case) -> Iterator[Finding]:
    """Say whether a daemon holds the state directory, which one, and whether it is awake."""
    folder = case.state_dir()
    if folder is None:
        return
    holder = holder_of(folder / "lock")
    if holder is None:
        if may_see(folder / "lock"):
            yield good("daemon", "not running", "未运行")
        else:
            yield good("daemon", "cannot be seen by this user", "当前用户无法查看")
        return
    if holder.is_foreign:
        yield bad(
            "daemon", f"{folder} is held by {holder.words}, another machine",
            f"{folder} 正被另一台机器占用：{holder.words}", code="E404",
            fix="stop heygemd on that machine, or set another state_dir on a local disk of this one",
            fix_zh="请停止那台机器上的 heygemd，或将本机的 state_dir 设在本地磁盘上的其他目录",
        )  # fmt: skip
        return
    if case.is_of_service and case.service.state and not _is_ours(case, holder):
        yield _stranger(case, folder, holder)
        return
    since = _since(case, holder.pid)
    yield good("daemon", f"running, pid {holder.pid}{since}", f"运行中，pid {holder.pid}{since}")
    yield from _awake(case, folder, holder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock, as it wrote itself into the file."""

    words: str
    host: str
    pid: int

    @property
    def is_foreign(self) -> bool:
        """Tell whether it is on another machine."""
        return self.host not in ("", socket.gethostname())


def holder_of(file: Path) -> Holder | None:
    """Return who holds the lock; None when nobody does, or when it cannot be seen."""
    words = places.holder_of(file)
    if words is None:
        return None
    parts = words.split()
    named = dict(zip(parts[::2], parts[1::2], strict=False))
    pid = named.get("pid", "")
    return Holder(words=words, host=named.get("host", ""), pid=int(pid) if pid.isdecimal() else 0)


def may_see(lock: Path) -> bool:
    """Tell whether a lock that nobody seems to hold may be asked at all."""
    try:
        lock.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.access(lock, os.R_OK | os.W_OK)


def command_of(case: Case, pid: int) -> str:
    """Return a process's command line and user, for people."""
    words = case.around.text(case.around.proc / str(pid) / "cmdline").replace("\0", " ").strip()
    try:
        owner = name_of((case.around.proc / str(pid)).stat().st_uid)
    except OSError:
        return words
    return f"{words} (user {owner})" if words else f"user {owner}"


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < LEAST_PYTHON:
        return bad(
            "python", f"{version} is too old: 3.11 or newer is needed", f"{version} 版本过旧：需要 3.11 或更高",
            code="E401", fix="sudo apt-get install python3.11 python3.11-venv; then install heygemd again",
            fix_zh="sudo apt-get install python3.11 python3.11-venv；然后重新安装 heygemd",
        )  # fmt: skip
    return good("python", f"{version} ({sys.executable})")


def _distribution(case: Case) -> str:
    lines = case.around.text(case.around.etc / "os-release").splitlines()
    named = next((line for line in lines if line.startswith("PRETTY_NAME=")), "")
    return named.partition("=")[2].strip('"') or platform.system()


def _is_ours(case: Case, holder: Holder) -> bool:
    return holder.pid in (case.service.main_pid, 0)


def _stranger(case: Case, folder: Path, holder: Holder) -> Finding:
    who = command_of(case, holder.pid)
    return bad(
        "daemon", f"{folder} is held by pid {holder.pid}, which is not the service: {who}",
        f"{folder} 正被 pid {holder.pid} 占用，它不是该服务：{who}", code="E404",
        fix=f"sudo kill {holder.pid}; then: sudo systemctl restart heygemd",
        fix_zh=f"sudo kill {holder.pid}；然后：sudo systemctl restart heygemd",
    )  # fmt: skip


def _since(case: Case, pid: int) -> str:
    """Say since when a process is there: field 22 of its stat, in ticks since the start of the machine (proc(5))."""
    facts = case.around.text(case.around.proc / str(pid) / "stat").rpartition(")")[2].split()
    up = case.around.text(case.around.proc / "uptime").split()
    if len(facts) < 20 or not up:  # noqa: PLR2004  # the name and the fields before it are cut off
        return ""
    age_s = float(up[0]) - int(facts[19]) / os.sysconf("SC_CLK_TCK")
    return time.strftime(", since %Y-%m-%d %H:%M", time.localtime(case.around.now().timestamp() - age_s))


def _awake(case: Case, folder: Path, holder: Holder) -> Iterator[Finding]:
    """Compare what the daemon wrote last with the time and with this program."""
    told = vitals.read_vitals(folder)
    if told is None or told.pid != holder.pid:
        return
    age_s = (case.around.now() - told.written_at).total_seconds()
    if age_s > vitals.STALE_S:
        yield bad(
            "daemon", f"it has said nothing for {age_s:.0f} s: it hangs", f"守护进程已 {age_s:.0f} 秒无响应",
            code="E500", fix="journalctl -u heygemd -n 50; then: sudo systemctl restart heygemd",
            fix_zh="journalctl -u heygemd -n 50；然后：sudo systemctl restart heygemd",
        )  # fmt: skip
    if told.version != __version__:
        yield warning(
            "daemon", f"version {told.version} is still running, this is {__version__}",
            f"运行中的版本为 {told.version}，当前程序为 {__version__}", code="E401",
            fix="sudo systemctl restart heygemd",
        )  # fmt: skip
    if told.paused:
        yield warning("daemon", f"paused: {told.paused}", f"已暂停：{told.paused}", code=_code_in(told.paused))
    if told.needs_restart:
        names = ", ".join(told.needs_restart)
        yield warning(
            "daemon", f"these settings hold only after a restart: {names}", f"以下设置需重启后生效：{names}",
            fix="sudo systemctl restart heygemd",
        )  # fmt: skip
    if told.reload_error:
        yield bad(
            "daemon", f"the last reload was refused: {told.reload_error}", f"上次重新加载被拒绝：{told.reload_error}",
            code="E401", fix="mend the configuration (heygemd config check), then: sudo systemctl reload heygemd",
            fix_zh="更正配置（heygemd config check），然后：sudo systemctl reload heygemd",
        )  # fmt: skip


def _code_in(text: str) -> str | None:
    first = text.split(maxsplit=1)[0].rstrip(":") if text else ""
    return first if first.startswith("E") and first[1:].isdecimal() else None
