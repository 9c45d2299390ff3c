"""SIGHUP: reads the configuration again and goes by it, without stopping what is in work.

A configuration that is wrong changes nothing: what held before goes on, and journal and status line say so.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel

from heygemd.assembly import utc_now
from heygemd.errors import SetupError
from heygemd.settings import Settings

if TYPE_CHECKING:
    from heygemd.daemon.loop import Daemon

log = structlog.get_logger(__name__)

ONLY_AT_START = frozenset({"state_dir", "models_dir", "log_file", "render.device", "render.require_gpu"})
"""What the daemon is built around: store, weights, log of its children, devices."""


class Reloader:
    """Remembers what came of the latest reload."""

    def __init__(self, reread: Callable[[], Settings] | None, file: Path | None = None) -> None:
        self._reread, self.file = reread, file
        self.reloaded_at: datetime | None = None
        self.error = ""
        """Why the latest one was refused."""
        self.needs_restart: tuple[str, ...] = ()
        """What was changed but holds only after a restart."""

    @property
    def sentence(self) -> str:
        """What came of the latest reload, for the status line."""
        if self.error:
            return f"the configuration was refused, the old one holds: {self.error}"
        late = f"; only a restart applies: {', '.join(self.needs_restart)}" if self.needs_restart else ""
        return f"configuration reloaded{late}"

    def reload(self, daemon: "Daemon") -> None:
        """Read and apply; never raises for a wrong configuration."""
        if self._reread is None:
            return
        try:
            wanted = self._reread()
            if not wanted.roots:
                raise SetupError("E401", "no root is configured any more")
        except SetupError as error:
            self._refuse(error)
            return
        except OSError as error:  # an editor run by root has left a file that is for root alone
            self._refuse(SetupError("E401", f"{error.filename or self.file}: {error.strerror or error}"))
            return
        except (ValueError, RecursionError) as error:
            self._refuse(SetupError("E401", f"{self.file or 'the configuration'} cannot be read: {error}"))
            return
        changed = tuple(differences(daemon.settings, wanted))
        gone = [str(path) for path in daemon.settings.roots if path not in wanted.roots]
        late = [name for name in changed if name in ONLY_AT_START] + [f"roots (without {path})" for path in gone]
        # Compared with what holds, so a setting that is changed back needs no restart any more.
        self.needs_restart, self.error, self.reloaded_at = tuple(late), "", utc_now()
        daemon.apply(_held_back(daemon.settings, wanted))
        log.info("config.reloaded", changed=list(changed), needs_restart=late)

    def _refuse(self, error: SetupError) -> None:
        self.error = error.message
        log.error("config.refused", error_code=error.code, reason=error.message)


def differences(old: BaseModel, new: BaseModel, above: str = "") -> Iterator[str]:
    """Yield the names of all settings that differ, `table.name`."""
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from differences(before, after, f"{name}.")
        elif before != after:
            yield f"{above}{name}"


def _held_back(old: Settings, wanted: Settings) -> Settings:
    """Return the new settings with the old values of what only a start can change; no root is dropped."""
    render = wanted.render.model_copy(update={"device": old.render.device, "require_gpu": old.render.require_gpu})
    roots = (*old.roots, *(path for path in wanted.roots if path not in old.roots))
    kept = {"state_dir": old.state_dir, "models_dir": old.models_dir, "log_file": old.log_file}
    return wanted.model_copy(update=kept | {"render": render, "roots": roots})
