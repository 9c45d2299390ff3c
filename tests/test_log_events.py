"""docs/log-events.md and the code name the same events and codes."""

import re
from pathlib import Path

import pytest

from heygemd.errors import ADVICE

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
    calls = [(call.name, call.line, call.keywords) for call in listing.log_calls(package)]
    assert calls == [("room.thing_done", 2, {"n"}), (None, 3, set())]


def test_writing_the_table_again_keeps_the_meanings(listing, tmp_path: Path) -> None:
    package = tmp_path / "heygemd"
    package.mkdir()
    (package / "planted.py").write_text('log.info("room.thing_done")\nlog.info("room.thing_begun")\n')
    table = listing.table(
        listing.log_calls(package), {"room.thing_done": "It is over.", "room.gone": "No longer there."}
    )
    assert listing.meanings(table) == {"room.thing_begun": "", "room.thing_done": "It is over."}


def test_the_page_has_every_code_with_its_advice_and_no_other(listing, page: str) -> None:
    assert listing.codes_table() in page
    assert set(re.findall(r"^\| `(E\d+)` \|", page, re.MULTILINE)) == ADVICE.keys()


def test_every_code_says_what_follows_from_it(listing) -> None:
    rows = {row[0].strip("`"): row for row in map(cells, listing.codes_table().splitlines()[2:])}
    assert rows.keys() == ADVICE.keys()
    for code, (_, title, todo, consequence) in rows.items():
        assert (title, todo) == (ADVICE[code].title, ADVICE[code].todo)
        assert consequence == next(text for family, text in listing.CONSEQUENCES.items() if code[:2] in family.families)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_the_page_is_what_the_script_makes_of_it(listing, calls, page: str) -> None:
    assert listing.renewed(page, calls) == page


@pytest.mark.parametrize("text", ["No usable face was found", "| `E303` |", "| `job.moved` | jobs |"])
def test_a_page_that_says_something_else_is_renewed(listing, calls, page: str, text: str) -> None:
    assert text in page
    assert listing.renewed(page.replace(text, "changed"), calls) != page.replace(text, "changed")


def test_the_fields_that_the_page_explains_are_those_of_the_journal(page: str) -> None:
    from heygemd.journal import fields
    from heygemd.logline import plain_entry

    entry = plain_entry(
        {"event": "job.moved", "level": "error", "job_id": "j", "error_code": "E131", "reason": "r" * 999,
         "exception": "t", "printed": "o"}
    )  # fmt: skip
    assert {name for name, _ in fields(entry)} - set(re.findall(r"`([A-Z_]+)`", page)) == set()
    assert dict(fields(entry))["MESSAGE_ID"] in page
