"""What commands write and the daemon carries out."""

import os
import sqlite3
from datetime import UTC, datetime

import pytest

from heygemd.errors import SetupError
from heygemd.jobs.database import Database
from heygemd.jobs.requests import KEPT, Act, RequestBook
from heygemd.jobs.store import JobStore

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def store(file):
    with JobStore(file) as store:
        yield store


@pytest.fixture
def book(store, file):
    with RequestBook.open(file) as book:
        yield book


def ask(book, target="job-1", act=Act.CANCEL, **options):
    return book.ask(act, target, by="anna", at=NOON, options=options)


def test_what_is_asked_for_reaches_the_daemon_in_order(book, store):
    first, second = ask(book, "a"), ask(book, "b", Act.RETRY)
    assert store.requests.open_requests() == [first, second]
    assert (first.act, first.target, first.asked_by, first.asked_at) == (Act.CANCEL, "a", "anna", NOON)


def test_the_same_words_are_one_request_until_they_are_carried_out(book, store):
    first = ask(book, "", Act.PRUNE, cache=True, done_days=3)
    assert ask(book, "", Act.PRUNE, done_days=3, cache=True) == first
    assert ask(book, "", Act.PRUNE, done_days=4, cache=True).seq != first.seq
    store.requests.end(first, at=NOON, note="done")
    assert ask(book, "", Act.PRUNE, done_days=3, cache=True).seq > first.seq


def test_the_asker_learns_what_came_of_it(book, store):
    asked = ask(book)
    store.requests.end(asked, at=NOON, note="it has ended already", refused=True)
    told = book.get(asked.seq)
    assert (told.is_refused, told.note, told.ended_at) == (True, "it has ended already", NOON)
    assert store.requests.open_requests() == []
    assert [request.seq for request in book.latest(5)] == [asked.seq]


def test_an_answer_is_not_given_twice(book, store):
    asked = ask(book)
    store.requests.end(asked, at=NOON, note="first")
    store.requests.end(asked, at=NOON, note="second", refused=True)
    assert (book.get(asked.seq).note, book.get(asked.seq).is_refused) == ("first", False)


def test_old_answers_are_forgotten_and_open_requests_are_not(book, store):
    waiting = ask(book, "waits")
    for number in range(KEPT + 20):
        store.requests.end(ask(book, f"job-{number}"), at=NOON, note="")
    assert len(book.latest(KEPT * 2)) == KEPT + 1
    assert store.requests.open_requests() == [waiting]


def test_asking_makes_no_store(tmp_path):
    with pytest.raises(SetupError, match="no job store") as caught:
        RequestBook.open(tmp_path / "jobs.sqlite")
    assert caught.value.code == "E401"
    assert list(tmp_path.iterdir()) == []


def test_asking_does_not_migrate(file, store):
    store.close()
    database = Database(file)
    database.execute("PRAGMA user_version = 3")
    database.close()
    with pytest.raises(SetupError, match="schema 3"):
        RequestBook.open(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_user_without_rights_is_told_to_use_sudo(file, store):
    file.chmod(0o400)
    with pytest.raises(SetupError) as caught:
        RequestBook.open(file)
    assert caught.value.code == "E407"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_to_use_sudo(file, store, tmp_path):
    tmp_path.chmod(0o700)
    found = _as_nobody(lambda: RequestBook.open(file)), _as_nobody(lambda: JobStore.open_readonly(file))
    assert found == ("E407", "E407")


def _as_nobody(call):
    """Return the code of the error that `call` raises for the user `nobody`, in a process of its own."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            call()
        except SetupError as error:
            os.write(into, error.code.encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as pipe:
        return pipe.read()


def test_only_some_acts_are_asked_for_and_from_a_number_on(book, store):
    asked = [ask(book, str(number), act) for number, act in enumerate([Act.RETRY, Act.CANCEL, Act.RETRY, Act.PRUNE])]
    assert store.requests.open_requests(acts=[Act.RETRY]) == [asked[0], asked[2]]
    assert store.requests.open_requests(acts=[Act.CANCEL, Act.PRUNE], after=asked[1].seq) == [asked[3]]
    assert store.requests.open_requests(1, after=asked[0].seq) == [asked[1]]
    assert store.requests.open_requests(acts=[]) == []


@pytest.mark.parametrize("options", ["[]", "3", "null"])
def test_a_row_that_the_daemon_could_not_read_is_not_taken(file, store, options):
    """It would be met again at every tick."""
    with sqlite3.connect(file) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(
            "INSERT INTO request (act, target, options, asked_by, asked_at) VALUES ('prune', '', ?, 'a', ?)",
            (options, NOON.isoformat()),
        )
    db.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_asks_and_leaves_nothing_that_the_daemon_cannot_write(file, tmp_path):
    """`sudo heygemd cancel` while no daemon runs: the log beside the store must belong to the daemon's user."""
    JobStore(file).close()
    os.chown(file, 65534, 65534)
    book = RequestBook.open(file)
    ask(book)
    beside = [path for path in tmp_path.iterdir() if path != file]
    assert beside
    assert {path.stat().st_uid for path in beside} == {65534}
    book.close()
