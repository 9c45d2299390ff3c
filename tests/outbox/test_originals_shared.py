"""Inputs that jobs share: they stay where they are, and failed jobs get copies."""

from pathlib import Path

import pytest

from heygemd.outbox.originals import archive_inputs, fail_inputs
from tests.outbox.originals_rig import CLAIM, DAY, SHARED, refill, told, with_shared


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    """Hundreds of moves with an fsync at every step: not on a real disk."""
    return fast_path


def test_folder_of_a_failed_job_is_complete_with_copies_of_its_shared_inputs(samples, root, claim, tree) -> None:
    (claim / "v.mp4").unlink()
    place = fail_inputs(with_shared(samples, root, claim), root, *told(samples))
    found = tree(place)
    assert sorted(found) == ["REASON.txt", "_default.mp4", "a.wav", "error.json"]
    assert found["_default.mp4"] == SHARED
    assert len(tree(root.shared)) == 1
    assert (place / "_default.mp4").stat().st_nlink == 1, "a hard link: writing into it would change the shared one"


def test_shared_inputs_of_a_finished_job_stay_and_are_not_archived(samples, root, claim, tree) -> None:
    (claim / "v.mp4").unlink()
    place = archive_inputs(with_shared(samples, root, claim), root, "archive", DAY)
    assert tree(place) == {"a.wav": b"aaa"}
    assert list(tree(root.shared).values()) == [SHARED]
    job = with_shared(samples, root, refill(root))
    archive_inputs(job, root, "delete", DAY)
    assert list(tree(root.shared).values()) == [SHARED]


def test_job_of_shared_inputs_only_gets_a_folder_of_its_own(samples, root, tree) -> None:
    job = with_shared(samples, root, None)
    for _ in range(2):
        assert fail_inputs(job, root, *told(samples)) == root.failed / CLAIM
        found = tree(root.failed / CLAIM)
        assert sorted(found) == ["REASON.txt", "_default.mp4", "error.json", "voice.wav"]
    assert tree(root.private / "tmp") == {}


def test_shared_input_with_a_taken_name_is_numbered_and_brought_once(samples, root, claim, tree) -> None:
    job = with_shared(samples, root, claim, name="v.mp4")
    for _ in range(2):
        found = tree(fail_inputs(job, root, *told(samples)))
        assert sorted(found) == ["REASON.txt", "a.wav", "error.json", "v (1).mp4", "v.mp4"]
        assert (found["v.mp4"], found["v (1).mp4"]) == (b"vvv", SHARED)
        (root.failed / CLAIM).rename(claim)


@pytest.mark.parametrize("name", ["../../up.mp4", "/etc/up.mp4", "a/b/up.mp4"])
def test_name_of_a_shared_input_cannot_climb_out(samples, root, claim, tree, name) -> None:
    before = set(tree(root.path.parent))
    place = fail_inputs(with_shared(samples, root, claim, name=name), root, *told(samples))
    assert tree(place)["up.mp4"] == SHARED
    new = set(tree(root.path.parent)) - before
    assert all("/failed/" in path or ".heygemd/shared/" in path for path in new)


@pytest.mark.parametrize("name", ["漢" * 83 + ".mp4", "x" * 251 + ".mp4"])
def test_longest_name_of_a_shared_input_fits_even_with_a_number(samples, root, claim, tree, name) -> None:
    (claim / name).write_bytes(b"other")
    place = fail_inputs(with_shared(samples, root, claim, name=name), root, *told(samples))
    assert SHARED in tree(place).values()
    assert tree(place)[name] == b"other"


@pytest.mark.parametrize("data", [None, b"damaged"])
def test_shared_input_that_is_gone_or_damaged_is_done_without(samples, root, claim, tree, data) -> None:
    place = fail_inputs(with_shared(samples, root, claim, data=data), root, *told(samples))
    assert sorted(tree(place)) == ["REASON.txt", "a.wav", "error.json", "v.mp4"]


def test_shared_input_that_is_a_link_is_done_without(samples, root, claim, tmp_path, tree) -> None:
    job = with_shared(samples, root, claim)
    (tmp_path / "secret").write_bytes(SHARED)
    job.video.path.unlink()
    job.video.path.symlink_to(tmp_path / "secret")
    assert "_default.mp4" not in tree(fail_inputs(job, root, *told(samples)))
