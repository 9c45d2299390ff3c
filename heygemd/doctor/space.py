"""Is there room on a disk, for bytes and for files, and may it be written at all?"""

from pathlib import Path

from heygemd.doctor.finding import Finding, bad
from heygemd.doctor.surroundings import Room

LEAST_INODES = 1000
"""A film with its segments and reports needs a few dozen."""


def low(subject: str, folder: Path, room: Room, *, least_bytes: int) -> Finding | None:
    """Say what is wrong with the room at `folder`; None when nothing is."""
    free = f"{room.free_bytes / 1e9:.1f} GB"
    if room.is_readonly:
        return bad(
            subject, f"{folder} lies on a file system that is mounted read-only", f"{folder} 所在文件系统为只读",
            code="E202",
            fix=f"sudo dmesg | tail (a broken disk?); sudo mount -o remount,rw $(findmnt -nT {folder} -o TARGET)",
        )  # fmt: skip
    if room.free_bytes < least_bytes:
        return bad(
            subject, f"{folder} has {free} left, {least_bytes / 1e9:.1f} GB are needed",
            f"{folder} 仅剩 {free}，至少需要 {least_bytes / 1e9:.1f} GB", code="E202",
            fix=f"free some space on {folder}: du -xh -d2 {folder} | sort -h | tail; heygemd prune --help",
            fix_zh=f"清理 {folder} 的空间：du -xh -d2 {folder} | sort -h | tail；heygemd prune --help",
        )  # fmt: skip
    if room.total_inodes and room.free_inodes < LEAST_INODES:
        return bad(
            subject, f"{folder} has room for {room.free_inodes} more files only (inodes)",
            f"{folder} 只能再建 {room.free_inodes} 个文件（inode 不足）", code="E202",
            fix=f"remove many small files there: df -i {folder}; du --inodes -xd2 {folder} | sort -n | tail",
            fix_zh=f"删除大量小文件：df -i {folder}；du --inodes -xd2 {folder} | sort -n | tail",
        )  # fmt: skip
    return None
