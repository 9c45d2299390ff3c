import hashlib
import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.again import Again, find_again, retold
from heygemd.outbox.publish import deliver
from heygemd.outbox.report import Report

OTHER_ID = "20250131T080001000-zyxwvuts76"
THIRD_ID = "20250131T080002000-thirdthi76"


@pytest.fixture
def original(make_delivery, samples):
    """A job whose film lies in `lessons/anna.mp4`."""
    delivery = make_delivery()
    deliver(delivery)
    return samples.job(
        folder="lessons", state=JobState.DONE, published_name="anna.mp4", film_sha256=delivery.sha256,
    )  # fmt: skip


def other(original, **changes):
    changes = {"folder": "b", "published_name": None, "film_sha256": None, "state": JobState.QUEUED} | changes
    return replace(original, id=OTHER_ID, **changes)


def test_film_that_lies_elsewhere_is_found_with_report_and_sheet(original, root) -> None:
    again = find_again(original, other(original), root)
    assert again.film == root.outbox / "lessons/anna.mp4"
    assert again.there is None
    assert json.loads(again.report_json)["job"] == original.id
    assert again.sheet == root.outbox / "lessons/anna.jpg"


@pytest.mark.parametrize("published", ["anna.mp4", "anna.v3.mp4"])
def test_film_that_lies_where_it_would_lie_is_there(original, root, published) -> None:
    for name in ("anna.mp4", "anna.mp4.json", "anna.jpg"):
        (root.outbox / "lessons" / name).rename(root.outbox / "lessons" / name.replace("anna.mp4", published))
    original = replace(original, published_name=published)
    assert find_again(original, other(original, folder="lessons"), root).there == published


def test_film_of_another_name_in_the_same_folder_is_not_there(original, root) -> None:
    again = find_again(original, other(original, folder="lessons", name="bob"), root)
    assert (again.there, again.film) == (None, root.outbox / "lessons/anna.mp4")


def test_third_job_of_the_same_bytes_finds_the_copy_that_the_second_was_given(
    original, root, make_delivery, samples
) -> None:
    again = find_again(original, other(original), root)
    second = replace(make_delivery(job_id=OTHER_ID, folder="b"), film=again.film, is_again=True)
    deliver(second)
    third = replace(other(original), id=THIRD_ID)
    found = find_again(original, third, root)
    assert (found.there, found.film) == ("anna.mp4", root.outbox / "b/anna.mp4")
    (root.outbox / "lessons/anna.mp4").unlink()
    assert find_again(original, third, root).film == root.outbox / "b/anna.mp4"


@pytest.mark.parametrize("what", ["gone", "changed", "link", "no hash", "no name", "folder gone", "folder linked"])
def test_film_that_is_not_exactly_there_is_not_found(original, root, tmp_path, what) -> None:
    film = root.outbox / "lessons/anna.mp4"
    if what == "gone":
        film.unlink()
    elif what == "changed":
        film.write_bytes(film.read_bytes() + b"x")
    elif what == "link":
        film.rename(tmp_path / "film")
        film.symlink_to(tmp_path / "film")
    elif what == "no hash":
        original = replace(original, film_sha256=None)
    elif what == "no name":
        original = replace(original, published_name="../lessons/anna.mp4")
    else:
        film.parent.rename(tmp_path / "lessons")
        if what == "folder linked":
            film.parent.symlink_to(tmp_path / "lessons")
    assert find_again(original, other(original), root) == Again()


def test_film_so_deep_that_no_path_reaches_it_is_there_but_not_copied(root, make_delivery, samples) -> None:
    delivery = make_delivery(folder="/".join(["<" * 80] * 30))
    deliver(delivery)
    names = {"published_name": delivery.file_name, "film_sha256": delivery.sha256}
    deep = samples.job(folder=delivery.folder, state=JobState.DONE, **names)
    assert find_again(deep, other(deep), root) == Again()
    assert find_again(deep, other(deep, folder=delivery.folder), root).there == delivery.file_name


@pytest.mark.parametrize("text", ["", "{}", "[" * 5000, '{"heygemd_report": 1, "job": "x", "sha256": "00"}', "\xff"])
def test_report_that_does_not_name_the_film_is_not_believed(original, root, text) -> None:
    (root.outbox / "lessons/anna.mp4.json").write_bytes(text.encode("latin-1"))
    again = find_again(original, other(original), root)
    assert again.film is not None
    assert (again.report_json, again.sheet) == (None, None)


