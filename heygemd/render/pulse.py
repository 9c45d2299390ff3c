"""A sign of life from work that takes minutes of a long film: a worker that says nothing is taken for a hung one."""

from collections.abc import Callable

Pulse = Callable[[], None]
"""Called now and then, at least every few seconds."""


def unheard() -> None:
    """Tell nobody."""
