"""install.sh: the program and its service, upgrades, the way back."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.install.rig import CONFIGURATION, UNIT, Machine


def test_a_fresh_machine_gets_program_service_configuration_and_a_root(machine: Machine) -> None:
    run = machine.install()
    assert machine.path("/opt/heygemd/venv/bin/heygemd").is_file()
    assert machine.path("/usr/local/bin/heygemd").readlink() == Path("/opt/heygemd/venv/bin/heygemd")
    assert machine.path("/srv/heygemd/.heygemd/root.json").exists()
    assert machine.path(UNIT).read_bytes() == (machine.checkout / "systemd/heygemd.service").read_bytes()
    assert {
        "usr/local/lib/sysusers.d/heygemd.conf",
        "usr/local/lib/tmpfiles.d/heygemd.conf",
        "usr/local/lib/systemd/catalog/heygemd.catalog",
        "etc/logrotate.d/heygemd",
        "usr/local/share/bash-completion/completions/heygemd",
        "usr/local/share/zsh/site-functions/_heygemd",
        "usr/local/share/fish/vendor_completions.d/heygemd.fish",
    } <= machine.files()
    assert machine.calls("systemctl")[-3:] == [
        "systemctl daemon-reload",
        "systemctl --quiet is-enabled heygemd",
        "systemctl restart heygemd",
    ]
    assert "systemctl enable heygemd" in machine.calls()
    assert "into /srv/heygemd/inbox" in run.stdout
    assert machine.calls("apt-get") == []


def test_the_configuration_is_the_shipped_one_with_the_places_of_the_layout(installed: Machine) -> None:
    text = installed.path(CONFIGURATION).read_text(encoding="utf-8")
    assert tomllib.loads(text) == {
        "roots": ["/srv/heygemd"],
        "state_dir": "/var/lib/heygemd",
        "models_dir": "/var/lib/heygemd/models",
        "log_file": "/var/log/heygemd/debug.jsonl",
        "metrics_file": "/var/lib/heygemd/metrics/heygemd.prom",
        **{name: {} for name in tomllib.loads((installed.checkout / "config/heygemd.toml").read_text()) if name},
    }
    shipped = (installed.checkout / "config/heygemd.toml").read_text(encoding="utf-8")
    assert text.count("\n#") > shipped.count("\n#") - 10  # the other settings are still explained
    assert "do not edit this copy" not in text


def test_the_program_is_installed_from_the_checkout_and_not_linked_to_it(machine: Machine) -> None:
    machine.install()
    (pip,) = machine.calls("pip")
    assert pip.endswith(str(machine.checkout))
    assert " -e " not in pip
    assert machine.path("/opt/heygemd/venv/share/heygemd/scripts/uninstall.sh").exists()


def test_openvino_is_installed_when_asked_for_and_stays_over_upgrades(installed: Machine) -> None:
    installed.install("--openvino")
    (pip,) = installed.calls("pip")
    assert pip.endswith(f"{installed.checkout}[openvino]")
    installed.forget()
    installed.install()
    assert installed.calls("pip") == []
    installed.change_program()
    installed.install()
    (pip,) = installed.calls("pip")
    assert pip.endswith(f"{installed.checkout}[openvino]")


def test_a_second_run_changes_nothing_and_disturbs_nobody(installed: Machine) -> None:
    before = _contents(installed)
    run = installed.install()
    assert "nothing changed; the service goes on" in run.stdout
    assert installed.calls("pip") == []
    assert "systemctl restart heygemd" not in installed.calls()
    assert _contents(installed) == before


def _contents(machine: Machine) -> dict[str, bytes]:
    """Return every file with what is in it, every link with where it leads; the installer's own log apart."""
    found = {}
    for name in machine.files() - {"var/log/heygemd-install.log"}:
        path = machine.path(name)
        found[name] = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found


def test_a_changed_unit_is_placed_without_a_new_environment(installed: Machine) -> None:
    with (installed.checkout / "systemd/heygemd.service").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    installed.install()
    assert installed.path(UNIT).read_text(encoding="utf-8").endswith("# changed\n")
    assert installed.calls("pip") == []
    assert "systemctl restart heygemd" in installed.calls()


def test_rebuild_makes_the_same_version_anew(installed: Machine) -> None:
    (before,) = installed.releases()
    installed.install("--rebuild")
    assert len(installed.calls("pip")) == 1
    assert installed.path("/opt/heygemd/venv").resolve().name != before


