"""What people are shown, and what scripts are told."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import typer
from typer.testing import CliRunner

from heygemd.commands.status import register
from heygemd.errors import ADVICE
from heygemd.jobs.states import JobState
from heygemd.settings import Settings
from heygemd.status import showing
from heygemd.status.reading import read_status
from heygemd.vitals import RootVitals, write_vitals
from tests.status.rig import NOW, shown, tell
from tests.top.samples import device, vitals
from tests.top.samples import running as running_vitals


def test_a_daemon_that_runs_says_since_when_and_what_it_does(settings, root, daemon, add):
    job = add("working", JobState.RUNNING)
    daemon(jobs=(replace(running_vitals(1, "working"), job=job.id),))
    found = read_status(settings)
    assert (found["standing"], found["vitals"]["host"]) == ("running", "studio-3")
    assert found["vitals_age_s"] < 60
    (row,) = found["jobs"]
    assert (row["stage"], row["frames_done"], row["left_s"], row["device"]) == ("render", 700, 31.0, "cuda:0")
    text = shown(found)
    assert "(5 h 00 min)" in text.splitlines()[0]
    for words in (
        "render 700/1525, 31 s left, cuda:0", "last hour: 12 films",
        "device cuda:0 NVIDIA H200: 32.0 GiB of 139 GiB used",
        "87 %, 64 °C, 2 of 4 workers busy",
    ):  # fmt: skip
        assert words in text, words


def test_what_is_wrong_with_the_daemon_comes_with_what_to_do(settings, daemon):
    daemon(paused="E202 the store cannot be written", reload_error="line 3: no", needs_restart=("roots",),
           devices=(device(is_lost=True), device("cuda:1", throttle=("thermal",))))  # fmt: skip
    lines = shown(read_status(settings)).splitlines()
    assert lines[1:5] == [
        "  paused: E202 the store cannot be written",
        f"    → {ADVICE['E202'].todo}",
        "  the new configuration was refused, the old one holds: line 3: no",
        "  roots: changed, but holds only after a restart: sudo systemctl restart heygemd",
    ]
    assert any("LOST" in line for line in lines)
    assert any("slowed: thermal" in line for line in lines)


def test_a_daemon_that_says_nothing_hangs(settings, daemon):
    daemon(written_at=datetime.now(UTC) - timedelta(minutes=5))
    found = read_status(settings)
    assert found["standing"] == "silent"
    first, second, *_ = shown(found).splitlines()
    assert first.startswith("daemon: HANGS? it has said nothing for 5 min")
    assert "systemctl restart heygemd" in second


def test_a_daemon_that_has_gone_is_told_with_its_last_word(settings, monkeypatch, tmp_path):
    write_vitals(settings.state_dir, vitals(written_at=datetime.now(UTC) - timedelta(minutes=12), roots=()))
    found = read_status(settings)
    assert (found["running"], found["standing"]) == (False, "stopped")
    first, second, *rest = shown(found).splitlines()
    assert first.startswith("daemon: not running (last seen ")
    assert "12 min ago" in first
    assert second == "  start it: heygemd run --config /etc/heygemd/heygemd.toml"
    assert not any("device" in line for line in rest)
    monkeypatch.setattr(showing, "UNIT_FILES", (tmp_path,))
    assert "sudo systemctl start heygemd; why it ended: journalctl -u heygemd" in shown(found)


def test_the_state_directory_alone_leads_to_everything(settings, root, daemon):
    tell(
        root, waiting=[{"path": "a.wav", "reason": "x", "since": NOW.isoformat(), "why": "PARTNER", "needs_you": True}]
    )
    daemon(roots=(RootVitals(path=str(root.path), uuid=root.uuid, state="online"),))
    found = read_status(Settings(state_dir=settings.state_dir))
    assert list(found["roots"]) == [str(root.path)]
    assert found["needs_you"] == [{"root": str(root.path), "path": "a.wav", "why": "PARTNER", "reason": "x"}]
    text = shown(found)
    assert "needs you (1)\n  a.wav: waits for its partner\n    → Put a video and a sound with the same name" in text


def test_waiting_films_tell_when_they_start_and_what_for(settings, root, add):
    late, soon = add("late"), add("soon", folder="a")
    entries = [
        {"job": late.id, "name": "late", "folder": "", "queued_at": NOW.isoformat(), "position": 2,
         "waits_for": "E301 too little memory"},
        {"job": soon.id, "name": "soon", "folder": "a", "queued_at": NOW.isoformat(), "position": 1,
         "starts_at": (NOW + timedelta(minutes=5)).isoformat()},
    ]  # fmt: skip
    tell(root, schema=2, queue=entries)
    found = read_status(settings)
    assert [row["name"] for row in found["jobs"]] == ["soon", "late"]
    assert found["jobs"][0]["starts_at"]
    text = shown(found)
    assert "E301 too little memory" in text
    assert re.search(r"a/soon +\d\d:\d\d +its turn", text) or re.search(r"a/soon +\d\d-\d\d \d\d:\d\d +its turn", text)


def test_a_long_queue_does_not_hide_the_rest(settings, add):
    for number in range(14):
        add(f"film {number}")
    found = read_status(settings)
    assert len(found["jobs"]) == 14
    assert "  and 4 more: heygemd jobs --state queued" in shown(found)


def test_a_root_that_cannot_be_reached_is_told_with_what_to_do(settings, root):
    gone = root.path.rename(root.path.with_name("elsewhere"))
    found = read_status(settings)
    assert found["roots"] == {str(root.path): {"trouble": "E201 it is not there"}}
    text = shown(found)
    assert f"root {root.path}: E201 it is not there\n  → {ADVICE['E201'].todo}" in text
    assert gone.exists()


@pytest.mark.parametrize("name", ["\x1b[2Jgone", "two\nlines", "\u202egpj", "名" * 100])
def test_names_cannot_speak_to_the_terminal(settings, root, add, name):
    waiting = {"path": name, "reason": name, "since": NOW.isoformat(), "why": "X", "needs_you": True}
    problems = [{"path": name, "message": name}]
    tell(root, schema=2, waiting=[waiting, waiting | {"needs_you": False}], problems=problems)
    add(name, JobState.FAILED, error_code="E500", error_message=name)
    add(name, folder=name)
    text = shown(read_status(settings))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)


def test_chinese_is_spoken(settings, root, daemon, add, monkeypatch):
    add("bad", JobState.FAILED, error_code="E131", error_message="no face")
    daemon(paused="E202 x")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    found = read_status(settings)
    text = shown(found)
    for words in ("守护进程：运行中", "已暂停: E202", ADVICE["E131"].todo_zh, "任务: 1 失败", "根目录", "工作进程 2/4"):
        assert words in text, words
    assert found["results"][0]["advice"] == ADVICE["E131"].todo


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(settings):
    """A function that runs the command; the program's logging is left as it was."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    before = structlog.get_config()
    yield lambda *words: CliRunner().invoke(app, ["status", "--state-dir", str(settings.state_dir), *words])
    structlog.configure(**before)


def test_the_exit_status_tells_a_script_only_when_it_asks(call, daemon, settings):
    daemon()
    assert (call().exit_code, call("--exit-code").exit_code) == (0, 0)
    daemon(written_at=datetime.now(UTC) - timedelta(minutes=5))
    assert (call().exit_code, call("--exit-code").exit_code) == (0, 4)


def test_a_daemon_that_does_not_run_is_exit_3(call):
    assert (call().exit_code, call("--exit-code", "--json").exit_code) == (0, 3)
    assert json.loads(call("--json").stdout)["standing"] == "never"
