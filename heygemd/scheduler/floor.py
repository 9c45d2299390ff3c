"""The devices and their workers while work is handed out: what is free, and what would fit. Pure.

budget of a device  =  claims of its workers (those on their way out, too)  +  what is still free
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from heygemd.planning.plan import EngineChoice
from heygemd.scheduler.facts import DeviceFacts, Dismiss, Fit, FitOf, JobFacts, NewWorker, WorkerFacts

MOST_BYTES = 1 << 62
WORN = "it has worked long enough"
NEW = 0
"""Stands for a worker that is to be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a task can be done."""

    worker: int | NewWorker
    device: str
    batch: int
    claim_bytes: int


@dataclass(slots=True)
class _Seat:
    """One worker's claim on a device."""

    worker: int
    engine: EngineChoice
    held_bytes: int
    is_idle: bool
    is_leaving: bool
    staged: str
    idle_s: float


class _Bench:
    """One device."""

    def __init__(self, facts: DeviceFacts, workers: Sequence[WorkerFacts]) -> None:
        self.facts = facts
        self.seats = [
            _Seat(w.worker, w.engine, w.held_bytes, w.is_free, not w.is_free and not w.job_id, w.staged, w.idle_s)
            for w in workers
            if w.device == facts.label
        ]
        self.is_taken_alone = any(w.is_alone for w in workers if w.device == facts.label)
        """A worker has a task that wants no neighbour."""
        self.booked_for: JobFacts | None = None
        """Its idle workers and free memory are kept for this job."""

    @property
    def idle(self) -> list[_Seat]:
        return [seat for seat in self.seats if seat.is_idle]

    def free_bytes(self, *, without: Sequence[_Seat] = ()) -> int:
        gone = {id(seat) for seat in without}
        return self.facts.budget_bytes - sum(seat.held_bytes for seat in self.seats if id(seat) not in gone)

    def is_open_to(self, job: JobFacts) -> bool:
        """Tell whether the job may be given anything here at all."""
        return not self.facts.is_lost and (job.may_use_refuge or not self.facts.is_refuge)

    def fit(
        self, job: JobFacts, fit_of: FitOf, *, without: Sequence[_Seat] = (), may_guess: bool = False
    ) -> Fit | None:
        """Ask what the job would get here if `without` were gone; `may_guess`: an empty device may simply be tried."""
        gone = {id(seat) for seat in without}
        others = [seat for seat in self.seats if id(seat) not in gone]
        if others and (job.needs_device_alone or self.is_taken_alone):
            return None
        label = self.facts.label
        fit = fit_of(job, label, self.free_bytes(without=without))
        if fit is None and may_guess and not others and self.facts.carries_one:
            fit = fit_of(replace(job, batch_most=1), label, MOST_BYTES)
        return fit


