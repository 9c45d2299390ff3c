"""The folders that people share: is it the right one, is it mounted, may the service work there, is there room?"""

import stat
from collections.abc import Iterator
from pathlib import Path

from heygemd.doctor import inbox, readers, strays
from heygemd.doctor.account import R, W, X
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, from_error, good, warning
from heygemd.doctor.mounts import Mount, missing_mount, mount_of, mounted
from heygemd.doctor.program import command_of, holder_of, may_see
from heygemd.doctor.rights import refusals
from heygemd.doctor.sentinel import read_sentinel
from heygemd.doctor.space import low
from heygemd.errors import HeygemdError
from heygemd.intake.roots import refuse_nested
from heygemd.jobs.roots import Root

Seen = Iterator[Finding]


def look(case: Case, folder: Path) -> Seen:
    """Examine one root; what comes first explains what would come after, so the first fault ends it."""
    subject, place = f"root {folder}", folder.absolute()
    if (fault := _not_there(case, subject, place)) is not None:
        yield fault
        return
    root = Root(place.resolve(), read_sentinel(place).uuid)
    yield _online(case, subject, root)
    for check in (_folders, _served_by_another, _inside, _closed, _room):
        if (fault := check(case, subject, root)) is not None:
            yield fault
            return
    yield from readers.look(case, root)
    yield from inbox.look(case, root)
    yield from strays.look(case, root)


def look_at_all(case: Case) -> Seen:
    """Compare the roots with each other; only those that are there."""
    if case.settings is None:
        return
    if not case.settings.roots:
        yield good("roots", "none is configured", "未配置根目录")
        return
    there = []
    for folder in case.settings.roots:
        found = read_sentinel(folder)
        if found.uuid:
            there.append(Root(folder.resolve(), found.uuid))
    try:
        refuse_nested(there)
    except HeygemdError as error:
        yield from_error(
            "roots", error, fix="leave one of the two out of roots = [...]", fix_zh="请从 roots = [...] 中去掉其中一个"
        )


def _not_there(case: Case, subject: str, place: Path) -> Finding | None:
    """Find out why there is no sentinel: not mounted, not made, damaged, or something else mounted over it."""
    found = read_sentinel(place)
    if found.state == "good":
        return None
    absent = missing_mount(place, case.around)
    if absent is not None:
        return bad(
            subject, f"the share is not mounted: /etc/fstab puts {absent.source} on {absent.point}",
            f"共享未挂载：/etc/fstab 指定将 {absent.source} 挂载到 {absent.point}", code="E201",
            fix=f"sudo mount {absent.point}",
        )  # fmt: skip
    if found.state == "absent":
        return _never_made(case, subject, place)
    anew = f"rm {place}/.heygemd/root.json && heygemd init-root {place}"
    fix = f"ls -la {place}/.heygemd; put root.json back from a backup, or: {anew}"
    return bad(
        subject, f"{place}/.heygemd/root.json cannot be used: {found.reason}",
        f"无法使用 {place}/.heygemd/root.json：{found.reason}", code="E401", fix=fix,
    )  # fmt: skip


def _never_made(case: Case, subject: str, place: Path) -> Finding:
    if not place.exists():
        return bad(
            subject, f"{place} does not exist", f"{place} 不存在", code="E401",
            fix=f"mount it; or make it: sudo -u {case.account_name} heygemd init-root {place}; or correct roots",
            fix_zh=f"请挂载，或创建：sudo -u {case.account_name} heygemd init-root {place}；或更正 roots = [...]",
        )  # fmt: skip
    if not place.is_dir():
        return bad(subject, f"{place} is no folder", f"{place} 不是文件夹", code="E401", fix="correct roots = [...]")
    if not any(place.iterdir()):
        return bad(
            subject, f"{place} is empty: a share that is not mounted, or a root that was never made",
            f"{place} 为空：共享未挂载，或尚未创建根目录", code="E401",
            fix=f"sudo mount {place}; or, for a new root: sudo -u {case.account_name} heygemd init-root {place}",
            fix_zh=f"sudo mount {place}；若为新根目录：sudo -u {case.account_name} heygemd init-root {place}",
        )  # fmt: skip
    return bad(
        subject, f"{place} is no root: it has no .heygemd/root.json", f"{place} 不是根目录：缺少 .heygemd/root.json",
        code="E401", fix=f"sudo -u {case.account_name} heygemd init-root {place}",
    )  # fmt: skip


