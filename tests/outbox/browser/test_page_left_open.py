"""The page while it stays open: it shows what is new, and notices when nothing comes any more."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heygemd.jobs.states import JobState
from heygemd.outbox.status import write_status
from tests.outbox.browser.samples import busy

pytestmark = pytest.mark.browser


def test_an_old_page_says_that_nothing_runs(share, show):
    told = replace(busy(share), written_at=datetime.now(UTC) - timedelta(hours=3))
    tab = show(told)
    assert tab.text("h1") == "Not running"
    assert "(3 hours ago)" in tab.text("#sentence")
    assert "left" not in tab.text("#work")


def test_a_page_left_open_notices_that_the_daemon_ended(share, show):
    tab = show(busy(share))
    tab.let_time_pass(50)
    assert tab.text("h1") == "Working"
    tab.let_time_pass(20)
    assert tab.text("h1") == "Not running"
    assert tab.run("document.title") == "Not running · studio share"


def test_a_page_left_open_outlives_its_share(share, show):
    tab = show(busy(share))
    tab.let_time_pass(10)
    shutil.rmtree(share)
    tab.let_time_pass(120)
    assert tab.text("h1") == "Not running"
    assert "Neujahrsansprache" in tab.text("#work")
    assert tab.run("location.protocol") == "file:"


def test_a_page_left_open_shows_news_and_keeps_the_readers_place(share, show):
    tab = show(busy(share))
    tab.run("document.querySelector('#queue details').open = true; window.scrollTo(0, 300); window.mine = 'still here'")
    told = busy(share)
    write_status(
        share / "status",
        replace(
            told,
            written_at=told.written_at + timedelta(seconds=5),
            running=(replace(told.running[0], frames_done=2000), *told.running[1:]),
            queue=told.queue[1:],
            counts=told.counts | {JobState.DONE: 1483},
        ),
    )
    tab.let_time_pass(7)
    assert "1,483" in tab.text("#tiles")
    assert tab.run("document.querySelector('#work [role=progressbar]').getAttribute('aria-valuenow')") == "93"
    assert tab.run("document.querySelector('#queue .name').textContent") == "lecture 2"
    assert tab.run("[window.mine, window.scrollY, document.querySelector('#queue details').open]") == [
        "still here",
        300,
        True,
    ]
    assert tab.count("iframe") <= 1


def test_a_page_of_an_older_heygemd_loads_itself_again(share, show):
    tab = show(busy(share))
    tab.run("window.mine = 'old'")
    page = share / "status" / "index.html"
    text = page.read_text(encoding="utf-8")
    build = text.rsplit('"build":"', 1)[1].split('"')[0]
    page.write_text(text.replace(build, "0" * len(build)), encoding="utf-8")
    tab.let_time_pass(7)
    assert tab.run("window.mine || 'new'") == "new"
    assert tab.text("h1") == "Working"


@pytest.mark.parametrize(("hours", "before"), [(-2, "Not running"), (2, "Working")], ids=["behind", "ahead"])
def test_a_wrong_clock_does_not_hide_that_it_works(share, show, hours, before):
    told = replace(busy(share), written_at=datetime.now(UTC) + timedelta(hours=hours))
    tab = show(told)
    assert tab.text("h1") == before
    write_status(share / "status", replace(told, written_at=told.written_at + timedelta(seconds=20)))
    tab.let_time_pass(7)
    assert tab.text("h1") == "Working"
    assert "differ by 2 h 0 min" in tab.text("#advice")
    assert "your clock says" in tab.text("#foot")
    tab.let_time_pass(70)
    assert tab.text("h1") == "Not running"


def test_a_time_in_the_future_alone_does_not_count_for_long(share, show):
    tab = show(replace(busy(share), written_at=datetime.now(UTC) + timedelta(hours=2)))
    tab.let_time_pass(70)
    assert tab.text("h1") == "Not running"
