"""Jobs that would give a film that is there already, or is being made: they wait for it and are given a copy."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace

import structlog

from heygemd import __version__
from heygemd.daemon.handover import Handover
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName, Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.planning.plan import EngineChoice

log = structlog.get_logger(__name__)


class Twins:
    """Finds duplicates when they arrive, and has them served when their original has ended."""

    def __init__(
        self, store: JobStore, handover: Handover, choose_engine: Callable[[EngineName], EngineChoice]
    ) -> None:
        self._store, self._handover, self._choose_engine = store, handover, choose_engine

    def judge(self, job: Job) -> Job:
        """Return a new job with its content key, and with the job whose film it can be given, if there is one."""
        key = self._content_key(job)
        if key is None:
            return job
        twin = self._store.twin_of(job.root, key, but=job.id)
        if twin is not None:
            log.info("job.is_duplicate", job_id=job.id, duplicate_of=twin.id, state=twin.state)
        return replace(job, content_key=key, duplicate_of=twin.id if twin else None)

    def tick(self) -> None:
        """Serve the duplicates whose original is done; those whose original was given up go their own way."""
        for job in self._store.duplicates():
            original = self._store.get(job.duplicate_of or "")
            if original is None or original.state in (JobState.FAILED, JobState.CANCELLED):
                self._store.set_duplicate_of(job.id, None)
            elif original.state is JobState.DONE:
                self._handover.film_again(job, original)

    def _content_key(self, job: Job) -> str | None:
        """Hash what decides about the film; None for a job that makes none, or whose engine is not to be had."""
        if job.state is not JobState.QUEUED or job.video is None or job.audio is None:
            return None
        try:
            engine = self._choose_engine(job.options.engine)
        except SetupError:
            return None
        told = {
            "video": job.video.sha256,
            "audio": job.audio.sha256,
            "options": asdict(job.options) | {"engine": engine.name},
            "weights": engine.weights_sha256,
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
