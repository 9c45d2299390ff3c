"""Opens everything that a daemon needs, in order, and closes it again."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from heygemd import catalogue, places
from heygemd.assembly import open_scheduler, utc_now
from heygemd.daemon.errands import Nursery, open_nursery
from heygemd.daemon.latecomers import find_roots, refuse_state_within, sweep_outboxes
from heygemd.daemon.loop import Daemon
from heygemd.daemon.notify import ServiceManager
from heygemd.daemon.reload import Reloader
from heygemd.errors import SetupError
from heygemd.intake.filesystems import is_local
from heygemd.intake.roots import open_roots
from heygemd.jobs.job import EngineName
from heygemd.jobs.roots import Root
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice
from heygemd.media.ffmpeg import require_tools
from heygemd.settings import Settings

log = structlog.get_logger(__name__)


def _find_roots(settings: Settings, nursery: Nursery) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Open the roots. Only a daemon that knows where its state lies can wait for one that is not mounted yet."""
    if settings.state_dir is None and "STATE_DIRECTORY" not in os.environ:
        return open_roots(settings.roots), ()
    return find_roots(settings.roots, nursery, time.monotonic)


def _lock_roots(roots: tuple[Root, ...], stack: ExitStack) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Keep other daemons away; a share that cannot be written just now is left for later."""
    held: list[Root] = []
    refused: list[Path] = []
    for root in roots:
        try:
            stack.enter_context(places.locked(root.private / "lock"))
            held.append(root)
        except OSError as error:
            log.warning("root.went_offline", root=str(root.path), reason=f"{error.filename}: {error.strerror}")
            refused.append(root.path)
    return tuple(held), tuple(refused)


def _checked(reread: Callable[[], Settings] | None, models_dir: Path) -> Callable[[], Settings] | None:
    """Ask of a configuration that is read again what a start asks, too: that the engine has its weights.

    They are hashed here, so that no tick does, and a configuration without them changes nothing.
    """
    if reread is None:
        return None

    def checked() -> Settings:
        settings = reread()
        render = settings.render
        catalogue.require_weights(EngineName(render.engine), render, models_dir)
        return settings

    return checked


@contextmanager
def open_daemon(
    settings: Settings, reread: Callable[[], Settings] | None = None, file: Path | None = None
) -> Iterator[Daemon]:
    """Everything a daemon needs, in order, and all of it closed again; raises SetupError.

    `reread` reads the settings again, at SIGHUP; `file` is where from.
    """
    manager, reloader = ServiceManager(os.environ), Reloader(_checked(reread, settings.models_dir), file)
    manager.starting("checking tools, weights and folders")
    require_tools()
    # Also hashes the weights once, here, so that no tick ever waits for 436 MB.
    render = settings.render
    catalogue.require_weights(EngineName(render.engine), render, settings.models_dir)
    nursery = open_nursery(LogChoice(level=settings.log_level, file=settings.log_file))
    roots, absent = _find_roots(settings, nursery)
    state_dir = places.state_dir(settings, roots)
    for root in roots:
        refuse_state_within(root, state_dir)
    places.make_private(state_dir)
    if not is_local(state_dir):
        raise SetupError("E401", f"the state directory {state_dir} must lie on a local disk, not on a network mount")
    with ExitStack() as stack:
        stack.enter_context(places.locked(state_dir / "lock"))
        manager.starting("taking up what an earlier run has left")
        roots, refused = _lock_roots(roots, stack)
        absent += refused
        store = JobStore(state_dir / "jobs.sqlite")
        stack.callback(store.close)
        for job in store.recover(utc_now()):
            log.info("job.recovered", job_id=job.id, name=job.name)
        scheduler = open_scheduler(settings, store, state_dir)
        daemon = Daemon(
            settings=settings,
            roots=roots,
            absent=absent,
            state_dir=state_dir,
            store=store,
            scheduler=scheduler,
            nursery=nursery,
            locks=stack,
            manager=manager,
            reloader=reloader,
        )
        daemon.sweep_work()
        known = store.ids()
        sweep_outboxes(roots, known, nursery, time.monotonic)
        daemon.latecomers.known = known
        daemon.handover.resume()
        yield daemon
