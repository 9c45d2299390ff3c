"""scripts/setup.sh where something is missing: it installs what it may, else says in one sentence what to type."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ["basename", "bash", "cat", "cksum", "cut", "dirname", "du", "env", "grep", "mkdir", "tail", "tee", "true"]
MODERN = "5.1.9-0+deb12u1"


@dataclass(frozen=True)
class Machine:
    """A checkout and a PATH that holds only what a test put there."""

    checkout: Path
    bin: Path

    def put(self, name: str, body: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        file.chmod(0o755)

    def put_ffmpeg(self, version: str = MODERN, encoders: str = "libx264") -> None:
        answer = f'case "$*" in *-encoders*) echo "{encoders}" ;; *) echo "ffmpeg version {version} Copyright" ;; esac'
        self.put("ffmpeg", answer)
        self.put("ffprobe", answer)

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "scripts/setup.sh"],
            cwd=self.checkout,
            env={"PATH": str(self.bin)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def apt_calls(self) -> list[str]:
        log = self.bin / "apt.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    machine = Machine(tmp_path / "checkout", tmp_path / "bin")
    (machine.checkout / "scripts").mkdir(parents=True)
    machine.bin.mkdir()
    shutil.copy(repository / "pyproject.toml", machine.checkout)
    shutil.copy(repository / "scripts" / "setup.sh", machine.checkout / "scripts")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (machine.bin / tool).symlink_to(found)
    # It answers questions, but makes no environment: no test here gets that far.
    machine.put("python3", f'[ "$1" = -m ] && exit 1; exec "{sys.executable}" "$@"')
    machine.put("apt-get", f'echo "$*" >>"{machine.bin}/apt.log"')
    machine.put("id", "echo 1000")
    return machine


def test_without_root_one_sentence_names_the_command(machine: Machine) -> None:
    run = machine.setup()
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "please run: sudo apt-get install -y " in run.stderr
    assert "ffmpeg" in run.stderr
    assert machine.apt_calls() == []


def test_sudo_that_would_ask_is_not_used(machine: Machine) -> None:
    machine.put("sudo", "exit 1")
    assert "please run: sudo apt-get install" in machine.setup().stderr
    assert machine.apt_calls() == []


def test_sudo_without_password_installs(machine: Machine) -> None:
    machine.put("sudo", '[ "$1" = -n ] && shift; exec "$@"')
    machine.setup()
    assert len(machine.apt_calls()) == 2


def test_root_updates_once_then_installs_only_what_is_missing(machine: Machine) -> None:
    machine.put("id", "echo 0")
    run = machine.setup()
    update, install = machine.apt_calls()
    assert update.endswith("update")
    assert "install -y --no-install-recommends" in install
    assert "ffmpeg" in install.split()
    assert "python3-venv" not in install.split()
    assert "still missing after apt-get install: " in run.stderr


def test_failed_apt_shows_the_end_of_its_words(machine: Machine) -> None:
    machine.put("id", "echo 0")
    machine.put("apt-get", 'case "$*" in *update*) ;; *) echo "E: Unable to locate package"; exit 100 ;; esac')
    run = machine.setup()
    assert run.returncode == 1
    assert "E: Unable to locate package" in run.stderr
    assert "build/setup.log" in run.stderr


def test_missing_venv_module_is_asked_for(machine: Machine) -> None:
    machine.put("python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec "{sys.executable}" "$@"')
    assert "python3-venv" in machine.setup().stderr


def test_no_apt_says_what_is_missing(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    assert "package manager" in machine.setup().stderr


@pytest.mark.parametrize("version", ["4.4.2-0ubuntu0.22.04.1", "5.0.1", "n4.2"])
def test_old_ffmpeg_is_refused(machine: Machine, version: str) -> None:
    machine.put_ffmpeg(version)
    _give_libraries(machine)
    run = machine.setup()
    assert "ffmpeg 5.1 or newer is needed" in run.stderr
    assert version in run.stderr
    assert machine.apt_calls() == []


@pytest.mark.parametrize("version", [MODERN, "6.1.1-3ubuntu5", "n7.1", "7.0.2-full_build", "N-112233-gabcdef"])
def test_new_ffmpeg_is_taken(machine: Machine, version: str) -> None:
    machine.put_ffmpeg(version)
    _give_libraries(machine)
    assert "could not make .venv" in machine.setup().stderr  # the step after the check


def test_ffmpeg_without_x264_is_refused(machine: Machine) -> None:
    machine.put_ffmpeg(encoders="libopenh264")
    _give_libraries(machine)
    assert "libx264" in machine.setup().stderr


def test_old_python_is_refused(machine: Machine) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        machine.put(name, "exit 1")
    run = machine.setup()
    assert "Python 3.11 or newer is needed" in run.stderr
    assert run.stderr.count("\n") == 1


def test_second_run_ends_at_once_and_a_change_is_noticed(machine: Machine) -> None:
    machine.put_ffmpeg()
    venv = machine.checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    sums = subprocess.run(
        ["cksum", "pyproject.toml", "scripts/setup.sh"],
        cwd=machine.checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (venv / "setup.stamp").write_text(f"{machine.checkout.resolve()}\n{sums}", encoding="utf-8")
    began_s = time.monotonic()
    run = machine.setup()
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert time.monotonic() - began_s < 1
    with (machine.checkout / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert machine.setup(PYTHON="no-such-python").returncode == 1


def _give_libraries(machine: Machine) -> None:
    """Pretend that OpenCV's libraries are there, for a test machine that has none."""
    machine.put("python3", f'case "$*" in *CDLL*) exit 0 ;; -m*) exit 1 ;; esac; exec "{sys.executable}" "$@"')


@pytest.mark.parametrize("name", ["scripts/setup.sh", "scripts/demo.sh", "scripts/demo/make_voices.sh", ".ci/run"])
def test_shell_script_is_executable_and_parses(repository: Path, name: str) -> None:
    assert os.access(repository / name, os.X_OK)
    subprocess.run(["bash", "-n", repository / name], check=True)