def _online(case: Case, subject: str, root: Root) -> Finding:
    mount = mount_of(root.path, mounted(case.around))
    kind = f"{mount.kind} ({mount.source})" if mount else "unknown file system"
    sure, unsure = _quiet_s(case)
    if not case.around.is_local(root.path):
        return good(
            subject, f"there, on {kind}: a network mount, who writes there cannot be seen; quiet for {unsure:g} s",
            f"正常，{kind}：网络挂载，无法得知是否有人正在写入；需静止 {unsure:g} 秒",
        )  # fmt: skip
    return good(subject, f"there, on {kind}; files must be quiet for {sure:g} s",
                f"正常，{kind}；文件需静止 {sure:g} 秒")  # fmt: skip


def _quiet_s(case: Case) -> tuple[float, float]:
    intake = case.settings.intake if case.settings is not None else None
    return (intake.settle_s, intake.settle_unsure_s) if intake is not None else (0.0, 0.0)


def _folders(case: Case, subject: str, root: Root) -> Finding | None:
    """A claim is a rename: inbox, processing and .heygemd must lie on one file system."""
    del case
    device = root.path.stat().st_dev
    for folder in (root.inbox, root.processing, root.private):
        try:
            facts = folder.lstat()
        except FileNotFoundError:
            continue  # the daemon makes it anew
        if not stat.S_ISDIR(facts.st_mode):
            return bad(
                subject, f"{folder} is not a folder", f"{folder} 不是文件夹", code="E201",
                fix=f"mv {folder} {folder}.old && heygemd init-root {root.path}",
            )  # fmt: skip
        if facts.st_dev != device:
            return bad(
                subject, f"{folder} lies on another file system than {root.path}: files cannot be renamed there",
                f"{folder} 与 {root.path} 不在同一文件系统，无法重命名", code="E201",
                fix=f"sudo umount {folder}; mount the whole share on {root.path} instead",
                fix_zh=f"sudo umount {folder}；请将整个共享挂载到 {root.path}",
            )  # fmt: skip
    return None


def _served_by_another(case: Case, subject: str, root: Root) -> Finding | None:
    """Two daemons on one root: seen by who holds its lock, and whether he holds our state directory, too."""
    holder = holder_of(root.private / "lock")
    if holder is None:
        return None
    if not holder.is_foreign:
        state_dir = case.state_dir()
        own = None if state_dir is None else holder_of(state_dir / "lock")
        is_unseen = state_dir is not None and own is None and not may_see(state_dir / "lock")
        if is_unseen or (own is not None and own.pid == holder.pid):
            return None
    who = holder.words if holder.is_foreign else f"pid {holder.pid}: {command_of(case, holder.pid)}"
    stop = "stop heygemd there" if holder.is_foreign else f"sudo kill {holder.pid}"
    return bad(
        subject, f"another daemon serves it ({who})", f"另一个守护进程正在使用它（{who}）", code="E404",
        fix=f"{stop}; or give this daemon a root of its own",
        fix_zh=f"{stop}；或为本守护进程使用单独的根目录",
    )  # fmt: skip


