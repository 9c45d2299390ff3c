"""install.sh: the folders that people share."""

import tomllib

import pytest

from tests.install.rig import CONFIGURATION, DROP_IN, Machine


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
    ("place", "code"), [("/home/./anna", 78), ("/tmp/films", 78), ("/", 2), ("/etc/films", 2), ("/srv/../usr", 2)]
)
def test_a_place_that_cannot_be_a_root_is_refused_first(machine: Machine, place: str, code: int) -> None:
    run = machine.run("install.sh", "--root", place)
    assert run.returncode == code
    assert "/srv" in run.stderr
    assert not machine.path("/opt").exists()
