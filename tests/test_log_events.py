"""docs/log-events.md and the code name the same events."""

import re
from pathlib import Path

import pytest

PLANTED = """
log.info("room.thing_done", n=1)
self._log.bind(a=1).warning(f"room.{name}")
math.log(2); parser.error("usage")
"""


@pytest.fixture(scope="module")
def listing(script):
    return script("list_log_events")


@pytest.fixture(scope="module")
def calls(listing, repository: Path):
    return list(listing.log_calls(repository / "heygemd"))


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "log-events.md").read_text(encoding="utf-8")


def test_every_event_is_a_literal_room_dot_verb(calls) -> None:
    bad = [
        call for call in calls if call.name is None or not re.fullmatch(r"[a-z][a-z0-9]*\.[a-z]+(_[a-z]+)*", call.name)
    ]
    assert bad == []


def test_every_event_of_the_code_is_explained(calls, listing, page: str) -> None:
    meanings = listing.meanings(page)
    assert {call.name for call in calls if not meanings.get(call.name)} == set()


def test_every_explained_event_exists(calls, listing, page: str) -> None:
    assert listing.meanings(page).keys() - {call.name for call in calls} == set()


def test_the_walk_sees_literal_and_other_names_and_nothing_else(listing, tmp_path: Path) -> None:
    package = tmp_path / "heygemd"
    package.mkdir()
    (package / "planted.py").write_text(PLANTED)
    assert [(call.name, call.line) for call in listing.log_calls(package)] == [("room.thing_done", 2), (None, 3)]


def test_writing_the_table_again_keeps_the_meanings(listing, tmp_path: Path) -> None:
    package = tmp_path / "heygemd"
    package.mkdir()
    (package / "planted.py").write_text('log.info("room.thing_done")\nlog.info("room.thing_begun")\n')
    table = listing.table(package, {"room.thing_done": "It is over.", "room.gone": "No longer there."})
    assert listing.meanings(table) == {"room.thing_begun": "", "room.thing_done": "It is over."}
