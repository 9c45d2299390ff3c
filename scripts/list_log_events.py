"""List the log events of the package, as docs/log-events.md shows them.

    python scripts/list_log_events.py          print the table; a meaning that is not written yet is left empty
    python scripts/list_log_events.py --write  put it into docs/log-events.md, keeping the meanings that stand there

An event is the literal first argument of a call such as `log.info("room.verb_past", …)`.
"""

import argparse
import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "log-events.md"
LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<room>[^|]*) \| (?P<meaning>.*) \|$", re.MULTILINE)
TABLE_HEAD = "| event | written by | meaning |\n|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class LogCall:
    """One call of a logger: `name` is None when the event is not a literal."""

    name: str | None
    module: str
    line: int


def log_calls(package: Path) -> Iterator[LogCall]:
    """Yield every call of a logger in the package, file by file."""
    for file in sorted(package.rglob("*.py")):
        module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_log_call(node.func):
                yield LogCall(_literal(node.args), module, node.lineno)


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


def table(package: Path, known: dict[str, str]) -> str:
    """Return the table, sorted by event."""
    rooms: dict[str, set[str]] = {}
    for call in log_calls(package):
        if call.name is not None:
            rooms.setdefault(call.name, set()).add(call.module.removeprefix("heygemd.").split(".")[0])
    rows = (f"| `{name}` | {', '.join(sorted(rooms[name]))} | {known.get(name, '')} |" for name in sorted(rooms))
    return TABLE_HEAD + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="List the log events of the package.")
    parser.add_argument("--write", action="store_true", help="update docs/log-events.md")
    page = PAGE.read_text(encoding="utf-8")
    new = table(ROOT / "heygemd", meanings(page))
    if parser.parse_args().write:
        PAGE.write_text(page[: page.index(TABLE_HEAD)] + new, encoding="utf-8")
    else:
        print(new, end="")


if __name__ == "__main__":
    main()
