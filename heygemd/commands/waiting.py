"""How `heygemd submit --wait` waits: a bar on a terminal, then the path of every film, or why there is none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from heygemd.commands.console import EXIT_INTERRUPTED, err, out
from heygemd.language import advice_of, said

if TYPE_CHECKING:
    from heygemd.submitting.writing import Target


def wait_for(target: "Target", stem: str, before: frozenset[str], *, is_quiet: bool) -> dict[str, Any]:
    """Wait until every film has ended, and show on a terminal how far it is; returns the last report."""
    from heygemd.submitting.following import Sight, follow  # noqa: PLC0415

    is_told = False
    with _film_bar(is_quiet=is_quiet) as draw:

        def on_sight(sight: Sight) -> None:
            nonlocal is_told
            if not sight.is_served and not is_told and not is_quiet:
                is_told = True
                text = said(
                    "no daemon looks after this root at present; waiting for it", "当前没有守护进程服务该目录，等待中"
                )
                err.print(text, highlight=False)
            draw(sight)

        try:
            return follow(target, stem, but=before, clock=time.monotonic, pause=time.sleep, on_sight=on_sight)
        except KeyboardInterrupt:
            text = said("no longer waiting; the films are made all the same", "已停止等待，视频仍会继续生成")
            err.print(text, highlight=False)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def print_ends(report: dict[str, Any], target: "Target", *, is_quiet: bool) -> bool:
    """Print the path of every film on stdout, and on stderr what failed; True when every film is there."""
    from heygemd.commands.tables import told_error  # noqa: PLC0415

    is_good = True
    for row in report["rows"]:
        if row["state"] == "done" and row["output"]:
            if not is_quiet:
                out().print(str(target.root.outbox / row["output"]), highlight=False, markup=False, soft_wrap=True)
            continue
        is_good = False
        if is_quiet:
            continue
        told = told_error(row["error_code"], row["message"])
        called = row["id"] or row["audio"] or row["number"]
        err.print(f"{called}: {row['state']} {told}".rstrip(), highlight=False, markup=False, soft_wrap=True)
        if row["error_code"]:
            err.print(f"  {advice_of(row['error_code'])[1]}", highlight=False, markup=False, soft_wrap=True)
    return is_good


@contextmanager
def _film_bar(*, is_quiet: bool) -> Iterator[Any]:
    """Show how many films are there and what is in work, on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=err, transient=True, disable=is_quiet or not err.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def draw(sight: Any) -> None:  # noqa: ANN401  # Sight
            report = sight.report
            if report is None:
                progress.update(task, description=said("waiting for the daemon", "等待守护进程"))
                return
            totals = report["totals"]
            ended = sum(totals.get(state, 0) for state in ("done", "failed", "cancelled", "refused"))
            now = "; ".join(_doing(one) for one in sight.running[:2])
            progress.update(task, total=len(report["rows"]), completed=ended, description=now)

        yield draw


def _doing(running: dict[str, Any]) -> str:
    from heygemd.naming import printable  # noqa: PLC0415

    total = running.get("frames_total")
    frames = f" {running.get('frames_done', 0)}/{total}" if total else ""
    return printable(f"{running.get('name', '')}: {running.get('stage', '')}{frames}")
