"""Make systemd/heygemd.catalog, the texts of `journalctl -x`, from the event table of docs/log-events.md.

    python scripts/make_journal_catalog.py          write the file
    python scripts/make_journal_catalog.py --check  exit 1 when it is not up to date

A text cites only fields that every entry of its event has: for others journalctl prints the bare name of the field.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from list_log_events import PAGE, ROOT, LogCall, log_calls, meanings

from heygemd.message_ids import message_id

CATALOG = ROOT / "systemd" / "heygemd.catalog"
HEAD = """\
# Texts for `journalctl -x`, made by scripts/make_journal_catalog.py from docs/log-events.md. Install into
# /usr/local/lib/systemd/catalog or /usr/lib/systemd/catalog, then: journalctl --update-catalog
"""
SUPPORT = "file:///opt/heygemd/venv/share/heygemd/operations.md"
DOCUMENTATION = "file:///opt/heygemd/venv/share/heygemd/log-events.md"
"""Where scripts/install.sh puts the pages."""
CITED = (
    ("job_id", "Job: @HEYGEMD_JOB_ID@", "任务：@HEYGEMD_JOB_ID@"),
    ("error_code", "Code: @HEYGEMD_ERROR_CODE@", "错误代码：@HEYGEMD_ERROR_CODE@"),
    ("reason", "Reason: @HEYGEMD_REASON@", "原因：@HEYGEMD_REASON@"),
    ("error_code", "What to do: @HEYGEMD_ADVICE@", "处理方法：@HEYGEMD_ADVICE_ZH@"),
    ("job_id", "All about it: heygemd logs @HEYGEMD_JOB_ID@", "查看全部：heygemd logs @HEYGEMD_JOB_ID@"),
)
"""Keyword, and the line that cites its field in English and in Chinese."""


def catalog(calls: Iterable[LogCall], explained: dict[str, str]) -> str:
    """Return the whole file."""
    fields: dict[str, frozenset[str]] = {}
    for call in calls:
        if call.name is not None:
            fields[call.name] = fields.get(call.name, call.keywords) & call.keywords
    return HEAD + "".join(_entries(event, fields[event], explained.get(event, "")) for event in sorted(fields))


def _entries(event: str, fields: frozenset[str], meaning: str) -> str:
    """Return the text of one event; a Chinese one beside it where there is advice, which is in both languages."""
    english = "\n".join(line for field, line, _ in CITED if field in fields)
    entry = _entry(event, "", meaning, english)
    if "error_code" in fields:
        entry += _entry(event, " zh", meaning, "\n".join(line for field, _, line in CITED if field in fields))
    return entry


def _entry(event: str, language: str, meaning: str, lines: str) -> str:
    body = "\n\n".join(part for part in (meaning.replace("`", "").replace("\\|", "|"), lines) if part)
    return (
        f"\n-- {message_id(event)}{language}\nSubject: {event}\nDefined-By: heygemd\nSupport: {SUPPORT}\n"
        f"Documentation: {DOCUMENTATION}\n\n{body}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the catalog of the journal.")
    parser.add_argument("--check", action="store_true", help="tell whether systemd/heygemd.catalog is up to date")
    new = catalog(log_calls(ROOT / "heygemd"), meanings(PAGE.read_text(encoding="utf-8")))
    if not parser.parse_args().check:
        CATALOG.write_text(new, encoding="utf-8")
    elif not CATALOG.exists() or CATALOG.read_text(encoding="utf-8") != new:
        sys.exit(f"{CATALOG} is not up to date: python scripts/make_journal_catalog.py")


if __name__ == "__main__":
    main()
