"""Inputs of ended jobs: archived, deleted or handed back with the reason, whenever it is killed or refused."""

import errno
import json
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.faulty_disk import BARE, FaultyDisk
from heygemd.outbox.keepsakes import id8_of_folder
from heygemd.outbox.note import status_note, write_note
from heygemd.outbox.originals import archive_inputs, fail_inputs, sweep_parts
from heygemd.outbox.publish import deliver
from heygemd.outbox.reason import reason_text
from tests.outbox.originals_rig import CLAIM, DAY, INPUTS, refill, told, with_shared


def quiet(step: int, call: str) -> None:
    del step, call


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    """Hundreds of moves with an fsync at every step: not on a real disk."""
    return fast_path


def test_inputs_of_a_finished_job_are_archived_by_day(samples, root, claim, tree) -> None:
    place = archive_inputs(samples.job(claim), root, "archive", DAY)
    assert place == root.done / DAY / CLAIM
    assert tree(place) == INPUTS
    assert not claim.exists()


def test_archiving_again_changes_nothing_even_on_another_day(samples, root, claim, tree) -> None:
    job = samples.job(claim)
    place = archive_inputs(job, root, "archive", DAY)
    assert archive_inputs(job, root, "archive", DAY) == place
    assert archive_inputs(job, root, "archive", "2025-02-01") is None
    assert tree(place) == INPUTS


def test_second_folder_of_the_same_name_gets_a_number(samples, root, claim, tree) -> None:
    (root.done / DAY / CLAIM).mkdir(parents=True)
    (root.done / DAY / CLAIM / "old").write_bytes(b"keep")
    place = archive_inputs(samples.job(claim), root, "archive", DAY)
    assert place == root.done / DAY / f"{CLAIM}.2"
    assert (root.done / DAY / CLAIM / "old").read_bytes() == b"keep"
    assert tree(place) == INPUTS


def test_policy_delete_leaves_nothing(samples, root, claim, tree) -> None:
    job = samples.job(claim)
    write_note(root, CLAIM, status_note(job, place=1))
    (claim / "CANCEL").write_bytes(b"")
    assert archive_inputs(job, root, "delete", DAY) is None
    assert archive_inputs(job, root, "delete", DAY) is None
    assert not claim.exists()
    assert tree(root.done) == {}


def test_policy_delete_keeps_what_a_person_put_beside_the_inputs(samples, root, claim, tree) -> None:
    (claim / "notes.docx").write_bytes(b"mine")
    place = archive_inputs(samples.job(claim), root, "delete", DAY)
    assert tree(place) == {"notes.docx": b"mine"}


