"""What the child process of one root does: look at the inbox and claim what is complete."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from heygemd.intake.findings import Findings, Word
from heygemd.intake.inbox import Inbox
from heygemd.jobs.job import AudioInfo, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio, probe_video
from heygemd.settings import IntakeSettings

REMEMBERED = 256
"""Probes of shared inputs that are kept: one presenter of a thousand rows is looked at once."""

Info = TypeVar("Info", VideoInfo, AudioInfo)


class Desk:
    """Everything that may block on one root's inbox; lives in a `Resident`."""

    def __init__(
        self, root: Root, settings: IntakeSettings, limits: Limits, options: RenderOptions, state_dir: Path
    ) -> None:
        self._root, self._limits = root, limits
        self._known: OrderedDict[tuple[str, Path], VideoInfo | AudioInfo] = OrderedDict()
        self._inbox = Inbox(
            root,
            settings,
            options=options,
            probe=self.probe,
            clock=time.monotonic,
            wall=lambda: datetime.now(UTC),
            state_dir=state_dir,
        )

    def probe(self, video: Path, audio: Path) -> MediaInfo:
        """What the pair is, or the InputError that says why it cannot be used."""
        return MediaInfo(video=self._ask(probe_video, video), audio=self._ask(probe_audio, audio))

    def look(self, word: Word) -> Findings:
        """One look at the inbox."""
        return self._inbox.look(word)

    def _ask(self, probe: Callable[[Path, Limits], Info], path: Path) -> Info:
        """Probe a file; shared inputs are named by their content, so what was said about one stays true."""
        if path.parent != self._root.shared:
            return probe(path, self._limits)
        key = (probe.__name__, path)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = probe(path, self._limits)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known  # type: ignore[return-value]  # the probe's name in the key says which of the two it is