def test_an_upgrade_keeps_the_configuration_and_the_version_before(installed: Machine) -> None:
    mine = 'roots = ["/srv/heygemd"]\nlog_level = "debug"\n'
    installed.path(CONFIGURATION).write_text(mine, encoding="utf-8")
    (first,) = installed.releases()
    installed.change_program("0.2.0")
    installed.install()
    assert installed.path(CONFIGURATION).read_text(encoding="utf-8") == mine
    assert installed.path("/opt/heygemd/venv").resolve().name.startswith("0.2.0-")
    assert installed.path("/opt/heygemd/venv.previous").resolve().name == first
    assert "systemctl restart heygemd" in installed.calls()


def test_only_one_earlier_version_is_kept(installed: Machine) -> None:
    for version in ("0.2.0", "0.3.0"):
        installed.change_program(version)
        installed.install()
    assert [name.split("-")[0] for name in installed.releases()] == ["0.2.0", "0.3.0"]


def test_rollback_goes_back_and_forth(installed: Machine) -> None:
    installed.change_program("0.2.0")
    installed.install()
    for version in ("0.1.0", "0.2.0"):
        installed.forget()
        installed.install("--rollback")
        assert installed.path("/opt/heygemd/venv").resolve().name.startswith(version)
        assert "systemctl restart heygemd" in installed.calls()
        assert installed.calls("pip") == []


def test_rollback_without_an_earlier_version_says_so(installed: Machine) -> None:
    run = installed.run("install.sh", "--rollback")
    assert run.returncode == 1
    assert "no earlier version" in run.stderr


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("pip-fails", 1, "No matching distribution"),
        ("does-not-start", 1, "does not start"),
        ("config-refused", 78, "unknown setting crff"),
    ],
)
def test_what_does_not_work_is_never_switched_to(installed: Machine, fault: str, code: int, words: str) -> None:
    before = installed.releases()
    installed.change_program("0.2.0")
    installed.say(fault)
    run = installed.run("install.sh")
    assert run.returncode == code
    assert words in run.stderr
    assert installed.releases() == before
    assert installed.path("/opt/heygemd/venv").resolve().name == before[0]
    assert "systemctl restart heygemd" not in installed.calls()
    installed.unsay(fault)
    assert "0.2.0" in installed.install().stdout + installed.path("/opt/heygemd/venv").resolve().name


def test_a_first_install_that_broke_off_is_completed_by_the_next(machine: Machine) -> None:
    machine.say("pip-fails")
    assert machine.run("install.sh").returncode == 1
    assert machine.path(CONFIGURATION).exists()
    machine.unsay("pip-fails")
    machine.install()
    assert machine.path("/srv/heygemd/.heygemd/root.json").exists()
    assert "systemctl enable heygemd" in machine.calls()


def test_a_service_that_does_not_start_shows_its_last_words_and_the_way_back(installed: Machine) -> None:
    installed.change_program("0.2.0")
    installed.say("start-fails")
    run = installed.run("install.sh")
    assert run.returncode == 1
    assert "last words" in run.stderr
    assert "--rollback" in run.stdout


def test_a_service_that_the_administrator_disabled_stays_so(installed: Machine) -> None:
    installed.unsay("enabled")
    installed.change_program("0.2.0")
    run = installed.install()
    assert "not enabled" in run.stdout
    assert {"systemctl enable heygemd", "systemctl restart heygemd"}.isdisjoint(installed.calls())


@pytest.mark.parametrize(("version", "restarts"), [("venv", 0), ("releases/older", 1)])
def test_a_service_that_still_runs_another_version_is_restarted(
    installed: Machine, version: str, restarts: int
) -> None:
    python = installed.path("/opt/heygemd") / version
    argv = ["cat", "-", str(python.resolve() / "bin" / "python")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        installed.path("main-pid").write_text(f"{daemon.pid}\n", encoding="utf-8")
        installed.install()
        daemon.kill()
    assert installed.calls().count("systemctl restart heygemd") == restarts


def test_without_systemd_everything_is_installed_and_nothing_started(machine: Machine) -> None:
    machine.path("/run/systemd/system").rmdir()
    run = machine.install()
    assert "systemd does not run here" in run.stdout
    assert "systemctl enable heygemd" in machine.calls()
    assert {"systemctl daemon-reload", "systemctl restart heygemd"}.isdisjoint(machine.calls())


def test_no_start_only_installs(machine: Machine) -> None:
    assert "sudo systemctl restart heygemd" in machine.install("--no-start").stdout
    assert "systemctl restart heygemd" not in machine.calls()


def test_what_the_doctor_finds_is_told_and_stops_nothing(machine: Machine) -> None:
    machine.say("sick")
    run = machine.install()
    assert run.stderr == "!! disk: full\n"