def test_share_that_is_away_is_e201_and_not_a_missing_film(original, root, tmp_path) -> None:
    root.path.rename(tmp_path / "away")
    with pytest.raises(ResourceError) as caught:
        find_again(original, other(original), root)
    assert caught.value.code == "E201"


def test_outbox_that_is_away_is_e201(original, root) -> None:
    root.outbox.rename(root.path / "elsewhere")
    with pytest.raises(ResourceError) as caught:
        find_again(original, other(original), root)
    assert caught.value.code == "E201"


def test_report_of_a_duplicate_tells_the_film_of_the_original_and_its_own_names(original, samples) -> None:
    text = samples.report(samples.job()).to_json()
    end = samples.now + timedelta(minutes=5)
    job = other(original, name="bob", duplicate_of=original.id, queued_at=samples.now, priority=4)
    told = json.loads(retold(text, job, end))
    assert list(told) == list(Report.__dataclass_fields__)
    facts = json.loads(text)
    for field in ("sha256", "size_bytes", "frames", "fps", "film_s", "engine", "plan", "versions", "device"):
        assert told[field] == facts[field]
    assert (told["job"], told["name"], told["folder"], told["state"]) == (OTHER_ID, "bob", "b", "done")
    assert (told["duplicate_of"], told["priority"]) == (original.id, 4)
    assert (told["wall_s"], told["stage_s"], told["realtime_factor"]) == (0.0, {}, None)
    assert told["finished_at"] == "2025-01-31T12:05:00.000Z"


@pytest.mark.parametrize("text", [None, "", "null", "[]", "[" * 5000, '{"heygemd_report": 1}', "\x00"])
def test_report_of_a_duplicate_can_do_without_the_original_one(original, text) -> None:
    job = other(original, duplicate_of=original.id, film_sha256="f" * 64)
    told = json.loads(retold(text, job, job.queued_at))
    assert (told["job"], told["sha256"], told["frames"]) == (OTHER_ID, "f" * 64, None)


def test_hash_that_the_store_knows_is_stronger_than_what_the_share_says(original, samples) -> None:
    text = samples.report(samples.job()).to_json()
    job = other(original, film_sha256="f" * 64)
    assert json.loads(retold(text, job, job.queued_at))["sha256"] == "f" * 64


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "../../x"), ("sha256", 7), ("frames", -1), ("frames", True), ("frames", 1 << 80), ("fps", "25; rm"),
     ("film_s", "long"), ("film_s", 1e400), ("warnings", "<script>"), ("versions", {"a": 1}), ("engine", "evil"),
     ("weights", {"name": 1, "sha256": None}), ("weights", {"path": "/etc"}), ("audio_copied", 1), ("width_px", 1.5)],
)  # fmt: skip
def test_fact_that_has_not_the_form_of_its_field_is_left_out(original, samples, field, value) -> None:
    own = json.loads(retold(None, other(original), samples.now))
    text = json.dumps(json.loads(samples.report(samples.job()).to_json()) | {field: value})
    assert json.loads(retold(text, other(original), samples.now))[field] == own[field]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(Report.__dataclass_fields__)), JSON))
def test_whatever_the_share_says_the_report_is_valid_and_the_jobs_own(samples, fields) -> None:
    text = json.dumps(fields | {"heygemd_report": 1, "job": "x"})
    job = replace(samples.job(), id=OTHER_ID, duplicate_of="y")
    told = json.loads(retold(text, job, samples.now).encode())
    assert (told["job"], told["duplicate_of"], told["name"]) == (OTHER_ID, "y", "anna")


def test_film_is_given_again_whole(original, root, make_delivery, tree) -> None:
    job = other(original, name="bob", duplicate_of=original.id)
    again = find_again(original, job, root)
    delivery = replace(
        make_delivery(job_id=OTHER_ID, folder="b", file_name="bob.mp4"), film=again.film, sheet=again.sheet,
        report_json=retold(again.report_json, job, job.queued_at), is_again=True,
    )  # fmt: skip
    deliver(delivery)
    found = tree(root.outbox / "b")
    assert sorted(found) == ["bob.jpg", "bob.mp4", "bob.mp4.json"]
    assert hashlib.sha256(found["bob.mp4"]).hexdigest() == original.film_sha256
    assert json.loads(found["bob.mp4.json"])["duplicate_of"] == original.id


def test_odd_things_under_the_names_of_versions_are_passed_by(original, root) -> None:
    os.mkfifo(root.outbox / "lessons/anna.v2.mp4.json")
    os.mkfifo(root.outbox / "lessons/anna.v2.mp4")
    assert find_again(original, other(original, folder="lessons"), root).there == "anna.mp4"
