"""What can be done from inside the sandbox of the shipped unit, tried out; and a share that comes after the start."""

import json
import os
from pathlib import Path

import pytest

from tests.systemd.installed import ROOT, UNIT, VENV, Installed

pytestmark = [pytest.mark.systemd, pytest.mark.slow]

PROBE = Path(__file__).with_name("probe.py")
BEGIN, END = "# --- Hardening", "[Install]"
IDENTITY = ("User=", "Group=", "StateDirectory=", "CacheDirectory=", "LogsDirectory=", "UMask=")
NEEDED = (
    *("write to the root", "write to the state", "write to the cache", "write to the log", "write to /tmp"),
    *("speak to the journal", "ask who writes to an own file", "read what its group may read"),
    *("read what the group of the cards may read", "measure the memory", "read its control group"),
    *("make machine code", "open /dev/null"),
)
REFUSED = {
    "write elsewhere": "EROFS",
    "look into homes": "EACCES",
    "read others' temporary files": "ENOENT",
    "leave a set-user-ID file": "EPERM",
    "give a file away": "EPERM",
    "make a user namespace": "EPERM",
    "take real-time priority": "EPERM",
    "choose a processor": "EPERM",
    "change its domain": "EPERM",
    "see processes of others": "ENOENT",
    "open another device": "EPERM",
    "open a network socket": "EAFNOSUPPORT",
    "open a netlink socket": "EAFNOSUPPORT",
    "change its control group": "EROFS",
}
CONVOLUTION = """
import torch
torch.set_grad_enabled(False)
torch.nn.functional.conv2d(torch.ones(1, 64, 128, 128), torch.ones(64, 64, 3, 3))
"""
COMPILED = "import numba\nassert numba.njit(lambda number: number + 1)(1) == 2"
PROBE_UNIT = "probe.service"
OPEN_TO_ALL = ("/dev/fuse", "/dev/net/tun", "/dev/loop-control")
"""Devices that ask nobody for rights beyond those of their file."""


@pytest.fixture(scope="module")
def hardening(repository: Path) -> list[str]:
    text = (repository / "systemd/heygemd.service").read_text()
    return [line for line in text[text.index(BEGIN) : text.index(END)].splitlines() if line and line[0] != "#"]


@pytest.fixture(scope="module")
def furnished(studio: Installed) -> Installed:
    """The machine with things to reach for."""
    run = studio.machine.run
    run("sh", "-c", "mkdir -m 777 /srv/elsewhere; echo x > /tmp/of-others")
    run("sh", "-c", "for group in heygemd video; do install -m 640 -g $group /dev/null /srv/for-$group; done")
    device = next((node for node in map(Path, OPEN_TO_ALL) if node.exists()), None)
    if device is None:
        pytest.skip(f"none of {', '.join(OPEN_TO_ALL)}")
    number = device.stat().st_rdev
    run("mknod", "-m", "666", "/dev/probe", "c", str(os.major(number)), str(os.minor(number)))
    return studio


def run_in_sandbox(studio: Installed, lines: list[str], program: str) -> tuple[str, list[str]]:
    """Run a program of Python in a unit with these lines; return how it ended, and what it said."""
    studio.machine.path("/opt/heygemd/probe.py").write_text(program)
    unit = ["[Service]", "Type=oneshot", *lines, f"ExecStart={VENV}/bin/python /opt/heygemd/probe.py", ""]
    studio.machine.path(f"/etc/systemd/system/{PROBE_UNIT}").write_text("\n".join(unit))
    studio.machine.systemctl("daemon-reload")
    since = studio.now_us()
    studio.machine.run("systemctl", "start", PROBE_UNIT, check=False)
    result = studio.machine.show(PROBE_UNIT)["Result"]
    studio.machine.run("systemctl", "reset-failed", PROBE_UNIT, check=False)
    entries = studio.machine.journal(f"_SYSTEMD_UNIT={PROBE_UNIT}", "_TRANSPORT=stdout")
    return result, [str(entry["MESSAGE"]) for entry in entries if int(entry["__MONOTONIC_TIMESTAMP"]) > since]


def test_what_is_needed_works_and_nothing_else(furnished: Installed, hardening: list[str]) -> None:
    result, said = run_in_sandbox(furnished, hardening, PROBE.read_text())
    assert result == "success", said
    assert json.loads(said[-1]) == dict.fromkeys(NEEDED, "done") | REFUSED


def test_without_the_sandbox_the_same_user_could_do_more(furnished: Installed, hardening: list[str]) -> None:
    result, said = run_in_sandbox(
        furnished, [line for line in hardening if line.startswith(IDENTITY)], PROBE.read_text()
    )
    assert result == "success", said
    came_of_it = json.loads(said[-1])
    assert [name for name in REFUSED if came_of_it[name] == REFUSED[name]] == [], (
        "refused by the sandbox, not by rights"
    )
    assert all(came_of_it[name] == "done" for name in NEEDED)


def test_lease_drop_in_lets_it_ask_about_files_of_others(
    furnished: Installed, hardening: list[str], repository
) -> None:
    asked = "import fcntl\nfile = open('/srv/of-others', 'rb')\nfcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)"
    furnished.machine.run("install", "-m", "644", "/dev/null", "/srv/of-others")
    assert run_in_sandbox(furnished, hardening, asked)[0] == "exit-code"
    drop_in = (repository / "systemd/heygemd.service.d/lease.conf.example").read_text().split("[Service]")[1]
    assert run_in_sandbox(furnished, [*hardening, drop_in], asked) == ("success", [])


def test_machine_code_must_be_allowed_for_torch_and_numba(furnished: Installed, hardening: list[str]) -> None:
    """Why MemoryDenyWriteExecute= is off."""
    strict = [*hardening, "MemoryDenyWriteExecute=yes"]
    result, said = run_in_sandbox(furnished, strict, CONVOLUTION)
    assert (result, said[-1]) == ("exit-code", "RuntimeError: could not create a primitive")
    assert run_in_sandbox(furnished, strict, COMPILED)[0] != "success"
    assert run_in_sandbox(furnished, hardening, CONVOLUTION)[0] == "success"
    assert run_in_sandbox(furnished, hardening, COMPILED)[0] == "success"


def test_share_that_is_mounted_after_the_start_can_be_written(studio: Installed) -> None:
    machine = studio.machine
    machine.run("mkdir", "-p", "/mnt/films")
    machine.run("mount", "--bind", "--make-private", ROOT, "/mnt/films")
    machine.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT)  # as if nothing were mounted there yet
    studio.start()
    machine.wait_for(lambda: studio.entries("root.went_offline"), 20)
    machine.run("mount", "--bind", "/mnt/films", ROOT)
    machine.wait_for(lambda: studio.entries("root.came_online"), 40)
    machine.wait_for(lambda: studio.path("status/status.json").exists(), 20)
    machine.systemctl("stop", UNIT)
