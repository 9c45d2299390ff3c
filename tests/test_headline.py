"""One line says how the daemon stands: worst news first, short, printable whatever the names are."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from heygemd.headline import MOST_CHARS, summary_line
from heygemd.naming import is_invisible
from heygemd.vitals import Counts, Vitals
from tests.full_vitals import NOW, bare_vitals, card, cpu, full_vitals, job, root


def line_of(vitals: Vitals) -> str:
    return summary_line(vitals, UTC)


def idle(**facts) -> Vitals:
    return full_vitals(**{"jobs": (), "roots": (), "counts": Counts(ended={"done": 128})} | facts)


def test_a_busy_daemon_names_films_queue_people_and_card() -> None:
    vitals = full_vitals(roots=(root("/srv/films", "offline", reason=""),))
    told = "rendering 2 films (anna 63 %, intro 12 %), 14 queued until 23:40, 3 need you; NVIDIA H200 41 of 139 GiB"
    assert line_of(vitals) == f"root /srv/films offline; {told}"


def test_an_idle_daemon_tells_what_it_has_done() -> None:
    assert line_of(idle()) == "idle; 128 films done since start"
    assert line_of(idle(counts=Counts(ended={"done": 1}))) == "idle; 1 film done since start"
    assert line_of(bare_vitals()) == "idle; 0 films done since start"


def test_a_person_who_is_needed_is_told_even_when_nothing_is_done() -> None:
    assert line_of(idle(roots=(root(needs_you=1),))) == "idle, 1 needs you; 128 films done since start"


def test_a_queue_that_does_not_move_is_no_idleness() -> None:
    assert line_of(full_vitals(jobs=(), roots=())).startswith("nothing runs, 14 queued until 23:40; ")


def test_worst_news_come_first() -> None:
    vitals = full_vitals(
        paused="E202: disk full", reload_error="unknown key rooots", devices=(card(is_lost=True), card("cuda:1")),
        roots=(root("/a", "paused", reason="E202: 1 MiB free"), root("/b", "offline"), root("/c", "offline")),
    )  # fmt: skip
    assert line_of(vitals).split("; ")[:5] == [
        "paused: E202: disk full",
        "cuda:0 lost",
        "root /b and 1 more offline",
        "root /a paused: E202: 1 MiB free",
        "config refused: unknown key rooots",
    ]


def test_each_stage_has_its_word_and_many_films_are_cut() -> None:
    jobs = (job("a", 1, 4, "analyse"), job("b", 0, 0, "publish"), job("c", 9, 3), job("d", 1, 2))
    told = line_of(full_vitals(jobs=jobs, roots=()))
    assert told.startswith("rendering 4 films (a analysing 25 %, b handing over, c 100 %, …), ")


def test_a_queue_that_ends_on_another_day_has_a_date() -> None:
    vitals = full_vitals(queue_ends_at=NOW + timedelta(days=2))
    assert "queued until 2025-02-02 20:00" in line_of(vitals)
    assert "14 queued, " in line_of(replace(vitals, queue_ends_at=None))


def test_times_are_those_of_the_zone() -> None:
    assert "until 07:40, " in summary_line(full_vitals(), timezone(timedelta(hours=8)))


def test_like_cards_are_summed_and_the_cpu_is_told_only_alone() -> None:
    two = full_vitals(roots=(), devices=(card(), card("cuda:1", name="T4"), card("cuda:2"), cpu()))
    assert line_of(two).endswith("; 2 × NVIDIA H200 82 of 278 GiB; T4 41 of 139 GiB")
    assert line_of(full_vitals(roots=(), devices=(cpu(),))).endswith("; CPU with 2 threads 18 of 24 GiB")


def test_settings_that_wait_for_a_restart_are_named() -> None:
    assert "; restart needed for state_dir; " in line_of(idle(needs_restart=("state_dir",)))


@given(name=st.text(), path=st.text(), reason=st.text(), stuck=st.integers(0, 10**9))
def test_no_name_breaks_the_line(name: str, path: str, reason: str, stuck: int) -> None:
    vitals = full_vitals(
        jobs=(job(name, 1, 2),) * 5, roots=(root(path, "offline", reason=reason, needs_you=stuck),), paused=reason,
        reload_error=reason, needs_restart=(name,), devices=(card(name=name), card(path, is_lost=True)),
    )  # fmt: skip
    told = line_of(vitals)
    assert 0 < len(told) <= MOST_CHARS
    assert not any(is_invisible(char) for char in told)
    told.encode()
