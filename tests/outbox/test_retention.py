"""What is swept when its days are over, what is kept, and what is never touched."""

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.batchfiles import publish_batch_reports, write_batch_reports
from heygemd.outbox.batchreport import batch_report
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.retention import Swept
from tests.outbox.retention_rig import DUE, OLD, TODAY, YOUNG, archived, failed, sweep

pytestmark = pytest.mark.usefixtures("roomy")


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    return fast_path


def test_originals_go_after_their_days_and_not_a_day_earlier(root) -> None:
    over, young = archived(root, DUE), archived(root, YOUNG)
    swept = sweep(root)
    assert (swept.done, swept.failed, swept.early) == (1, 0, 0)
    assert swept.freed_bytes > 0
    assert not over.parent.exists()
    assert sorted(path.name for path in young.iterdir()) == ["a.wav", "v.mp4"]
    assert sweep(root, today=TODAY + timedelta(days=1)).done == 1
    assert list(root.done.iterdir()) == []


def test_failed_jobs_go_after_the_end_that_their_error_json_tells(root) -> None:
    over, young = failed(root, "2024-12-09"), failed(root, "2024-12-10", "carl__abcdefgh")
    os.utime(young / "error.json", (0, 0))
    assert sweep(root).failed == 1
    assert (over.exists(), young.exists()) == (False, True)


def test_zero_days_keep_for_ever(root) -> None:
    places = [archived(root), failed(root)]
    assert sweep(root, done_days=0, failed_days=0) == Swept()
    assert all(place.exists() for place in places)


@pytest.mark.parametrize("key", ["anna__abcdefgh", "abcdefgh"])
@pytest.mark.parametrize(("days", "day", "stays"), [(0, OLD, True), (300, OLD, True), (5, "2025-03-04", False)])
def test_single_job_may_be_kept_longer_or_shorter(root, *, key, days, day, stays) -> None:
    folder = archived(root, day)
    sweep(root, keeps={key: days})
    assert folder.exists() == stays


def test_numbered_folder_is_known_by_the_name_without_its_number(root) -> None:
    folder = archived(root, name="anna__abcdefgh.2")
    sweep(root, keeps={"anna__abcdefgh": 0})
    assert folder.exists()
    sweep(root)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["holiday", "anna__abc", "__abcdefgh", "anna__ABCDEFGH", "anna__abcdefgh.old"])
def test_folder_without_our_form_of_name_is_never_deleted(root, name) -> None:
    folders = [archived(root, name=name), failed(root, name=name, job="20241201T080000000-abcdefgh76")]
    (root.done / "2020" / "anna__abcdefgh").mkdir(parents=True)
    (root.done / "2020-13-45" / "anna__abcdefgh").mkdir(parents=True)
    assert sweep(root) == Swept()
    assert all(folder.exists() for folder in folders)
    assert len(list(root.done.iterdir())) == 3


@pytest.mark.parametrize(
    "text", [None, "", "[]", "null", "[" * 5000, '{"job": "x"}', '{"heygemd_report": 1, "job": 7}',
             '{"heygemd_report": 1, "job": "20241201T080000000-zyxwvuts76", "finished_at": "never"}',
             '{"heygemd_report": 1, "job": "20241201T080000000-otherjob76", "finished_at": "2020-01-01T"}'],
)  # fmt: skip
def test_failed_folder_that_does_not_prove_to_be_ours_is_never_deleted(root, text) -> None:
    folder = failed(root)
    (folder / "error.json").unlink() if text is None else (folder / "error.json").write_text(text)
    assert sweep(root) == Swept()
    assert (folder / "v.mp4").exists()


def test_folder_into_which_somebody_put_a_file_is_kept_and_told_once(root, capsys) -> None:
    folders = [archived(root, YOUNG), failed(root, "2025-02-08")]
    sweep(root)
    (folders[0] / "edit.prproj").write_bytes(b"mine")
    (folders[1] / "sub").mkdir()
    (folders[1] / "sub/notes.txt").write_bytes(b"mine")
    later = TODAY + timedelta(days=200)
    for number in range(3):
        capsys.readouterr()
        swept = sweep(root, today=later)
        assert swept.kept == (f"done/{YOUNG}/anna__abcdefgh", "failed/bob__zyxwvuts")
        assert capsys.readouterr().out.count("outbox.folder_kept") == (2 if number == 0 else 0)
        assert all((folder / "v.mp4").exists() for folder in folders)
    (folders[0] / "edit.prproj").unlink()
    assert sweep(root, today=later).done == 1


