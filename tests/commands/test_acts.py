"""`heygemd retry`, `cancel` and `prune`, with and without a daemon."""

import json
import threading
from datetime import timedelta

import pytest

from heygemd import places
from heygemd.jobs.requests import Act, RequestBook
from heygemd.outbox.report import Report
from tests.commands.conftest import NOW

OK, FAILED, USAGE = 0, 1, 2


@pytest.fixture
def asked(house):
    """A function that returns what was asked for and not done yet."""

    def requests():
        with RequestBook.open(house.state_dir / "jobs.sqlite") as book:
            return [(request.act, request.target, dict(request.options)) for request in book.open_requests(1000)]

    return requests


@pytest.fixture
def daemon(house):
    """A fake that holds the lock and answers every request; `refusals` by target."""
    refusals, stop = {}, threading.Event()

    def answer():
        with RequestBook.open(house.state_dir / "jobs.sqlite") as book:
            while not stop.wait(0.02):
                for request in book.open_requests():
                    note = refusals.get(request.target)
                    book.end(request, at=NOW, note=note or "put back", refused=note is not None)

    with places.locked(house.state_dir / "lock"):
        thread = threading.Thread(target=answer)
        thread.start()
        yield refusals
        stop.set()
        thread.join()


@pytest.mark.usefixtures("daemon")
def test_a_running_daemon_answers_with_a_note(call, house):
    job = house.add("film", "failed", code="E131")
    found = call("retry", "film", *house.where)
    assert found.exit_code == OK, found.stderr
    _, line = found.stdout.splitlines()
    assert line.split() == ["done", "film", "put", "back", job.id]
    assert found.stderr == ""


def test_a_refusal_is_told_and_ends_with_1(call, house, daemon):
    job = house.add("film", "running", "done")
    daemon[job.id] = "it is done; drop its files again"
    found = call("retry", job.id, *house.where, "--json")
    assert found.exit_code == FAILED
    (answer,) = json.loads(found.stdout)
    assert (answer["outcome"], answer["note"]) == ("refused", "it is done; drop its files again")


def test_without_a_daemon_it_is_done_at_its_next_start(call, house, asked):
    job = house.add("film", "failed", code="E131")
    found = call("retry", job.id8, *house.where)
    assert found.exit_code == OK
    assert "next start" in found.stderr
    assert "later" in found.stdout
    assert asked() == [(Act.RETRY, job.id, {})]


def test_who_does_not_wait_is_told_that_it_was_asked_for(call, house, asked):
    job = house.add("film")
    with places.locked(house.state_dir / "lock"):
        found = call("cancel", job.id, *house.where, "--no-wait")
    assert found.exit_code == OK
    assert "asked" in found.stdout
    assert asked() == [(Act.CANCEL, job.id, {})]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--failed"], ["a", "b", "old"]),
        (["--code", "E131"], ["a", "old"]),
        (["--failed", "--folder", "show"], ["b"]),
        (["--name", "[ab]"], ["a", "b"]),
        (["--since", "1h"], ["a", "b"]),
        (["c"], ["c"]),
        (["a", "b", "a"], ["a", "b"]),
        (["c", "--code", "e131"], ["c", "a", "old"]),
    ],
    ids=str,
)
def test_retry_means_all_that_fit_each_once(call, house, asked, words, names):
    jobs = {"old": house.add("old", "failed", code="E131", age=timedelta(hours=3))}
    jobs |= {"a": house.add("a", "failed", code="E131"), "b": house.add("b", "failed", code="E132", folder="show")}
    jobs |= {"c": house.add("c", "cancelled"), "d": house.add("d")}
    assert call("retry", *words, *house.where).exit_code == OK
    assert {target for _, target, _ in asked()} == {jobs[name].id for name in names}
    assert len(asked()) == len(names)


@pytest.mark.parametrize(
    ("words", "names"),
    [(["--queued"], ["a", "b"]), (["--folder", "show"], ["b", "run"]), (["--queued", "--folder", "show"], ["b"])],
    ids=str,
)
def test_cancel_means_what_waits_and_what_was_named(call, house, asked, words, names):
    jobs = {"a": house.add("a"), "b": house.add("b", folder="show/x")}
    jobs |= {"run": house.add("run", "running", folder="show"), "done": house.add("done", "failed", folder="show")}
    assert call("cancel", *words, *house.where).exit_code == OK
    assert {target for _, target, _ in asked()} == {jobs[name].id for name in names}


def test_of_several_films_of_one_name_the_one_that_can_be_cancelled_is_meant(call, house, asked):
    house.add("film", "failed")
    job = house.add("film")
    assert call("cancel", "film", *house.where).exit_code == OK
    assert asked() == [(Act.CANCEL, job.id, {})]
    house.add("film")
    found = call("cancel", "film", *house.where)
    assert found.exit_code == USAGE
    assert job.id in found.stderr


