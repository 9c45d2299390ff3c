"""What the shell offers behind <Tab>: jobs, batches, roots, states. Quick, and silent whatever is wrong."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heygemd.naming import printable

if TYPE_CHECKING:
    from heygemd.commands.stores import Whereabouts
    from heygemd.jobs.store import JobStore

OFFERED = 60
_PLAIN = re.compile(r"[\w%+@][\w.%+@-]*")
"""Names that no shell takes for anything else, so that they need no quotes."""
_STATES = ("queued", "running", "done", "failed", "cancelled")


def complete_state(incomplete: str) -> list[str]:
    """Offer the states of a job."""
    return [state for state in _STATES if state.startswith(incomplete)]


def complete_job(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the newest jobs: by film when letters are typed that begin one, else by id."""
    return _jobs(ctx, incomplete, _STATES)


def complete_ended_badly(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer jobs that can be tried again."""
    return _jobs(ctx, incomplete, ("failed", "cancelled"))


def complete_unfinished(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer jobs that can be cancelled."""
    return _jobs(ctx, incomplete, ("queued", "running"))


def complete_root(incomplete: str) -> list[str]:
    """Offer the roots of the configuration."""
    found: list[str] = []
    with _silently():
        from heygemd.commands.options import settings_of  # noqa: PLC0415

        found = [str(path) for path in settings_of(None).roots if str(path).startswith(incomplete)]
    return found


def _jobs(ctx: typer.Context, incomplete: str, states: tuple[str, ...]) -> list[tuple[str, str]]:
    offers: list[tuple[str, str]] = []
    with _silently(), _store(ctx) as (where, store):
        from heygemd.jobs.listing import JobFilter  # noqa: PLC0415
        from heygemd.jobs.states import JobState  # noqa: PLC0415

        del where
        wanted = JobFilter(states=frozenset(JobState(state) for state in states) if states != _STATES else frozenset())
        for listed in store.listed(wanted, OFFERED):
            job = listed.job
            shown = printable("/".join(part for part in (job.folder, job.name) if part))
            is_safe = _PLAIN.fullmatch(job.name) is not None
            for word in (job.id8, job.id, *((job.name,) if is_safe and incomplete else ())):
                if word.startswith(incomplete):
                    offers.append((word, f"{job.state.value} {shown}"))
                    break
    return offers


@contextmanager
def _store(ctx: typer.Context) -> "Iterator[tuple[Whereabouts, JobStore]]":
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415

    given: dict[str, Any] = ctx.params
    where = find_store(_path(given.get("config")), _paths(given.get("root")), _path(given.get("state_dir")))
    with opened(where) as store:
        yield where, store


def _path(value: object) -> Path | None:
    return Path(str(value)) if value else None


def _paths(value: object) -> list[Path] | None:
    return [Path(str(one)) for one in value] if isinstance(value, list | tuple) and value else None


@contextmanager
def _silently() -> Iterator[None]:
    """Offer nothing when there is no store, or none for this user: <Tab> is no place for complaints."""
    from heygemd.errors import HeygemdError  # noqa: PLC0415

    try:
        yield
    except (HeygemdError, OSError, ValueError):
        return
