"""Every check, in the order a person would make them; none can stop or delay the others.

Each runs in a child process of its own, all at once, and has a time limit: what one found before it hung or broke is
told, and that it hung or broke is a finding like any other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from heygemd.doctor import clock, devices, folders, odds, program, roots, tools, unit, weights
from heygemd.doctor.account import myself
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, Level, bad, from_error, warning
from heygemd.doctor.patience import BrokenCallError, Heard, StillWaitingError, begin, bounded
from heygemd.doctor.service import Service, account_of, find_service
from heygemd.doctor.surroundings import TORCH_LIMIT_S, Surroundings
from heygemd.errors import HeygemdError, SetupError
from heygemd.settings import Settings

LIMIT_S = 20.0
UNIT_LIMIT_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part of the examination."""

    group: str
    subject: str
    """Named when it says nothing by itself."""
    look: Callable[[], Iterable[Finding]]
    limit_s: float = LIMIT_S


def examine(
    settings: Settings | SetupError,
    *,
    config: Path | None = None,
    around: Surroundings | None = None,
    is_quick: bool = False,
) -> list[Finding]:
    """Look at everything; `settings` may be the reason why there are none, then the rest is examined without.

    `is_quick` leaves out what takes more than a second: torch, and the hashes of large files.
    """
    if isinstance(settings, HeygemdError):
        unread = [replace(odds.of_error(config, settings), group="settings")]
        case, troubles = prepare(None, config=config, around=around, is_quick=is_quick)
    else:
        unread = []
        case, troubles = prepare(settings, config=config, around=around, is_quick=is_quick)
    return [*unread, *troubles, *carry_out(checks_of(case))]


def prepare(
    settings: Settings | None, *, config: Path | None, around: Surroundings | None = None, is_quick: bool = False
) -> tuple[Case, list[Finding]]:
    """Find the service and whose rights count, and say what is wrong with that; systemd may hang, too."""
    place = around or Surroundings()
    troubles: list[Finding] = []
    try:
        service = bounded(partial(find_service, place), limit_s=UNIT_LIMIT_S)
    except (StillWaitingError, BrokenCallError, OSError):
        service = Service()
        fix = "systemctl status; sudo dmesg | tail"
        troubles.append(warning("unit", "systemd does not answer", "systemd 没有响应", code="E500", fix=fix))
    case = Case(settings=settings, around=place, service=service, account=myself(), config=config, is_quick=is_quick)
    if case.is_of_service:
        account = account_of(service)
        if account is None:
            troubles.append(_no_user(service))
        else:
            case = replace(case, account=account)
    return case, [replace(finding, group="unit") for finding in troubles]


