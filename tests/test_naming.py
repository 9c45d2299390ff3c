import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.naming import cut, job_folder, printable

ANY_NAME = st.text(st.characters(codec=None), max_size=400) | st.text("漢é👩‍🚀\u0301 .:%4CON", max_size=200)


def test_job_folder_keeps_a_short_name():
    assert job_folder("你好", "abcdefgh") == "你好__abcdefgh"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300), st.integers(20, 255))
def test_cut_fits_and_is_stable(text, limit):
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    assert short == cut(text, limit)
    assert (short == text) == (len(text.encode()) <= limit) or short.endswith(text[-7:])


def test_two_long_names_that_begin_alike_stay_different():
    one, other = "你" * 85 + "a", "你" * 85 + "b"
    assert job_folder(one, "abcdefgh") != job_folder(other, "abcdefgh")
    assert len(job_folder(one, "abcdefgh").encode()) <= 255


def test_a_letter_is_not_cut_from_its_marks():
    text = "e\u0301" * 100
    start = cut(text, 100).rpartition("~")[0]
    assert text.startswith(start)
    assert len(start) % 2 == 0


@given(ANY_NAME)
def test_printable_text_is_one_line_of_valid_utf8(name: str) -> None:
    assert len(printable(name).encode().splitlines()) <= 1


@pytest.mark.parametrize("unit", ["e\u0301", "👩‍🚀", "👍🏽", "🇩🇪", "각", "%0A"])
def test_cut_never_splits_what_people_see_as_one(unit: str) -> None:
    unit = unicodedata.normalize("NFD", unit)
    for shift in range(len(unit.encode())):
        body = cut("x" * shift + unit * 200, 100)[shift:].rpartition("~")[0]
        assert body
        assert body == unit * (len(body) // len(unit))


def test_what_the_name_was_before_decides_the_hash() -> None:
    assert cut("漢" * 100, 100, whole="a") != cut("漢" * 100, 100, whole="b")
