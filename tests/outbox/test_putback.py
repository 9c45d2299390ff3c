"""The folder of a failed job goes back into the inbox: one rename, and only its own."""

import json

import pytest

from heygemd.errors import ResourceError
from heygemd.outbox.originals import ERROR_NAME
from heygemd.outbox.putback import put_back_inputs


@pytest.fixture
def failed(root, samples):
    """A job, and a function that makes a folder in failed/ whose error.json names a job."""

    def make(name, job_id):
        folder = root.failed / name
        folder.mkdir()
        report = json.loads(samples.report(samples.job(id=job_id)).to_json())
        (folder / ERROR_NAME).write_text(json.dumps(report))
        (folder / "anna.mp4").write_bytes(b"v")
        return folder

    return make


def test_the_folder_goes_back_where_the_files_came_from(root, samples, failed):
    job = samples.job(folder="shoot/day 1")
    failed(f"anna__{job.id8}", job.id)
    assert put_back_inputs(job, root) == f"inbox/shoot/day 1/anna__{job.id8}"
    assert (root.inbox / "shoot/day 1" / f"anna__{job.id8}" / "anna.mp4").read_bytes() == b"v"
    assert list(root.failed.iterdir()) == []


def test_a_second_time_after_a_crash_there_is_nothing_to_do_and_that_is_no_failure(root, samples, failed):
    job = samples.job(folder="shoot")
    failed(f"anna__{job.id8}", job.id)
    place = put_back_inputs(job, root)
    assert put_back_inputs(job, root) == place
    (root.path / place).rename(root.path / "taken up meanwhile")
    assert put_back_inputs(job, root) is None


def test_a_folder_that_names_another_job_is_left_alone(root, samples, failed):
    job = samples.job()
    folder = failed(f"anna__{job.id8}", "20200101T000000000-zzzzzzzz")
    assert put_back_inputs(job, root) is None
    assert folder.is_dir()


def test_of_several_the_latest_goes_back(root, samples, failed):
    job = samples.job()
    for name in (f"anna__{job.id8}", f"anna__{job.id8}.2", f"anna__{job.id8}.10"):
        failed(name, job.id)
    assert put_back_inputs(job, root) == f"inbox/anna__{job.id8}.10"


def test_a_folder_under_the_id_of_a_later_claim_is_found(root, samples, failed):
    job = samples.job()
    failed("anna__abcdefgh", job.id)
    assert put_back_inputs(job, root) == "inbox/anna__abcdefgh"


def test_nothing_in_the_inbox_is_replaced(root, samples, failed):
    job = samples.job()
    folder = failed(f"anna__{job.id8}", job.id)
    (root.inbox / folder.name).mkdir()
    assert put_back_inputs(job, root) is None
    assert folder.is_dir()


def test_a_link_in_the_way_is_not_followed(root, samples, failed, tmp_path):
    job = samples.job(folder="out")
    failed(f"anna__{job.id8}", job.id)
    (root.inbox / "out").symlink_to(tmp_path)
    with pytest.raises(ResourceError):
        put_back_inputs(job, root)
    assert not (tmp_path / f"anna__{job.id8}").exists()


def test_an_absent_root_is_no_answer(root, samples, failed):
    job = samples.job()
    failed(f"anna__{job.id8}", job.id)
    root.sentinel.unlink()
    with pytest.raises(ResourceError) as caught:
        put_back_inputs(job, root)
    assert caught.value.code == "E201"
