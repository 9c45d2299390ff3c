from datetime import timedelta

import pytest

from heygemd.jobs.batch import Batch, BatchKind
from heygemd.jobs.job import BatchRow
from heygemd.jobs.listing import JobFilter
from heygemd.jobs.rows import row_of
from heygemd.jobs.states import JobState
from tests.jobs.conftest import CLAIM, NOW, make_job, open_store
from tests.jobs.test_questions import steps_of

IDS = [
    f"20260101T00000000{number}-{letters}" for number, letters in enumerate(["aaaaaaaabb", "ccccccccdd", "eeeeeeeeff"])
]
FAILED = frozenset({JobState.FAILED})


def ids_of(listed):
    return [one.job.id for one in listed]


@pytest.fixture
def three(store):
    store.add(make_job(IDS[0], name="Ep01", folder="show/a"))
    store.add(make_job(IDS[1], name="ep02", folder="show", root="other", state=JobState.FAILED, error_code="E131"))
    store.add(make_job(IDS[2], name="talk", folder="showing"))
    return store


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (JobFilter(), [2, 1, 0]),
        (JobFilter(states=FAILED), [1]),
        (JobFilter(states=frozenset({JobState.QUEUED, JobState.FAILED})), [2, 1, 0]),
        (JobFilter(root="uuid"), [2, 0]),
        (JobFilter(root="uuid", states=FAILED), []),
        (JobFilter(root="nobody"), []),
        (JobFilter(folder="show"), [1, 0]),
        (JobFilter(folder="show/a"), [0]),
        (JobFilter(folder=""), [2, 1, 0]),
        (JobFilter(name="ep*"), [1, 0]),
        (JobFilter(name="EP0[2-9]"), [1]),
        (JobFilter(code="E131"), [1]),
        (JobFilter(code="E101", states=FAILED), []),
        (JobFilter(since=NOW), [2, 1, 0]),
        (JobFilter(since=NOW + timedelta(seconds=1)), []),
        (JobFilter(since=NOW, states=FAILED), [1]),
        (JobFilter(since=NOW, root="other"), [1]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else "",
)
def test_each_filter_narrows_the_list_which_has_the_newest_first(three, wanted, expected):
    assert ids_of(three.listed(wanted)) == [IDS[number] for number in expected]
    assert ids_of(three.listed(wanted, 1)) == [IDS[number] for number in expected[:1]]


def test_a_limit_holds_over_roots_and_states(three):
    wanted = JobFilter(states=frozenset(JobState))
    assert ids_of(three.listed(wanted, 2)) == [IDS[2], IDS[1]]


def test_a_job_that_changed_lately_is_listed_however_old_it_is(three):
    later = NOW + timedelta(hours=5)
    three.move(IDS[0], JobState.CANCELLED, at=later)
    assert ids_of(three.listed(JobFilter(since=later))) == [IDS[0]]
    (one,) = three.listed(JobFilter(since=later))
    assert one.ended_at == later
    assert ids_of(three.listed(JobFilter(since=later - timedelta(microseconds=1)))) == [IDS[0]]
    assert three.listed(JobFilter(since=later + timedelta(microseconds=1))) == []


def test_an_empty_store_lists_nothing(store):
    for wanted in (JobFilter(), JobFilter(since=NOW), JobFilter(states=FAILED), JobFilter(batch="b")):
        assert store.listed(wanted) == []


def test_the_rows_of_a_batch_are_listed(store):
    for number in (1, 2):
        store.add(make_job(IDS[number], row=BatchRow(batch="b1", number=number)))
    store.move(IDS[1], JobState.CANCELLED, at=NOW)
    assert ids_of(store.listed(JobFilter(batch="b1"))) == [IDS[2], IDS[1]]
    assert ids_of(store.listed(JobFilter(batch="b1", states=frozenset({JobState.CANCELLED})))) == [IDS[1]]


def test_a_job_is_found_by_a_part_of_its_random_characters(three):
    assert three.find_ids("aaaa") == [IDS[0]]
    assert three.find_ids("ccccccccdd") == [IDS[1]]
    assert three.find_ids("ccccccdd") == [IDS[1]], "the last eight"
    assert three.find_ids("cccccc") == [IDS[1]]
    assert three.find_ids("zzzz") == []
    for nonsense in ("", "a", "%", "A" * 8, "'; --", "____"):
        assert three.find_ids(nonsense) == []


