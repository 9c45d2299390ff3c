"""Which language a person at the terminal reads: Chinese or English, as the locale says. JSON and logs stay English."""

import os
from collections.abc import Mapping

from heygemd.errors import ADVICE

_LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""In the order of POSIX: the first that is set and not empty decides."""


def speaks_chinese(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether texts are wanted in Chinese (`zh`, `zh_CN.UTF-8`, `zh_TW`); read anew at each call."""
    variables = os.environ if environment is None else environment
    chosen = next((variables[name] for name in _LOCALE_VARIABLES if variables.get(name)), "")
    return chosen.lower().startswith("zh")


def said(english: str, chinese: str) -> str:
    """Return the one of two texts that the person reads."""
    return chinese if speaks_chinese() else english


def advice_of(code: str | None) -> tuple[str, str]:
    """Return what a code means and what to do, in the person's language; nothing for a code of another version."""
    advice = ADVICE.get(code or "")
    if advice is None:
        return "", ""
    return (advice.title_zh, advice.todo_zh) if speaks_chinese() else (advice.title, advice.todo)
