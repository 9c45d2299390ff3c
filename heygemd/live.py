"""Live progress on a terminal, for people who watch."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from heygemd.scheduler.scheduler import JobProgress

STAGES = {
    "analyse": "looking and listening",
    "render": "rendering",
    "finish": "joining and checking",
    "publish": "publishing",
}


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[film]}", markup=False),
        TextColumn("[dim]{task.fields[stage]}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} frames"),
        TextColumn("[dim]{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class Bars:
    """One bar per film in work."""

    def __init__(self, console: Console) -> None:
        self.progress = _bars(console)
        self._bars: dict[str, tuple[TaskID, str]] = {}

    def show(self, films: tuple[tuple[str, JobProgress], ...]) -> None:
        """Draw `(name, progress)` pairs; a film that is no longer named disappears."""
        for job_id in set(self._bars) - {progress.job_id for _, progress in films}:
            self.progress.remove_task(self._bars.pop(job_id)[0])
        for name, progress in films:
            stage = STAGES.get(progress.stage, progress.stage)
            total = max(progress.frames_total, 1)
            rate = f"{progress.fps:.0f} fps" if progress.fps else ""
            known = self._bars.get(progress.job_id)
            if known is None or known[1] != stage:
                if known is not None:
                    self.progress.remove_task(known[0])
                task = self.progress.add_task("", total=total, film=name, stage=stage, rate=rate)
                self._bars[progress.job_id] = (task, stage)
            else:
                task = known[0]
            self.progress.update(task, completed=progress.frames_done, total=total, rate=rate)


class FilmBar:
    """Progress of `heygemd render`; silent when there is no console, one line per stage when it is no terminal."""

    def __init__(self, console: Console | None, name: str) -> None:
        self._console, self._name = console, name
        self._bars = Bars(console) if console is not None and console.is_terminal else None
        self._stage = ""
        self._began_s = time.monotonic()

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._bars is not None:
            self._bars.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bar, and say that it is done when it is."""
        if self._bars is not None:
            self._bars.progress.stop()
        if self._console is not None and kind is None:
            self._console.print(f"{self._name} is done after {time.monotonic() - self._began_s:.1f} s", markup=False)

    def show(self, jobs: tuple[JobProgress, ...]) -> None:
        """Draw the state of the one job."""
        if self._bars is not None:
            self._bars.show(tuple((self._name, progress) for progress in jobs))
        elif self._console is not None:
            for progress in jobs:
                if progress.stage != self._stage:
                    self._stage = progress.stage
                    self._console.print(f"{self._name}: {STAGES.get(self._stage, self._stage)}", markup=False)
