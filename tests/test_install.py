"""scripts/install.sh and uninstall.sh on a machine of stand-ins: what they put where, and what they leave alone.

Nothing here needs root, changes the system or reaches a network: `INSTALL_TOP` is a folder of the test, and PATH holds
only what the test put there. docs/install-transcript.md shows the same under a real systemd, apt and pip.
"""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.install_rig import SAMBA, Machine, make_machine

CONFIGURATION = "/etc/heygemd/heygemd.toml"
DROP_IN = "/etc/systemd/system/heygemd.service.d/roots.conf"
SMB_CONF = "/etc/samba/smb.conf"
SHARE = "/etc/samba/heygemd.conf"
UNIT = "/usr/local/lib/systemd/system/heygemd.service"


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    return make_machine(tmp_path, repository)


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.install()
    machine.forget()
    return machine


@pytest.fixture
def with_samba(machine: Machine) -> Machine:
    """Samba is there, with a share of somebody else."""
    for name, body in SAMBA.items():
        machine.put(name, body)
    machine.path(SMB_CONF).parent.mkdir()
    machine.path(SMB_CONF).write_text("[global]\nworkgroup = STUDIO\n\n[music]\npath = /srv/music\n", encoding="utf-8")
    return machine


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


def test_the_program_is_installed_from_the_checkout_and_not_linked_to_it(installed: Machine, tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "second", Path(__file__).parents[1])
    machine.install()
    (pip,) = machine.calls("pip")
    assert pip.endswith(str(machine.checkout))
    assert " -e " not in pip
    assert installed.path("/opt/heygemd/venv/share/heygemd/scripts/uninstall.sh").exists()


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


# Roots


def test_a_root_elsewhere_is_made_configured_and_opened_in_the_sandbox(machine: Machine) -> None:
    machine.install("--root", '/mnt/my films 100%"', "--root", "/srv/heygemd")
    configured = tomllib.loads(machine.path(CONFIGURATION).read_text(encoding="utf-8"))
    assert configured["roots"] == ['/mnt/my films 100%"', "/srv/heygemd"]
    assert machine.path(DROP_IN).read_text(encoding="utf-8").splitlines()[1:] == [
        "[Service]",
        'ReadWritePaths="-/mnt/my films 100%%\\""',
    ]
    assert machine.path('/mnt/my films 100%"/.heygemd/root.json').exists()
    before = machine.path(DROP_IN).read_bytes()
    machine.install("--root", '/mnt/my films 100%"')
    assert machine.path(DROP_IN).read_bytes() == before


def test_a_new_root_is_for_the_group_and_for_nobody_else(machine: Machine) -> None:
    machine.install()
    root = machine.path("/srv/heygemd")
    assert f"chown heygemd:heygemd {root}" in machine.calls()
    assert root.stat().st_mode & 0o7777 == 0o2770
    (acl,) = machine.calls("setfacl")
    assert "d:g::rwx,d:o::---" in acl
    assert root.joinpath("inbox").stat().st_mode & 0o777 == 0o770
    assert root.joinpath(".heygemd").stat().st_mode & 0o077 == 0


def test_a_root_that_exists_keeps_owner_and_modes(machine: Machine) -> None:
    root = machine.path("/srv/heygemd")
    (root / ".heygemd").mkdir(parents=True)
    (root / ".heygemd" / "root.json").touch()
    root.chmod(0o755)
    machine.install()
    assert machine.calls("chown") == []
    assert root.stat().st_mode & 0o7777 == 0o755


def test_a_folder_with_other_things_is_no_root(machine: Machine) -> None:
    machine.path("/srv/heygemd").mkdir(parents=True)
    machine.path("/srv/heygemd/foreign").touch()
    run = machine.run("install.sh")
    assert run.returncode == 1
    assert "/srv/heygemd cannot be made a root" in run.stderr
    assert machine.calls("chown") == []


def test_a_root_that_the_configuration_lacks_is_named(installed: Machine) -> None:
    run = installed.install("--root", "/mnt/films")
    assert "add /mnt/films to roots = [...]" in run.stdout
    assert "add /srv" not in run.stdout


@pytest.mark.parametrize(
    ("place", "code"), [("/home/anna/films", 78), ("/tmp/films", 78), ("/", 2), ("/etc/films", 2), ("/srv/../usr", 2)]
)
def test_a_place_that_cannot_be_a_root_is_refused_first(machine: Machine, place: str, code: int) -> None:
    run = machine.run("install.sh", "--root", place)
    assert run.returncode == code
    assert "/srv" in run.stderr
    assert not machine.path("/opt").exists()


# What the machine lacks


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


# Samba


def test_samba_gets_one_line_and_a_file_of_its_own(with_samba: Machine) -> None:
    before = with_samba.path(SMB_CONF).read_text(encoding="utf-8")
    with_samba.install("--samba", "--root", "/srv/films & more")
    after = with_samba.path(SMB_CONF).read_text(encoding="utf-8")
    assert after.startswith(before)
    assert after.splitlines()[-1] == "include = /etc/samba/heygemd.conf"
    assert "   path = /srv/films & more\n" in with_samba.path(SHARE).read_text(encoding="utf-8")
    assert "systemctl reload-or-restart smbd" in with_samba.calls()
    with_samba.install("--samba")
    assert with_samba.path(SMB_CONF).read_text(encoding="utf-8") == after


