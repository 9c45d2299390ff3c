import csv
import errno
import json
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.batch import Row, RowError
from heygemd.jobs.states import JobState
from heygemd.outbox.batchfiles import publish_batch_reports, write_batch_reports
from heygemd.outbox.batchreport import batch_report
from heygemd.outbox.faulty_disk import BARE, FaultyDisk

OTHER_ID = "20250131T070001000-otherbat23"
THIRD_ID = "20250131T070002000-thirdbat23"
ROWS = (Row(number=1, row_id="a"), Row(number=2, row_id="b", error=RowError(code="E124", message="bad")))
ACTS = {"write": write_batch_reports, "publish": publish_batch_reports}


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    return fast_path


def nothing(step: int, call: str) -> None:
    del step, call


def report_of(samples, batch, *, complete: bool = False):
    state = JobState.DONE if complete else JobState.RUNNING
    job = samples.job(state=state, published_name="a.mp4", folder="lines")
    return batch_report(batch, {1: job}, written_at=samples.now)


def told(folder: Path) -> dict[str, str]:
    """JSON name → id of the batch, checked against the CSV beside it."""
    found = {}
    for path in folder.glob("*.report.json"):
        batch = json.loads(path.read_text(encoding="utf-8"))["batch"]
        table = path.with_name(path.name.replace(".json", ".csv")).read_text(encoding="utf-8-sig")
        assert {line["batch"] for line in csv.DictReader(table.splitlines())} == {batch}
        found[path.name] = batch
    return found


def test_reports_of_an_open_batch_lie_in_the_status_folder_and_are_replaced(samples, root, tree) -> None:
    batch = samples.batch(*ROWS)
    write_batch_reports(root, batch, report_of(samples, batch))
    write_batch_reports(root, batch, report_of(samples, batch, complete=True))
    found = tree(root.status / "manifests")
    assert sorted(found) == ["lines.report.csv", "lines.report.json"]
    assert json.loads(found["lines.report.json"])["complete"] is True
    assert found["lines.report.csv"].startswith(b'\xef\xbb\xbf"number"')


def test_sub_folder_is_mirrored_and_cannot_climb_out(samples, root, tree) -> None:
    for folder, place in (("week 1/x", "week 1/x"), ("../up", "%2E%2E/up")):
        batch = samples.batch(*ROWS, folder=folder)
        write_batch_reports(root, batch, report_of(samples, batch))
        assert publish_batch_reports(root, batch, report_of(samples, batch)) == (
            root.outbox / place / "lines.report.json"
        )
        assert (root.status / "manifests" / place / "lines.report.csv").is_file()


def test_two_open_batches_of_one_name_do_not_share_a_report(samples, root) -> None:
    first, second = samples.batch(*ROWS), samples.batch(*ROWS, id=OTHER_ID)
    for batch in (first, second, first, second):
        write_batch_reports(root, batch, report_of(samples, batch))
    assert told(root.status / "manifests") == {
        "lines.report.json": first.id, "lines__otherbat.report.json": OTHER_ID,
    }  # fmt: skip
    write_batch_reports(root, first, report_of(samples, first, complete=True))
    write_batch_reports(root, second, report_of(samples, second))
    assert told(root.status / "manifests")["lines__otherbat.report.json"] == OTHER_ID, "it moved while it was open"


def test_batch_takes_over_the_names_of_one_that_has_ended(samples, root) -> None:
    first, second = samples.batch(*ROWS), samples.batch(*ROWS, id=OTHER_ID)
    write_batch_reports(root, first, report_of(samples, first, complete=True))
    write_batch_reports(root, second, report_of(samples, second))
    assert told(root.status / "manifests") == {"lines.report.json": OTHER_ID}


