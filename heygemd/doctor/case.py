"""What is examined: the settings, the installed service, and whose rights count."""

import os
from dataclasses import dataclass
from pathlib import Path

from heygemd import places
from heygemd.doctor.account import Account
from heygemd.doctor.sentinel import read_sentinel
from heygemd.doctor.service import Service
from heygemd.doctor.surroundings import Surroundings
from heygemd.jobs.roots import Root
from heygemd.settings import RenderSettings, Settings

INSTALLED_CONFIG = "heygemd/heygemd.toml"
"""Below /etc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a check may want to know; it only reads."""

    settings: Settings | None
    """None: they cannot be read, and only what does not depend on them is examined."""
    around: Surroundings
    service: Service
    account: Account
    """Whose rights count."""
    config: Path | None = None
    is_quick: bool = False
    """Without torch and without hashing large files."""

    @property
    def render(self) -> RenderSettings:
        """How films are made; the defaults while nobody can say."""
        return self.settings.render if self.settings is not None else RenderSettings()

    @property
    def is_of_service(self) -> bool:
        """Tell whether the installed service reads the same configuration."""
        own = self.service.config or self.around.etc / INSTALLED_CONFIG
        return self.service.file is not None and self.config is not None and self.config.absolute() == own

    @property
    def account_name(self) -> str:
        """For sentences and for `chown`."""
        return self.account.name

    def state_dir(self) -> Path | None:
        """Find the state directory as the daemon would; None when that hangs on a root that is not there."""
        if self.settings is None:
            return None
        if self.settings.state_dir is not None:
            return self.settings.state_dir
        if "STATE_DIRECTORY" not in os.environ and self.is_of_service:
            return next(iter(self.service.folders("StateDirectory", "/var/lib")), None)
        opened = [
            Root(folder.absolute(), found)
            for folder in self.settings.roots[:1]
            if (found := read_sentinel(folder).uuid)
        ]
        if not opened and "STATE_DIRECTORY" not in os.environ:
            return None
        return places.state_dir(self.settings, tuple(opened))
