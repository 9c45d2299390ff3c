"""Which name a film gets: every name can be published, and a taken one is versioned, replaced or refused."""

import unicodedata

import pytest

from heygemd.errors import InputError
from heygemd.outbox.publish import deliver
from tests.outbox.publishing import OTHER_ID, chosen


@pytest.mark.parametrize(
    "name", ["漢" * 200, "CON", "a:b", "👩‍🚀 Ω", unicodedata.normalize("NFD", "Müller"), "two\nlines", "\udcc4", "-x"]
)
def test_any_name_can_be_published_and_read_back(make_delivery, root, samples, name) -> None:
    delivery = make_delivery(file_name=chosen(root, samples, name))
    assert deliver(delivery).clash is None
    assert chosen(root, samples, name) == delivery.file_name
    second = chosen(root, samples, name, job_id=OTHER_ID)
    assert deliver(make_delivery(b"2", job_id=OTHER_ID, file_name=second)).clash is None
    assert second.removesuffix(".v2.mp4") == delivery.file_name.removesuffix(".mp4")


def test_free_name_is_taken_as_it_is(root, samples) -> None:
    assert chosen(root, samples) == "anna.mp4"


@pytest.mark.parametrize("taken", ["anna.mp4", "ANNA.MP4", "anna.mp4.json", "anna.jpg", "anna.JPG"])
def test_name_is_free_only_with_all_its_companions_and_in_any_case(root, samples, taken) -> None:
    (root.outbox / "lessons").mkdir()
    (root.outbox / "lessons" / taken).write_bytes(b"")
    assert chosen(root, samples) == "anna.v2.mp4"


def test_version_skips_what_is_taken(root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    for name in ("anna.mp4", "anna.v2.mp4", "anna.v4.mp4"):
        (root.outbox / "lessons" / name).write_bytes(b"")
    assert chosen(root, samples) == "anna.v3.mp4"


def test_version_stays_when_the_earlier_film_is_taken_away(make_delivery, root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    (root.outbox / "lessons/anna.mp4").write_bytes(b"")
    deliver(make_delivery(file_name="anna.v2.mp4"))
    (root.outbox / "lessons/anna.mp4").unlink()
    assert chosen(root, samples) == "anna.v2.mp4"


def test_foreign_film_under_our_own_report_is_not_taken_for_ours(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    (root.outbox / "lessons/anna.mp4").write_bytes(b"foreign now")
    assert chosen(root, samples) == "anna.v2.mp4"


def test_policy_replace_chooses_the_name_of_a_film_of_ours_only(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").unlink()
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").write_bytes(b"foreign")
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.v2.mp4"


def test_policy_fail_refuses_a_taken_name_but_not_its_own(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    assert chosen(root, samples, policy="fail") == "anna.mp4"
    with pytest.raises(InputError, match=r"anna.mp4.* already"):
        chosen(root, samples, policy="fail", job_id=OTHER_ID)


def test_folder_of_many_films_is_looked_through_quickly(root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    for number in range(2, 300):
        (root.outbox / f"lessons/anna.v{number}.mp4").write_bytes(b"")
    assert chosen(root, samples) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").write_bytes(b"")
    assert chosen(root, samples) == "anna.v300.mp4"
