import errno
import re

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.disk import DISK, open_folder
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.note import remove_notes, status_note, write_note

CLAIM = "anna__abcdefgh"


def test_note_says_in_both_languages_what_the_folder_is_and_how_to_cancel(samples) -> None:
    text = status_note(samples.job(state=JobState.QUEUED), place=3, film_s=83.4)
    for needed in ("anna", "number 3 of the queue", "第 3 位", "1:23", "CANCEL", "move this folder away", "移走",
                   "do not change", "请勿更改", samples.job_id):  # fmt: skip
        assert needed in text
    assert "{" not in text


@pytest.mark.parametrize("stage", ["analyse", "render", "finish", "publish", "something new", None])
def test_running_job_tells_its_stage_in_words(samples, stage) -> None:
    text = status_note(samples.job(), stage=stage, left_s=3725)
    assert "in work" in text
    assert "queue" not in text
    assert "1:02:05" in text


def test_waiting_job_tells_why(samples) -> None:
    text = status_note(samples.job(state=JobState.QUEUED), waits_for="E202 the disk\nis full")
    assert "Waits for:  E202 the disk%0Ais full\n" in text
    assert "等待原因：  E202" in text


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_its_words(samples, state) -> None:
    assert re.search(r"State:      \w", status_note(samples.job(state=state)))


def test_note_lies_in_the_claim_folder_as_windows_expects_it(samples, root) -> None:
    (root.processing / CLAIM).mkdir()
    write_note(root, CLAIM, status_note(samples.job(), stage="render"))
    data = (root.processing / CLAIM / "STATUS.txt").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfheygemd")
    assert data.count(b"\n") == data.count(b"\r\n") > 10
    assert [path.name for path in (root.processing / CLAIM).iterdir()] == ["STATUS.txt"]


def test_note_is_replaced_and_one_that_says_the_same_is_not_written_again(samples, root) -> None:
    (root.processing / CLAIM).mkdir()
    disk = FaultyDisk(lambda step, call: None)
    for place, steps in ((2, True), (2, False), (1, True)):
        disk.calls.clear()
        write_note(root, CLAIM, status_note(samples.job(state=JobState.QUEUED), place=place), disk=disk)
        assert bool(disk.calls) == steps
        assert "sync" not in disk.calls
    assert b"number 1" in (root.processing / CLAIM / "STATUS.txt").read_bytes()


def test_folder_that_is_gone_is_no_error_and_is_not_made(samples, root) -> None:
    write_note(root, CLAIM, status_note(samples.job()))
    assert not list(root.processing.iterdir())


def test_folder_that_goes_while_the_note_is_written_is_no_error(samples, root) -> None:
    (root.processing / CLAIM).mkdir()

    def fault(step: int, call: str) -> None:
        if call == "create":
            (root.processing / CLAIM).rmdir()

    write_note(root, CLAIM, status_note(samples.job()), disk=FaultyDisk(fault))
    assert not list(root.processing.iterdir())


def test_share_that_is_gone_is_an_error(samples, root, tmp_path) -> None:
    root.path.rename(tmp_path / "away")
    with pytest.raises(ResourceError) as caught:
        write_note(root, CLAIM, status_note(samples.job()))
    assert caught.value.code == "E201"


def test_status_txt_of_a_person_stays(samples, root) -> None:
    (root.processing / CLAIM).mkdir()
    theirs = root.processing / CLAIM / "STATUS.txt"
    theirs.write_text("mine")
    write_note(root, CLAIM, status_note(samples.job()))
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("left", [b"", b"\0" * 700])
def test_what_a_power_cut_leaves_of_a_note_is_replaced_and_removed_as_ours(samples, root, left) -> None:
    (root.processing / CLAIM).mkdir()
    note = root.processing / CLAIM / "STATUS.txt"
    note.write_bytes(left)
    write_note(root, CLAIM, status_note(samples.job()))
    assert b"heygemd" in note.read_bytes()
    note.write_bytes(left)
    with open_folder(note.parent) as fd:
        remove_notes(DISK, fd)
    assert not note.exists()


def test_links_are_not_followed(samples, root, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root.processing / CLAIM).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError) as caught:
        write_note(root, CLAIM, status_note(samples.job()))
    assert caught.value.code == "E202"
    (root.processing / CLAIM).unlink()
    (root.processing / CLAIM).mkdir()
    (root.processing / CLAIM / "STATUS.txt").symlink_to(tmp_path / "elsewhere/file")
    write_note(root, CLAIM, status_note(samples.job()))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_refused_at_any_step_it_leaves_no_part(samples, root, code) -> None:
    (root.processing / CLAIM).mkdir()
    for failing in range(3):

        def fault(step: int, call: str, at: int = failing) -> None:
            if step == at:
                raise OSError(code, "refused")

        with pytest.raises(ResourceError) as caught:
            write_note(root, CLAIM, status_note(samples.job()), disk=FaultyDisk(fault))
        assert caught.value.code == "E202"
        assert not list((root.processing / CLAIM).iterdir())
