"""The folders of this machine that the daemon writes: its state with the store, the debug log, the metrics."""

import stat
from collections.abc import Iterator
from pathlib import Path

from heygemd.doctor.account import R, W, X, may_become, name_of
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, Level, bad, from_error, good, warning
from heygemd.doctor.patience import BrokenCallError, StillWaitingError
from heygemd.doctor.rights import as_account, refusals
from heygemd.doctor.space import low
from heygemd.errors import HeygemdError
from heygemd.jobs.health import examine_store

STORE_NAME = "jobs.sqlite"
LOW_DISK_BYTES = 2 << 30
"""About an hour of 1080p film with its segments."""
OPEN_TO_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
CACHE_SLACK = 1.5
"""The cache is swept at times, not always: so much more than its limit is no fault yet."""
MOST_CACHED = 200_000
"""Entries that are counted; more would make the doctor slow."""


def look(case: Case) -> Iterator[Finding]:
    """Examine the state directory, then the store in it."""
    folder = case.state_dir()
    if folder is None:
        yield good(
            "state directory",
            "not set: the daemon chooses one by its first root",
            "未设置：由守护进程按第一个根目录选择",
        )
        return
    is_sound = True
    for finding in _state(case, folder):
        is_sound = is_sound and finding.level is not Level.BAD
        yield finding
    if is_sound and folder.is_dir():
        yield _store(case, folder / STORE_NAME)
        yield from _cache(case, folder / "cache")


def look_at_files(case: Case) -> Iterator[Finding]:
    """Examine the folders of the debug log and of the metrics."""
    if case.settings is None:
        return
    for setting, file in (("log_file", case.settings.log_file), ("metrics_file", case.settings.metrics_file)):
        if file is not None:
            yield _folder_of(case, setting, file)


def _state(case: Case, folder: Path) -> Iterator[Finding]:
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    name = case.account_name
    if not nearest.is_dir():
        yield bad(
            "state directory", f"{folder} cannot be made: {nearest} is a file", f"无法创建 {folder}：{nearest} 是文件",
            code="E401", fix=f"mv {nearest} {nearest}.old; or set another state_dir",
            fix_zh=f"mv {nearest} {nearest}.old；或设置其他 state_dir",
        )  # fmt: skip
        return
    if not case.around.is_local(nearest):
        yield bad(
            "state directory", f"{folder} lies on a network mount; the store needs a local disk",
            f"{folder} 位于网络挂载上；任务库需要本地磁盘", code="E401",
            fix="set state_dir to a folder of a local disk, such as /var/lib/heygemd",
            fix_zh="将 state_dir 设为本地磁盘上的文件夹，例如 /var/lib/heygemd",
        )  # fmt: skip
        return
    short = low("state directory", folder, case.around.room_of(nearest), least_bytes=LOW_DISK_BYTES)
    if short is not None:
        yield short
        return
    closed = refusals([(nearest, R | W | X if nearest == folder else W | X)], case.account)
    if closed:
        refused = next(iter(closed.values()))
        yield bad(
            "state directory", f"{name} may not write {folder}: {refused} is closed to it (owner {_owner(refused)})",
            f"用户 {name} 无权写入 {folder}：{refused}（属主 {_owner(refused)}）", code="E401",
            fix=_opened(folder, refused, nearest, name),
        )  # fmt: skip
        return
    strangers = [*_strangers_in(case, folder)]
    yield from strangers
    if any(finding.level is Level.BAD for finding in strangers):
        return
    room = case.around.room_of(nearest)
    yield good("state directory", f"{folder}, {room.free_bytes / 1e9:.1f} GB free",
               f"{folder}，剩余 {room.free_bytes / 1e9:.1f} GB")  # fmt: skip


def _opened(folder: Path, refused: Path, nearest: Path, name: str) -> str:
    """Give the folder to the one who writes it; a folder on the way only needs to let him through."""
    if nearest != folder:
        return f"sudo install -d -m 0711 -o {name} {folder}"
    return f"sudo chown -R {name}: {folder}" if refused == folder else f"sudo chmod o+x {refused}"


def _strangers_in(case: Case, folder: Path) -> Iterator[Finding]:
    """Find what somebody else left there (root, by hand), and doors that stand open."""
    if not folder.exists():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & OPEN_TO_OTHERS:
        yield warning(
            "state directory", f"{folder} has mode {mode:04o}: others see names and pictures of films",
            f"{folder} 权限为 {mode:04o}：其他用户可见影片内容", code="E401", fix=f"sudo chmod 0711 {folder}",
        )  # fmt: skip
    names = (STORE_NAME, f"{STORE_NAME}-wal", f"{STORE_NAME}-shm", "lock", "work", "cache", "events.jsonl")
    foreign = [folder / name for name in names if _belongs_to_another(folder / name, case.account.uid)]
    closed = refusals([(path, R | W) for path in foreign], case.account)
    if closed:
        listed = ", ".join(str(path) for path in closed)
        yield bad(
            "state directory", f"{case.account_name} may not write {listed}: somebody else ran heygemd here",
            f"用户 {case.account_name} 无权写入 {listed}：其他用户曾在此运行 heygemd", code="E401",
            fix=f"sudo chown -R {case.account_name}: {folder}",
        )  # fmt: skip