def test_a_share_that_testparm_refuses_leaves_smb_conf_as_it_was(with_samba: Machine) -> None:
    before = with_samba.path(SMB_CONF).read_bytes()
    with (with_samba.checkout / "systemd/smb.conf.example").open("a", encoding="utf-8") as file:
        file.write("bad\n")
    run = with_samba.run("install.sh", "--samba")
    assert run.returncode == 1
    assert "is as it was" in run.stderr
    assert with_samba.path(SMB_CONF).read_bytes() == before


def test_a_broken_smb_conf_is_not_touched(with_samba: Machine) -> None:
    with_samba.path(SMB_CONF).write_text("bad\n", encoding="utf-8")
    run = with_samba.run("install.sh", "--samba")
    assert run.returncode == 1
    assert "has an error already" in run.stderr
    assert with_samba.path(SMB_CONF).read_text(encoding="utf-8") == "bad\n"


def test_a_share_of_the_same_name_is_not_overwritten(with_samba: Machine) -> None:
    with with_samba.path(SMB_CONF).open("a", encoding="utf-8") as file:
        file.write("[films]\npath = /srv/cinema\n")
    run = with_samba.run("install.sh", "--samba")
    assert run.returncode == 78
    assert "has a share [films] already" in run.stderr
    assert "include" not in with_samba.path(SMB_CONF).read_text(encoding="utf-8")


def test_a_share_that_was_changed_is_kept(with_samba: Machine) -> None:
    with_samba.install("--samba")
    mine = "[cinema]\npath = /srv/heygemd\n"
    with_samba.path(SHARE).write_text(mine, encoding="utf-8")
    run = with_samba.install("--samba")
    assert with_samba.path(SHARE).read_text(encoding="utf-8") == mine
    assert "kept your /etc/samba/heygemd.conf" in run.stdout
    assert "\\cinema" in run.stdout


def test_samba_is_asked_for_only_with_samba(machine: Machine) -> None:
    machine.run("install.sh", "--samba")
    assert machine.calls("apt-get")[-1].endswith(" samba")


# Taking it off again


def test_uninstall_leaves_configuration_state_logs_and_roots(installed: Machine) -> None:
    film = installed.path("/srv/heygemd/film.mp4")
    film.write_bytes(b"film")
    store = installed.path("/var/lib/heygemd/jobs.sqlite")
    store.write_bytes(b"store")
    run = installed.run("uninstall.sh")
    assert run.returncode == 0, run.stderr
    assert installed.calls("systemctl stop") == ["systemctl stop heygemd"]
    assert installed.calls("systemctl disable") == ["systemctl disable heygemd"]
    assert installed.files() == {
        "etc/os-release",
        "etc/heygemd/heygemd.toml",
        "srv/heygemd/.heygemd/root.json",
        "srv/heygemd/film.mp4",
        "var/lib/heygemd/jobs.sqlite",
        "var/log/heygemd-install.log",
    }


def test_purge_asks_and_takes_everything_but_roots(with_samba: Machine) -> None:
    smb_conf = with_samba.path(SMB_CONF).read_text(encoding="utf-8")
    with_samba.install("--samba", "--root", "/mnt/films")
    run = with_samba.run("uninstall.sh", "--purge")
    assert run.returncode == 2
    assert "--yes" in run.stderr
    assert with_samba.path(UNIT).exists()
    run = with_samba.run("uninstall.sh", "--purge", "--yes")
    assert run.returncode == 0, run.stderr
    assert with_samba.files() == {"etc/os-release", "etc/samba/smb.conf", "mnt/films/.heygemd/root.json"}
    assert with_samba.path(SMB_CONF).read_text(encoding="utf-8").strip() == smb_conf.strip()


def test_a_root_inside_what_purge_removes_is_spared(installed: Machine) -> None:
    root = installed.path("/var/lib/heygemd/root")
    (root / ".heygemd").mkdir(parents=True)
    (root / ".heygemd" / "root.json").touch()
    (root / "film.mp4").touch()
    run = installed.run("uninstall.sh", "--purge", "--yes")
    assert "a root lies in it" in run.stdout
    assert (root / "film.mp4").exists()


def test_uninstall_works_from_the_installed_copy(installed: Machine) -> None:
    script = installed.path("/opt/heygemd/venv/share/heygemd/scripts/uninstall.sh")
    copied = Machine(installed.top, installed.bin, script.parents[1])
    assert copied.run("uninstall.sh").returncode == 0
    assert not script.exists()


def test_what_is_not_installed_is_not_removed(machine: Machine) -> None:
    run = machine.run("uninstall.sh")
    assert run.returncode == 0
    assert "not installed" in run.stderr


def test_install_after_uninstall_goes_on_where_it_stopped(installed: Machine) -> None:
    before = installed.path(CONFIGURATION).read_bytes()
    assert installed.run("uninstall.sh").returncode == 0
    installed.install()
    assert installed.path(CONFIGURATION).read_bytes() == before
    assert "systemctl enable heygemd" in installed.calls()


# The scripts themselves


@pytest.mark.parametrize("name", ["scripts/install.sh", "scripts/uninstall.sh"])
def test_script_is_executable(repository: Path, name: str) -> None:
    assert os.access(repository / name, os.X_OK)


def test_every_part_parses(repository: Path) -> None:
    for part in [*repository.glob("scripts/*install.sh"), *repository.glob("scripts/install/*.sh")]:
        subprocess.run(["bash", "-n", part], check=True)
