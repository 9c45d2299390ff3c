"""The page as people meet it: opened from a folder, in a real browser."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from heygemd.errors import ADVICE
from heygemd.jobs.states import JobState
from heygemd.outbox.status import RootState, RootStatus
from tests.outbox.browser.samples import NAMES, busy, films, snapshot

pytestmark = pytest.mark.browser


def test_a_person_reads_first_whether_it_works_and_how_much_is_done(share, show):
    tab = show(busy(share))
    assert tab.text("h1") == "Working"
    assert tab.text("#sentence") == "2 films are being made."
    tiles = tab.text("#tiles").split()
    assert " ".join(tiles).startswith("1,482 films finished 5+ in the last 24 hours 2 in work 9,992 waiting 6 need you")
    assert tab.run("document.title") == "Working · studio share"


def test_what_needs_a_person_says_what_to_do(share, show):
    words = show(busy(share)).text("#needs")
    for line in (
        "take.mp4, take.mov, take.wav", "Give each pair a name of its own", "lessons/.heygemd.toml",
        "line 3: unknown key", "E131", ADVICE["E131"].title, ADVICE["E131"].todo,
        "no face in 412 frames", "3 more in the folder “failed”.",
    ):  # fmt: skip
        assert line in words


def test_work_shows_stage_progress_and_time_left(share, show):
    tab = show(busy(share))
    words = tab.text("#work")
    for line in (
        "Neujahrsansprache",
        "客户 A",
        "Moving the mouth (2/4)",
        "about 2 min left",
        "1,075 of 2,150 frames · cuda:0",
    ):
        assert line in words
    assert "cuda:0 · attempt 2" in words
    bars = "[...document.querySelectorAll('#work [role=progressbar]')].map((bar) => bar.getAttribute('aria-valuenow'))"
    assert tab.run(bars) == ["50", None]
    assert tab.run("document.querySelector('#work .fill').getBoundingClientRect().width") > 100


def test_lists_tell_how_much_more_there_is(share, show):
    tab = show(busy(share))
    words = tab.text("#queue")
    assert "lecture 8" in words
    assert "lecture 9" not in words
    assert "and 15 more" in words
    assert "9,969 more are not listed here." in words
    assert "68 of 100 · 7 failed · Report" in tab.text("#batches")
    assert "Still arriving" in tab.text("#arriving")
    assert "a reason of tomorrow" in tab.text("#arriving")


def test_a_chinese_reader_reads_chinese(share, show, tab):
    tab.read_as("zh-CN,zh")
    show(busy(share))
    assert tab.text("h1") == "正在制作"
    assert tab.run("document.documentElement.lang") == "zh-CN"
    words = tab.text()
    for line in (
        "个视频已完成", "需要您处理", "无法确定如何配对", ADVICE["E131"].title_zh, ADVICE["E131"].todo_zh,
        "生成口型 (2/4)", "大约还需 2 分钟", "还有 15 项", "正在传入", "最近完成", "您的时钟",
    ):  # fmt: skip
        assert line in words
    for foreign in ("Working", "Needs you", "of 2,150", "more", "left", ADVICE["E131"].title):
        assert foreign not in words


def test_the_language_can_be_chosen_by_hand(share, show, tab):
    show(busy(share), "?lang=zh")
    assert tab.text("h1") == "正在制作"
    tab.run("document.querySelector('#languages a[lang=en]').click()")
    tab.run("new Promise((done) => setTimeout(() => done(1), 50))")
    assert tab.text("h1") == "Working"
    tab.run("location.hash = '#queue'; new Promise((done) => setTimeout(() => done(1), 50))")
    assert tab.text("h1") == "Working"


def test_a_new_root_says_what_to_do(share, show):
    tab = show(snapshot(share))
    assert tab.text("h1") == "Ready"
    assert tab.text("#welcome h2") == "Drop a video and a sound with the same name into inbox."
    assert tab.text("#tiles").split()[-3:] == ["nothing", "needs", "you"]
    assert tab.text("#columns").strip() == ""


@pytest.mark.parametrize(("languages", "word"), [("en", "Paused"), ("zh-CN", "已暂停")])
def test_a_pause_tells_its_reason_and_what_to_do(share, show, tab, languages, word):
    tab.read_as(languages)
    root = RootStatus(path=share, uuid="u", state=RootState.PAUSED, reason="E202 /srv: No space left", code="E202")
    show(replace(busy(share), root=root))
    assert tab.text("h1") == word
    advice = ADVICE["E202"]
    assert f"{advice.title if languages == 'en' else advice.title_zh} (E202 /srv: No space left)" == tab.text(
        "#sentence"
    )
    assert tab.text("#advice") == (advice.todo if languages == "en" else advice.todo_zh)


def test_pictures_and_links_lead_to_what_lies_in_the_outbox(share, show):
    tab = show(snapshot(share, results=films(share, folder="客户 A/#1 50%"), counts={JobState.DONE: 5}))
    tab.wait_for_pictures()
    assert tab.run("[...document.images].map((one) => one.naturalWidth)") == [48] * len(NAMES)
    links = tab.run("[...document.querySelectorAll('#results a')].map((one) => one.href)")
    assert [Path(unquote(urlsplit(link).path)).name for link in links] == [f"{name}.mp4" for name in NAMES]
    assert all(Path(unquote(urlsplit(link).path)).is_file() for link in links)


def test_a_film_without_a_sheet_has_no_broken_picture(share, show):
    results = films(share)
    for sheet in (share / "outbox").glob("*.jpg"):
        sheet.unlink()
    tab = show(snapshot(share, results=results, counts={JobState.DONE: 5}))
    tab.wait_for_pictures()
    assert tab.count("#results img") == 0
    assert tab.count("#results a") == len(NAMES)


def test_the_reason_of_a_failure_is_one_click_away(share, show):
    tab = show(busy(share))
    link = tab.run("document.querySelector('#needs a').href")
    assert Path(unquote(urlsplit(link).path)).read_text() == "why"


def test_without_scripts_the_main_numbers_are_there(share, show, tab):
    tab.without_scripts()
    show(busy(share))
    tab.ask("Emulation.setScriptExecutionDisabled", value=False)
    words = tab.text()
    for line in ("studio share: online / 在线", "Finished / 已完成: 1482", "Failed / 失败: 4", "status.json"):
        assert line in words
    assert tab.text("#app").strip() == ""
