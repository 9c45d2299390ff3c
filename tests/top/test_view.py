"""The picture at any size, of any daemon, with any names."""

import re
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from heygemd.jobs.requests import Act
from heygemd.jobs.states import JobState
from heygemd.lookout import Ended, Glance, Standing
from heygemd.top.films import lists_of
from heygemd.top.observer import Details
from heygemd.top.screen import Order, Panel, Question, Screen, Tab
from heygemd.top.style import ASCII, SELECTED
from heygemd.top.view import draw
from heygemd.vitals import Counts
from tests.top.samples import HOSTILE, NOW, device, glance, job, job_id, root, running, vitals, worker

SIZES = [(40, 10), (41, 11), (60, 16), (80, 24), (80, 100), (132, 50), (250, 70)]
SCREENS = {
    "films": Screen(), "workers": Screen(tab=Tab.WORKERS), "failures": Screen(tab=Tab.FAILURES),
    "help": Screen(panel=Panel.HELP), "details": Screen(panel=Panel.DETAILS, scroll=3),
    "question": Screen(question=Question(act=Act.CANCEL, job=job_id(1), name="名" * 200)),
    "typing": Screen(is_typing=True, filter="名" * 40), "notice": Screen(notice="y" * 400),
    "frozen": Screen(is_frozen=True, order=Order.FOLDER, filter="a"),
}  # fmt: skip
BROKEN = vitals(
    paused="E202 the store cannot be written: No space left on device", reload_error="line 3: unknown key",
    needs_restart=("state_dir", "roots"),
    roots=(root(), root("/mnt/nas/" + "x" * 200, state="offline", reason="E201 gone", needs_you=3, watcher="dead")),
    devices=(device(), device("cuda:1", is_lost=True),
             device("cuda:2", throttle=("thermal", "power"), temperature_c=91),
             device("cpu", utilisation=None, temperature_c=None, total_bytes=0, free_bytes=0, held_bytes=5)),
)  # fmt: skip


def lines(seen=None, screen=None, size=(80, 24), **how):
    seen, screen = seen or glance(), screen or Screen()
    details = Details(job=seen.ended[1].job, events=(), root=Path("/srv/films")) if len(seen.ended) > 1 else None
    return [line.plain for line in draw(seen, screen, lists_of(seen, screen), size, zone=UTC, details=details, **how)]


def text(*words, **how):
    return "\n".join(lines(*words, **how))


def named(*names, **fields) -> Glance:
    """A daemon in which every name is one of these."""
    films = [(number, name) for number, name in enumerate(names)]
    return glance(
        vitals=vitals(
            jobs=tuple(running(number, name, folder=name) for number, name in films),
            workers=tuple(worker(number, job_id(number), engine=name, device=name) for number, name in films),
            devices=tuple(device(name, name=name, throttle=(name,)) for name in names), host=names[0], version=names[0],
            roots=tuple(root(name, state="paused", reason=name) for name in names), paused=names[0],
        ),
        queue=tuple(job(100 + number, name, folder=name) for number, name in films),
        ended=tuple(
            Ended(job=job(200 + number, name, JobState.FAILED, error_code="E500", error_message=name,
                          published_name=name), at=NOW)
            for number, name in films
        ),
        trouble=names[0], **fields,
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
@pytest.mark.parametrize("seen", [glance(), glance(vitals=BROKEN), named(*HOSTILE)], ids=["well", "broken", "hostile"])
def test_a_picture_fills_the_terminal_and_no_cell_more(size, screen, seen):
    found = lines(seen, screen, size)
    assert len(found) == size[1]
    assert max(cell_len(line) for line in found) <= size[0]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u202e]", "".join(found))


def test_a_window_too_small_for_anything_says_so():
    for size in ((39, 24), (80, 9), (1, 1)):
        found = lines(size=size)
        assert len(found) == size[1]
        assert cell_len(found[0]) <= size[0]
    assert "too small" in text(size=(39, 24))


def test_at_80_by_24_everything_that_matters_is_there():
    found = text()
    for words in (
        "running", "pid 4121", "up 3 d 4 h", "13:30:05", "in work 2", "waiting 2", "failed 3", "last hour 12 films",
        "queue ends 14:12", "cuda:0", "32.0G/139G", "87%", "64°C", "2/4", "anna", "安娜 第三课", "700/1525",
        "31.4", "0:31",
        "bernd", "+5", "13:33", "customer A/lesson 3/clara", "dora.mp4", "E131", "cancelled",
        "/srv/films online", "quit",
    ):  # fmt: skip
        assert words in found, words


def test_a_larger_terminal_shows_more():
    found = text(size=(140, 50))
    for words in ("GRANTED", "5002", "NVIDIA H200", "WAITED", "TRY"):
        assert words in found, words
        assert words not in text(), words


def test_without_height_the_picture_is_as_long_as_its_lists():
    seen = glance(queue=tuple(job(10 + number, f"film {number}") for number in range(40)))
    found = text(seen, size=(100, None))
    assert "film 39" in found
    assert "5003" in found
    assert "quit" not in found


def test_trouble_is_told_before_all_else():
    found = lines(glance(vitals=BROKEN))
    head = "\n".join(found[:8])
    assert "paused: E202 the store cannot be written" in head
    assert "offline" in head
    whole = text(glance(vitals=BROKEN), size=(160, 60))
    for words in (
        "LOST",
        "slowed: thermal, power",
        "the new configuration was refused: line 3",
        "state_dir, roots: changed",
    ):
        assert words in "\n".join([whole, text(glance(vitals=BROKEN), size=(100, None))]), words