def test_a_job_that_was_put_back_is_found_by_both_ids(three):
    claim = "20260102T000000000-gggggggghh"
    three.requeue(IDS[1], make_job(claim, root="other"), at=NOW)
    assert three.find_ids("gggggggg") == [IDS[1]]
    assert three.find_ids("cccccccc") == [IDS[1]]


def test_films_of_one_name_are_found_the_newest_first(three):
    three.add(make_job("20260109T000000000-zzzzzzzzzz", name="talk"))
    assert ids_of(three.named("talk")) == ["20260109T000000000-zzzzzzzzzz", IDS[2]]
    assert three.named("tal") == []
    assert three.named("ta*") == []


def test_a_batch_is_found_by_name_and_by_id(store):
    batch = Batch(
        id="20260101T000000000-bbbbbbbbcc", root="uuid", kind=BatchKind.MANIFEST, name="lines", folder="",
        claim_dir=CLAIM, accepted_at=NOW,
    )  # fmt: skip
    store.add_batch(batch)
    for word in ("lines", "bbbbbbbb", "bbbb"):
        assert store.find_batches(word) == [batch.id]
    assert store.find_batches("line") == []
    assert store.find_batches("") == []


def test_the_place_in_the_queue_counts_those_before(store):
    for job_id, turn, folder in [("a", 1.0, "x"), ("b", 2.0, "y"), ("c", 2.0, "x"), ("d", 9.0, "x")]:
        store.add(make_job(job_id, turn=turn, folder=folder))
    store.add(make_job("copy", turn=0.0, folder="x", duplicate_of="a"))
    last = store.get("d")
    assert store.ahead_of(last, in_folder=True) == 2
    assert store.ahead_of(last, in_folder=False) == 3
    assert store.ahead_of(store.get("a"), in_folder=False) == 0


# A long history -----------------------------------------------------------------------------------------------------

HISTORY = 20_000


@pytest.fixture(scope="module")
def old_store(tmp_path_factory):
    """20,000 jobs have ended, an event each; 5 of them failed."""
    with open_store(tmp_path_factory.mktemp("old")) as store:
        row = row_of(make_job(claim_dir=None)) | {"state": "done"}
        names = ", ".join(f":{name}" for name in [*row, "ended_seq"])
        failed = {"state": "failed", "error_code": "E131"}
        with store._db.transaction():
            store._db._db.executemany(
                f"INSERT INTO job ({', '.join(row)}, ended_seq) VALUES ({names})",
                (
                    {**row, "id": f"h{number:05d}", "ended_seq": number, **(failed if number % 4000 == 1 else {})}
                    for number in range(HISTORY)
                ),
            )
            store._db._db.executemany(
                "INSERT INTO event (seq, job_id, at, state, attempts) VALUES (?, ?, ?, 'done', 1)",
                (
                    (n + 1, f"h{n:05d}", (NOW + timedelta(seconds=n)).isoformat(timespec="microseconds"))
                    for n in range(HISTORY)
                ),
            )
        yield store


LISTS = {
    "newest": JobFilter(),
    "failed": JobFilter(states=FAILED),
    "failed with a code": JobFilter(states=FAILED, code="E131"),
    "of a root": JobFilter(root="uuid"),
    "of a root, failed": JobFilter(root="uuid", states=FAILED),
    "lately": JobFilter(since=NOW + timedelta(seconds=HISTORY - 100)),
    "of a batch": JobFilter(batch="none"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_does_not_read_the_history(old_store, name):
    assert steps_of(old_store, lambda store: store.listed(LISTS[name], 50)) <= 30_000


def test_the_first_event_since_a_moment_is_found_by_halving(old_store):
    for second in (-5, 0, 1, 12_345, HISTORY - 1):
        assert old_store.first_event_since(NOW + timedelta(seconds=second)) == max(1, second + 1)
    assert old_store.first_event_since(NOW + timedelta(days=9)) == HISTORY + 1
    assert steps_of(old_store, lambda store: store.first_event_since(NOW + timedelta(seconds=777))) <= 2_000
