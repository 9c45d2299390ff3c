"""Who will be able to read the films, and how surely a file that is still being written is known."""

import stat
from collections.abc import Iterator

from heygemd.doctor.account import group_name, members_of, name_of
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, good, warning
from heygemd.intake.writers import may_lease_any
from heygemd.jobs.roots import Root

DEFAULT_UMASK = 0o022
_CAP_LEASE = 28  # linux/capability.h


def look(case: Case, root: Root) -> Iterator[Finding]:
    """Say both."""
    yield _outbox(case, root)
    yield _writers(case, root)


def _outbox(case: Case, root: Root) -> Finding:
    """A film gets the mode that umask leaves, and the group of the folder where that is set-gid."""
    subject = f"readers of {root.outbox}"
    try:
        facts = root.outbox.stat()
    except FileNotFoundError:
        return good(subject, "outbox/ is not there yet", "outbox/ 尚未建立")
    umask = _umask(case)
    mode = stat.S_IMODE(facts.st_mode)
    gid = facts.st_gid if mode & stat.S_ISGID else case.account.gid
    group = group_name(gid)
    if not umask & stat.S_IROTH and mode & stat.S_IROTH and mode & stat.S_IXOTH:
        return good(subject, f"everybody (umask {umask:04o}); owner {case.account_name}, group {group}",
                    f"所有人（umask {umask:04o}）；属主 {case.account_name}，组 {group}")  # fmt: skip
    if not umask & stat.S_IRGRP and mode & stat.S_IRGRP and mode & stat.S_IXGRP and facts.st_gid == gid:
        members = ", ".join(members_of(gid)) or "no other members"
        return good(subject, f"group {group} ({members}; umask {umask:04o}), and through Samba with force user",
                    f"组 {group}（{members}；umask {umask:04o}），以及使用 force user/group 的 Samba")  # fmt: skip
    if umask & stat.S_IRGRP and umask & stat.S_IROTH:
        return warning(
            subject,
            f"only {name_of(case.account.uid)} (umask {umask:04o}): people see no films without force user in Samba",
            f"仅 {name_of(case.account.uid)}（umask {umask:04o}）：Samba 未设 force user 时他人看不到成片", code="E401",
            fix="sudo systemctl edit heygemd, and write [Service] UMask=0007; then: sudo systemctl restart heygemd",
            fix_zh="sudo systemctl edit heygemd，写入 [Service] UMask=0007；然后：sudo systemctl restart heygemd",
        )  # fmt: skip
    return warning(
        subject, f"only {name_of(case.account.uid)}: the folder has mode {mode:04o}, group {group_name(facts.st_gid)}",
        f"仅 {name_of(case.account.uid)}：文件夹权限为 {mode:04o}，组为 {group_name(facts.st_gid)}", code="E401",
        fix=f"sudo chgrp {group} {root.outbox} && sudo chmod g+rxs {root.outbox}",
    )  # fmt: skip


def _umask(case: Case) -> int:
    """The unit's, else that of this process."""
    if case.service.file is not None:
        told = case.service.value("UMask", f"{DEFAULT_UMASK:04o}")
        return int(told, 8) if told.isdecimal() else DEFAULT_UMASK
    line = next(
        (line for line in case.around.text(case.around.proc / "self/status").splitlines() if line.startswith("Umask")),
        "",
    )
    told = line.partition(":")[2].strip()
    return int(told, 8) if told.isdecimal() else DEFAULT_UMASK


def _writers(case: Case, root: Root) -> Finding:
    """Say how surely a file that is still being written is known, and so how long files must be quiet."""
    subject = f"writers in {root.path}"
    if case.settings is None:
        return good(subject, "not examined", "未检查")
    sure, unsure = case.settings.intake.settle_s, case.settings.intake.settle_unsure_s
    if not case.around.is_local(root.path):
        return good(subject, f"a network mount: they cannot be seen; a file must be quiet for {unsure:g} s",
                    f"网络挂载：无法得知；文件需静止 {unsure:g} 秒")  # fmt: skip
    if case.around.number(case.around.proc / "sys/fs/leases-enable") == 0:
        return warning(
            subject, f"fs.leases-enable is 0: nothing is certain, every file must be quiet for {unsure:g} s",
            f"fs.leases-enable 为 0：无法确认，文件需静止 {unsure:g} 秒", code="E401",
            fix="sudo sysctl fs.leases-enable=1",
        )  # fmt: skip
    if _may_lease(case):
        return good(subject, f"seen by lease, whoever owns the file (CAP_LEASE); a file must be quiet for {sure:g} s",
                    f"可通过租约得知任何文件的写入者（CAP_LEASE）；文件需静止 {sure:g} 秒")  # fmt: skip
    return good(
        subject,
        f"seen by lease for files of user {case.account_name} (Samba: force user), quiet for {sure:g} s; "
        f"files of others must be quiet for {unsure:g} s, unless heygemd is given CAP_LEASE",
        f"可得知用户 {case.account_name} 的文件（Samba：force user），静止 {sure:g} 秒；"
        f"其他用户的文件需静止 {unsure:g} 秒，除非赋予 CAP_LEASE",
    )  # fmt: skip


def _may_lease(case: Case) -> bool:
    """The running daemon knows best, then its unit; without a unit it has what we have."""
    if case.service.file is None:
        return may_lease_any()
    status = case.around.text(case.around.proc / str(case.service.main_pid or "none") / "status")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), None)
    if effective is not None:
        return bool(int(effective, 16) >> _CAP_LEASE & 1)
    return "CAP_LEASE" in case.service.words("AmbientCapabilities")
