"""uninstall.sh: what goes, and what never does."""

from tests.install.rig import CONFIGURATION, SMB_CONF, UNIT, Machine


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
