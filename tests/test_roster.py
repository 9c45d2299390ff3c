"""What is told about jobs, and how the one that is meant is found."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heygemd.intake.roots import init_root
from heygemd.jobs.batch import Batch, BatchKind, Row, Wanted
from heygemd.jobs.job import BatchRow
from heygemd.jobs.listing import JobFilter
from heygemd.jobs.states import JobState
from heygemd.outbox.report import Report
from heygemd.roster.dossier import describe_batch, describe_job
from heygemd.roster.finding import MOST, find
from heygemd.roster.listing import list_jobs, progress_of, read_since
from heygemd.vitals import JobVitals, Vitals
from tests.jobs.conftest import NOW, make_job, open_store, pass_through

A, B, C = (f"20260101T00000000{n}-{letters}" for n, letters in enumerate(["aaaaaaaabb", "ccccccccdd", "eeeeeeeeff"]))


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path) as store:
        yield store


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def add(store, root):
    """A function that puts a job of this root into the store."""

    def put(job_id, *states, **changes):
        job = make_job(job_id, root=root.uuid, folder="", claim_dir=None)
        store.add(replace(job, **changes))
        return pass_through(store, job_id, *states) if states else store.get(job_id)

    return put


def vitals_of(job, at=NOW):
    doing = JobVitals(
        job=job.id, name=job.name, folder="", root=job.root, stage="render", frames_done=5, frames_total=50, fps=1.0,
        eta_s=45.0, left_s=50.0, device="cpu", attempts=1,
    )  # fmt: skip
    return Vitals(written_at=at, started_at=at, pid=1, host="here", version="0", status="", jobs=(doing,))


# Lists --------------------------------------------------------------------------------------------------------------


def test_a_job_of_the_list_is_plain_json_with_times_in_utc(store, root, add):
    add(A, "running", "done", name="film")
    (row,) = list_jobs(store, JobFilter(), limit=5, roots=[root])
    assert json.loads(json.dumps(row)) == row
    assert (row["id"], row["state"], row["root"], row["film_s"]) == (A, "done", str(root.path), 10.0)
    assert row["ended_at"] == row["queued_at"] == "2026-01-01T00:00:00.000Z"


def test_progress_is_told_only_while_it_is_fresh(store, add):
    job = add(A, "running")
    fresh = vitals_of(job, datetime.now(UTC))
    (row,) = list_jobs(store, JobFilter(), limit=5, vitals=fresh)
    assert (row["stage"], row["frames_done"], row["frames_total"], row["left_s"]) == ("render", 5, 50, 50.0)
    assert progress_of(fresh, fresh.written_at + timedelta(seconds=61)) == {}
    assert progress_of(None) == {}


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7D", 604_800), (" 2w ", 1_209_600), ("2025-12-31T23:00Z", 3600)],
)
def test_since_is_an_age_or_a_time(text, ago):
    assert read_since(text, NOW) == NOW - timedelta(seconds=ago)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "yesterday", "24 hours", "2025-13-01", "9999999h", "999999w"])
def test_anything_else_is_refused_in_words(text):
    with pytest.raises(ValueError, match="neither an age"):
        read_since(text, NOW)


# Finding ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [A, "aaaaaaaabb", "aaaaaaaa", "aaaa", "aaaaaabb", "film", "film.mp4"])
def test_a_job_is_found_by_id_by_a_part_of_it_and_by_name(store, add, word):
    add(A, name="film")
    add(B, name="other")
    assert find(store, word).jobs == (A,)
    assert find(store, word).is_clear


@pytest.mark.parametrize(
    "word", ["", "nobody", "zzzz", "20260101T000000009-zzzzzzzzzz", "/nowhere/film.mp4", "*", "fil"]
)
def test_nothing_is_found_where_nothing_is(store, root, add, word):
    add(A, name="film")
    found = find(store, word, [root])
    assert (found.jobs, found.batches) == ((), ())


def test_films_of_one_name_are_all_candidates_but_not_without_end(store, add):
    for number in range(MOST + 5):
        add(f"20260101T0000000{number:02d}-{'a' * 10}", name="film")
    found = find(store, "film")
    assert len(found.jobs) == MOST
    assert not found.is_clear
    assert found.jobs[0].startswith("20260101T000000024")


def test_a_name_that_looks_like_a_part_of_an_id_is_still_a_name(store, add):
    add(A, name="talk")
    assert find(store, "talk").jobs == (A,)


def deliver(root, job, name="film.mp4", folder=""):
    """Lay a film with its report into the outbox."""
    place = root.outbox / folder
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(b"film")
    told = Report.of_ended(replace(job, state=JobState.DONE), finished_at=NOW).to_dict()
    told |= {"stage_s": {"render": 3.5}, "device": "cuda:0", "wall_s": 4.0}
    (place / f"{name}.json").write_text(json.dumps(told))
    return place / name


@pytest.mark.parametrize("ending", [".mp4", ".mp4.json", ".jpg"])
def test_a_job_is_found_by_what_lies_in_the_outbox(store, root, add, ending):
    job = add(A, name="called otherwise")
    add(B, name="film")
    film = deliver(root, job)
    assert find(store, str(film.with_name("film" + ending)), [root]).jobs == (A,)


def test_without_a_report_the_store_knows_under_which_name_it_published(store, root, add):
    add(A, "running", name="film")
    store.set_published_name(A, "film.v2.mp4")
    add(B, "running", name="film")
    store.set_published_name(B, "film.mp4")
    assert find(store, str(root.outbox / "film.v2.mp4"), [root]).jobs == (A,)
    assert find(store, str(root.outbox / "film.mp4"), [root]).jobs == (B,)


@pytest.mark.parametrize("where", ["processing", "failed", "done/2026-01-01"])
def test_a_job_is_found_by_its_folder_and_by_the_files_in_it(store, root, add, where):
    add(A, name="film")
    folder = root.path / where / "film__aaaaaaaa"
    folder.mkdir(parents=True)
    assert find(store, str(folder), [root]).jobs == (A,)
    assert find(store, str(folder / "film.wav"), [root]).jobs == (A,)


def test_the_error_json_of_a_folder_outranks_its_name(store, root, add):
    job = add(A, name="film", state=JobState.FAILED, error_code="E131")
    folder = root.failed / "film__cccccccc"
    folder.mkdir()
    (folder / "error.json").write_text(Report.of_ended(job, finished_at=NOW).to_json())
    assert find(store, str(folder), [root]).jobs == (A,)


def test_a_report_that_a_stranger_wrote_leads_nowhere(store, root, add):
    add(A, name="film")
    (root.outbox / "film.mp4").write_bytes(b"x")
    (root.outbox / "film.mp4.json").write_text('{"heygemd_report": 1, "job": "20990101T000000000-zzzzzzzzzz"}')
    assert find(store, str(root.outbox / "film.mp4"), [root]).jobs == ()


# Everything about one -----------------------------------------------------------------------------------------------


def test_a_finished_film_is_described_with_its_files_and_stages(store, root, add):
    job = add(A, "running", name="film", folder="a")
    store.set_published_name(A, "film.mp4")
    store.move(A, JobState.DONE, at=NOW + timedelta(seconds=9))
    film = deliver(root, job, folder="a")
    originals = root.done / "2026-01-01" / "film__aaaaaaaa"
    originals.mkdir(parents=True)
    told = describe_job(store, store.get(A), root)
    assert json.loads(json.dumps(told)) == told
    assert told["files"] == {"film": str(film), "report": f"{film}.json", "originals": str(originals)}
    assert (told["report"]["stage_s"], told["report"]["device"]) == ({"render": 3.5}, "cuda:0")
    assert [step["state"] for step in told["history"]] == ["queued", "running", "done"]
    assert told["ended_at"] == "2026-01-01T00:00:09.000Z"
    assert told["inputs"]["video"]["evidence"] == ["quiet"]
    assert (told["error"], told["place"]) == (None, None)


def test_a_failed_job_is_described_with_its_folder_and_advice(store, root, add):
    job = add(A, name="film", state=JobState.FAILED, error_code="E131", error_message="no face")
    for name in ("film__aaaaaaaa", "film__aaaaaaaa.2"):
        (root.failed / name).mkdir()
        (root.failed / name / "error.json").write_text(Report.of_ended(job, finished_at=NOW).to_json())
        (root.failed / name / "REASON.txt").write_text("why")
    told = describe_job(store, job, root)
    assert told["files"]["failed"] == str(root.failed / "film__aaaaaaaa.2"), "the latest"
    assert told["files"]["reason"].endswith("REASON.txt")
    assert told["error"]["code"] == "E131"
    assert told["error"]["message"] == "no face"
    assert "face" in told["error"]["advice"]


def test_a_waiting_job_is_described_with_its_place_and_its_claim(store, root, add):
    claim = root.processing / "film__cccccccc"
    claim.mkdir()
    add(A, turn=1.0, folder="other")
    told = describe_job(store, add(B, turn=2.0, folder="mine", claim_dir=claim), root)
    assert told["place"] == {"in_folder": 1, "among_all": 2}
    assert told["files"] == {"inputs": str(claim)}
    add(C, duplicate_of=A)
    assert describe_job(store, store.get(C), root)["place"] is None


def test_without_its_root_nothing_on_the_share_is_looked_at(store, root, add):
    job = add(A, name="film", state=JobState.FAILED, error_code="E999")
    told = describe_job(store, job, None)
    assert (told["looked_at_share"], told["files"], told["report"]) == (False, {}, None)
    assert told["error"] == {"code": "E999", "title": None, "advice": None, "message": None}, "of a later version"


def test_a_batch_is_described_row_by_row(store, root, add):
    rows = tuple(
        Row(
            number=n,
            line=n,
            row_id=f"ep{n}",
            video=Wanted(path="v.mp4"),
            audio=Wanted(path=f"{n}.wav"),
            film_name=f"{n}",
        )
        for n in (1, 2)
    )
    batch = Batch(
        id="20260101T000000000-bbbbbbbbcc", root=root.uuid, kind=BatchKind.MANIFEST, name="lines", folder="x",
        claim_dir=root.processing / "lines", accepted_at=NOW, rows=rows,
    )  # fmt: skip
    store.add_batch(batch)
    add(A, "running", row=BatchRow(batch=batch.id, number=1, row_id="ep1"))
    told = describe_batch(store, batch, root)
    assert json.loads(json.dumps(told)) == told
    assert [(row["id"], row["state"], row["job"]) for row in told["rows"]] == [
        ("ep1", "running", A), ("ep2", "waiting", None),
    ]  # fmt: skip
    store.stop_batch(batch.id)
    assert describe_batch(store, batch, root)["rows"][1]["state"] == "cancelled"
    assert find(store, "lines").batches == find(store, "bbbbbbbb").batches == (batch.id,)
