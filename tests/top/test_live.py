"""`heygemd top` as a person meets it: on a terminal, with keys, while the daemon's words change."""

import json
import os
import pty
import signal
import termios
import time
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import typer
from typer.testing import CliRunner

from heygemd import places
from heygemd.commands import top
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.requests import Act
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.vitals import Counts, write_vitals
from tests.top.samples import running, vitals
from tests.top.terminal_rig import Terminal

ALTERNATE_SCREEN, NORMAL_SCREEN, CURSOR_ON = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def tell(state):
    """A function that writes the vitals of a daemon that seems to be this process."""

    def write(**fields):
        now = datetime.now(UTC)
        base = {"written_at": now, "started_at": now - timedelta(hours=2), "pid": os.getpid(), "roots": ()}
        write_vitals(state, vitals(**base | fields))

    return write


@pytest.fixture
def daemon(state, tell):
    """A daemon that holds its lock and has two films in work."""
    with places.locked(state / "lock"):
        tell()
        yield tell


@pytest.fixture
def add(state):
    """A function that puts a job into the store."""

    def put(name, *states, **how):
        at = datetime.now(UTC) - timedelta(minutes=3)
        one = InputFile(name=name, path=state / name, size_bytes=1, sha256="aa")
        job = Job(
            id=new_job_id(at), root="u", name=name, folder="", state=JobState.QUEUED, video=one, audio=one,
            options=RenderOptions(), media=None, claim_dir=None, queued_at=at, not_before=at,
        )  # fmt: skip
        with JobStore(state / "jobs.sqlite") as store:
            store.add(job)
            for one_state in states:
                store.move(job.id, one_state, at=at, **(how if one_state is states[-1] else {}))
        return job

    return put


@pytest.fixture
def watch(state, tmp_path):
    """A function that starts `top` on a terminal; all of them end with the test."""
    terminals = []

    def start(*words, size=(80, 24), **env):
        words = ("--state-dir", str(state), "--interval", "0.2", *words)
        home = {"XDG_STATE_HOME": str(tmp_path / "xdg"), "XDG_CONFIG_HOME": str(tmp_path)}
        terminal = Terminal(*words, env=home | env, size=size, cwd=tmp_path)
        terminals.append(terminal)
        return terminal

    yield start
    for terminal in terminals:
        terminal.__exit__()


@pytest.mark.pty
def test_it_follows_the_daemon_and_leaves_the_terminal_as_it_was(daemon, watch):
    terminal = watch()
    terminal.wait_for("anna")
    assert termios.tcgetattr(terminal.slave)[3] & (termios.ECHO | termios.ICANON) == 0
    daemon(jobs=(running(1, "anna", frames_done=1400),))
    terminal.wait_for("1400/1525")
    terminal.press("q")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.settings
    assert terminal.told.count(ALTERNATE_SCREEN) == terminal.told.count(NORMAL_SCREEN) == 1
    assert terminal.told.rindex(CURSOR_ON) > terminal.told.rindex("anna")


@pytest.mark.pty
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"])
def test_a_signal_ends_it_with_the_terminal_restored(daemon, watch, number, status):
    terminal = watch()
    terminal.wait_for("anna")
    terminal.process.send_signal(number)
    assert terminal.end() == status
    assert termios.tcgetattr(terminal.slave) == terminal.settings
    assert NORMAL_SCREEN in terminal.told


@pytest.mark.pty
def test_ctrl_c_ends_it(daemon, watch):
    terminal = watch()
    terminal.wait_for("anna")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.settings


@pytest.mark.pty
def test_ctrl_z_gives_the_terminal_to_the_shell_and_takes_it_again(daemon, watch):
    terminal = watch()
    terminal.wait_for("anna")
    terminal.press("\x1a")
    found, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
    assert found
    assert os.WIFSTOPPED(status)
    assert termios.tcgetattr(terminal.slave) == terminal.settings
    while terminal.hear(0.05):
        pass
    assert terminal.told.rstrip().endswith(CURSOR_ON) or NORMAL_SCREEN in terminal.told
    terminal.told = ""
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for("anna")
    assert ALTERNATE_SCREEN in terminal.told
    terminal.press("q")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.settings


@pytest.mark.pty
def test_a_terminal_that_goes_away_ends_it(daemon, watch):
    terminal = watch()
    terminal.wait_for("anna")
    os.close(terminal.slave)
    os.close(terminal.master)
    assert terminal.process.wait(timeout=10) in (0, 128 + signal.SIGHUP), "and not with a traceback"
    terminal.master, terminal.slave = pty.openpty()


@pytest.mark.pty
def test_another_size_gives_another_picture(daemon, watch):
    terminal = watch()
    screen = terminal.wait_for("anna")
    assert (len(screen), any("LENGTH" in line for line in screen[:7])) == (24, False)
    terminal.resize(132, 50)
    screen = terminal.wait_for(lambda lines: len(lines) == 50 and len(lines[0]) == 132)
    assert any("WORKERS" in line or "ENGINE" in line for line in screen)
    terminal.resize(30, 8)
    terminal.wait_for("too small")
    terminal.resize(80, 24)
    terminal.wait_for(lambda lines: len(lines) == 24 and any("anna" in line for line in lines))


