"""Folders in processing/ that no job and no batch knows."""

from datetime import UTC, datetime, timedelta

from heygemd.doctor import strays
from heygemd.doctor.account import myself
from heygemd.doctor.case import Case
from heygemd.doctor.service import Service
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore

NOW = datetime.now(UTC)
JOB_ID = "20250131T080000000-abcdefgh23"


def found(studio, *, later_s=3600.0):
    studio.with_around(now=lambda: datetime.now(UTC) + timedelta(seconds=later_s))
    case = Case(settings=studio.settings(), around=studio.around, service=Service(), account=myself())
    return list(strays.look(case, studio.root))


def claim(studio, name):
    folder = studio.root.processing / name
    folder.mkdir()
    return folder


def test_a_folder_without_a_job_is_named_with_what_to_do(studio):
    claim(studio, "anna__abcdefgh")
    (finding,) = found(studio)
    assert "anna__abcdefgh" in finding.message
    assert str(studio.root.inbox) in finding.fix
    assert (finding.level.value, finding.code) == ("warning", "E401")


def test_a_folder_whose_job_is_known_is_no_stray(studio):
    folder = claim(studio, "anna__abcdefgh")
    files = {kind: InputFile(name=kind, path=folder / kind, size_bytes=1, sha256="aa") for kind in ("video", "audio")}
    job = Job(
        id=JOB_ID, root=studio.root.uuid, name="anna", folder="", state=JobState.QUEUED, options=RenderOptions(),
        media=None, claim_dir=folder, queued_at=NOW, not_before=NOW, **files,
    )  # fmt: skip
    with JobStore(studio.state / "jobs.sqlite") as store:
        store.add(job)
    assert found(studio) == []


def test_a_claim_that_is_under_way_or_young_is_no_stray(studio):
    claim(studio, "anna__abcdefgh")
    assert found(studio, later_s=0.0) == []
    (studio.root.claims / f"{JOB_ID}.json").write_text("{}")
    assert found(studio) == []


def test_what_people_put_there_is_theirs(studio):
    claim(studio, "my notes")
    assert found(studio) == []


def test_without_a_store_nothing_is_said_here(studio):
    claim(studio, "anna__abcdefgh")
    for file in studio.state.glob("jobs.sqlite*"):
        file.unlink()
    assert found(studio) == []
