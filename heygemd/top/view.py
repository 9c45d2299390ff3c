"""One picture: a glance and what a person has chosen in, exactly as many lines as the terminal has out. Pure."""

import re
from dataclasses import replace
from datetime import tzinfo

from rich.text import Text

from heygemd.language import said
from heygemd.lookout import Glance, Standing
from heygemd.terminal import clipped, wrapped
from heygemd.top import body, headpiece
from heygemd.top.films import Lists
from heygemd.top.footpiece import foot_lines
from heygemd.top.observer import Details
from heygemd.top.overlay import details_lines, help_lines
from heygemd.top.screen import Order, Panel, Screen, Tab, settled
from heygemd.top.style import BLOCKS, DIM, HEAD, WARN, Glyphs
from heygemd.top.tables import Look

LEAST_CELLS, LEAST_LINES = 40, 10
ROOMY_LINES = 28
"""With so much room for lists, workers stand above the films."""
_MOST_ALARMS = 3
_LEAST_BODY_LINES = 5
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def draw(
    glance: Glance, screen: Screen, lists: Lists, size: tuple[int, int | None], *, glyphs: Glyphs = BLOCKS,
    details: Details | None = None, zone: tzinfo | None = None,
) -> list[Text]:  # fmt: skip
    """Return the picture for (cells, lines); without a number of lines it is as long as it needs, and has no keys."""
    cells, height = size
    if height is not None and (cells < LEAST_CELLS or height < LEAST_LINES):
        small = said("the window is too small", "窗口太小")
        return [Text(clipped(small, cells)), *[Text()] * (height - 1)][:height]
    rows = lists.selectable(screen.tab)
    screen = settled(screen, rows)
    at = screen.at if rows and height is not None else -1
    look = Look(cells=cells, now=glance.at, glyphs=glyphs, selected=at, zone=zone)
    head = _head(glance, cells, height, glyphs, zone)
    foot = foot_lines(glance, screen, cells, height, glyphs)
    room = None if height is None else height - len(head) - len(foot)
    if height is not None and room is not None and room < _LEAST_BODY_LINES:  # rather less around it than no list
        head = head[: max(1, height - len(foot) - _LEAST_BODY_LINES)]
        room = height - len(head) - len(foot)
    middle = _panel(screen, look, room, glance, details) if screen.panel is not Panel.NONE and room else (
        _lists(screen, lists, look, room)
    )  # fmt: skip
    if room is not None:
        middle = [*middle[:room], *[Text()] * (room - len(middle))]
    return [_safe(line, cells) for line in (*head, *middle, *foot)]


def _head(glance: Glance, cells: int, height: int | None, glyphs: Glyphs, zone: tzinfo | None) -> list[Text]:
    lines = [headpiece.title(glance, cells, zone), *headpiece.numbers(glance, cells, zone)]
    told = list(headpiece.alarms(glance))
    most = len(told) if height is None else _MOST_ALARMS
    for words, style in told[:most]:
        lines += [Text(line, style=style) for line in wrapped(words, cells, 2)]
    vitals = glance.vitals
    if vitals is None or not vitals.devices or glance.standing is Standing.STOPPED:
        return lines
    most = len(vitals.devices) if height is None else max(2, height // 6)
    label_cells = max(len(clipped(one.label, 8)) for one in vitals.devices)
    shown = vitals.devices[:most]
    lines += [headpiece.device(one, cells, label_cells, glyphs) for one in shown]
    unseen = len(vitals.devices) - len(shown)
    if unseen:
        lines.append(Text(said(f"and {unseen} more devices", f"另有 {unseen} 个设备"), style=DIM))
    return lines


def _panel(
    screen: Screen, look: Look, room: int, glance: Glance, details: Details | None
) -> list[Text]:  # fmt: skip
    if screen.panel is Panel.HELP:
        lines = help_lines(look)
    elif details is not None:
        lines = details_lines(details, glance, look)
    else:
        lines = [Text(said("this film is not in the store any more", "任务库中已没有该视频"), style=WARN)]
    first = min(screen.scroll, max(0, len(lines) - room))
    return lines[first : first + room]


def _lists(screen: Screen, lists: Lists, look: Look, room: int | None) -> list[Text]:
    crew_look = replace(look, selected=-1)
    if room is None:
        return [*body.films(lists, look, None), *body.workers(lists, crew_look, None)]
    tabs = _tabs(screen, look.cells, look.glyphs)
    if screen.tab is Tab.FILMS:
        has_crew = room >= ROOMY_LINES and lists.workers
        crew = body.workers(lists, crew_look, min(len(lists.workers) + 1, room // 3)) if has_crew else []
        return [tabs, *crew, *body.films(lists, look, room - 1 - len(crew))]
    draw_list = body.workers if screen.tab is Tab.WORKERS else body.failures
    return [tabs, *draw_list(lists, look, room - 1)]


def _tabs(screen: Screen, cells: int, glyphs: Glyphs) -> Text:
    names = {
        Tab.FILMS: said("Films", "视频"),
        Tab.WORKERS: said("Workers", "工作进程"),
        Tab.FAILURES: said("Failures", "失败"),
    }
    text = Text(no_wrap=True).append(glyphs.rule, style=DIM)
    for number, (tab, name) in enumerate(names.items(), 1):
        text.append(f" {number} {name} ", style=f"{HEAD} reverse" if tab is screen.tab else None)
        text.append(glyphs.rule, style=DIM)
    orders = {
        Order.TURN: said("as they start", "按开始顺序"), Order.NAME: said("by name", "按名称"),
        Order.FOLDER: said("by folder", "按文件夹"), Order.LENGTH: said("the longest first", "按时长"),
    }  # fmt: skip
    if screen.order is not Order.TURN:
        text.append(f" {said('sorted', '排序')}: {orders[screen.order]} ", style=WARN)
    if screen.filter or screen.is_typing:
        text.append(f" {said('filter', '筛选')}: {clipped(screen.filter, 30)} ", style=WARN)
    if screen.is_frozen:
        text.append(f" {said('FROZEN (space)', '已定格（空格继续）')} ", style=f"{WARN} reverse")
    return text.append(glyphs.rule * max(0, cells - text.cell_len), style=DIM)


def _safe(line: Text, cells: int) -> Text:
    """Return a line that is one line and speaks to no terminal, whatever was in it."""
    if _UNSAFE.search(line.plain):
        line.plain = _UNSAFE.sub("?", line.plain)
    if line.cell_len > cells:
        line.truncate(cells, overflow="crop")
    return line
