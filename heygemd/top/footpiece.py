"""The bottom of the picture: the roots, and the keys, a question or an answer. Pure."""

from rich.text import Text

from heygemd.jobs.requests import Act
from heygemd.language import said
from heygemd.lookout import Glance
from heygemd.terminal import clipped, fitted
from heygemd.top import headpiece
from heygemd.top.screen import Panel, Screen
from heygemd.top.style import BAD, DIM, KEY_STYLE, QUESTION, Glyphs


def foot_lines(glance: Glance, screen: Screen, cells: int, height: int | None, glyphs: Glyphs) -> list[Text]:
    """Return the roots, and the keys or what is asked or told instead of them."""
    lines = _roots(glance, cells, height)
    if height is None:
        return lines
    if screen.question is not None:
        act = screen.question.act
        verb = said("Try again", "重试") if act is Act.RETRY else said("Cancel", "取消")
        tail = said("? y = yes, any other key = no", "？y = 是，其他键 = 否")
        name = clipped(screen.question.name, max(8, cells - len(verb) - len(tail) - 20), keep_end=True)
        return [*lines, Text(fitted(f" {verb} {name} ({screen.question.job[-10:]}){tail}", cells), style=QUESTION)]
    if screen.is_typing:
        words = said("filter (name, folder, code): ", "筛选（名称、文件夹、代码）：")
        return [*lines, Text(fitted(f" {words}{screen.filter}_", cells), style=QUESTION)]
    if screen.notice:
        return [*lines, Text(fitted(f" {screen.notice}", cells), style=BAD if screen.is_bad_news else QUESTION)]
    return [*lines, _keys(screen, cells, glyphs)]


def _roots(glance: Glance, cells: int, height: int | None) -> list[Text]:
    vitals = glance.vitals
    if vitals is None:
        return []
    roots = sorted(vitals.roots, key=lambda root: (root.state == "online", not root.needs_you))
    most = len(roots) if height is None else max(1, height // 12)
    lines = [headpiece.root_line(root, cells) for root in roots[:most]]
    if roots[most:]:
        more = said(f" · and {len(roots) - most} more", f" · 另有 {len(roots) - most} 个")
        lines[-1].truncate(cells - len(more) * 2, overflow="ellipsis")
        lines[-1].append(more, style=DIM)
    return lines


def _keys(screen: Screen, cells: int, glyphs: Glyphs) -> Text:
    text = Text(no_wrap=True)
    pairs: tuple[tuple[str, str], ...] = (
        ("q", said("quit", "退出")), (glyphs.up_down, said("select", "选择")), (glyphs.enter, said("details", "详情")),
        ("c", said("cancel", "取消任务")), ("r", said("retry", "重试")), ("/", said("filter", "筛选")),
        ("Tab", said("list", "列表")), ("h", said("help", "帮助")), ("s", said("sort", "排序")),
        ("Space", said("freeze", "定格")),
    )  # fmt: skip
    if screen.panel is not Panel.NONE:
        pairs = ((glyphs.up_down, said("scroll", "滚动")), ("Esc", said("back", "返回")))
    for key, words in pairs:
        piece = Text(no_wrap=True).append(key, style=KEY_STYLE)
        piece.append(f" {words} ")
        if text.cell_len + piece.cell_len > cells:
            break
        text.append_text(piece)
    return text