def _belongs_to_another(path: Path, uid: int) -> bool:
    try:
        return path.lstat().st_uid != uid
    except OSError:
        return False


def _store(case: Case, file: Path) -> Finding:
    if not file.exists():
        return good("store", f"{file} is not there yet", f"{file} 尚未建立")
    try:
        health = as_account(case.account, lambda: examine_store(file))
    except StillWaitingError:
        return good("store", f"{file} is too large to be read whole in a few seconds", f"{file} 较大，未完整检查")
    except BrokenCallError as error:
        return _damaged(file, f"it ended the process that read it: {_last_line(error)}")
    except HeygemdError as error:
        return _unread(case, file, error)
    if health.problem:
        return _damaged(file, health.problem)
    return good("store", f"whole, schema {health.schema}, {health.job_count} jobs",
                f"完好，schema {health.schema}，共 {health.job_count} 个任务")  # fmt: skip


def _unread(case: Case, file: Path, error: HeygemdError) -> Finding:
    if error.code == "E407" and not may_become(case.account):
        return warning("store", error.message, f"当前用户无权读取 {file}", code="E407", fix="sudo heygemd doctor")
    if error.code != "E401" or "schema" in error.message:
        return from_error("store", error)
    return _damaged(file, error.message)


def _damaged(file: Path, why: str) -> Finding:
    aside = f"mv {file} {file}.damaged"
    return bad(
        "store", f"{file} is damaged: {why}", f"{file} 已损坏：{why}", code="E401",
        fix=f"sudo systemctl stop heygemd; {aside}; put a backup of it back, then: sudo systemctl start heygemd",
        fix_zh=f"sudo systemctl stop heygemd；{aside}；恢复备份，然后：sudo systemctl start heygemd",
    )  # fmt: skip


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]


def _cache(case: Case, folder: Path) -> Iterator[Finding]:
    if case.settings is None or case.is_quick or not folder.is_dir():
        return
    limit_bytes = case.settings.retention.cache_gib * (1 << 30)
    held_bytes = 0
    for number, path in enumerate(folder.rglob("*")):
        if number > MOST_CACHED:
            return
        held_bytes += path.lstat().st_size
    text = f"{held_bytes / 1e9:.2f} GB of at most {limit_bytes / 1e9:.2f} GB"
    if held_bytes > limit_bytes * CACHE_SLACK + (1 << 20):
        yield warning(
            "cache",
            f"{folder} holds {text}",
            f"{folder} 已用 {held_bytes / 1e9:.2f} GB，上限 {limit_bytes / 1e9:.2f} GB",
            code="E202", fix=f"sudo rm -rf {folder}/* (safe at any time); or raise retention.cache_gib",
            fix_zh=f"sudo rm -rf {folder}/*（可随时删除）；或提高 retention.cache_gib",
        )  # fmt: skip
    else:
        yield good("cache", text, f"{held_bytes / 1e9:.2f} GB，上限 {limit_bytes / 1e9:.2f} GB")


def _folder_of(case: Case, setting: str, file: Path) -> Finding:
    """Examine where a file is going to be written: beside it a part is made first, so the folder counts."""
    folder, name = file.parent, case.account_name
    make = f"sudo install -d -o {name} {folder}"
    if not folder.is_dir():
        return bad(
            setting, f"the folder {folder} does not exist", f"文件夹 {folder} 不存在", code="E401",
            fix=f"{make}; or correct {setting}", fix_zh=f"{make}；或更正 {setting}",
        )  # fmt: skip
    short = low(setting, folder, case.around.room_of(folder), least_bytes=0)
    if short is not None:
        return short
    closed = refusals([(folder, W | X), (file, W)], case.account)
    if closed:
        refused = next(iter(closed.values()))
        return bad(
            setting, f"{name} may not write {refused}", f"用户 {name} 无权写入 {refused}", code="E401",
            fix=f"sudo chown {name}: {refused}",
        )  # fmt: skip
    return good(setting, str(file))


def _owner(path: Path) -> str:
    try:
        return name_of(path.stat().st_uid)
    except OSError:
        return "unknown"
