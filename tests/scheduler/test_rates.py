"""Rates: how long a task takes, learnt from those that have ended."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import TaskKind
from heygemd.scheduler.rates import KEPT, PRIORS, Rates

HD, FULL_HD = 1280 * 720, 1920 * 1080
KINDS, ENGINES = st.sampled_from(TaskKind), st.sampled_from([name for name in EngineName if name != EngineName.AUTO])
DEVICES = st.sampled_from(["cpu", "cuda:0", "cuda:3"])
GROUPS = st.tuples(KINDS, ENGINES, DEVICES)
PIXELS, FRAMES = st.integers(64 * 48, 4096 * 2304), st.integers(1, 400_000)
SECONDS = st.floats(1e-3, 1e6)
NOTES = st.lists(st.tuples(KINDS, ENGINES, DEVICES, PIXELS, FRAMES, SECONDS), max_size=40)
RENDER = (TaskKind.RENDER, EngineName.ATLAS, "cpu")


def learnt(notes):
    rates = Rates()
    for note in notes:
        rates.note(*note)
    return rates


def test_every_engine_has_a_prior_for_every_kind_of_task():
    for kind in TaskKind:
        for engine in EngineName:
            assert Rates().task_s(kind, engine, "cpu", HD, 250) > 0
    assert len(PRIORS) == len(TaskKind) * (len(EngineName) - 1)


def test_a_measured_task_takes_as_long_as_it_took():
    rates = learnt([(*RENDER, HD, 250, 7.5)])
    assert rates.task_s(*RENDER, HD, 250) == pytest.approx(7.5)
    assert rates.task_s(*RENDER, HD, 2500) == pytest.approx(75, rel=0.1)


def test_a_question_is_answered_by_what_is_known_when_it_is_asked():
    rates = Rates()
    before_s = rates.task_s(*RENDER, HD, 250)
    rates.note(*RENDER, HD, 250, 2 * before_s)
    assert rates.task_s(*RENDER, HD, 250) == pytest.approx(2 * before_s)


def test_another_size_goes_by_its_pixels():
    before, rates = Rates(), learnt([(*RENDER, HD, 250, 3 * Rates().task_s(*RENDER, HD, 250))])
    assert rates.task_s(*RENDER, FULL_HD, 250) == pytest.approx(3 * before.task_s(*RENDER, FULL_HD, 250))


def test_a_measured_size_goes_by_its_own_tasks_alone():
    rates = learnt([(*RENDER, size, 250, seconds) for _ in range(9) for size, seconds in ((HD, 2.0), (FULL_HD, 90.0))])
    assert rates.task_s(*RENDER, HD, 250) == pytest.approx(2)
    assert rates.task_s(*RENDER, FULL_HD, 250) == pytest.approx(90)


@pytest.mark.parametrize("outlier_s", [0.01, 4000.0])
@pytest.mark.parametrize("normal", [2, 3, 12])
def test_one_task_that_was_held_up_moves_nothing(normal, outlier_s):
    rates = learnt([*[(*RENDER, HD, 1500, 30.0)] * normal, (*RENDER, HD, 90_000, outlier_s)])
    assert rates.task_s(*RENDER, HD, 1500) == pytest.approx(30)


def test_a_first_task_that_was_held_up_is_soon_forgotten():
    rates = learnt([(*RENDER, HD, 250, 900.0), (*RENDER, HD, 250, 6.0), (*RENDER, HD, 250, 6.0)])
    assert rates.task_s(*RENDER, HD, 250) == pytest.approx(6)


def test_many_short_tasks_do_not_outvote_long_ones():
    short = [(*RENDER, HD, 10, 9.0)] * 3
    rates = learnt([(*RENDER, HD, 1500, 30.0), *short])
    assert rates.task_s(*RENDER, HD, 1500) == pytest.approx(30)


def test_a_machine_that_grows_slower_is_followed_after_a_handful_of_tasks():
    notes = [(*RENDER, HD, 250, 5.0)] * KEPT
    for more, by_now_s in ((3, 5.0), (5, 10.0), (6, 10.0)):
        rates = learnt([*notes, *[(*RENDER, HD, 250, 10.0)] * more])
        assert rates.task_s(*RENDER, HD, 250) == pytest.approx(by_now_s)


def test_engines_devices_and_kinds_do_not_mix_but_cards_do():
    rates = learnt([(TaskKind.RENDER, EngineName.WAV2LIP, "cuda:1", HD, 250, 900.0)] * 3)
    assert rates.task_s(TaskKind.RENDER, EngineName.WAV2LIP, "cuda:0", HD, 250) == pytest.approx(900)
    for kind, engine, device in (
        (TaskKind.RENDER, EngineName.WAV2LIP, "cpu"),
        (TaskKind.RENDER, EngineName.ATLAS, "cuda:1"),
        (TaskKind.FINISH, EngineName.WAV2LIP, "cuda:1"),
    ):
        assert rates.task_s(kind, engine, device, HD, 250) == Rates().task_s(kind, engine, device, HD, 250)


@pytest.mark.parametrize(
    ("pixels", "frames", "seconds"), [(HD, 0, 1.0), (0, 9, 1.0), (HD, 9, 0.0), (HD, 9, math.nan), (HD, 9, math.inf)]
)
def test_what_says_nothing_is_not_learnt(pixels, frames, seconds):
    assert learnt([(*RENDER, pixels, frames, seconds)]).task_s(*RENDER, HD, 9) == Rates().task_s(*RENDER, HD, 9)


def test_a_job_is_the_sum_of_its_tasks():
    rates = Rates()
    task_s = {kind: rates.task_s(kind, EngineName.ATLAS, "cpu", HD, 1500) for kind in TaskKind}
    analyse_s = rates.task_s(TaskKind.ANALYSE, EngineName.ATLAS, "cpu", HD, 150)
    rest_s = task_s[TaskKind.RENDER] + task_s[TaskKind.FINISH]
    assert rates.job_s(EngineName.ATLAS, "cpu", HD, 150, 1500) == pytest.approx(analyse_s + rest_s)
    assert rates.job_s(EngineName.ATLAS, "cpu", HD, 150, 1500, analyse=False) == pytest.approx(rest_s)


@given(NOTES, GROUPS, st.integers(0, 4096 * 2304), st.integers(0, 400_000))
def test_a_task_always_takes_some_time(notes, group, pixels, frames):
    took_s = learnt(notes).task_s(*group, pixels, frames)
    assert 0 < took_s < math.inf


@given(NOTES, GROUPS, PIXELS, st.lists(FRAMES, min_size=2, max_size=5))
def test_more_frames_take_no_less(notes, group, pixels, frames):
    rates = learnt(notes)
    took = [rates.task_s(*group, pixels, count) for count in sorted(frames)]
    assert all(less <= more for less, more in pairwise(took))


@given(NOTES, GROUPS, st.lists(PIXELS, min_size=2, max_size=5), FRAMES)
def test_larger_frames_take_no_less_where_no_size_was_measured(notes, group, sizes, frames):
    halves = {round(2 * math.log2(note[3])) for note in notes}
    unmet = sorted(size for size in sizes if round(2 * math.log2(size)) not in halves)
    assume(len(unmet) > 1)
    rates = learnt(notes)
    took = [rates.task_s(*group, size, frames) for size in unmet]
    assert all(less <= more for less, more in pairwise(took))


@given(NOTES, st.floats(1e-4, 10), PIXELS, st.lists(FRAMES, min_size=40, max_size=60))
def test_whatever_was_there_before_it_comes_to_what_is_measured(notes, slowness, pixels, frames):
    rates, prior = learnt(notes), Rates()
    for count in frames:
        rates.note(*RENDER, pixels, count, slowness * prior.task_s(*RENDER, pixels, count))
    expected_s = slowness * prior.task_s(*RENDER, pixels, 1000)
    assert rates.task_s(*RENDER, pixels, 1000) == pytest.approx(expected_s)
