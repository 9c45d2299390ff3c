"""A real Samba server for tests: one `smbd` on a loopback port, with everything it writes in one folder.

What was measured with Samba 4.17 on ext4, the lease probe asking about a file that a client has open for writing
(`test_samba.py` asks again):

| smb.conf                                    | handle open                | client cut off                  |
|---------------------------------------------|----------------------------|---------------------------------|
| as shipped; oplocks, SMB2 leases, sendfile  | BUSY                       | smbd closes the file: FREE      |
| `oplocks = no`                              | BUSY                       | FREE                            |
| `strict allocate = yes`                     | BUSY; size first: no holes | FREE                            |
| durable handles (`kernel oplocks`, `kernel  | BUSY                       | FREE: the handle waits for its  |
| share modes`, `posix locking` = no)         |                            | client, the file does not       |
| `kernel oplocks = yes`                      | BUSY, also while a mere    | FREE                            |
|                                             | reader caches the file;    |                                 |
|                                             | each probe breaks an oplock|                                 |

So a writer is always seen, but a file whose client was cut off looks like any other: only holes and structure
tell that it is half there. `kernel oplocks` is better left off.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

START_LIMIT_S = 20.0
PASSWORD = "Testing-1"
TOOLS = ("smbd", "smbpasswd", "smbclient")
_SBIN = "/usr/sbin:/sbin"

_GLOBAL = """
[global]
server role = standalone server
netbios name = HEYGEMDTEST
disable netbios = yes
smb ports = {port}
interfaces = 127.0.0.1
bind interfaces only = yes
security = user
map to guest = never
obey pam restrictions = no
passdb backend = tdbsam:{folder}/private/passdb.tdb
username map = {folder}/users.map
private dir = {folder}/private
lock directory = {folder}/lock
state directory = {folder}/state
cache directory = {folder}/cache
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
load printers = no
printing = bsd
printcap name = /dev/null
disable spoolss = yes
usershare max shares = 0
panic action = /bin/true
"""
_SHARE = """
[{name}]
path = {path}
read only = no
valid users = {account}
force user = {owner}
{extra}
"""


def find_tool(name: str) -> str | None:
    """Return where a program of Samba is; the servers lie where ordinary users do not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")


def is_usable() -> bool:
    """Tell whether a server can be started: smbd takes the rights of the files' owner, which only root may."""
    return os.geteuid() == 0 and all(map(find_tool, TOOLS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One exported folder, named like the one user who may enter it."""

    name: str
    path: Path
    extra: str = ""
    """More lines for its section of smb.conf."""


@dataclass(frozen=True, slots=True)
class Samba:
    """A running server; needs root, because it becomes the owner of the files."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def run(self, share: str, *commands: str, user: str | None = None, **how) -> subprocess.CompletedProcess[str]:
        """Run smbclient's `commands` as `user` (who is named like the share); see smbclient(1)."""
        argv = self.client_argv(share, *commands, user=user)
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=60, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=False, **how
        )

    def client_argv(self, share: str, *commands: str, user: str | None = None) -> list[str]:
        """Return the command line for it."""
        account = f"{user or share}%{PASSWORD}"
        conf = f"--configfile={self.folder / 'smb.conf'}"
        where = ["-p", str(self.port), f"//127.0.0.1/{share}"]
        return [find_tool("smbclient") or "smbclient", conf, "-U", account, *where, "-c", "; ".join(commands)]

    def log(self) -> str:
        """Return what the server said."""
        return (self.folder / "smbd.log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server and its children (one a connection), each by its id."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=2)
        for child in alive:
            child.send_signal(signal.SIGKILL)


def start_samba(folder: Path, shares: Sequence[Share]) -> Samba:
    """Start a server that exports `shares`, and wait until it answers; raises RuntimeError with its words if not."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc"):
        (folder / name).mkdir(parents=True)
    port = _free_port()
    owner = pwd.getpwuid(os.getuid()).pw_name
    # A Samba user needs an account of the system: borrow those of services, they get no rights from it.
    spare = [entry.pw_name for entry in pwd.getpwall() if entry.pw_name not in ("root", "nobody")]
    accounts = {share.name: account for share, account in zip(shares, spare, strict=False)}
    conf = folder / "smb.conf"
    sections = [
        _SHARE.format(name=share.name, path=share.path, account=accounts[share.name], owner=owner, extra=share.extra)
        for share in shares
    ]
    conf.write_text(_GLOBAL.format(port=port, folder=folder) + "".join(sections), encoding="utf-8")
    users = "".join(f"{account} = {user}\n" for user, account in accounts.items())
    (folder / "users.map").write_text(users, encoding="utf-8")
    for account in accounts.values():
        argv = [find_tool("smbpasswd") or "smbpasswd", "-c", str(conf), "-s", "-a", account]
        subprocess.run(argv, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, capture_output=True, check=True)
    argv = [find_tool("smbd") or "smbd", "--foreground", "--no-process-group", "--debug-stdout"]
    with (folder / "smbd.log").open("wb") as log:
        # In a session of its own: when it ends, smbd sends SIGTERM to its whole process group. It also ends at the end
        # of its input, so that it does not outlive a test run that is killed.
        process = subprocess.Popen(
            [*argv, f"--configfile={conf}"],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    samba = Samba(folder, port, process)
    _wait_until_it_answers(samba)
    return samba


def _wait_until_it_answers(samba: Samba) -> None:
    end_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end_s and samba.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", samba.port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    samba.process.kill()
    samba.process.wait()
    raise RuntimeError(f"smbd did not start: {samba.log()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
