"""What the scheduler tells the daemon: films that are ready, jobs that failed, and how far the others are."""

from dataclasses import dataclass
from enum import StrEnum

from heygemd.planning.plan import FilmFacts, Plan, TaskKind


class Stage(StrEnum):
    """Where a running job stands."""

    ANALYSE = TaskKind.ANALYSE.value
    RENDER = TaskKind.RENDER.value
    FINISH = TaskKind.FINISH.value
    PUBLISH = "publish"
    """The film is ready; the daemon hands it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmReady:
    """The film lies in the work directory, verified; the job stays running until the daemon has published it."""

    job_id: str
    plan: Plan
    facts: FilmFacts
    seconds: dict[str, float]
    """Seconds by stage, summed over all tasks of the job."""
    device: str
    """Where the latest task ran."""
    cached: tuple[str, ...] = ()
    """Which of `track` and `speech` came from the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """The job has failed for good; the daemon puts its inputs away and then moves it to failed."""

    job_id: str
    code: str
    message: str
    traceback: str = ""


Outcome = FilmReady | JobFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a running job is."""

    job_id: str
    stage: Stage
    frames_done: int
    """In the present stage."""
    frames_total: int
    fps: float | None
    """Measured over the last half minute of the present stage; None while unknown."""
    eta_s: float | None
    """Until the end of the present stage; None while unknown."""
    device: str
    job_left_s: float | None = None
    """Until the film can be handed over, at the measured rates and with the workers it has; None while it has none."""
