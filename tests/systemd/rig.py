"""A real systemd and journald, booted as PID 1 of a machine of its own: namespaces, and a root directory in memory.

    with boot(tmp_path, files={"/etc/systemd/system/x.service": UNIT}) as machine:
        machine.systemctl("start", "x")
        assert machine.show("x")["ActiveState"] == "active"
        machine.wait_for(lambda: machine.journal("-u", "x.service", "HEYGEMD_EVENT=daemon.started"))
        film = machine.path("/srv/heygemd/outbox/hello.mp4").read_bytes()

The machine sees the programs of the host (/usr, read-only), a copy of its /etc without its services, and what `boot` is
given; its /var, /srv, /opt, /home, /tmp and network are its own and empty. Nothing that happens there reaches the
host, and everything goes when the block ends. Two machines may run at once. Needs root, systemd 252 or newer, and a
kernel that allows namespaces and cgroup2; `can_boot` tells.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

INSIDE = Path(__file__).with_name("inside.py")
NAMESPACES = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net")
ENTER = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
ENDS_WITH_US = ("setpriv", "--pdeathsig=KILL")
"""Should this process be killed, so are its machines."""
OLDEST_SYSTEMD = 252
SYSTEMD = Path("/lib/systemd/systemd")
BOOT_S = 60.0

Content = str | Path
"""Of a file: its text, or a file of the host that is copied."""


class NotBooted(RuntimeError):
    """The machine did not come up; the message holds what it said."""


class Machine:
    """A booted machine. Paths are those inside it unless said otherwise."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        """Of its PID 1, as the host counts."""

    def path(self, inside: str) -> Path:
        """Where the host's root sees a file of the machine."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def run(
        self, *argv: str, check: bool = True, user: str = "", timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, outside of any unit; `user`: as whom, else root. Output is text."""
        words = ["nsenter", f"--target={self.pid}", *ENTER, "--"]
        if user:
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0"}
        done = subprocess.run(
            [*words, *argv], env=environment, capture_output=True, text=True, timeout=timeout_s,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def systemctl(self, *words: str, check: bool = True, timeout_s: float = 120.0) -> str:
        """Return what `systemctl …` says."""
        return self.run("systemctl", "--no-pager", "--full", *words, check=check, timeout_s=timeout_s).stdout

    def show(self, unit: str) -> dict[str, str]:
        """Return all properties of a unit."""
        lines = self.systemctl("show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *words: str) -> list[dict[str, Any]]:
        """Return the journal's entries, oldest first; `words` are matches and options of journalctl."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--all", *words).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for(self, condition: Callable[[], Any], limit_s: float = 60.0, what: str = "") -> Any:
        """Ask until the answer is true, and return it; fails with the end of the journal."""
        ends_s = time.monotonic() + limit_s
        while not (answer := condition()):
            if time.monotonic() > ends_s:
                end = self.run("journalctl", "--lines=60", "--output=short-precise").stdout
                raise AssertionError(f"not within {limit_s:.0f} s: {what or condition}\n{end}")
            time.sleep(0.1)
        return answer

    def processes(self, unit: str) -> list[int]:
        """Pids of all that runs in a unit's control group, as the machine counts; none when the group is gone."""
        group = self.path(f"/sys/fs/cgroup/system.slice/{unit}")
        if not group.is_dir():
            return []
        # Read by a process inside: the kernel tells everybody their own numbers.
        said = self.run(
            "find", f"/sys/fs/cgroup/system.slice/{unit}", "-name", "cgroup.procs", "-exec", "cat", "{}", "+"
        )
        return sorted(map(int, said.stdout.split()))


def can_boot() -> bool:
    """Tell whether this host can run such machines."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or not all(map(shutil.which, ("unshare", "nsenter", "setpriv"))):
        return False
    return _version() >= OLDEST_SYSTEMD and _may_unshare()


def _version() -> int:
    said = subprocess.run([SYSTEMD, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return int(said[1]) if len(said) > 1 and said[1].isdigit() else 0


@functools.cache
def _may_unshare() -> bool:
    trial = "mount -t tmpfs t /mnt && mkdir /mnt/g /mnt/p && mount -t cgroup2 g /mnt/g && mount -t proc p /mnt/p"
    done = subprocess.run(["unshare", *NAMESPACES, "--cgroup", "sh", "-c", trial], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def boot(
    folder: Path,
    *,
    files: Mapping[str, Content | tuple[Content, int]] | None = None,
    binds: Mapping[str, Path] | None = None,
    fresh: tuple[str, ...] = (),
    tree: Path | None = None,
    target: str = "basic.target",
) -> Iterator[Machine]:
    """
    Boot a machine; it is ended, with all that runs in it, when the block ends.

    `folder`: an empty folder of the host for the rig's own use. `files`: place in the machine → contents, or a Path of
    the host to copy, or such a thing and its mode. `binds`: place → file or folder of the host that is seen there,
    read-only. `fresh`: folders below /usr that may be written, as copies. `tree`: the root directory to boot instead of
    one that is made of the host's /usr (a debootstrap, for instance; it is written to). `target`: how far to boot.
    Raises NotBooted.
    """
    (root := folder / "root").mkdir(parents=True)
    plan = {
        "root": str(root), "group": (group := _new_group()), "tree": str(tree) if tree else "", "target": target,
        "fresh": list(fresh), "binds": {place: str(source) for place, source in (binds or {}).items()},
        "files": {place: _file(wanted) for place, wanted in (files or {}).items()},
    }  # fmt: skip
    (plan_file := folder / "plan.json").write_text(json.dumps(plan))
    argv = [*ENDS_WITH_US, "unshare", *NAMESPACES, sys.executable, "-I", str(INSIDE), str(plan_file)]
    with (folder / "boot.log").open("wb") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _wait_until_up(child, folder / "boot.log")
    finally:
        child.kill()  # the kernel then ends PID 1, and with it everything in the machine
        child.wait()
        _remove_group(group)


def _file(wanted: Content | tuple[Content, int]) -> dict[str, object]:
    content, mode = wanted if isinstance(wanted, tuple) else (wanted, 0o644)
    return {"source": str(content), "mode": mode} if isinstance(content, Path) else {"text": content, "mode": mode}


def _wait_until_up(child: "subprocess.Popen[bytes]", log: Path) -> Machine:
    ends_s = time.monotonic() + BOOT_S
    state = ""
    while child.poll() is None and time.monotonic() < ends_s:
        first = next((found for found in psutil.Process(child.pid).children() if found.name() == "systemd"), None)
        if first is not None:
            machine = Machine(first.pid)
            state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
            if state in ("running", "degraded"):
                return machine
        time.sleep(0.05)
    raise NotBooted(f"the machine is {state or 'not there'}:\n{log.read_text(errors='replace')}")


def _new_group() -> str:
    """Make a control group for the machine beside our own, so that its groups do not mix with the host's."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines if " - cgroup2 " in line]
    own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    if not points:
        return ""  # no place to make one
    group = Path(points[0]) / own.lstrip("/") / f"heygemd-test-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    return str(group)


def _remove_group(group: str) -> None:
    if not group:
        return
    ends_s = time.monotonic() + 10
    while "populated 1" in Path(group, "cgroup.events").read_text() and time.monotonic() < ends_s:
        time.sleep(0.02)
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