def test_what_a_file_manager_leaves_is_nobodys(root) -> None:
    folder = archived(root, YOUNG)
    sweep(root)
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._v.mp4", "@eaDir/v.mp4/thumb.jpg", ".nfs0001"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder.parent / "Thumbs.db").write_bytes(b"")
    assert sweep(root, today=TODAY + timedelta(days=5)).done == 1
    assert list(root.done.iterdir()) == []


def test_job_folder_with_options_and_sub_folders_goes_whole(root) -> None:
    folder = archived(root)
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/x").write_bytes(b"")
    (folder / "job.toml").write_bytes(b"")
    (folder / os.fsdecode(b"\xc4\xe3.wav")).write_bytes(b"")
    sweep(root, today=date(2025, 1, 2))
    assert sweep(root).done == 1


def test_folder_that_holds_more_than_any_job_is_left_alone(root, monkeypatch) -> None:
    from heygemd.outbox import keepsakes

    monkeypatch.setattr(keepsakes, "MOST_FILES", 3)
    many, deep = archived(root), archived(root, name="deep__abcdefgh")
    for number in range(3):
        (many / f"{number}").write_bytes(b"")
    (deep / "/".join("d" * (keepsakes.DEEPEST + 2))).mkdir(parents=True)
    assert sweep(root).kept == (f"done/{OLD}/anna__abcdefgh", f"done/{OLD}/deep__abcdefgh")
    assert many.exists()


def test_job_that_failed_again_under_the_same_name_is_met_anew(root) -> None:
    folder = failed(root, "2025-02-01")
    sweep(root)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    (failed(root, "2025-03-01") / "corrected.mp4").write_bytes(b"")
    sweep(root)
    assert sweep(root, today=TODAY + timedelta(days=100)).failed == 1


@pytest.mark.parametrize("where", ["done", "day", "job", "failed job", "file", "inner folder"])
def test_no_link_is_followed(root, tmp_path, tree, where) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "anna__abcdefgh").mkdir(parents=True)
    (elsewhere / "anna__abcdefgh/v.mp4").write_bytes(b"keep")
    (elsewhere / "error.json").write_text(
        '{"heygemd_report": 1, "job": "20241201T080000000-abcdefgh76", "finished_at": "2020-01-01T"}'
    )
    before = tree(elsewhere)
    if where == "done":
        root.done.rmdir()
        root.done.symlink_to(elsewhere)
        with pytest.raises(ResourceError):
            sweep(root)
    else:
        folder = archived(root, name="other__abcdefgh") if where != "day" else root.done
        link = {
            "day": root.done / OLD, "job": root.done / OLD / "anna__abcdefgh", "file": folder / "w.mp4",
            "failed job": root.failed / "anna__abcdefgh", "inner folder": folder / "deep",
        }[where]  # fmt: skip
        link.symlink_to(elsewhere)
        sweep(root)
        assert link.is_symlink() == (where in ("day", "job", "failed job"))
    assert tree(elsewhere) == before


def test_killed_at_any_step_and_run_again_gives_the_same_root(root, tree, killed) -> None:
    def again() -> None:
        for top in (root.done, root.failed):
            for path in sorted(top.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        archived(root), archived(root, YOUNG), failed(root), failed(root, "2025-03-01", "carl__abcdefgh")

    again()
    disk = FaultyDisk(lambda step, call: None)
    sweep(root, disk=disk)
    wanted = tree(root.path)
    for step in range(len(disk.calls)):
        again()
        (root.private / "kept.json").unlink(missing_ok=True)
        assert killed(lambda fault: sweep(root, disk=FaultyDisk(fault)), step)
        sweep(root)
        assert tree(root.path) == wanted, f"killed at step {step}"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"done/x": 7}', '{"done/2025-01-01/anna__abcdefgh": {"since": 1}}'])