class Floor:
    """All devices."""

    def __init__(self, workers: Sequence[WorkerFacts], devices: Sequence[DeviceFacts], fit_of: FitOf) -> None:
        self._workers, self._fit_of = workers, fit_of
        self._benches = [_Bench(facts, workers) for facts in devices]
        self._fits: dict[str, bool] = {}
        """Whether a job is predicted to fit on some device, were that empty."""

    def _fit(self, bench: _Bench, job: JobFacts, *, without: Sequence[_Seat] = ()) -> Fit | None:
        """Ask what the job would get; where no device is predicted to hold it, one that nobody else uses is tried."""
        if job.job_id not in self._fits:
            benches = (b for b in self._benches if b.is_open_to(job) and b.facts.most_workers)
            self._fits[job.job_id] = any(b.fit(job, self._fit_of, without=b.seats) for b in benches)
        return bench.fit(job, self._fit_of, without=without, may_guess=not self._fits[job.job_id])

    @property
    def places(self) -> int:
        """Workers there are and workers there could be, memory left aside."""
        return sum(max(len(b.seats), b.facts.most_workers) for b in self._benches if not b.facts.is_lost)

    def send_away(self, keep_warm_s: float) -> Iterator[Dismiss]:
        """Let idle workers go that are worn, long idle, on a lost device, or in the way of others' memory."""
        about = {worker.worker: worker for worker in self._workers}
        for bench in self._benches:
            for seat in bench.idle:
                if about[seat.worker].is_worn:
                    yield self._dismiss(seat, WORN)
                elif bench.facts.is_lost:
                    yield self._dismiss(seat, "its device is lost")
                elif seat.idle_s > keep_warm_s:
                    yield self._dismiss(seat, "it has been idle for long")
            for seat in sorted(bench.idle, key=lambda seat: (-seat.idle_s, seat.worker)):
                staying = [other for other in bench.seats if not other.is_leaving]
                is_last = len(staying) == 1 and bench.facts.carries_one
                if not is_last and sum(other.held_bytes for other in staying) > bench.facts.budget_bytes:
                    yield self._dismiss(seat, "others hold the memory")

    @staticmethod
    def _dismiss(seat: _Seat, reason: str) -> Dismiss:
        """It keeps its claim until it is gone."""
        seat.is_idle, seat.is_leaving = False, True
        return Dismiss(worker=seat.worker, reason=reason)

    def place(self, job: JobFacts) -> Place | None:
        """Find the best place for one task of the job: a warm worker, else room for a new one."""
        benches = self._open_to(job)
        return self._warm(job, benches) or self._vacant(job, benches)

    def _open_to(self, job: JobFacts) -> list[_Bench]:
        return [bench for bench in self._benches if bench.is_open_to(job) and bench.booked_for in (None, job)]

    def _warm(self, job: JobFacts, benches: Sequence[_Bench]) -> Place | None:
        found: list[tuple[tuple[bool, bool, int, float, int], Place]] = []
        for bench in benches:
            for seat in bench.idle:
                if seat.engine != job.engine:
                    continue
                fit = self._fit(bench, job, without=(seat,))
                is_over = seat.held_bytes > bench.free_bytes(without=(seat,))
                if fit is None or (is_over and not (bench.facts.carries_one and len(bench.seats) == 1)):
                    continue
                claim = max(fit.claim_bytes, seat.held_bytes)
                place = Place(worker=seat.worker, device=bench.facts.label, batch=fit.batch, claim_bytes=claim)
                rank = (seat.staged == job.job_id, not bench.facts.is_refuge, fit.batch, -seat.idle_s, -seat.worker)
                found.append((rank, place))
        return max(found, key=lambda entry: entry[0])[1] if found else None

    def _vacant(self, job: JobFacts, benches: Sequence[_Bench]) -> Place | None:
        found: list[tuple[tuple[bool, int, int], Place]] = []
        for bench in benches:
            if len(bench.seats) >= bench.facts.most_workers:
                continue
            fit = self._fit(bench, job)
            if fit is not None:
                new = NewWorker(engine=job.engine, device=bench.facts.label)
                place = Place(worker=new, device=new.device, batch=fit.batch, claim_bytes=fit.claim_bytes)
                found.append(((not bench.facts.is_refuge, fit.batch, bench.free_bytes()), place))
        return max(found, key=lambda entry: entry[0])[1] if found else None

    def take(self, place: Place, job: JobFacts) -> None:
        """Note that the place is taken."""
        bench = next(bench for bench in self._benches if bench.facts.label == place.device)
        if isinstance(place.worker, NewWorker):
            bench.seats.append(_Seat(NEW, job.engine, place.claim_bytes, False, False, "", 0.0))
        else:
            seat = next(seat for seat in bench.seats if seat.worker == place.worker)
            seat.held_bytes, seat.is_idle = place.claim_bytes, False
        bench.is_taken_alone = bench.is_taken_alone or job.needs_device_alone
        if bench.booked_for is job:
            bench.booked_for = None

    def has_idle_of_others(self, job: JobFacts) -> bool:
        """Tell whether a worker of another engine is idle where the job could be made: the usual answer is no."""
        return any(seat.engine != job.engine for bench in self._open_to(job) for seat in bench.idle)

    def warm(self, job: JobFacts) -> Place | None:
        """Find the best idle worker that could serve the job as it is."""
        return self._warm(job, self._open_to(job))

    def could_ever_hold(self, job: JobFacts) -> bool:
        """Tell whether the job would fit somewhere if none of our other workers were there."""
        return any(
            bench.is_open_to(job) and bench.facts.most_workers and self._fit(bench, job, without=bench.seats)
            for bench in self._benches
        )

    def shortage_code(self, job: JobFacts) -> str | None:
        """Return E301 when graphics memory is wanting, E303 when main memory is; None when no device is there."""
        labels = [bench.facts.label for bench in self._benches if bench.is_open_to(job)]
        if not labels:
            return "E302"
        return "E303" if all(label == "cpu" for label in labels) else "E301"

    def book(self, job: JobFacts) -> tuple[int, ...]:
        """Keep a device for the job and return the idle workers that must go for it, as few as will do.

        Where it will fit only after busy workers have ended their tasks, what is idle there is kept from jobs that
        are due later: else small jobs could keep a large one out for ever. Jobs that come earlier are not touched.
        """
        for bench in (b for b in self._benches if b.booked_for is None and b.is_open_to(job)):
            idle = sorted(bench.idle, key=lambda seat: (seat.engine == job.engine, -seat.idle_s, seat.worker))
            leaving = [seat for seat in bench.seats if seat.is_leaving]
            for count in range(0 if leaving else 1, len(idle) + 1):
                gone = [*leaving, *idle[:count]]
                left = len(bench.seats) - len(gone)
                if left < bench.facts.most_workers and self._fit(bench, job, without=gone):
                    return self._booked(bench, job, idle[:count])
        return self._book_busy(job)

    def _book_busy(self, job: JobFacts) -> tuple[int, ...]:
        """Book the device that needs the fewest busy workers to end; only for want of memory, not of workers."""
        options: list[tuple[int, _Bench]] = []
        for bench in self._benches:
            if bench.booked_for is not None or not bench.is_open_to(job) or not bench.facts.most_workers:
                continue
            busy = [seat for seat in bench.seats if seat.engine == job.engine and not seat.is_leaving]
            if any(self._fit(bench, job, without=(seat,)) for seat in busy):
                return ()  # a worker that will do is busy: it only has to become free
            if self._fit(bench, job, without=bench.seats):
                options.append((len(bench.seats) - len(bench.idle), bench))
        if not options:
            return ()
        bench = min(options, key=lambda option: option[0])[1]
        return self._booked(bench, job, bench.idle)

    def _booked(self, bench: _Bench, job: JobFacts, gone: Sequence[_Seat]) -> tuple[int, ...]:
        bench.booked_for = job
        for seat in gone:
            seat.is_idle, seat.is_leaving = False, True
        return tuple(seat.worker for seat in gone)