@pytest.mark.pty
def test_arrows_select_and_enter_shows_the_history(daemon, watch, add):
    failed = add("emil", JobState.RUNNING, JobState.FAILED, error_code="E131", error_message="no face at all")
    daemon(jobs=())
    terminal = watch()
    terminal.wait_for("emil")
    terminal.press("\x1b[B\x1b[A\r")
    screen = terminal.wait_for("HISTORY")
    assert any(failed.id in line for line in screen)
    assert sum("running" in line or "queued" in line or "failed" in line for line in screen) >= 3
    terminal.press("\x1b")
    terminal.wait_for("LAST RESULTS")


@pytest.mark.pty
def test_a_film_is_cancelled_only_after_a_yes_and_the_answer_is_shown(daemon, watch, add, state):
    waiting = add("clara")
    daemon(jobs=())
    terminal = watch()
    terminal.wait_for("clara")
    terminal.press("c")
    terminal.wait_for("y = yes")
    terminal.press("n")
    terminal.wait_for(lambda lines: "quit" in lines[-1])
    with JobStore(state / "jobs.sqlite") as store:
        assert store.requests.open_requests() == []
        terminal.press("c")
        terminal.wait_for("y = yes")
        terminal.press("y")
        terminal.wait_for("asked for")
        (request,) = store.requests.open_requests()
        assert (request.act, request.target) == (Act.CANCEL, waiting.id)
        store.requests.end(request, at=datetime.now(UTC), note="it was cancelled")
    terminal.wait_for("done - it was cancelled")


@pytest.mark.pty
def test_typing_filters_and_escape_ends_it(daemon, watch, add):
    add("bernd")
    daemon(jobs=(running(1, "anna"), running(2, "安娜")))
    terminal = watch()
    terminal.wait_for("bernd")
    terminal.press("/安娜\r")
    screen = terminal.wait_for(lambda lines: not any("bernd" in line for line in lines))
    assert any("安娜" in line and "render" in line for line in screen)
    terminal.press("\x1b")
    terminal.wait_for("bernd")


@pytest.mark.pty
def test_a_frozen_picture_stays(daemon, watch):
    terminal = watch()
    terminal.wait_for("anna")
    terminal.press(" ")
    terminal.wait_for("FROZEN")
    daemon(jobs=(running(1, "zoe"),))
    ends_s = time.monotonic() + 0.6
    while time.monotonic() < ends_s:
        terminal.hear()
    assert not any("zoe" in line for line in terminal.screen())
    terminal.press(" ")
    terminal.wait_for("zoe")


@pytest.mark.pty
def test_a_daemon_that_ends_is_noticed(watch, state, tell):
    with places.locked(state / "lock"):
        tell()
        terminal = watch()
        terminal.wait_for("running")
    screen = terminal.wait_for("no daemon runs")
    assert any("NOT RUNNING" in line for line in screen)


@pytest.mark.pty
def test_stale_vitals_are_called_so(daemon, watch):
    daemon(written_at=datetime.now(UTC) - timedelta(minutes=3))
    screen = watch().wait_for("the daemon hangs?")
    assert any("3 min" in line for line in screen)


@pytest.mark.pty
def test_it_speaks_chinese(daemon, watch):
    screen = watch(LANG="zh_CN.UTF-8").wait_for("制作中")
    assert "运行中" in screen[0]
    assert "退出" in screen[-1]


@pytest.fixture
def call(state):
    """A function that runs the command in this process, without a terminal."""
    app = typer.Typer()
    app.callback()(lambda: None)
    top.register(app)
    before = structlog.get_config()
    place = ("--state-dir", str(state))
    yield lambda *words, is_placed=True: CliRunner().invoke(app, ["top", *(place if is_placed else ()), *words])
    structlog.configure(**before)


@pytest.mark.parametrize("words", [(), ("--once",)], ids=str)
def test_without_a_terminal_it_draws_one_picture(daemon, call, words):
    daemon(counts=Counts(queued=7))
    found = call(*words)
    assert found.exit_code == 0
    assert "\x1b" not in found.stdout
    assert "anna" in found.stdout
    assert "waiting 7" in found.stdout


def test_the_vitals_come_as_json(daemon, call):
    assert json.loads(call("--json").stdout)["pid"] == os.getpid()


def test_without_vitals_the_json_is_null(call):
    assert call("--json").stdout == "null\n"


def test_a_store_that_this_user_may_not_read_is_said_so(call, state, monkeypatch):
    monkeypatch.setenv("HEYGEMD_STATE_DIR", str(state))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = call(is_placed=False)
    assert found.exit_code == 78
    assert found.stderr.startswith("E407")
