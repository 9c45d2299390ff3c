"""What keys do."""

import pytest

from heygemd.jobs.requests import Act
from heygemd.jobs.states import JobState
from heygemd.top.screen import Order, Panel, Screen, Selectable, Tab, Wish, press, settled

ROWS = [
    Selectable(job=name, name=name.upper(), state=state)
    for name, state in (
        ("a", JobState.RUNNING), ("b", JobState.QUEUED), ("c", JobState.DONE), ("d", JobState.FAILED),
        ("e", JobState.CANCELLED),
    )
]  # fmt: skip


def after(*keys, screen=None, rows=ROWS):
    screen, wish = screen or Screen(), Wish.NOTHING
    for key in keys:
        screen, wish = press(key, settled(screen, rows), rows)
    return screen, wish


def at(job):
    return Screen(selected=job)


@pytest.mark.parametrize("key", ["q", "Q", "f10"])
def test_quitting(key):
    assert after(key)[1] is Wish.QUIT


@pytest.mark.parametrize(
    ("keys", "job"),
    [
        (["down"], "b"), (["j", "j"], "c"), (["down", "up"], "a"), (["k"], "a"), (["end"], "e"), (["G", "g"], "a"),
        (["pagedown"], "e"), (["pagedown", "pageup"], "a"), (["down"] * 9, "e"),
    ],
)  # fmt: skip
def test_moving_the_selection(keys, job):
    assert after(*keys)[0].selected == job


def test_the_selection_follows_its_film():
    screen, _ = after("down")
    assert settled(screen, ROWS[::-1]).at == 3
    gone = [row for row in ROWS if row.job != "b"]
    assert settled(screen, gone).selected == "c", "what has taken its place"
    assert settled(screen, []).selected == ""


@pytest.mark.parametrize(
    ("job", "key", "act"),
    [
        ("a", "c", Act.CANCEL),
        ("b", "c", Act.CANCEL),
        ("b", "f9", Act.CANCEL),
        ("d", "r", Act.RETRY),
        ("e", "r", Act.RETRY),
    ],
)
def test_acts_are_asked_for_once_more(job, key, act):
    screen, wish = after(key, screen=at(job))
    assert wish is Wish.NOTHING
    assert screen.question is not None
    assert (screen.question.act, screen.question.job, screen.question.name) == (act, job, job.upper())
    asked, wish = after("y", screen=screen)
    assert wish is Wish.ASK
    assert asked.question == screen.question


@pytest.mark.parametrize("key", ["n", "enter", "escape", "q", "c", " ", "down", "j"])
def test_anything_but_a_yes_is_a_no(key):
    screen, wish = after("c", key, screen=at("a"))
    assert (screen.question, wish) == (None, Wish.NOTHING)


@pytest.mark.parametrize(("job", "key"), [("a", "r"), ("b", "r"), ("c", "r"), ("c", "c"), ("d", "c"), ("e", "c")])
def test_what_cannot_be_done_is_refused_at_once(job, key):
    screen, _ = after(key, screen=at(job))
    assert screen.question is None
    assert screen.notice
    assert screen.is_bad_news
    assert after("down", screen=screen)[0].notice == ""


@pytest.mark.parametrize("key", ["enter", "c", "r"])
def test_without_a_film_nothing_is_asked(key):
    for rows in ([], [Selectable(job="", name="", state=None)]):
        screen, _ = after(key, rows=rows)
        assert screen.question is None
        assert screen.panel is Panel.NONE
        assert "no film" in screen.notice


def test_tabs_go_round():
    assert [after(*["tab"] * n)[0].tab for n in range(4)] == [Tab.FILMS, Tab.WORKERS, Tab.FAILURES, Tab.FILMS]
    assert after("left")[0].tab is Tab.FAILURES
    assert after("2")[0].tab is Tab.WORKERS


def test_orders_go_round():
    assert [after(*["s"] * n)[0].order for n in range(5)] == [*Order, Order.TURN]


def test_a_filter_takes_every_letter_that_is_a_key_elsewhere():
    screen, wish = after("/", *"qcr 名")
    assert (screen.filter, screen.is_typing, wish) == ("qcr 名", True, Wish.NOTHING)
    assert after("backspace", screen=screen)[0].filter == "qcr "
    assert after("enter", screen=screen)[0] == Screen(filter="qcr 名", selected="a")
    assert after("escape", screen=screen)[0].filter == ""
    assert len(after("/", *"x" * 99)[0].filter) == 40


def test_panels_are_left_by_any_key_and_scrolled_by_arrows():
    screen, _ = after("enter", "down", "j", "up")
    assert (screen.panel, screen.scroll) == (Panel.DETAILS, 1)
    left, wish = after("q", screen=screen)
    assert (left.panel, left.scroll, wish) == (Panel.NONE, 0, Wish.NOTHING)
    assert after("h")[0].panel is Panel.HELP


def test_a_key_that_means_nothing_does_nothing():
    assert after("z")[0] == settled(Screen(), ROWS)
    assert after("f5", "redraw")[0] == settled(Screen(), ROWS)
