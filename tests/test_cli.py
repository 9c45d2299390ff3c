"""What a person or a script sees of each command: exit status, stdout and stderr."""

import json
import os
import subprocess

import pytest
import structlog
from typer.testing import CliRunner

from heygemd import __version__, places
from heygemd.cli import app
from heygemd.commands.options import settings_of
from heygemd.intake.roots import init_root
from heygemd.jobs.store import JobStore
from heygemd.settings import Settings

OK, FAILED, USAGE, INTERRUPTED, SETUP = 0, 1, 2, 130, 78


@pytest.fixture(autouse=True)
def _own_world(tmp_path, monkeypatch):
    """A state home and a language of the test's own; the logging of the other tests is left as it was."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "LC_MESSAGES", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def call():
    """A function that runs one command in this process."""

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def flat(text):
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A picture without a face, of half a second, and a tone of 0.6 s."""
    folder = tmp_path_factory.mktemp("pair")
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    picture = ["testsrc2=s=64x48:r=25:d=0.5", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*make, *picture, str(folder / "face.mp4")], check=True)
    subprocess.run([*make, "sine=duration=0.6:sample_rate=16000", str(folder / "voice.wav")], check=True)
    return folder / "face.mp4", folder / "voice.wav"


@pytest.fixture
def files(tmp_path):
    """Two files that exist; nobody looks into them before the command line is understood."""
    for name in ("face.mp4", "voice.wav"):
        (tmp_path / name).write_bytes(b"not looked at")
    return "-v", "face.mp4", "-a", "voice.wav"


def test_the_version_is_told(call):
    found = call("--version")
    assert (found.exit_code, found.stdout) == (OK, f"heygemd {__version__}\n")


