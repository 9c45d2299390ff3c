"""Nobody starves: a simulator of one worker, with the real policy and the real turns."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import EngineName
from heygemd.jobs.turns import turn_of
from heygemd.planning.plan import EngineChoice, Task, TaskKind
from heygemd.scheduler.policy import JobFacts, Patience, Start, WorkerFacts, assign

DAWN = datetime(2026, 1, 1, tzinfo=UTC)
AGING_S = 100.0
ENGINE = EngineChoice(name=EngineName.PASSTHROUGH)
WORKER = WorkerFacts(worker=1, engine=ENGINE, device="cpu", is_free=True)
PATIENCE = Patience(max_attempts=5, max_strikes=2)


@dataclass(frozen=True)
class Film:
    """What is dropped, and how long one worker is busy with it."""

    name: str
    arrives_s: float
    priority: int
    takes_s: float


@dataclass
class Shop:
    """One worker; films are whole, as one task each."""

    films: list[Film]
    begins_s: dict[str, float] = field(default_factory=dict)

    def open(self) -> dict[str, float]:
        """Work everything off; returns when each film was begun."""
        now_s = 0.0
        while len(self.begins_s) < len(self.films):
            waiting = [film for film in self.films if film.arrives_s <= now_s and film.name not in self.begins_s]
            if not waiting:
                now_s = min(film.arrives_s for film in self.films if film.name not in self.begins_s)
                continue
            facts = [self.facts(film) for film in waiting]
            (start,) = (d for d in assign(facts, [WORKER], ("cpu",), now_s, PATIENCE) if isinstance(d, Start))
            film = next(film for film in waiting if film.name == start.task.job_id)
            self.begins_s[film.name] = now_s
            now_s += film.takes_s
        return self.begins_s

    @staticmethod
    def facts(film: Film) -> JobFacts:
        task = Task(job_id=film.name, kind=TaskKind.ANALYSE, order_path=Path("/o"))
        turn = turn_of(DAWN + timedelta(seconds=film.arrives_s), film.priority, AGING_S)
        return JobFacts(
            job_id=film.name, is_begun=False, turn=turn, attempts=0, rest_until_s=0.0, engine=ENGINE, todo=(task,)
        )


FILMS = st.lists(st.tuples(st.integers(0, 2000), st.integers(-3, 3), st.integers(1, 300)), min_size=1, max_size=25).map(
    lambda drawn: [Film(f"f{n:02d}", float(at), p, float(takes)) for n, (at, p, takes) in enumerate(drawn)]
)


@given(FILMS)
@settings(deadline=None, max_examples=150)
def test_every_film_begins_within_a_bound_that_its_turn_gives(films: list[Film]) -> None:
    """Before it come the film that is in work and those whose turn is smaller: none that came much later."""
    begins_s = Shop(films).open()
    highest = max(film.priority for film in films)
    for film in films:
        last_s = film.arrives_s + (highest - film.priority) * AGING_S
        before = [
            other
            for other in films
            if other is not film and begins_s[other.name] < begins_s[film.name]
            and begins_s[other.name] + other.takes_s > film.arrives_s
        ]  # fmt: skip
        overtaking = [other for other in before if other.arrives_s > film.arrives_s]
        assert all(other.arrives_s <= last_s for other in overtaking), "it came too late to be served before"
        assert all(other.priority > film.priority for other in overtaking), "only priority overtakes"
        could_be_before = [other for other in films if other is not film and other.arrives_s <= last_s]
        assert begins_s[film.name] <= film.arrives_s + sum(other.takes_s for other in could_be_before)


def test_a_stream_of_urgent_films_that_never_ends_does_not_starve_the_least_urgent() -> None:
    """Urgent films alone are more than the worker can do: by priority alone the other would never be begun."""
    low = Film("low", 5.0, -2, 10.0)
    urgent = [Film(f"u{n:03d}", n * 8.0, 3, 10.0) for n in range(400)]
    begins_s = Shop([low, *urgent]).open()
    overtaken_until_s = low.arrives_s + 5 * AGING_S
    came_first = [film for film in urgent if film.arrives_s <= overtaken_until_s]
    assert begins_s["low"] <= low.arrives_s + sum(film.takes_s for film in came_first)
    assert begins_s["low"] < begins_s["u100"] < begins_s["u399"]
    assert begins_s["low"] > overtaken_until_s, "priority is worth something all the same"


def test_of_equal_priority_the_first_come_is_the_first_served() -> None:
    films = [Film(f"f{9 - n}", float(n), 0, 5.0) for n in range(9)]
    assert list(Shop(films).open()) == [film.name for film in films]
