"""Who waits how long: small worlds for the real policy, in which the answer can be worked out by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.planning.plan import TaskKind
from heygemd.scheduler import policy, shares
from heygemd.scheduler.facts import Decision, JobFacts, Service, Share, Start
from tests.scheduler.simulator import Brain, Simulator
from tests.scheduler.workloads import ENGINES, GIB, MIB, Card, Film, Kit, Workload, jain

ANALYSE, RENDER, FINISH = TaskKind.ANALYSE, TaskKind.RENDER, TaskKind.FINISH
BRAIN = Brain(policy.assign, shares.charge, shares.settle)
STEP_S = 100.0
"""What one step of priority is worth."""
KIT, OTHER_KIT = (Kit(choice=choice, base_bytes=GIB, frame_bytes=64 * MIB, load_s=2.0) for choice in ENGINES[:2])


def film(
    name: str, at_s: float = 0.0, *, segments: int = 1, segment_s: float = 10.0, root: str = "r", **more: Any
) -> Film:
    """A film whose tasks together take as long as it plays."""
    return Film(
        name=name,
        share=Share(root, more.pop("folder", "")),
        arrives_s=at_s,
        priority_s=more.pop("steps", 0) * STEP_S,
        kit=more.pop("kit", KIT),
        pixels=10**6,
        length_s=segments * segment_s,
        analyse_s=more.pop("analyse_s", 0.01),
        segment_s=(segment_s,) * segments,
        finish_s=0.01,
        **more,
    )


@dataclass
class Day:
    """A world of one card, and every task that was started in it."""

    films: Sequence[Film]
    places: int = 1
    brain: Brain = BRAIN
    starts: list[tuple[float, str, TaskKind]] = field(default_factory=list)

    def run(self) -> "Day":
        assign = self.brain.assign

        def noting(*facts: Any) -> tuple[Decision, ...]:
            decisions = assign(*facts)
            now_s = facts[5]
            tasks = [decision.task for decision in decisions if isinstance(decision, Start)]
            self.starts += [(now_s, task.job_id, task.kind) for task in tasks]
            return decisions

        card = Card(label="cuda:0", total_bytes=24 * GIB, reserve_bytes=0, most_workers=self.places)
        load = Workload(seed=0, cards=(card,), films=tuple(self.films), jitter=0.0)
        self.simulator = Simulator(load, replace(self.brain, assign=noting))
        self.simulator.run()
        return self

    def begins_s(self, name: str, kind: TaskKind = ANALYSE) -> float:
        return min(at_s for at_s, job_id, what in self.starts if job_id == name and what is kind)

    def ends_s(self, name: str) -> float:
        return max(at_s for at_s, job_id, _ in self.starts if job_id == name)

    def given_s(self, root: str, until_s: float, from_s: float = 0.0) -> float:
        """Seconds of segments that were begun for the root."""
        films = {one.name: one for one in self.films if one.share.root == root}
        began = [name for at_s, name, kind in self.starts if from_s <= at_s < until_s and kind is RENDER]
        return sum(films[name].segment_s[0] for name in began if name in films)


# Within a folder ------------------------------------------------------------------------------------------------

FILMS = st.lists(st.tuples(st.integers(0, 2000), st.integers(-3, 3), st.integers(1, 300)), min_size=1, max_size=15)


@given(FILMS)
@settings(deadline=None, max_examples=40)
def test_a_film_waits_only_for_those_that_are_due_before_it(drawn: list[tuple[int, int, int]]) -> None:
    """With one worker: for what is in work when it comes, and for the whole of all films with a smaller turn."""
    films = [
        film(f"f{n:02d}", float(at), steps=steps, segment_s=float(takes)) for n, (at, steps, takes) in enumerate(drawn)
    ]
    day = Day(films).run()
    longest_s = max(one.length_s for one in films)
    spent_s = 0.02 * len(films) + KIT.load_s
    for one in films:
        due_before = [other for other in films if (other.turn, other.name) < (one.turn, one.name)]
        bound_s = one.arrives_s + longest_s + sum(other.length_s for other in due_before) + spent_s
        assert day.begins_s(one.name) <= bound_s
        late = [other for other in films if other.arrives_s > one.arrives_s and day.begins_s(other.name) < bound_s]
        before = [other for other in late if day.begins_s(other.name) < day.begins_s(one.name)]
        assert all(other.turn <= one.turn for other in before), "it was overtaken by one that is due later"


def test_of_equal_films_the_first_come_is_the_first_served() -> None:
    films = [film(f"f{9 - n}", float(n)) for n in range(9)]
    day = Day(films).run()
    assert sorted(films, key=lambda one: day.begins_s(one.name)) == films


def test_a_small_film_passes_one_of_four_hours_at_the_next_segment() -> None:
    day = Day([film("long", segments=240, segment_s=60.0), film("small", 1000.0, segments=2, segment_s=20.0)]).run()
    assert day.begins_s("small") <= 1000.0 + 60.0 + 1.0
    assert day.ends_s("small") <= 1000.0 + 60.0 + 2 * 20.0 + 1.0


def test_small_films_without_end_keep_a_long_one_waiting_at_most_for_as_long_as_it_plays() -> None:
    """They are more than the worker can do; those that come later than the long one is due stand behind it."""
    long = film("long", segments=10, segment_s=60.0)
    small = [film(f"s{n:03d}", n * 9.0) for n in range(130)]
    day = Day([long, *small]).run()
    overtaking = [one for one in small if one.turn <= long.turn]
    assert 50 < len(overtaking) < 100
    assert day.ends_s("long") <= sum(one.length_s + 0.03 for one in overtaking) + long.length_s + KIT.load_s + 10.0
    assert day.ends_s("long") < day.begins_s("s120")


def test_urgent_films_without_end_do_not_starve_the_least_urgent() -> None:
    """By priority alone it would never be begun; but priority is worth something all the same."""
    low = film("low", 5.0, steps=-2)
    urgent = [film(f"u{n:03d}", n * 8.0, steps=3) for n in range(100)]
    day = Day([low, *urgent]).run()
    came_first = [one for one in urgent if one.turn <= low.turn]
    assert 5 * STEP_S < day.begins_s("low") <= sum(one.length_s + 0.03 for one in came_first) + KIT.load_s + 10.0
    assert day.begins_s("low") < day.begins_s("u080") < day.begins_s("u099")


# Between folders and roots --------------------------------------------------------------------------------------


def busy(root: str, segment_s: float, count: int = 25, at_s: float = 0.0, **more: Any) -> list[Film]:
    """Enough films of three segments to be always there."""
    films = [film(f"{root}{n:03d}", at_s, segments=3, segment_s=segment_s, root=root, **more) for n in range(count)]
    return films


def test_roots_that_are_always_busy_are_given_the_same_seconds_however_long_their_tasks_are() -> None:
    films = [*busy("a", 5.0), *busy("b", 20.0, count=8), *busy("c", 50.0, count=4)]
    day = Day(films, places=2).run()
    given_s = [day.given_s(root, until_s=400.0) for root in "abc"]
    assert jain(given_s) >= 0.95, given_s


def test_a_flood_in_one_folder_does_not_hold_up_the_one_of_another() -> None:
    flood = busy("r", 10.0, count=40, folder="flood")
    day = Day([*flood, film("one", 500.0, folder="other")]).run()
    assert day.begins_s("one") <= 500.0 + 2 * 10.0 + 1.0


@given(st.integers(1, 6), st.integers(5, 60), st.booleans())
@settings(deadline=None, max_examples=12)
def test_a_new_root_waits_for_little_more_than_one_task_of_each_that_is_there(
    root_count: int, task_s: int, has_own_engine: bool
) -> None:
    """When its engine must be loaded first, each of them may pass it by the grace for a warm worker, too."""
    count = 2 + 500 // (3 * task_s * root_count)
    films = [one for n in range(root_count) for one in busy(f"r{n}-", float(task_s), count=count)]
    kit = OTHER_KIT if has_own_engine else KIT
    day = Day([*films, film("new", 200.0, root="new", kit=kit)]).run()
    each_s = task_s + 0.1 + (policy.REUSE_GRACE_S if has_own_engine else 0.0)
    assert day.begins_s("new") <= 200.0 + task_s + root_count * each_s + KIT.load_s + 2.0


def keep_credit(service: Service, active: object) -> None:
    """Let those that were away keep the seconds that they were not given."""


@pytest.mark.parametrize(("settle", "is_fair"), [(shares.settle, True), (keep_credit, False)])
def test_who_comes_back_after_a_pause_has_no_credit(settle: Callable[..., None], is_fair: bool) -> None:
    """Without that, `a` would be given everything until it had caught up with what `b` was given alone."""
    films = [*busy("a", 10.0, count=2), *busy("b", 10.0, count=50), *busy("c", 10.0, count=20, at_s=900.0)]
    for one in films:
        one.share = Share(one.share.root.replace("c", "a"), "")
    day = Day(films, brain=replace(BRAIN, settle=settle)).run()
    given_s = [day.given_s(root, from_s=900.0, until_s=1300.0) for root in "ab"]
    assert (jain(given_s) >= 0.95) is is_fair, given_s


def test_a_step_of_priority_is_worth_its_seconds_between_roots() -> None:
    films = [*busy("a", 10.0, steps=2), *busy("b", 10.0)]
    day = Day(films).run()
    ahead_s = day.given_s("a", until_s=900.0) - day.given_s("b", until_s=900.0)
    assert ahead_s == pytest.approx(2 * STEP_S, abs=2 * 10.0)


# Engines, pipeline ----------------------------------------------------------------------------------------------


def test_a_queue_of_one_engine_does_not_keep_out_a_root_that_needs_another() -> None:
    crowd = busy("a", 20.0, count=50)
    day = Day([*crowd, film("other", 60.0, root="b", kit=OTHER_KIT)]).run()
    assert day.begins_s("other") <= 60.0 + policy.REUSE_GRACE_S + 3 * 20.0 + 5.0


def test_the_warm_engine_is_used_for_those_that_are_due_a_little_later() -> None:
    films = [film(f"f{n}", n * 0.5, kit=(KIT, OTHER_KIT)[n % 2]) for n in range(20)]
    day = Day(films).run()
    order = [name for _, name, kind in day.starts if kind is ANALYSE]
    kits = [int(name[1:]) % 2 for name in order]
    switches = sum(one != other for one, other in pairwise(kits))
    assert switches <= 5, f"{switches} changes of the engine; by turn alone there would be 19"


def never_ahead(*facts: Any) -> tuple[Decision, ...]:
    """As if there were always a film that could be rendered at once."""
    jobs: Sequence[JobFacts] = facts[0]
    return policy.assign([replace(job, is_prepared=True) for job in jobs], *facts[1:])


@pytest.mark.parametrize(("assign", "overlaps"), [(policy.assign, True), (never_ahead, False)])
def test_the_next_film_is_analysed_while_the_present_one_is_rendered(
    assign: Callable[..., tuple[Decision, ...]], overlaps: bool
) -> None:
    first, second = film("a", segments=12, analyse_s=5.0), film("b", 20.0, segments=40, analyse_s=30.0)
    day = Day([first, second], places=2, brain=replace(BRAIN, assign=assign)).run()
    assert (
        day.begins_s("b") < max(at_s for at_s, name, kind in day.starts if name == "a" and kind is RENDER)
    ) is overlaps
    if overlaps:
        assert day.begins_s("b") <= 20.0 + 10.0 + 1.0
