"""install.sh --samba: a share of our own beside what is there."""

from tests.install.rig import SHARE, SMB_CONF, Machine


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