def test_nothing_named_and_nobody_found_are_errors_of_usage(call, house, asked):
    for words in (["retry"], ["cancel"], ["retry", "nobody"], ["cancel", "nobody"], ["retry", "--code", "E1"]):
        found = call(*words, *house.where)
        assert (found.exit_code, found.stdout) == (USAGE, ""), words
    assert asked() == []


def test_nothing_that_fits_is_no_error(call, house, asked):
    found = call("retry", "--failed", *house.where, "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (OK, [])
    assert asked() == []


def test_a_dry_run_only_lists(call, house, asked):
    jobs = [house.add(name, "failed", code="E131") for name in ("a", "b\x1b[31m")]
    found = call("retry", "--failed", "--dry-run", *house.where)
    assert [line.split()[0] for line in found.stdout.splitlines()] == [job.id for job in jobs]
    assert "\x1b" not in found.stdout
    assert len(json.loads(call("retry", "--failed", "--dry-run", "--json", *house.where).stdout)) == 2
    assert asked() == []


@pytest.fixture
def terminal(monkeypatch):
    """A person sits there, says `answer`, and is remembered."""
    questions = []

    def say(answer):
        def confirm(text, **how):
            questions.append(text)
            return answer

        monkeypatch.setattr("heygemd.commands.acts.is_attended", lambda: True)
        monkeypatch.setattr("heygemd.commands.acts.typer.confirm", confirm)
        return questions

    return say


def test_many_are_not_begun_without_asking_back(call, house, asked, terminal):
    for number in range(21):
        house.add(f"film {number}")
    questions = terminal(answer=False)
    found = call("cancel", "--queued", *house.where)
    assert found.exit_code == USAGE
    assert asked() == []
    assert len(questions) == 1
    assert "21" in questions[0]
    assert call("cancel", "--queued", "--yes", *house.where).exit_code == OK
    assert len(asked()) == 21
    assert len(questions) == 1


def test_a_few_and_a_script_are_not_asked(call, house, asked, terminal):
    for number in range(20):
        house.add(f"film {number}")
    questions = terminal(answer=False)
    assert call("cancel", "--queued", *house.where).exit_code == OK
    assert len(asked()) == 20
    assert questions == []


def test_ctrl_c_while_waiting_takes_nothing_back(call, house, asked, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("heygemd.acts.asking.places.holder_of", interrupt)
    job = house.add("film", "failed")
    found = call("retry", job.id, *house.where)
    assert found.exit_code == 130
    assert "will be done" in found.stderr
    assert asked() == [(Act.RETRY, job.id, {})]


def test_chinese_is_spoken_where_it_is_read(call, house, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    house.add("你好", "failed", code="E131")
    found = call("retry", "你好", *house.where)
    assert "守护进程未运行" in found.stderr
    assert found.stdout.splitlines()[0].split() == ["结果", "视频", "说明", "任务"]


# Prune --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {"done_days": None, "failed_days": None, "cache": False}),
        (["--done-days", "7", "--cache"], {"done_days": 7, "failed_days": None, "cache": True}),
        (["--failed-days", "3"], {"done_days": None, "failed_days": 3, "cache": False}),
    ],
    ids=str,
)
def test_prune_asks_with_the_ages_that_were_given(call, house, asked, words, options):
    assert call("prune", *words, *house.where).exit_code == OK
    assert asked() == [(Act.PRUNE, "", options)]


@pytest.mark.usefixtures("daemon")
def test_prune_tells_what_the_daemon_has_deleted(call, house):
    (answer,) = json.loads(call("prune", *house.where, "--json").stdout)
    assert (answer["act"], answer["outcome"], answer["note"]) == ("prune", "done", "put back")


def test_an_age_of_nothing_is_an_error_of_usage(call, house, asked):
    assert call("prune", "--done-days", "0", *house.where).exit_code == USAGE
    assert asked() == []


def test_a_dry_prune_lists_folders_and_sizes_and_asks_for_nothing(call, house, asked):
    old = house.root.done / "2020-01-01" / "old__aaaaaaaa"
    old.mkdir(parents=True)
    (old / "film.mp4").write_bytes(b"x" * 100_000)
    job = house.add("bad", "failed", code="E131")
    fresh = house.root.failed / f"bad__{job.id8}"
    fresh.mkdir()
    (fresh / "error.json").write_text(Report.of_ended(job, finished_at=NOW).to_json())
    (house.state_dir / "cache" / "tracks").mkdir(parents=True)
    (house.state_dir / "cache" / "tracks" / "ab-x.npz").write_bytes(b"x" * 2048)
    found = call("prune", "--dry-run", "--cache", "-c", house.config)
    assert found.exit_code == OK
    assert str(old) in found.stdout
    assert str(fresh) not in found.stdout
    assert "folders that would be deleted: 1, reports: 0" in found.stdout
    assert "2 KiB" in found.stdout
    told = json.loads(call("prune", "--dry-run", "--done-days", "99999", "-c", house.config, "--json").stdout)
    assert (told["roots"][0]["folders"], told["cache_bytes"]) == ([], None)
    assert old.exists()
    assert asked() == []
