"""What the child process of one root does: look at the inbox, claim what is complete, write the status."""

import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from heygemd.errors import ResourceError
from heygemd.intake.inbox import Findings, Inbox
from heygemd.jobs.job import MediaInfo
from heygemd.jobs.roots import Root
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio, probe_video
from heygemd.outbox.status import Snapshot, write_status
from heygemd.settings import IntakeSettings

log = structlog.get_logger(__name__)


class Desk:
    """Everything that may block on one root's share; lives in a `Resident`."""

    def __init__(self, root: Root, settings: IntakeSettings, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._inbox = Inbox(root, settings, self.probe, time.monotonic, lambda: datetime.now(UTC))

    def probe(self, video: Path, audio: Path) -> MediaInfo:
        """What the pair is, or the InputError that says why it cannot be used."""
        return MediaInfo(video=probe_video(video, self._limits), audio=probe_audio(audio, self._limits))

    def look(self, stored: tuple[str, ...], snapshot: Snapshot | None) -> Findings:
        """One scan; `stored` are the jobs that the store has meanwhile, `snapshot` what people shall read."""
        self._inbox.acknowledge(stored)
        findings = self._inbox.look()
        if snapshot is not None and findings.offline is None:
            try:
                write_status(self._root.status, snapshot)
            except ResourceError as error:  # what was found counts more than telling it
                log.warning(
                    "status.not_written", root=str(self._root.path), error_code=error.code, reason=error.message
                )
        return findings
