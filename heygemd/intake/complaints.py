"""`CONFIG-ERROR.txt` beside a `.heygemd.toml` that is wrong: written once, removed when the file has been mended."""

from collections.abc import Collection, Mapping

import structlog

from heygemd.intake.disk import Disk
from heygemd.intake.findings import Misconfigured
from heygemd.intake.scan import Place
from heygemd.intake.smallfile import read_small
from heygemd.jobs.roots import Root

log = structlog.get_logger(__name__)

NAME = "CONFIG-ERROR.txt"
MARK = "heygemd"
"""First word of every such file: what begins otherwise is not ours."""
MAX_BYTES = 64 << 10


class Complaints:
    """What is wrong with the folder configurations of one inbox."""

    def __init__(self, root: Root, disk: Disk) -> None:
        self._root, self._disk = root, disk
        self._written: dict[str, str] = {}

    def write(self, problems: Mapping[str, str], present: Collection[Place]) -> None:
        """Bring the files up to date; `present` says where one lies. Raises OSError when the disk refuses."""
        for folder, text in problems.items():
            if self._written.get(folder) != text or (folder, NAME) not in present:
                if self._is_free(folder, present):
                    self._disk.write_whole(self._root.inbox / folder / NAME, text.encode("utf-8-sig"))
                if self._written.get(folder) != text:
                    log.warning("intake.config_refused", root=self._root.uuid, folder=folder, reason=_reason(text))
                self._written[folder] = text
        for folder, name in present:
            if name == NAME and folder not in problems and self._is_ours(folder):
                self._disk.remove(self._root.inbox / folder / NAME)
        self._written = {folder: text for folder, text in self._written.items() if folder in problems}

    def told(self) -> tuple[Misconfigured, ...]:
        """Return what is wrong now."""
        return tuple(Misconfigured(folder=folder, message=_reason(text)) for folder, text in self._written.items())

    def _is_free(self, folder: str, present: Collection[Place]) -> bool:
        return (folder, NAME) not in present or self._is_ours(folder)

    def _is_ours(self, folder: str) -> bool:
        try:
            data = read_small(self._root.inbox / folder / NAME, MAX_BYTES)
        except (OSError, ValueError):
            return False
        return data.decode("utf-8-sig", "replace").startswith(MARK)


def _reason(text: str) -> str:
    """Return the one line that tells what is wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else text.strip()