def test_policy_delete_never_follows_a_link_to_a_file(samples, root, claim, tmp_path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (claim / "v.mp4").unlink()
    (claim / "v.mp4").symlink_to(precious)
    archive_inputs(samples.job(claim), root, "delete", DAY)
    assert precious.read_text() == "keep"


def test_shared_inputs_stay_where_they_are(samples, root, tree) -> None:
    (root.inbox / "_default.mp4").write_bytes(b"v")
    assert archive_inputs(samples.job(None), root, "delete", DAY) is None
    assert tree(root.inbox) == {"_default.mp4": b"v"}


@pytest.mark.parametrize("way", ["archive", "fail"])
def test_status_note_and_cancel_go_before_the_folder_moves(samples, root, claim, tree, way) -> None:
    write_note(root, CLAIM, status_note(samples.job(claim), place=1))
    for name in ("CANCEL", "Cancel.TXT"):
        (claim / name).write_bytes(b"")
    act(way, samples, root, claim)
    names = {Path(name).name for name in tree(root.path)}
    assert not names & {"STATUS.txt", "CANCEL", "Cancel.TXT"}
    assert "v.mp4" in names


def test_status_of_a_person_and_a_folder_named_cancel_are_left_alone(samples, root, claim, tree) -> None:
    (claim / "STATUS.txt").write_text("my own notes")
    (claim / "cancel").mkdir()
    place = archive_inputs(samples.job(claim), root, "archive", DAY)
    assert tree(place)["STATUS.txt"] == b"my own notes"
    assert (place / "cancel").is_dir()


def test_cancelled_job_lies_in_failed_with_a_reason_that_says_so(samples, root, claim, tree) -> None:
    report = samples.failure(state=JobState.CANCELLED)
    place = fail_inputs(samples.job(claim, state=JobState.CANCELLED), root, report.to_json(), reason_text(report))
    assert place == root.failed / CLAIM
    assert "cancelled" in tree(place)["REASON.txt"].decode("utf-8-sig")
    assert json.loads(tree(place)["error.json"])["state"] == "cancelled"


def test_failed_job_hands_its_inputs_back_with_the_reason(samples, root, claim, tree) -> None:
    place = fail_inputs(samples.job(claim), root, *told(samples))
    assert place == root.failed / CLAIM
    found = tree(place)
    assert sorted(found) == ["REASON.txt", "a.wav", "error.json", "v.mp4"]
    assert found["REASON.txt"].decode("utf-8-sig").startswith("heygemd could not")
    assert json.loads(found["error.json"])["error"]["code"] == "E131"
    assert not claim.exists()


def test_failing_again_changes_nothing(samples, root, claim, tree) -> None:
    job = samples.job(claim)
    fail_inputs(job, root, *told(samples))
    before = tree(root.failed)
    assert fail_inputs(job, root, *told(samples)) == root.failed / CLAIM
    assert tree(root.failed) == before


def test_reason_of_an_earlier_failure_is_replaced(samples, root, claim, tree) -> None:
    (claim / "REASON.txt").write_text("yesterday")
    place = fail_inputs(samples.job(claim), root, *told(samples))
    assert b"yesterday" not in tree(place)["REASON.txt"]


def test_link_named_reason_is_replaced_not_followed(samples, root, claim, tmp_path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (claim / "REASON.txt").symlink_to(precious)
    fail_inputs(samples.job(claim), root, *told(samples))
    assert precious.read_text() == "keep"


def test_failed_job_without_a_claim_folder_still_leaves_its_reason(samples, root, tree) -> None:
    for _ in range(2):
        place = fail_inputs(samples.job(None), root, *told(samples))
        assert place == root.failed / CLAIM
        assert sorted(tree(place)) == ["REASON.txt", "error.json"]


def test_folder_that_a_person_took_away_is_not_missed(samples, root, claim) -> None:
    claim.rename(root.inbox / "back")
    assert fail_inputs(samples.job(claim), root, *told(samples)) is None
    assert archive_inputs(samples.job(claim), root, "archive", DAY) is None


def test_job_that_failed_at_the_door_needs_no_inputs(samples, root, claim, tree) -> None:
    report = samples.failure("E102", audio=None, media=None)
    job = samples.job(claim, audio=None, state=JobState.FAILED, error_code="E102")
    (claim / "a.wav").unlink()
    assert sorted(tree(fail_inputs(job, root, report.to_json(), reason_text(report)))) == [
        "REASON.txt", "error.json", "v.mp4",
    ]  # fmt: skip
    refill(root)
    job = samples.job(claim, audio=None, video=None)
    assert archive_inputs(job, root, "archive", DAY) == root.done / DAY / CLAIM


def test_claimless_job_never_takes_the_folder_of_another_job(samples, root, tree) -> None:
    (root.failed / CLAIM).mkdir()
    (root.failed / CLAIM / "mine").write_bytes(b"keep")
    for _ in range(2):
        assert fail_inputs(samples.job(None), root, *told(samples)) == root.failed / f"{CLAIM}.2"
    assert tree(root.failed / CLAIM) == {"mine": b"keep"}


def test_second_folder_of_the_longest_name_still_fits(samples, root, tree) -> None:
    name = "x" * 245 + "__abcdefgh"
    for wanted in (name, "x" * 236):
        claim = root.processing / name
        claim.mkdir()
        (claim / "v.mp4").write_bytes(b"v")
        place = archive_inputs(samples.job(claim), root, "archive", DAY)
        assert place.name.startswith(wanted)
        assert id8_of_folder(place.name) == "abcdefgh"


@pytest.mark.parametrize("away", ["sentinel", "uuid", "everything"])
def test_share_that_is_away_is_never_taken_for_an_empty_one(samples, root, claim, tmp_path, away) -> None:
    if away == "sentinel":
        root.sentinel.unlink()
    elif away == "uuid":
        root.sentinel.write_text('{"uuid": "someone else"}')
    else:
        root.path.rename(tmp_path / "unmounted")
    job = samples.job(claim)
    for act in (
        lambda: archive_inputs(job, root, "archive", DAY),
        lambda: archive_inputs(job, root, "delete", DAY),
        lambda: fail_inputs(job, root, *told(samples)),
    ):
        with pytest.raises(ResourceError) as caught:
            act()
        assert caught.value.code == "E201"


@pytest.mark.parametrize("way", ["archive", "delete", "fail"])
def test_linked_target_folder_is_refused(samples, root, claim, *, tmp_path, tree, way) -> None:
    (tmp_path / "elsewhere").mkdir()
    top = root.failed if way == "fail" else root.done
    top.rmdir()
    top.symlink_to(tmp_path / "elsewhere")
    if way == "delete":
        (claim / "foreign").write_bytes(b"")
    with pytest.raises(ResourceError) as caught:
        act(way, samples, root, claim)
    assert caught.value.code == "E202"
    assert tree(tmp_path / "elsewhere") == {}
    assert claim.is_dir()


def act(way: str, samples, root, claim: Path, *, fault=quiet, without=None) -> FaultyDisk:
    disk = FaultyDisk(fault, without=without)
    if way in ("fail shared", "fail claimless"):
        job = with_shared(samples, root, claim if way == "fail shared" else None)
        fail_inputs(job, root, *told(samples), disk=disk)
    elif way == "fail":
        fail_inputs(samples.job(claim), root, *told(samples), disk=disk)
    else:
        archive_inputs(samples.job(claim), root, way, DAY, disk=disk)
    return disk


WAYS = ["archive", "delete", "fail", "fail shared", "fail claimless"]


@pytest.mark.parametrize("without", [{}, BARE])
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_step_and_run_again_gives_the_same_folders(
    samples, root, claim, *, tree, killed, way, without
) -> None:
    steps = len(act(way, samples, root, claim, without=without).calls)
    wanted = tree(root.path)
    assert "failed/anna__abcdefgh/_default.mp4" in wanted or "fail " not in way
    for step in range(steps):
        refill(root)
        assert killed(lambda fault: act(way, samples, root, claim, fault=fault, without=without), step)
        found = tree(root.path)
        if way != "delete":
            places = [name.rpartition("/")[0] for name in found if name.endswith("v.mp4")]
            assert len(places) == 1, "an input is in no place, or in two"
        for folder in {name.split("/")[1] for name in found if name.startswith("failed/")}:
            names = {f"failed/{folder}/{name}" for name in ("REASON.txt", "error.json")}
            names |= {f"failed/{folder}/_default.mp4"} if "fail " in way else set()
            assert names <= set(found), f"incomplete in failed/ after a kill at step {step}"
        act(way, samples, root, claim, without=without)
        assert tree(root.path) == wanted, f"killed at step {step}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("way", WAYS)
def test_refused_at_any_step_it_pauses_leaves_no_part_and_then_goes_on(
    samples, root, claim, tree, *, way, code
) -> None:
    steps = len(act(way, samples, root, claim).calls)
    wanted = tree(root.path)
    for failing in range(steps):

        def fault(step: int, call: str, at: int = failing) -> None:
            del call
            if step == at:
                raise OSError(code, "refused")

        refill(root)
        with pytest.raises(ResourceError) as caught:
            act(way, samples, root, claim, fault=fault)
        assert caught.value.code == "E202"
        assert not [name for name in tree(root.path) if name.endswith(".part")], f"refused at step {failing}"
        act(way, samples, root, claim)
        assert tree(root.path) == wanted


def test_sweep_removes_the_parts_of_known_jobs_only(make_delivery, root, tree, killed, samples) -> None:
    delivery = make_delivery(folder="a/b")
    assert killed(lambda fault: deliver(delivery, FaultyDisk(fault)), 8)
    assert [name for name in tree(root.outbox) if name.endswith(".part")]
    foreign = [".anna.zyxwvuts.part", "anna.abcdefgh.part", ".x.part", "film.mp4.part"]
    for name in foreign:
        (root.outbox / name).write_bytes(b"")
    (root.outbox / ".dir.abcdefgh.part").mkdir()
    assert sweep_parts(root.outbox, frozenset({samples.job_id})) == 1
    assert sweep_parts(root.outbox, frozenset({samples.job_id})) == 0
    assert sorted(tree(root.outbox)) == sorted(foreign)


def test_sweep_does_not_follow_links(root, tmp_path, samples) -> None:
    (tmp_path / "elsewhere").mkdir()
    part = tmp_path / "elsewhere" / ".anna.abcdefgh.part"
    part.write_bytes(b"")
    (root.outbox / "link").symlink_to(tmp_path / "elsewhere")
    assert sweep_parts(root.outbox, frozenset({samples.job_id})) == 0
    assert part.exists()


def test_sweep_of_a_missing_outbox_is_e201(root) -> None:
    root.outbox.rmdir()
    with pytest.raises(ResourceError) as caught:
        sweep_parts(root.outbox, frozenset())
    assert caught.value.code == "E201"
