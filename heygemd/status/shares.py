"""What the daemon has written on the shares, line by line: roots, batches, files that are no film yet. Pure."""

from collections.abc import Iterator
from typing import Any

from heygemd.language import advice_of, said
from heygemd.status.waiting import reason_of
from heygemd.terminal import length_words

WAITING_SHOWN = 10

Row = dict[str, Any]
Line = tuple[str, str]
"""Words and style."""


def root_lines(path: str, root: Row) -> Iterator[Line]:
    """Yield the state of a root, its batches, and what is arriving there."""
    if root.get("trouble"):
        yield f"{said('root', '根目录')} {path}: {root['trouble']}", "bold red"
        yield from ((f"  {todo}", "") for todo in todo_in(root["trouble"]))
        return
    known = root.get("root", {})
    states = {
        "online": said("online", "在线"), "offline": said("offline", "离线"), "paused": said("paused", "已暂停"),
    }  # fmt: skip
    state = states.get(known.get("state"), said("never served", "从未使用"))
    reason = f" ({known['reason']})" if known.get("reason") else ""
    age = (
        said(f", {length_words(root['age_s'])} ago", f"，{length_words(root['age_s'])} 前") if root.get("stale") else ""
    )
    yield f"{said('root', '根目录')} {path}: {state}{reason}{age}", "" if known.get("state") == "online" else "yellow"
    yield from ((f"  {todo}", "") for todo in todo_in(known.get("reason") or ""))
    for batch in root.get("batches", ()):
        kind = said(batch["kind"], "清单" if batch["kind"] == "manifest" else "任务文件夹")
        yield (
            said(
                f"  {kind} {batch['name']}: {batch['done']} of {batch['rows']} done, {batch['failed']} failed",
                f"  {kind} {batch['name']}：已完成 {batch['done']}/{batch['rows']}，失败 {batch['failed']}",
            ),
            "",
        )
    waiting = [file for file in root.get("waiting", ()) if not file.get("needs_you")]
    yield from (
        (f"  {file['path']}: {reason_of(file['why'], file['reason'])}", "dim") for file in waiting[:WAITING_SHOWN]
    )
    unlisted = root.get("waiting_count", 0) - len(root.get("waiting", ())) + max(0, len(waiting) - WAITING_SHOWN)
    if unlisted > 0:
        yield said(f"  and {unlisted} more", f"  另有 {unlisted} 个"), "dim"


def todo_in(reason: str) -> Iterator[str]:
    """Yield what to do about the code that a reason begins with."""
    _, todo = advice_of(reason[:4])
    if todo:
        yield f"→ {todo}"
