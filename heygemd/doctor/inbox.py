"""The inbox of a root: can the kernel wake us for it, are its folder settings right, what waits for a person?"""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from heygemd import vitals
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, good, warning
from heygemd.doctor.rights import as_account
from heygemd.errors import InputError
from heygemd.intake.folderconfig import read_config
from heygemd.intake.manifests.foldertoml import CONFIG_NAME, MAX_CONFIG_BYTES
from heygemd.jobs.roots import Root

MOST_FOLDERS = 300_000
"""Counted; more would take the doctor's time."""
MOST_PROBLEMS = 5
FEW_INSTANCES = 16
WANTED_WATCHES = 1_048_576
_IN_NONBLOCK, _IN_CREATE = 0o4000, 0x100
"""inotify_init1(2), inotify(7)."""


def look(case: Case, root: Root) -> Iterator[Finding]:
    """Walk through the inbox once."""
    folders, configs = _walk(root.inbox)
    if case.around.is_local(root.path):
        yield _watches(case, root, folders)
    yield from _configs(root, configs)
    yield from _waiting(case, root)


def _walk(inbox: Path) -> tuple[int, list[Path]]:
    """Count the folders, and find the files that set something for them."""
    count, configs = 0, []
    for place, folders, files in os.walk(inbox):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += 1
        if CONFIG_NAME in files:
            configs.append(Path(place) / CONFIG_NAME)
        if count >= MOST_FOLDERS:
            break
    return count, configs


def _watches(case: Case, root: Root, folders: int) -> Finding:
    """Without a watch for each folder new files are found by looking alone: later, and at a cost."""
    subject = f"wake-ups from {root.inbox}"
    limits = case.around.proc / "sys/fs/inotify"
    most = case.around.number(limits / "max_user_watches")
    instances = case.around.number(limits / "max_user_instances")
    if most is not None and folders > most:
        return _few(
            subject, "max_user_watches", max(WANTED_WATCHES, 2 * folders),
            f"{folders} folders, but fs.inotify.max_user_watches is {most}",
            f"共 {folders} 个文件夹，而 fs.inotify.max_user_watches 为 {most}",
        )  # fmt: skip
    if instances is not None and instances < FEW_INSTANCES:
        return _few(
            subject, "max_user_instances", 1024, f"fs.inotify.max_user_instances is only {instances}",
            f"fs.inotify.max_user_instances 仅为 {instances}",
        )  # fmt: skip
    failed = as_account(case.account, lambda: _tried(root.inbox))
    if failed == errno.EMFILE:
        return _few(
            subject,
            "max_user_instances",
            1024,
            f"user {case.account_name} has no inotify instance left (limit {instances})",
            f"用户 {case.account_name} 的 inotify 实例已用尽（上限 {instances}）",
        )  # fmt: skip
    if failed == errno.ENOSPC:
        return _few(
            subject,
            "max_user_watches",
            WANTED_WATCHES,
            f"user {case.account_name} has no inotify watch left (limit {most})",
            f"用户 {case.account_name} 的 inotify 监视已用尽（上限 {most}）",
        )  # fmt: skip
    if failed:
        return warning(
            subject, f"changes cannot be watched: {os.strerror(failed)}", f"无法监视变化：{os.strerror(failed)}",
            code="E201", fix=f"ls -ld {root.inbox}",
        )  # fmt: skip
    return good(subject, f"{folders} folders of at most {most} (fs.inotify.max_user_watches)",
                f"{folders} 个文件夹，上限 {most}（fs.inotify.max_user_watches）")  # fmt: skip


def _few(subject: str, name: str, wanted: int, message: str, message_zh: str) -> Finding:
    line = f"fs.inotify.{name} = {wanted}"
    return warning(
        subject, f"{message}: new files are found later", f"{message_zh}：新文件会较晚发现", code="E401",
        fix=f"echo '{line}' | sudo tee /etc/sysctl.d/60-heygemd.conf && sudo sysctl --system",
    )  # fmt: skip


def _tried(inbox: Path) -> int:
    """Ask the kernel for a watch, as the daemon does; returns an errno, 0 when it was granted."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.inotify_init1(_IN_NONBLOCK)
    if number < 0:
        return ctypes.get_errno()
    try:
        return 0 if libc.inotify_add_watch(number, os.fsencode(inbox), _IN_CREATE) >= 0 else ctypes.get_errno()
    finally:
        os.close(number)


def _configs(root: Root, files: list[Path]) -> Iterator[Finding]:
    wrong = [finding for file in files if (finding := _config(root, file)) is not None]
    yield from wrong[:MOST_PROBLEMS]
    if files and not wrong:
        yield good(f"{CONFIG_NAME} below {root.inbox}", f"{len(files)}, all good", f"{len(files)} 个，均正确")


def _config(root: Root, file: Path) -> Finding | None:
    subject = f"{CONFIG_NAME} of {file.parent.relative_to(root.path)}"
    try:
        with file.open("rb") as handle:
            read_config(handle.read(MAX_CONFIG_BYTES + 1))
    except OSError as error:
        reason, code = error.strerror or str(error), "E120"
    except InputError as error:
        reason, code = error.message, error.code
    else:
        return None
    return warning(
        subject, f"{file}: {reason}: what held before goes on", f"{file}：{reason}（之前的设置继续有效）", code=code,
        fix=f"mend or remove {file}", fix_zh=f"更正或删除 {file}",
    )  # fmt: skip


def _waiting(case: Case, root: Root) -> Iterator[Finding]:
    """Tell of what stays as it is until a person does something; none of it is a fault of the set-up."""
    state_dir = case.state_dir()
    told = None if state_dir is None else vitals.read_vitals(state_dir)
    of_root = next((seen for seen in told.roots if seen.uuid == root.uuid), None) if told is not None else None
    if (
        of_root is not None
        and told is not None
        and case.around.now().timestamp() - told.written_at.timestamp() < vitals.STALE_S
    ):
        if of_root.watcher == "dead":
            yield warning(
                f"wake-ups from {root.inbox}", "the daemon's watcher has died; it looks on schedule",
                "监视已失效，改为定时查看",
                code="E201",
                fix="journalctl -u heygemd -g alarm; sudo systemctl restart heygemd",
            )  # fmt: skip
        if of_root.needs_you:
            yield good(f"inbox of {root.path}", f"{of_root.needs_you} things wait for somebody: heygemd status",
                       f"{of_root.needs_you} 项需要人工处理：heygemd status")  # fmt: skip
    try:
        failed = sum(1 for entry in root.failed.iterdir() if not entry.name.startswith("."))
    except OSError:
        return
    if failed:
        yield good(f"failed of {root.path}", f"{failed} jobs failed; REASON.txt in each folder says why",
                   f"{failed} 个任务失败；原因见各文件夹中的 REASON.txt")  # fmt: skip