def test_memory_that_cannot_be_understood_is_made_anew(root, text) -> None:
    archived(root, YOUNG)
    (root.private / "kept.json").write_text(text)
    sweep(root)
    assert list(json.loads((root.private / "kept.json").read_text())) == [f"done/{YOUNG}/anna__abcdefgh"]


def test_memory_holds_only_what_is_still_there_and_is_not_written_for_nothing(root) -> None:
    archived(root)
    sweep(root)
    assert json.loads((root.private / "kept.json").read_text() if (root.private / "kept.json").exists() else "{}") == {}
    disk = FaultyDisk(lambda step, call: None)
    sweep(root, disk=disk)
    assert disk.calls == []


@pytest.mark.parametrize("away", ["sentinel", "everything"])
def test_share_that_is_away_is_e201(root, tmp_path, away) -> None:
    root.sentinel.unlink() if away == "sentinel" else root.path.rename(tmp_path / "away")
    with pytest.raises(ResourceError) as caught:
        sweep(root)
    assert caught.value.code == "E201"


def test_day_that_may_be_filled_right_now_is_not_removed(root) -> None:
    for day in ("2025-03-09", "2025-03-10", "2025-03-11", "2025-03-08"):
        (root.done / day).mkdir()
    sweep(root)
    assert sorted(path.name for path in root.done.iterdir()) == ["2025-03-09", "2025-03-10", "2025-03-11"]


def test_reports_of_batches_that_ended_long_ago_go_and_their_copies_stay(root, samples, tree) -> None:
    for number, (name, state) in enumerate((("ended", JobState.DONE), ("open", JobState.RUNNING))):
        batch = samples.batch(id=f"20250131T07000000{number}-batchba{'ab'[number]}23", name=name, folder="x")
        batch = samples.batch(*_rows(), id=batch.id, name=name, folder="x")
        report = batch_report(batch, {1: samples.job(state=state)}, written_at=samples.now)
        write_batch_reports(root, batch, report)
        publish_batch_reports(root, batch, report)
    (root.status / "manifests/x/mine.report.json").write_text("{}")
    assert sweep(root, today=date(2025, 3, 2)).reports == 0
    assert sweep(root, today=date(2025, 3, 3)).reports == 1
    assert sorted(path.name for path in (root.status / "manifests/x").iterdir()) == [
        "mine.report.json", "open.report.csv", "open.report.json",
    ]  # fmt: skip
    assert len(tree(root.outbox)) == 4


def test_folders_that_lose_their_last_report_go_with_it_and_no_others(root, samples) -> None:
    """An inbox that sees a new folder every day would leave one there for each."""
    for number, folder in enumerate(("monday/a", "monday/b", "tuesday", "today")):
        batch = samples.batch(*_rows(), id=f"20250131T07000000{number}-batchba{'abcd'[number]}23", folder=folder)
        state = JobState.RUNNING if folder == "today" else JobState.DONE
        write_batch_reports(root, batch, batch_report(batch, {1: samples.job(state=state)}, written_at=samples.now))
    live = root.status / "manifests"
    (live / "tuesday/note.txt").write_text("ours")
    (live / "empty").mkdir()
    assert sweep(root, today=date(2025, 3, 3)).reports == 3
    assert sorted(path.name for path in live.iterdir()) == ["empty", "today", "tuesday"]
    assert [path.name for path in (live / "tuesday").iterdir()] == ["note.txt"]


def _rows():
    from heygemd.jobs.batch import Row

    return (Row(number=1),)


def test_leftovers_of_known_jobs_are_swept_only_when_asked(root, samples, tree) -> None:
    names = [".anna.abcdefgh.part", ".lines.abcdefgh.zip.part"]
    for name in names:
        (root.outbox / name).write_bytes(b"")
    (root.status / ".lines.report.abcdefgh.csv.part").write_bytes(b"")
    (root.private / "tmp/anna__abcdefgh").mkdir()
    (root.private / "tmp/anna__abcdefgh/v.mp4").write_bytes(b"")
    (root.private / "tmp/other__zyxwvuts").mkdir()
    assert sweep(root).leftovers == 0
    assert sweep(root, leftovers_of={samples.job_id}).leftovers == 4
    assert tree(root.outbox) == tree(root.status) == {}
    assert [path.name for path in (root.private / "tmp").iterdir()] == ["other__zyxwvuts"]
