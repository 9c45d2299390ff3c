"""Which jobs are duplicates, and what becomes of them."""

import hashlib
from dataclasses import replace

import pytest

from heygemd.daemon.twins import Twins
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.planning.plan import EngineChoice
from tests.daemon.conftest import FILM, NOON, _film_of, _new_job

PASSTHROUGH = EngineChoice(name=EngineName.PASSTHROUGH)


@pytest.fixture
def twins(bench):
    return Twins(bench.store, bench.handover, lambda wanted: PASSTHROUGH)


def added(twins, bench, job):
    judged = twins.judge(job)
    bench.store.add(judged)
    return judged


def publish(bench, job, tmp_path, content=FILM):
    running = bench.store.move(job.id, JobState.RUNNING, at=NOON)
    bench.handover.film_ready(_film_of(running, tmp_path, content))
    bench.settle()
    return bench.store.get(job.id)


def test_the_same_bytes_and_options_are_a_duplicate(twins, bench, root):
    first = added(twins, bench, _new_job(root, 1))
    second = added(twins, bench, _new_job(root, 2, "ben"))
    assert first.duplicate_of is None
    assert (second.duplicate_of, second.content_key) == (first.id, first.content_key)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, video=replace(job.video, sha256="other")),
        lambda job: replace(job, audio=replace(job.audio, sha256="other")),
        lambda job: replace(job, options=RenderOptions(crf=30)),
        lambda job: replace(job, root="another"),
    ],
    ids=["picture", "sound", "options", "root"],
)
def test_whatever_would_give_another_film_is_none(twins, bench, root, change):
    added(twins, bench, _new_job(root, 1))
    assert twins.judge(change(_new_job(root, 2, "ben"))).duplicate_of is None


def test_another_version_or_other_weights_are_no_duplicate(bench, root, monkeypatch):
    from heygemd.daemon import twins as module

    weights = iter(["one", "two", "two"])
    twins = Twins(bench.store, bench.handover, lambda wanted: replace(PASSTHROUGH, weights_sha256=next(weights)))
    keys = [twins.judge(_new_job(root, number, f"a{number}")).content_key for number in (1, 2)]
    monkeypatch.setattr(module, "__version__", "99")
    keys.append(twins.judge(_new_job(root, 3, "a3")).content_key)
    assert len(set(keys)) == 3


def test_an_engine_that_cannot_be_had_makes_no_duplicates(bench, root):
    def refuse(wanted):
        raise SetupError("E402", "no weights")

    job = _new_job(root)
    assert Twins(bench.store, bench.handover, refuse).judge(job) == job


def test_a_duplicate_waits_for_its_original_and_is_given_a_copy(twins, bench, root, tmp_path):
    first = added(twins, bench, _new_job(root, 1))
    second = added(twins, bench, _new_job(root, 2, "ben"))
    twins.tick()
    assert bench.store.get(second.id).state is JobState.QUEUED
    publish(bench, first, tmp_path)
    twins.tick()
    assert bench.settle() == (second.id,)
    done = bench.store.get(second.id)
    assert (done.state, done.published_name) == (JobState.DONE, "ben.mp4")
    assert done.film_sha256 == hashlib.sha256(FILM).hexdigest()
    assert (root.outbox / "ben.mp4").read_bytes() == FILM
    assert done.claim_dir is None


def test_a_duplicate_of_the_same_name_leaves_the_film_as_it_is(twins, bench, root, tmp_path):
    first = added(twins, bench, _new_job(root, 1))
    publish(bench, first, tmp_path)
    second = added(twins, bench, replace(_new_job(root, 2, "copy"), name="anna"))
    twins.tick()
    bench.settle()
    assert bench.store.get(second.id).published_name == "anna.mp4"
    assert [path.name for path in root.outbox.glob("*.mp4")] == ["anna.mp4"]


def test_a_film_that_was_taken_away_is_made_again(twins, bench, root, tmp_path):
    first = added(twins, bench, _new_job(root, 1))
    publish(bench, first, tmp_path)
    (root.outbox / "anna.mp4").unlink()
    second = added(twins, bench, _new_job(root, 2, "ben"))
    twins.tick()
    bench.settle()
    job = bench.store.get(second.id)
    assert (job.state, job.duplicate_of, job.attempts) == (JobState.QUEUED, None, 0)
    assert not bench.handover.has(second.id)
    assert bench.store.queue(5) == [job]


def test_a_film_that_somebody_changed_is_made_again(twins, bench, root, tmp_path):
    first = added(twins, bench, _new_job(root, 1))
    publish(bench, first, tmp_path)
    (root.outbox / "anna.mp4").write_bytes(b"edited")
    second = added(twins, bench, _new_job(root, 2, "ben"))
    twins.tick()
    bench.settle()
    assert bench.store.get(second.id).duplicate_of is None


def test_a_duplicate_without_files_fails_when_the_film_is_gone(twins, bench, root, tmp_path):
    first = added(twins, bench, _new_job(root, 1))
    publish(bench, first, tmp_path)
    (root.outbox / "anna.mp4").unlink()
    second = replace(_new_job(root, 2, "ben"), claim_dir=None, duplicate_of=first.id)
    bench.store.add(second)
    twins.tick()
    bench.settle()
    job = bench.store.get(second.id)
    assert (job.state, job.error_code) == (JobState.FAILED, "E102")
    assert any((folder / "REASON.txt").exists() for folder in root.failed.iterdir())


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED])
def test_a_duplicate_of_a_job_that_was_given_up_goes_its_own_way(twins, bench, root, end):
    first = added(twins, bench, _new_job(root, 1))
    second = added(twins, bench, _new_job(root, 2, "ben"))
    bench.store.move(first.id, end, at=NOON)
    twins.tick()
    assert bench.store.get(second.id).duplicate_of is None


def test_a_crash_while_copying_copies_once(twins, bench, root, tmp_path, open_bench):
    first = added(twins, bench, _new_job(root, 1))
    second = added(twins, bench, _new_job(root, 2, "ben"))
    publish(bench, first, tmp_path)
    twins.tick()
    bench.handover.tick()
    bench.store.recover(NOON)
    other = open_bench()
    again = Twins(bench.store, other.handover, lambda wanted: PASSTHROUGH)
    again.tick()
    other.settle()
    assert bench.store.get(second.id).state is JobState.DONE
    assert sorted(path.name for path in root.outbox.glob("*.mp4")) == ["anna.mp4", "ben.mp4"]