def test_help_is_given_when_nothing_is_asked(call):
    found = call()
    assert "init-root" in found.output
    assert found.exit_code in (OK, USAGE)
    assert call("-h").exit_code == OK


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"], ["run", "--nonsense"], ["render"], ["render", "-v", "a", "-a", "b"],
        ["render", "-v", "a", "-a", "b", "-o", "c.mp4", "--engine", "nonsense"],
        ["render", "-v", "a", "-a", "b", "-o", "c.mp4", "--crf", "41"],
        ["render", "-v", "a", "-a", "b", "-o", "c.mp4", "--audio-offset-ms", "-2001"],
        ["render", "-v", "a", "-a", "b", "-o", "c.mp4", "--segment-s", "nan"],
        ["init-root"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_that_is_not_understood_is_a_usage_error(call, words):
    found = call(*words)
    assert found.exit_code == USAGE
    assert found.stdout == ""
    assert "Usage:" in found.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-v", "absent.mp4", "-a", "voice.wav", "-o", "out.mp4"], "--video: absent.mp4 is not a file"),
        (["-v", ".", "-a", "voice.wav", "-o", "out.mp4"], "--video: . is not a file"),
        (["-v", "face.mp4", "-a", "absent.wav", "-o", "out.mp4"], "--audio: absent.wav is not a file"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "out.avi"], "must end in .mp4"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "absent/out.mp4"], "does not exist"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "face.mp4"], "face.mp4 is one of the inputs"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "./face.mp4", "--overwrite"], "is one of the inputs"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "link.mp4", "--overwrite"], "is one of the inputs"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "hard.mp4", "--overwrite"], "is one of the inputs"),
        (["-v", "face.mp4", "-a", "voice.wav", "-o", "there.mp4"], "exists already; give --overwrite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_render_that_cannot_be_meant_is_refused_before_any_work(call, files, tmp_path, words, sentence):
    (tmp_path / "there.mp4").write_bytes(b"a film")
    (tmp_path / "link.mp4").symlink_to("face.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "face.mp4")
    found = call("render", *words, "--json")
    assert (found.exit_code, found.stdout) == (USAGE, "")
    assert "usage:" in found.stderr
    assert sentence in flat(found.stderr)
    assert (tmp_path / "face.mp4").read_bytes() == b"not looked at"
    assert not (tmp_path / "xdg").exists()


NO_WEIGHTS = ("--engine", "wav2lip")
"""Ends a command that is understood at once, with 78."""


@pytest.mark.parametrize(
    "words",
    [("--preset", "nonsense"), ("--segment-s", "inf")],
    ids=" ".join,
)
def test_a_value_that_can_never_work_is_a_usage_error(call, files, words):
    assert call("render", *files, "-o", "out.mp4", *NO_WEIGHTS, *words).exit_code == USAGE


def test_a_folder_in_the_place_of_the_film_is_a_usage_error(call, files, tmp_path):
    (tmp_path / "out.mp4").mkdir()
    assert call("render", *files, "-o", "out.mp4", *NO_WEIGHTS, "--overwrite").exit_code == USAGE


@pytest.mark.parametrize("name", ["x[old].mp4", "x[/y].mp4"])
def test_a_name_with_brackets_is_told_as_it_is(call, files, name):
    found = call("render", "-v", name, "-a", "voice.wav", "-o", "out.mp4")
    assert found.exit_code == USAGE
    assert f"{name} is not a file" in flat(found.stderr)


def test_a_long_path_stays_whole(call, files, tmp_path):
    path = tmp_path / ("a" * 100) / "face.mp4"
    assert str(path) in call("render", "-v", path, "-a", "voice.wav", "-o", "out.mp4").stderr


def test_missing_weights_are_a_fault_of_the_setup(call, files, tmp_path):
    found = call("render", *files, "-o", "out.mp4", *NO_WEIGHTS)
    assert (found.exit_code, found.stdout) == (SETUP, "")
    assert found.stderr.startswith("E402 The weights of the chosen engine are missing.")
    assert "models/README.md" in flat(found.stderr)
    assert not (tmp_path / "out.mp4").exists()


def test_json_tells_a_program_what_went_wrong(call, files):
    found = call("render", *files, "-o", "out.mp4", *NO_WEIGHTS, "--json")
    assert found.exit_code == SETUP
    error = json.loads(found.stdout)["error"]
    assert list(error) == ["code", "title", "advice", "message"]
    assert error["code"] == "E402"
    assert "E402" in found.stderr, "and a person, too"


@pytest.mark.parametrize(("name", "value"), [("LANG", "zh_CN.UTF-8"), ("LC_ALL", "zh_TW.UTF-8")])
def test_advice_is_given_in_chinese_where_that_is_spoken(call, files, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    found = call("render", *files, "-o", "out.mp4", *NO_WEIGHTS, "--json")
    assert found.stderr.startswith("E402 所选引擎的模型权重缺失。")
    assert "请将权重放入" in found.stderr
    assert json.loads(found.stdout)["error"]["title"].isascii(), "a program always reads the same words"


def test_lc_all_outranks_lang(call, files, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert "weights" in call("render", *files, "-o", "out.mp4", *NO_WEIGHTS).stderr.splitlines()[0]


def test_an_empty_lc_all_is_none(call, files, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("LC_ALL", "")
    assert "权重" in call("render", *files, "-o", "out.mp4", *NO_WEIGHTS).stderr


@pytest.mark.ffmpeg
def test_files_of_the_wrong_kind_fail_the_job_and_leave_nothing(call, files, tmp_path):
    found = call("render", *files, "-o", "out.mp4", "--json")
    assert found.exit_code == FAILED
    assert json.loads(found.stdout)["error"]["code"] == "E101"
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["face.mp4", "voice.wav"]
    assert list((tmp_path / "xdg/heygemd").iterdir()) == []


@pytest.mark.ffmpeg
def test_an_input_may_be_a_link(call, pair, tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def stop(*args, **options):
        raise Seen

    (tmp_path / "link.mp4").symlink_to(pair[0])
    monkeypatch.setattr("heygemd.oneshot.open_scheduler", stop)
    found = call("render", "-v", "link.mp4", "-a", pair[1], "-o", "out.mp4", "--engine", "passthrough")
    assert isinstance(found.exception, Seen), found.stderr


@pytest.mark.ffmpeg
@pytest.mark.parametrize("which", ["input", "output"])
def test_a_name_that_is_no_utf8_is_taken_or_refused_in_words(call, pair, tmp_path, which):
    odd = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / odd).write_bytes(pair[0].read_bytes())
    video, output = (odd, "out.mp4") if which == "input" else (pair[0], os.fsdecode(b"o\xe9.mp4"))
    found = call("render", "-v", video, "-a", pair[1], "-o", output, "--engine", "passthrough", "--preset", "ultrafast")
    assert found.exception is None or isinstance(found.exception, SystemExit)
    assert found.exit_code in (OK, FAILED, USAGE)


def test_a_configuration_that_is_absent_or_wrong_is_a_fault_of_the_setup(call, files, tmp_path):
    (tmp_path / "wrong.toml").write_text("[render]\nengin = 5\n")
    (tmp_path / "broken.toml").write_text("[render\n")
    for config, words in {"absent": "does not exist", "wrong": "engine?", "broken": "not valid TOML"}.items():
        found = call("render", *files, "-o", "out.mp4", "-c", f"{config}.toml")
        assert found.exit_code == SETUP, config
        assert found.stderr.startswith("E401")
        assert words in flat(found.stderr)


@pytest.mark.parametrize("text", ["# 设置".encode("gbk"), b"\xff\xfe["], ids=["GBK", "UTF-16"])
def test_a_configuration_in_another_encoding_is_a_fault_of_the_setup(call, tmp_path, text):
    (tmp_path / "odd.toml").write_bytes(text)
    found = call("status", "-c", "odd.toml")
    assert (found.exit_code, found.stderr[:4]) == (SETUP, "E401")
    found = call("doctor", "--quick", "-c", "odd.toml")
    assert (found.exit_code, "!! E401 configuration" in found.stdout) == (SETUP, True)


def test_a_root_is_made_and_may_be_made_again(call, tmp_path):
    for _ in range(2):
        found = call("init-root", "films")
        assert found.exit_code == OK
        assert str(tmp_path / "films" / "inbox") in found.stdout
    assert (tmp_path / "films" / ".heygemd" / "root.json").exists()


def test_a_folder_in_use_is_not_made_a_root(call, files, tmp_path):
    found = call("init-root", ".")
    assert (found.exit_code, found.stdout) == (SETUP, "")
    assert found.stderr.startswith("E401")
    assert not (tmp_path / ".heygemd").exists()


@pytest.mark.ffmpeg
def test_run_says_what_it_lacks(call, tmp_path):
    found = call("run")
    assert found.exit_code == SETUP
    assert "--root DIR" in flat(found.stderr)
    assert "roots = [...]" in flat(found.stderr)
    found = call("run", "--root", "absent")
    assert found.exit_code == SETUP
    assert "init-root" in flat(found.stderr)
    assert not (tmp_path / "absent").exists()


@pytest.mark.ffmpeg
def test_run_refuses_a_state_directory_inside_a_root_and_one_in_use(call, tmp_path):
    init_root(tmp_path / "root")
    found = call("run", "--root", "root", "--state-dir", "root/state")
    assert found.exit_code == SETUP
    assert "must not lie inside" in flat(found.stderr)
    (tmp_path / "state").mkdir()
    with places.locked(tmp_path / "state" / "lock"):
        found = call("run", "--root", "root", "--state-dir", "state")
    assert found.exit_code == SETUP
    assert found.stderr.startswith("E404")
    assert f"pid {os.getpid()}" in flat(found.stderr)


def test_status_for_programs_and_for_people(call, tmp_path):
    root = init_root(tmp_path / "root")
    (tmp_path / "state").mkdir()
    JobStore(tmp_path / "state" / "jobs.sqlite").close()
    where = ("--root", "root", "--state-dir", "state")
    found = call("status", *where, "--json")
    assert found.exit_code == OK
    assert json.loads(found.stdout)["roots"] == {str(root.path): {}}
    assert call("status", *where).stdout.startswith("daemon: not running")


def test_status_of_nothing_is_a_fault_of_the_setup(call):
    found = call("status", "--json")
    assert found.exit_code == SETUP
    assert json.loads(found.stdout)["error"]["code"] == "E401"


@pytest.mark.ffmpeg
def test_doctor_is_content_or_says_so_with_its_status(call, tmp_path):
    assert call("doctor", "--quick").exit_code == OK
    (tmp_path / "bad.toml").write_text(f'roots = ["{tmp_path}/absent"]\n')
    bad = call("doctor", "--quick", "-c", "bad.toml")
    assert bad.exit_code == SETUP
    lines = bad.stdout.splitlines()
    assert any(line.startswith("ok python: ") for line in lines)
    assert any(line.startswith("!! E401 root ") for line in lines)


@pytest.mark.ffmpeg
def test_doctor_gives_programs_json_and_nothing_else(call):
    assert {finding["subject"] for finding in json.loads(call("doctor", "--json").stdout)} >= {"python", "ffmpeg"}


@pytest.mark.parametrize("name", ["films[old]", "films[/y]"])
def test_doctor_tells_a_name_with_brackets_as_it_is(call, tmp_path, name):
    (tmp_path / "odd.toml").write_text(f'roots = ["{tmp_path}/{name}"]\n')
    found = call("doctor", "-c", "odd.toml")
    assert found.exit_code == SETUP
    assert name in found.stdout


def test_ctrl_c_before_the_work_begins_ends_with_130(call, files, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("heygemd.oneshot.make_film", interrupt)
    found = call("render", *files, "-o", "out.mp4")
    assert found.exit_code == INTERRUPTED
    assert "interrupted" in found.stderr


def test_the_command_line_outranks_the_configuration(tmp_path):
    (tmp_path / "some.toml").write_text('roots = ["/one", "/two"]\nstate_dir = "/state"\n')
    found = settings_of(tmp_path / "some.toml", [tmp_path / "mine"])
    assert isinstance(found, Settings)
    assert (found.roots, str(found.state_dir)) == ((tmp_path / "mine",), "/state")
