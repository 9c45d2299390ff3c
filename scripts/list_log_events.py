"""List the log events and error codes of the package, as docs/log-events.md shows them.

    python scripts/list_log_events.py          print both tables; a meaning that is not written yet is left empty
    python scripts/list_log_events.py --write  put them into docs/log-events.md, keeping the meanings that stand there
    python scripts/list_log_events.py --check  exit 1 when the page is not what --write would make of it

An event is the literal first argument of a call such as `log.info("room.verb_past", …)`; a code is a key of
`heygemd.errors.ADVICE`.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import ADVICE, FaultError, HeygemdError, InputError, ResourceError, SetupError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "log-events.md"
LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})
ROW = re.compile(r"^\| `(?P<name>[a-z][a-z0-9]*\.[a-z_]+)` \| (?P<room>[^|]*) \| (?P<meaning>.*) \|$", re.MULTILINE)
TABLE_HEAD = "| event | written by | meaning |\n|---|---|---|\n"
CODES_HEAD = "| code | what happened | what to do | what heygemd does |\n|---|---|---|---|\n"
CONSEQUENCES: dict[type[HeygemdError], str] = {
    InputError: "The job fails at once, its inputs are kept; a command exits with 1.",
    ResourceError: "The job keeps its place and is tried again by itself; a command exits with 1.",
    SetupError: "The daemon or the command ends with exit 78 before it begins; systemd does not start it again.",
    FaultError: "The job is tried again, then fails with its traceback, inputs are kept; a command exits with 1.",
}


@dataclass(frozen=True, slots=True)
class LogCall:
    """One call of a logger: `name` is None when the event is not a literal."""

    name: str | None
    module: str
    line: int
    keywords: frozenset[str] = frozenset()
    """Fields that are named in the call."""


def log_calls(package: Path) -> Iterator[LogCall]:
    """Yield every call of a logger in the package, file by file."""
    for file in sorted(package.rglob("*.py")):
        module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_log_call(node.func):
                keywords = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
                yield LogCall(_literal(node.args), module, node.lineno, keywords)


def _is_log_call(func: ast.expr) -> bool:
    """Tell `log.info`, `self._log.info` and `log.bind(…).info` from other calls."""
    if not (isinstance(func, ast.Attribute) and func.attr in LEVELS):
        return False
    owner = func.value
    while isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute):
        owner = owner.func.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name.lstrip("_") in {"log", "logger"}


def _literal(args: list[ast.expr]) -> str | None:
    first = args[0] if args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def meanings(page: str) -> dict[str, str]:
    """Return event → meaning, as the page has them."""
    return {row["name"]: row["meaning"].strip() for row in ROW.finditer(page)}


def table(calls: Iterable[LogCall], known: dict[str, str]) -> str:
    """Return the table, sorted by event."""
    rooms: dict[str, set[str]] = {}
    for call in calls:
        if call.name is not None:
            rooms.setdefault(call.name, set()).add(call.module.removeprefix("heygemd.").split(".")[0])
    rows = (f"| `{name}` | {', '.join(sorted(rooms[name]))} | {known.get(name, '')} |" for name in sorted(rooms))
    return TABLE_HEAD + "\n".join(rows) + "\n"


def codes_table() -> str:
    """Return the table of all codes, with what follows from them."""
    rows = []
    for code, advice in sorted(ADVICE.items()):
        (consequence,) = (text for family, text in CONSEQUENCES.items() if code.startswith(family.families))
        cells = (cell.replace("|", "\\|") for cell in (advice.title, advice.todo, consequence))
        rows.append(f"| `{code}` | {' | '.join(cells)} |")
    return CODES_HEAD + "\n".join(rows) + "\n"


def renewed(page: str, calls: Iterable[LogCall]) -> str:
    """Return the page with both tables as the code has them."""
    for head, new in ((TABLE_HEAD, table(calls, meanings(page))), (CODES_HEAD, codes_table())):
        start = page.index(head)
        end = page.find("\n\n", start)
        page = page[:start] + new + ("" if end < 0 else page[end + 1 :])
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description="List the log events and error codes of the package.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="update docs/log-events.md")
    what.add_argument("--check", action="store_true", help="tell whether docs/log-events.md is up to date")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    calls = list(log_calls(ROOT / "heygemd"))
    new = renewed(page, calls)
    if args.write:
        PAGE.write_text(new, encoding="utf-8")
    elif args.check:
        if new != page:
            sys.exit(f"{PAGE} is not up to date: python scripts/list_log_events.py --write")
    else:
        print(table(calls, meanings(page)), codes_table(), sep="\n", end="")


if __name__ == "__main__":
    main()