def test_stale_vitals_mean_a_daemon_that_hangs():
    seen = glance(standing=Standing.SILENT, vitals=vitals(written_at=NOW - timedelta(minutes=7)))
    assert "HANGS?" in lines(seen)[0]
    assert "the daemon hangs? It has said nothing for 7 min" in text(seen)
    assert "systemctl restart heygemd" in text(seen)


def test_without_a_daemon_the_last_state_is_shown_with_its_age():
    interrupted = job(9, "anna", JobState.RUNNING)
    seen = glance(standing=Standing.STOPPED, holder=None, running=(interrupted,),
                  vitals=vitals(written_at=NOW - timedelta(hours=2)))  # fmt: skip
    found = text(seen)
    assert "NOT RUNNING" in found
    assert "below is how it stood 2 h 00 min ago" in " ".join(found.split())
    assert "stopped" in found
    assert "cuda:0" not in found, "its memory is not held any more"
    assert "dora.mp4" in found


def test_a_state_directory_that_nobody_has_used():
    seen = Glance(at=NOW, state_dir=Path("/nowhere"), standing=Standing.NEVER)
    assert "no daemon has ever run with /nowhere" in text(seen)


def test_a_daemon_that_begins_has_said_nothing_yet():
    seen = Glance(at=NOW, state_dir=Path("/x"), standing=Standing.STARTING, holder="host a pid 7")
    assert "said nothing yet" in text(seen)
    assert "host a pid 7" in text(seen)


def test_chinese(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    for screen in SCREENS.values():
        found = lines(screen=screen, size=(100, 30))
        assert max(cell_len(line) for line in found) <= 100
    found = text(size=(132, 50))
    for words in ("运行中", "制作中", "排队", "最近结果", "剩余", "设备", "退出", "最近一小时 12 个视频"):
        assert words in found, words
    assert "未检测到" in text(screen=Screen(tab=Tab.FAILURES)) or "人脸" in text(screen=Screen(tab=Tab.FAILURES))


def test_a_terminal_without_unicode_gets_plain_bars():
    found = text(glance(vitals=vitals(jobs=(running(1, "anna"),))), glyphs=ASCII)
    assert not set(found) & set("█▒░━─↑⏎")
    assert "[##" in found


def test_the_meter_tells_ours_others_granted_and_free_apart():
    (line,) = [line for line in lines(size=(80, 24)) if line.startswith("cuda:0")]
    bar = line[line.index("[") + 1 : line.index("]")]
    assert [bar.count(glyph) for glyph in "█▒░·"] == [4, 6, 5, len(bar) - 15]
    assert bar == "".join(sorted(bar, key="█▒░·".index))


def test_failures_show_what_to_do():
    found = text(screen=Screen(tab=Tab.FAILURES))
    assert "no face in 120 of 120 looks" in found
    assert "to do: Use a clip in which one face" in found
    assert "dora" not in found


def test_details_tell_where_the_reason_lies():
    found = text(screen=Screen(panel=Panel.DETAILS, selected=job_id(6)), size=(80, 40))
    for words in (job_id(6), "failed/emil__abcdefgh/REASON.txt", "1920 x 1080, 25 fps", "attempts 2", "HISTORY"):
        assert words in found, words


def test_the_selected_row_is_always_in_sight():
    many = glance(queue=tuple(job(10 + number, f"film {number:02}") for number in range(40)))
    for at in range(45):
        shown = draw(many, Screen(at=at), lists_of(many, Screen()), (80, 24))
        chosen = [line for line in shown if str(line.style) == SELECTED]
        if 2 <= at < 42:
            assert len([line for line in chosen if f"film {at - 2:02}" in line.plain]) == 1, at


def test_lists_can_be_sorted_and_filtered():
    films = glance(vitals=vitals(jobs=(running(1, "b", film_s=5), running(2, "a", film_s=9, folder="z"))))
    orders = {order: [film.name for film in lists_of(films, Screen(order=order)).running] for order in Order}
    assert orders == {
        Order.TURN: ["b", "a"],
        Order.NAME: ["a", "b"],
        Order.FOLDER: ["b", "a"],
        Order.LENGTH: ["a", "b"],
    }
    found = lists_of(glance(), Screen(filter="CLARA"))
    assert [film.name for film in found.waiting] == ["clara"]
    assert found.running == found.ended == ()
    assert [film.name for film in lists_of(glance(), Screen(filter="e131")).ended] == ["emil"]


def test_many_roots_and_devices_leave_room_for_films():
    crowd = vitals(
        roots=tuple(root(f"/r{n}") for n in range(30)), devices=tuple(device(f"cuda:{n}") for n in range(16))
    )
    found = lines(glance(vitals=crowd))
    assert any("anna" in line for line in found)
    assert any("12 more devices" in line for line in found)
    assert any("28 more" in line for line in found)


def test_a_film_that_has_just_ended_is_not_listed_twice():
    seen = glance(vitals=vitals(jobs=(running(5, "dora"), running(1, "anna"))))
    assert [film.name for film in lists_of(seen, Screen()).running] == ["anna"]


def test_what_waits_is_counted_whole():
    seen = glance(vitals=vitals(counts=Counts(queued=5000, running=2)))
    assert "NEXT (5000)" in text(seen)


def test_no_picture_changes_what_was_chosen():
    seen, screen = glance(), Screen(selected="gone", at=99)
    before = replace(screen)
    lines(seen, screen)
    assert screen == before
