"""scripts/setup.sh where something is missing: it installs what it may, else says in one sentence what to type."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = [
    *("basename", "bash", "cat", "chmod", "cksum", "cut", "dirname", "du", "env", "grep", "mkdir", "rm", "tail", "tee"),
    "true",
]
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

    @property
    def policy(self) -> Path:
        """Stands for Debian's policy-rc.d."""
        return self.bin.parent / "policy-rc.d"

    def setup(self, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "scripts/setup.sh", *flags],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "POLICY_RC_D": str(self.policy)} | environment,
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
    _finish(machine)
    began_s = time.monotonic()
    run = machine.setup()
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert time.monotonic() - began_s < 1
    with (machine.checkout / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert machine.setup(PYTHON="no-such-python").returncode == 1


def _finish(machine: Machine) -> None:
    """Leave the machine as a run that succeeded does."""
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


@pytest.fixture
def finished(machine: Machine) -> Machine:
    """Everything is there but the programs that tests drive, and apt offers them to root."""
    _finish(machine)
    machine.put("id", "echo 0")
    _offer(machine, "2:4.17.12+dfsg-0+deb12u4")
    return machine


def _offer(machine: Machine, version: str) -> None:
    machine.put("apt-cache", f'echo "$2:"; echo "  Installed: (none)"; echo "  Candidate: {version}"')


def test_programs_for_tests_are_installed_only_when_asked_for(finished: Machine) -> None:
    assert finished.setup().returncode == 0
    assert finished.apt_calls() == []
    assert finished.setup("--tests").returncode == 0
    update, samba, browser, tracer, voices = finished.apt_calls()
    assert update.endswith("update")
    assert samba.endswith("install -y --no-install-recommends samba smbclient")
    assert browser.endswith("install -y --no-install-recommends chromium")
    assert tracer.endswith("install -y --no-install-recommends strace")
    assert voices.endswith("install -y --no-install-recommends flite")


def test_programs_that_are_there_are_not_installed(finished: Machine) -> None:
    for tool in ("smbd", "smbpasswd", "smbclient", "chromium", "strace", "flite"):
        finished.put(tool, "exit 1")
    run = finished.setup("--tests")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert finished.apt_calls() == []


def test_only_root_is_given_a_samba_server(finished: Machine) -> None:
    finished.put("id", "echo 1000")
    finished.put("sudo", '[ "$1" = -n ] && shift; exec "$@"')
    finished.setup("--tests")
    assert [call.split()[-1] for call in finished.apt_calls()] == ["update", "chromium", "strace", "flite"]


def test_programs_for_tests_that_cannot_be_had_fail_nothing_and_are_tried_once(finished: Machine) -> None:
    log = finished.bin / "apt.log"
    finished.put("apt-get", f'echo "$*" >>"{log}"; case "$*" in *samba*) exit 100 ;; esac')
    first = finished.setup("--tests")
    assert first.returncode == 0
    assert "not to be had here: samba smbclient; the tests that need it are skipped" in first.stdout
    assert "chromium" in log.read_text(encoding="utf-8")
    log.unlink()
    again = finished.setup("--tests")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert finished.apt_calls() == []


@pytest.mark.parametrize("version", ["2:1snap1-0ubuntu2", "(none)"])
def test_a_package_that_only_fetches_a_snap_is_left_alone(finished: Machine, version: str) -> None:
    _offer(finished, version)
    run = finished.setup("--tests")
    assert run.returncode == 0
    assert "not to be had here: chromium" in run.stdout
    assert [call.split()[-1] for call in finished.apt_calls()] == ["update"]


@pytest.mark.parametrize("missing", ["sudo", "apt-get"])
def test_who_may_not_install_is_told_once_that_tests_are_skipped(finished: Machine, missing: str) -> None:
    finished.put("id", "echo 1000")
    if missing == "apt-get":
        (finished.bin / "apt-get").unlink()
    run = finished.setup("--tests")
    assert (run.returncode, run.stdout.count("\n"), run.stderr) == (0, 1, "")
    assert "chromium" in run.stdout
    assert finished.setup("--tests").stdout == ""


def test_no_service_starts_with_what_tests_need(finished: Machine) -> None:
    said = finished.bin.parent / "said"
    finished.put("apt-get", f'case "$*" in *install*) "{finished.policy}"; echo $? >>"{said}" ;; esac')
    finished.setup("--tests")
    assert said.read_text(encoding="utf-8").split() == ["101", "101", "101", "101"]
    assert not finished.policy.exists()


def test_a_policy_of_the_administrator_is_left_as_it_is(finished: Machine) -> None:
    finished.policy.write_text("mine", encoding="utf-8")
    finished.setup("--tests")
    assert finished.policy.read_text(encoding="utf-8") == "mine"


def test_unknown_option_is_refused(finished: Machine) -> None:
    run = finished.setup("--test")
    assert run.returncode == 1
    assert "unknown: --test" in run.stderr


def _give_libraries(machine: Machine) -> None:
    """Pretend that OpenCV's libraries are there, for a test machine that has none."""
    machine.put("python3", f'case "$*" in *CDLL*) exit 0 ;; -m*) exit 1 ;; esac; exec "{sys.executable}" "$@"')


@pytest.mark.parametrize("name", ["scripts/setup.sh", "scripts/demo.sh", "scripts/demo/make_voices.sh", ".ci/run"])
def test_shell_script_is_executable_and_parses(repository: Path, name: str) -> None:
    assert os.access(repository / name, os.X_OK)
    subprocess.run(["bash", "-n", repository / name], check=True)
