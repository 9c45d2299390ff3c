from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.jobs.ids import id8_of, is_job_id, new_job_id

NOON = datetime(2026, 3, 4, 12, 5, 6, 789_654, tzinfo=UTC)


def test_id_is_time_and_ten_letters():
    assert new_job_id(NOON, bytes(7)) == "20260304T120506789-aaaaaaaaaa"
    assert new_job_id(NOON, b"\xff" * 7) == "20260304T120506789-7777777777"


def test_every_zone_gives_utc():
    there = NOON.astimezone(timezone(timedelta(hours=8)))
    assert new_job_id(there, bytes(7)) == new_job_id(NOON, bytes(7))


def test_time_without_zone_and_too_little_noise_are_refused():
    with pytest.raises(ValueError, match="zone"):
        new_job_id(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="7 random bytes"):
        new_job_id(NOON, b"123456")


def test_ten_thousand_ids_of_one_second_are_all_different():
    second = NOON.replace(microsecond=0)
    ids = [new_job_id(second + timedelta(microseconds=100 * number)) for number in range(10_000)]
    assert len(set(ids)) == 10_000
    assert {made[:15] for made in ids} == {"20260304T120506"}


def test_ten_thousand_ids_of_one_instant_are_all_different():
    assert len({new_job_id(NOON) for _ in range(10_000)}) == 10_000


MOMENTS = st.integers(0, 4 * 10**9).map(lambda s: datetime.fromtimestamp(s + 0.0015, UTC))


@given(MOMENTS, st.binary(min_size=7, max_size=9))
def test_ids_have_their_form_and_sort_by_time(now, noise):
    made = new_job_id(now, noise)
    assert is_job_id(made)
    assert len(id8_of(made)) == 8
    assert made.endswith(id8_of(made) + made[-2:])
    assert made[:18] < new_job_id(now + timedelta(milliseconds=1), noise)


@pytest.mark.parametrize(
    "text", ["", "x", "20260304T120506789-aaaaaaaaa1", "../../etc/passwd", "20260304T120506789-aaaaaaaaaa\n"]
)
def test_other_texts_are_no_ids(text):
    assert not is_job_id(text)