def _inside(case: Case, subject: str, root: Root) -> Finding | None:
    state_dir = case.state_dir()
    if state_dir is not None and state_dir.absolute().is_relative_to(root.path):
        return bad(
            subject, f"the state directory {state_dir} lies inside the root {root.path}",
            f"状态目录 {state_dir} 位于根目录 {root.path} 之内", code="E401",
            fix="set state_dir to a folder outside of all roots, such as /var/lib/heygemd",
            fix_zh="将 state_dir 设在所有根目录之外，例如 /var/lib/heygemd",
        )  # fmt: skip
    inbox_ = root.inbox.resolve()
    for folder in (root.outbox, root.done, root.failed, root.processing, root.status):
        if folder.resolve().is_relative_to(inbox_):
            return bad(
                subject, f"{folder} leads into the inbox: results would become inputs",
                f"{folder} 指向 inbox：成片会被当作输入",
                code="E401",
                fix=f"rm {folder} && heygemd init-root {root.path}",
            )  # fmt: skip
    return None


def _closed(case: Case, subject: str, root: Root) -> Finding | None:
    """All folders at once: they are mended with one command."""
    everyone = (root.inbox, root.outbox, root.processing, root.failed, root.done, root.status, root.private)
    ours = (root.claims, root.batches, root.shared, root.private / "tmp")
    closed = refusals([(folder, R | W | X) for folder in (*everyone, *ours)], case.account)
    if not closed:
        return None
    name, mount = case.account_name, mount_of(root.path, mounted(case.around))
    listed = ", ".join(sorted({str(refused) for refused in closed.values()}))
    return bad(
        subject, f"{name} may not read and write {listed}", f"用户 {name} 无权读写 {listed}", code="E201",
        fix=_opened(root.path, sorted(set(closed.values())), name, mount),
    )  # fmt: skip


def _opened(place: Path, refused: list[Path], name: str, mount: Mount | None) -> str:
    if mount is not None and mount.kind in ("cifs", "smb3"):
        return (
            f"add uid={name},gid={name},forceuid,forcegid to the options of {mount.point} in /etc/fstab, then: "
            f"sudo mount -o remount {mount.point}"
        )
    above = [folder for folder in refused if place.is_relative_to(folder) and folder != place]
    if above:
        return " && ".join(f"sudo chmod o+x {folder}" for folder in above)
    names = " ".join(map(str, refused))
    if mount is not None and mount.kind.startswith("nfs"):
        return (
            f"on the server of {mount.source}: chown -R {name}: (the same number there as here), or map the user; "
            f"here: ls -ln {names}"
        )
    return f"sudo chown -R {name}: {names}"


def _room(case: Case, subject: str, root: Root) -> Finding | None:
    settings = case.settings
    if settings is None:
        return None
    room = case.around.room_of(root.path)
    reserve_bytes = settings.intake.reserve_mib << 20
    if reserve_bytes > room.total_bytes > 0:
        return bad(
            subject, f"intake.reserve_mib ({settings.intake.reserve_mib}) is more than the whole disk has",
            f"intake.reserve_mib（{settings.intake.reserve_mib}）超过整个磁盘容量", code="E401",
            fix=f"set intake.reserve_mib to less than {room.total_bytes >> 21}",
            fix_zh=f"将 intake.reserve_mib 设为小于 {room.total_bytes >> 21}",
        )  # fmt: skip
    fault = low(subject, root.path, room, least_bytes=reserve_bytes)
    if fault is not None:
        return fault
    low_water_bytes = int(settings.retention.low_water_gib * (1 << 30))
    if room.free_bytes < low_water_bytes:
        return warning(
            subject, f"only {room.free_bytes / 1e9:.1f} GB left: done/ is being cleared before its time "
            f"(retention.low_water_gib = {settings.retention.low_water_gib:g})",
            f"仅剩 {room.free_bytes / 1e9:.1f} GB：done/ 会被提前清理", code="E202",
            fix=f"free some space on {root.path}, or lower retention.low_water_gib",
            fix_zh=f"清理 {root.path} 的空间，或降低 retention.low_water_gib",
        )  # fmt: skip
    return None
