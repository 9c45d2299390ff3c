"""Colours and glyphs of the picture. Colours never say anything alone: whoever sees none reads the same."""

from dataclasses import dataclass

GOOD, WARN, BAD, DIM, HEAD = "green", "yellow", "bold red", "bright_black", "bold"
HEADING = "green reverse"
OTHER_HEADING = "cyan reverse"
SELECTED = "bold white reverse"
KEY_STYLE = "cyan reverse"
QUESTION = "yellow reverse"
"""`reverse` is left where a terminal has no colours, or its reader wants none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """What bars are made of."""

    ours: str
    others: str
    granted: str
    free: str
    bar: str
    rule: str
    dot: str
    up_down: str
    enter: str


BLOCKS = Glyphs(ours="█", others="▒", granted="░", free="·", bar="━", rule="─", dot="·", up_down="↑↓", enter="⏎")
ASCII = Glyphs(ours="#", others="o", granted="+", free=".", bar="=", rule="-", dot="-", up_down="Up/Dn", enter="Ret")
