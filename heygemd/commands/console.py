"""What every command shares: where it writes, how it ends, and how it says what went wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from heygemd.errors import ADVICE, HeygemdError, SetupError
from heygemd.language import advice_of, said

EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_SETUP = 78
"""EX_CONFIG of sysexits.h: systemd is told not to restart on it."""

err = Console(stderr=True)


def out() -> Console:
    """Return a console on stdout as it is now; tests and pipes exchange it."""
    return Console()


def emit_json(value: object) -> None:
    """Write one JSON value on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def usage(message: str) -> NoReturn:
    """Say what is wrong with the words of the command line, and end with 2."""
    err.print(f"[red]{said('usage:', '用法：')}[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_USAGE)


@contextmanager
def explained(*, as_json: bool = False, on_interrupt: str = "") -> Iterator[None]:
    """Turn an error of ours into its code, sentence and advice on stderr, and the right exit status."""
    try:
        yield
    except KeyboardInterrupt:
        told = on_interrupt or said("interrupted; nothing was written", "已中断，未写入任何内容")
        err.print(told, highlight=False, markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except HeygemdError as error:
        advice = ADVICE[error.code]
        if as_json:
            body = {"code": error.code, "title": advice.title, "advice": advice.todo, "message": error.message}
            typer.echo(json.dumps({"error": body}, ensure_ascii=False))
        title, todo = advice_of(error.code)
        err.print(f"[bold red]{error.code}[/] {escape(title)}", highlight=False, soft_wrap=True)
        err.print(error.message, highlight=False, markup=False, soft_wrap=True)
        err.print(todo, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_SETUP if isinstance(error, SetupError) else EXIT_JOB_FAILED) from None