@pytest.mark.parametrize("name", ["lines.report.json", "lines.report.csv"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
@pytest.mark.parametrize("way", list(ACTS))
def test_foreign_thing_of_that_name_is_never_touched(samples, root, tmp_path, *, way, kind, name) -> None:
    folder = root.status / "manifests" if way == "write" else root.outbox
    folder.mkdir(exist_ok=True)
    (tmp_path / "elsewhere").write_text("keep")
    if kind == "file":
        (folder / name).write_text('{"batch": "mine"}')
    elif kind == "link":
        (folder / name).symlink_to(tmp_path / "elsewhere")
    else:
        (folder / name).mkdir()
    before = (folder / name).lstat()
    batch = samples.batch(*ROWS)
    for _ in range(2):
        ACTS[way](root, batch, report_of(samples, batch))
    stem = "lines__batchbat" if way == "write" else "lines.v2"
    assert {path.name for path in folder.iterdir()} == {name, f"{stem}.report.json", f"{stem}.report.csv"}
    assert (folder / name).lstat() == before
    assert (tmp_path / "elsewhere").read_text() == "keep"


@pytest.mark.parametrize("way", list(ACTS))
def test_linked_folder_is_refused(samples, root, tmp_path, tree, way) -> None:
    (tmp_path / "elsewhere").mkdir()
    if way == "write":
        (root.status / "manifests").symlink_to(tmp_path / "elsewhere")
    else:
        (root.outbox / "sub").symlink_to(tmp_path / "elsewhere")
    batch = samples.batch(*ROWS, folder="sub")
    with pytest.raises(ResourceError) as caught:
        ACTS[way](root, batch, report_of(samples, batch))
    assert caught.value.code == "E202"
    assert tree(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("way", list(ACTS))
def test_share_that_is_away_is_e201(samples, root, tmp_path, way) -> None:
    root.sentinel.write_text('{"uuid": "another"}')
    batch = samples.batch(*ROWS)
    with pytest.raises(ResourceError) as caught:
        ACTS[way](root, batch, report_of(samples, batch))
    assert caught.value.code == "E201"


def test_final_copy_lies_beside_the_results_once(samples, root, tree) -> None:
    batch = samples.batch(*ROWS)
    place = publish_batch_reports(root, batch, report_of(samples, batch, complete=True))
    before = tree(root.outbox)
    assert place == root.outbox / "lines.report.json"
    assert publish_batch_reports(root, batch, report_of(samples, batch)) == place
    assert tree(root.outbox) == before
    assert sorted(before) == ["lines.report.csv", "lines.report.json"]


def test_second_batch_of_the_name_gets_a_version_and_keeps_it(samples, root) -> None:
    first, second = samples.batch(*ROWS), samples.batch(*ROWS, id=OTHER_ID)
    publish_batch_reports(root, first, report_of(samples, first))
    place = publish_batch_reports(root, second, report_of(samples, second))
    assert place.name == "lines.v2.report.json"
    for path in root.outbox.glob("lines.report.*"):
        path.unlink()
    assert publish_batch_reports(root, second, report_of(samples, second)) == place
    assert told(root.outbox) == {"lines.v2.report.json": OTHER_ID}


def test_name_is_free_only_in_any_case(samples, root) -> None:
    (root.outbox / "LINES.Report.CSV").write_text("")
    batch = samples.batch(*ROWS)
    assert publish_batch_reports(root, batch, report_of(samples, batch)).name == "lines.v2.report.json"


@pytest.mark.parametrize("way", list(ACTS))
def test_batch_without_rows_can_be_reported_again_and_again(samples, root, way) -> None:
    batch = samples.batch()
    for _ in range(2):
        ACTS[way](root, batch, batch_report(batch, {}, written_at=samples.now))


def test_longest_name_fits(samples, root, tree) -> None:
    batch = samples.batch(*ROWS, name="漢" * 200)
    for _ in range(2):
        write_batch_reports(root, batch, report_of(samples, batch))
        publish_batch_reports(root, batch, report_of(samples, batch))
    assert len(tree(root.outbox)) == len(tree(root.status)) == 2


SCENES = {"fresh": [], "beside another batch": [OTHER_ID], "beside two": [OTHER_ID, THIRD_ID]}


@pytest.fixture(params=[(way, scene, bare) for way in ACTS for scene in SCENES for bare in (False, True)], ids=str)
def scene(request, samples, root):
    way, others, bare = request.param

    def again():
        for top in (root.status, root.outbox):
            for path in sorted(top.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        for batch_id in SCENES[others]:
            earlier = samples.batch(*ROWS, id=batch_id)
            ACTS[way](root, earlier, report_of(samples, earlier))

    def act(fault=nothing) -> FaultyDisk:
        disk = FaultyDisk(fault, without=BARE if bare else {})
        batch = samples.batch(*ROWS)
        ACTS[way](root, batch, report_of(samples, batch, complete=True), disk=disk)
        return disk

    return again, act


def test_killed_at_any_step_and_run_again_gives_the_same_files(scene, root, tree, killed) -> None:
    again, act = scene
    again()
    steps = len(act().calls)
    wanted = tree(root.path)
    assert steps > 6
    for step in range(steps):
        again()
        others = tree(root.path)
        assert killed(act, step)
        found = tree(root.path)
        assert others.items() <= found.items(), "the report of another batch was touched"
        for name, data in found.items():
            if name.endswith("report.json"):
                json.loads(data)
        act()
        assert tree(root.path) == wanted, f"killed at step {step}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_refused_at_any_step_it_leaves_no_part_and_then_goes_on(scene, root, tree, code) -> None:
    again, act = scene
    again()
    steps = len(act().calls)
    wanted = tree(root.path)
    for failing in range(steps):

        def fault(step: int, call: str, at: int = failing) -> None:
            if step == at and call not in ("rename_noreplace", "link"):
                raise OSError(code, "refused")

        again()
        try:
            act(fault)
        except ResourceError as error:
            assert error.code == "E202"
        assert not [name for name in tree(root.path) if name.endswith(".part")]
        act()
        assert tree(root.path) == wanted


def test_foreign_file_that_appears_at_any_step_is_never_touched(samples, root, tree) -> None:
    for at in range(40):
        folder = f"f{at}"
        place = root.outbox / folder / ("lines.report.json" if at % 2 else "lines.report.csv")
        appeared = []

        def fault(step: int, call: str, at: int = at, place: Path = place, appeared: list[int] = appeared) -> None:
            if step == at // 2 and place.parent.is_dir() and not place.exists():
                place.write_text("foreign")
                appeared.append(step)

        batch = samples.batch(*ROWS, folder=folder)
        done = publish_batch_reports(root, batch, report_of(samples, batch), disk=FaultyDisk(fault))
        if appeared:
            assert place.read_text() == "foreign"
            assert done.name == "lines.v2.report.json"
            assert len(tree(place.parent)) == 3
