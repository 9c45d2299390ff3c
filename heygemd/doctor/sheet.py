"""The examination on a terminal: by group, what is wrong in colour, and under it what to type."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from heygemd.doctor.finding import Finding, Level
from heygemd.language import said

MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("??", "yellow"), Level.BAD: ("!!", "bold red")}
"""The same words without colours: in a mail or a log they are still seen."""


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print everything, and at the end how many things are wrong."""
    for group, members in groupby(findings, key=lambda finding: finding.group):
        _line(console, Text(_heading(group), style="bold"))
        for finding in members:
            _show_one(finding, console)
    counts = [sum(finding.level is level for finding in findings) for level in (Level.BAD, Level.WARNING)]
    if not any(counts):
        _line(console, Text(said("Everything is in order.", "一切正常。"), style="green"))
    else:
        text = said(f"{counts[0]} broken, {counts[1]} to look after.", f"{counts[0]} 项故障，{counts[1]} 项需注意。")
        _line(console, Text(text, style="bold red" if counts[0] else "yellow"))


def _show_one(finding: Finding, console: Console) -> None:
    mark, style = MARKS[finding.level]
    code = f"{finding.code} " if finding.code and finding.level is not Level.OK else ""
    _line(console, Text.assemble((mark, style), f" {code}{finding.subject}: {finding.told_message}"))
    if finding.told_fix and finding.level is not Level.OK:
        _line(console, Text.assemble("   → ", (finding.told_fix, "cyan")))


def _heading(group: str) -> str:
    names = {
        "program": ("Program", "程序"),
        "settings": ("Settings", "设置"),
        "devices": ("Devices", "计算设备"),
        "tools": ("Tools", "工具"),
        "models": ("Models", "模型"),
        "folders": ("Folders", "目录"),
        "roots": ("Roots", "根目录"),
        "clock": ("Clock", "时钟"),
        "unit": ("Service", "服务"),
    }
    return said(*names.get(group, (group, group)))


def _line(console: Console, text: Text) -> None:
    """Whole lines: what is to be typed must not be broken."""
    console.print(text, soft_wrap=True, highlight=False)
