"""Words that fit their cells, and meters that add up."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from heygemd.terminal import Part, bytes_words, clipped, fitted, length_words, meter, moment_words, stopwatch, wrapped

NOW = datetime(2025, 3, 5, 13, 30, tzinfo=UTC)
EVERYTHING = st.text(st.characters(exclude_categories=()), max_size=60)


@given(EVERYTHING, st.integers(0, 40), st.booleans(), st.booleans())
def test_a_text_takes_exactly_its_cells(text, cells, right, keep_end):
    line = fitted(text, cells, right=right, keep_end=keep_end)
    assert cell_len(line) == cells
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in line)


@given(EVERYTHING, st.integers(1, 40), st.integers(1, 5))
def test_wrapped_lines_fit(text, cells, most):
    lines = wrapped(text, cells, most)
    assert len(lines) <= most
    assert all(cell_len(line) <= cells for line in lines)


def test_a_short_text_is_left_alone():
    assert clipped("anna", 4) == "anna"
    assert fitted("安娜", 6) == "安娜  "
    assert fitted("7", 3, right=True) == "  7"


def test_a_long_one_loses_its_end_or_its_middle():
    assert clipped("interview-part-013", 10) == "interview…"
    assert clipped("interview-part-013", 10, keep_end=True) == "interv…013"
    assert clipped("安娜第三课完整版", 7, keep_end=True) == "安娜…版"
    assert cell_len(clipped("x" * 100_000, 10, keep_end=True)) == 10


def test_words_are_not_torn_apart_when_that_is_possible():
    assert wrapped("one two three", 8, 3) == ["one two", "three"]
    assert wrapped("one two three four", 8, 2) == ["one two", "three f…"]
    assert wrapped("", 8, 2) == []


@pytest.mark.parametrize(
    ("seconds", "words", "column"),
    [
        (0, "0 s", "0:00"), (45.4, "45 s", "0:45"), (60, "1 min", "1:00"), (725, "12 min", "12:05"),
        (3599.6, "1 h 00 min", "1:00:00"), (11_100, "3 h 05 min", "3:05:00"), (86_400, "1 d 0 h", "1d00h"),
        (356_400, "4 d 3 h", "4d03h"), (-5, "0 s", "0:00"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds, words, column):
    assert (length_words(seconds), stopwatch(seconds)) == (words, column)


def test_an_unknown_time_is_a_dash():
    assert stopwatch(None) == moment_words(None, NOW) == "-"


def test_times_of_another_day_say_so():
    assert moment_words(NOW, NOW, UTC) == "13:30"
    assert moment_words(NOW + timedelta(hours=12), NOW, UTC) == "03-06 01:30"
    assert moment_words(NOW + timedelta(days=400), NOW, UTC) == "2026-04-09"


@pytest.mark.parametrize(
    ("size", "words", "short"),
    [(0, "0 B", "0B"), (1023, "1023 B", "1023B"), (300 << 20, "300 MiB", "300M"), (12 << 30, "12.0 GiB", "12.0G"),
     (139 << 30, "139 GiB", "139G"), (3 << 40, "3.0 TiB", "3.0T"), (1 << 60, "1048576 TiB", "1048576T"),
     (-1, "0 B", "0B")],
)  # fmt: skip
def test_sizes(size, words, short):
    assert (bytes_words(size), bytes_words(size, short=True)) == (words, short)


@given(st.lists(st.floats(-5, 200), max_size=4), st.floats(-1, 100), st.integers(0, 50))
def test_a_meter_is_as_wide_as_it_was_asked_to_be(amounts, whole, cells):
    assert len(meter([Part(amount, "#", "") for amount in amounts], whole, cells).plain) == cells


def test_a_meter_hints_at_the_smallest_part():
    assert meter([Part(1, "#", ""), Part(1, "o", "")], 10_000, 10, rest=".").plain == "#o........"
    assert meter([Part(50, "#", ""), Part(25, "o", "")], 100, 8, rest=".").plain == "####oo.."
    assert meter([Part(500, "#", ""), Part(1, "o", "")], 100, 4, rest=".").plain == "####"


def test_chinese(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert length_words(11_100) == "3 小时 05 分"