def is_sound(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is broken; warnings are allowed."""
    return all(finding.level is not Level.BAD for finding in findings)


def checks_of(case: Case) -> list[Check]:
    """Return what is to be looked at; each root is a check of its own, for each may be a dead share."""
    checks = [
        Check(group="program", subject="program", look=partial(program.look, case)),
        Check(group="program", subject="daemon", look=partial(program.look_at_daemon, case)),
        Check(group="settings", subject="configuration", look=partial(odds.look, case)),
        Check(group="devices", subject="devices", look=partial(devices.look, case), limit_s=TORCH_LIMIT_S + LIMIT_S),
        Check(group="tools", subject="ffmpeg", look=partial(tools.look, case), limit_s=60.0),
        Check(group="models", subject="shipped models", look=partial(weights.look_at_shipped, case)),
        Check(group="models", subject="models_dir", look=partial(weights.look, case), limit_s=60.0),
        Check(group="folders", subject="state directory", look=partial(folders.look, case)),
        Check(group="folders", subject="log and metrics", look=partial(folders.look_at_files, case)),
    ]
    paths = case.settings.roots if case.settings is not None else ()
    return [
        *checks,
        *(Check(group="roots", subject=f"root {path}", look=partial(roots.look, case, path)) for path in paths),
        Check(group="roots", subject="roots", look=partial(roots.look_at_all, case)),
        Check(group="clock", subject="clock", look=partial(clock.look, case)),
        *(
            Check(group="clock", subject=f"clock of {path}", look=partial(clock.look_at_share, case, path))
            for path in paths
        ),
        Check(group="unit", subject="unit", look=partial(unit.look, case)),
    ]


def carry_out(checks: list[Check]) -> list[Finding]:
    """Run all at once; findings come in the order of the checks."""
    children = [begin(check.look, limit_s=check.limit_s) for check in checks]
    try:
        found = [_told(check, child.hear()) for check, child in zip(checks, children, strict=True)]
    finally:
        for child in children:
            child.end()
    return [finding for findings in _without_echoes(found) for finding in findings]


def _told(check: Check, heard: Heard) -> list[Finding]:
    findings = [replace(finding, group=check.group) for finding in heard.values]
    if heard.end == "hanging":
        findings.append(replace(_hanging(check), group=check.group))
    elif heard.end == "failed" and heard.error is not None:
        findings.append(replace(_failed(check, heard.error), group=check.group))
    elif heard.end == "broken":
        findings.append(replace(_broken(check, heard.trouble), group=check.group))
    return findings


def _without_echoes(found: list[list[Finding]]) -> list[list[Finding]]:
    """A dead share that is in its own check is not told again by those that compare all roots and clocks."""
    is_dead = any(_is_hang(finding) for findings in found for finding in findings if finding.group == "roots")
    if not is_dead:
        return found
    echoes = ("roots", "clock of ")
    return [
        [finding for finding in findings if not (_is_hang(finding) and finding.subject.startswith(echoes))]
        for findings in found
    ]


def _is_hang(finding: Finding) -> bool:
    return finding.message.startswith("no answer within")


def _hanging(check: Check) -> Finding:
    """Name what hung: for a root it is the share, else a disk or a driver."""
    place = check.subject.removeprefix("root ") if check.group == "roots" else ""
    if place:
        fix, fix_zh = f"sudo umount -l {place} && sudo mount {place}", ""
    else:
        fix = "sudo dmesg | tail; a disk or a network mount on the way does not answer (findmnt)"
        fix_zh = "sudo dmesg | tail；某个磁盘或网络挂载没有响应（findmnt）"
    return bad(
        check.subject, f"no answer within {check.limit_s:.0f} s: a dead share or a disk in trouble",
        f"{check.limit_s:.0f} 秒内无响应：共享已失效或磁盘故障", code="E201", fix=fix, fix_zh=fix_zh,
    )  # fmt: skip


def _failed(check: Check, error: HeygemdError | OSError) -> Finding:
    if isinstance(error, HeygemdError):
        return from_error(check.subject, error)
    reason = f"{error.filename or check.subject}: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return warning(check.subject, f"cannot be examined: {reason}", f"无法检查：{reason}", code="E407",
                       fix="sudo heygemd doctor")  # fmt: skip
    return bad(check.subject, reason, code="E201", fix=f"ls -ld {error.filename or ''}; sudo dmesg | tail")


def _broken(check: Check, trouble: str) -> Finding:
    last = (trouble.strip().splitlines() or ["its process was ended from outside"])[-1]
    return bad(
        check.subject, f"the check itself failed: {last}", f"检查程序自身出错：{last}", code="E500",
        fix="send this to the developers: heygemd doctor --json", fix_zh="请将 heygemd doctor --json 的输出发给开发者",
    )  # fmt: skip


def _no_user(service: Service) -> Finding:
    user = service.user
    return bad(
        "unit", f"it runs as {user}, and there is no such user", f"服务以用户 {user} 运行，但该用户不存在", code="E401",
        fix=f"sudo systemd-sysusers; or: sudo useradd --system --home-dir /var/lib/heygemd {user}",
    )  # fmt: skip
