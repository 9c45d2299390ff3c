"""install.sh on machines that lack something, and how both scripts are called."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.install.rig import Machine


def test_only_root_may_install(machine: Machine) -> None:
    machine.put("id", "echo 1000")
    for script in ("install.sh", "uninstall.sh"):
        run = machine.run(script)
        assert run.returncode == 77
        assert "sudo" in run.stderr


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_unknown_options_are_refused_and_help_is_given(machine: Machine, script: str) -> None:
    assert machine.run(script, "--sambe").returncode == 2
    run = machine.run(script, "--help")
    assert run.returncode == 0
    assert f"sudo scripts/{script}" in run.stdout
    assert "set -euo" not in run.stdout
    assert machine.files() == {"etc/os-release"}


@pytest.mark.parametrize(
    ("tool", "body", "words"),
    [
        ("systemctl", "echo 'systemd 249 (249.11-0ubuntu3)'", "systemd 252 or newer is needed, but Testix 1 has 249"),
        ("python3", "exit 1", "Python 3.11 or newer is needed and was not found on Testix 1"),
        ("ffmpeg", "echo ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", "ffmpeg 5.1 or newer is needed"),
    ],
)
def test_an_old_machine_is_told_what_it_needs(machine: Machine, tool: str, body: str, words: str) -> None:
    machine.put(tool, body)
    run = machine.run("install.sh")
    assert run.returncode == 78
    assert words in run.stderr
    assert not machine.path("/etc/heygemd").exists()


def test_what_is_missing_comes_through_apt(machine: Machine) -> None:
    (machine.bin / "ffprobe").unlink()
    (machine.bin / "setfacl").unlink()
    run = machine.run("install.sh")
    update, install = machine.calls("apt-get")
    assert update.endswith("update")
    assert install.endswith("install -y --no-install-recommends ffmpeg acl")
    assert run.returncode == 1
    assert "still missing after apt-get install: ffmpeg acl" in run.stderr


def test_without_apt_the_packages_are_named(machine: Machine) -> None:
    (machine.bin / "ffprobe").unlink()
    (machine.bin / "apt-get").unlink()
    run = machine.run("install.sh")
    assert run.returncode == 78
    assert "missing: ffmpeg " in run.stderr


def test_a_small_torch_is_offered_to_machines_without_a_card_unless_somebody_chose(machine: Machine) -> None:
    assert "PIP_EXTRA_INDEX_URL" in machine.install().stdout
    machine.path("pip.conf").write_text("global.extra-index-url='file:///srv/wheels'\n", encoding="utf-8")
    assert "PIP_EXTRA_INDEX_URL" not in machine.install("--rebuild").stdout


def test_two_at_a_time_are_refused(machine: Machine) -> None:
    machine.path("/opt/heygemd").mkdir(parents=True)
    lock = machine.path("/opt/heygemd/.lock")
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE) as holder:
        while subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0:
            pass
        run = machine.run("install.sh")
        assert holder.stdin is not None
        holder.stdin.close()
    assert run.returncode == 1
    assert "another install.sh" in run.stderr


@pytest.mark.parametrize("name", ["scripts/install.sh", "scripts/uninstall.sh"])
def test_script_is_executable(repository: Path, name: str) -> None:
    assert os.access(repository / name, os.X_OK)


def test_every_part_parses(repository: Path) -> None:
    for part in [*repository.glob("scripts/*install.sh"), *repository.glob("scripts/install/*.sh")]:
        subprocess.run(["bash", "-n", part], check=True)
