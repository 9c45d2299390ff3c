"""A machine of stand-ins for scripts/install.sh: a top folder, a PATH, a checkout, and a list of what was called."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = "/etc/heygemd/heygemd.toml"
DROP_IN = "/etc/systemd/system/heygemd.service.d/roots.conf"
SMB_CONF = "/etc/samba/smb.conf"
SHARE = "/etc/samba/heygemd.conf"
UNIT = "/usr/local/lib/systemd/system/heygemd.service"

TOOLS = [
    *("basename", "bash", "cat", "chmod", "cksum", "cmp", "cp", "cut", "date", "dirname", "env", "find", "flock"),
    *("grep", "head", "ln", "mkdir", "mktemp", "mv", "readlink", "realpath", "rm", "sed", "sh", "sort", "tail"),
    *("tee", "test", "touch", "tr", "uname", "xargs"),
]
"""Real ones."""

PYTHON = """
case "$1 $2" in
  "-m venv") for last; do :; done; mkdir -p "$last/bin"; cp "$BIN/made-python" "$last/bin/python" ;;
  "-c import ctypes"*) exit 0 ;;
  *) exec "{python}" "$@" ;;
esac
"""

MADE_PYTHON = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
  *"pip install"*) echo "pip $*" >>"$CALLS"; [ -e "$TOP/pip-fails" ] && {{ echo "No matching distribution"; exit 1; }}
    cp "$BIN/made-heygemd" "$here/heygemd" ;;
  *"pip config"*) cat "$TOP/pip.conf" 2>/dev/null ;;
  *torch.version*) cat "$TOP/torch-cuda" 2>/dev/null || echo None ;;
  *) exit 0 ;;
esac
"""

HEYGEMD = """#!/bin/sh
[ -n "$_HEYGEMD_COMPLETE" ] && {{ echo "# $_HEYGEMD_COMPLETE"; exit 0; }}
echo "heygemd $*" >>"$CALLS"
case "$1" in
  --version) [ ! -e "$TOP/does-not-start" ] && echo "heygemd 0.1.0" ;;
  config) [ ! -e "$TOP/config-refused" ] || {{ echo "E401 unknown setting crff" >&2; exit 78; }} ;;
  doctor) [ ! -e "$TOP/sick" ] || {{ echo "ok python: 3.11"; echo "!! disk: full"; exit 78; }} ;;
  init-root) [ ! -e "$2/foreign" ] || exit 78; mkdir -p "$2/.heygemd" "$2/inbox"; : >"$2/.heygemd/root.json" ;;
esac
"""

STAND_INS = {
    "id": "echo 0",
    "apt-get": 'echo "apt-get $*" >>"$CALLS"',
    "chown": 'echo "chown $*" >>"$CALLS"',
    "setfacl": 'echo "setfacl $*" >>"$CALLS"',
    "logrotate": "true",
    "journalctl": 'echo "journalctl $*" >>"$CALLS"; echo "last words"',
    "systemd-sysusers": 'echo "systemd-sysusers $*" >>"$CALLS"',
    "systemd-tmpfiles": 'echo "systemd-tmpfiles $*" >>"$CALLS"; mkdir -p "$TOP/var/lib/heygemd" "$TOP/var/log/heygemd"',
    # Who becomes the user keeps nothing of the environment but what is given; the stand-ins need theirs.
    "runuser": 'shift 3; [ "$1" = env ] && { shift 2; exec env CALLS="$CALLS" TOP="$TOP" BIN="$BIN" "$@"; }; exec "$@"',
    "systemctl": """
[ "$1" = --version ] && { echo "systemd 252 (252.39-1~deb12u1)"; exit 0; }
echo "systemctl $*" >>"$CALLS"
case "$*" in
  "show "*) cat "$TOP/main-pid" 2>/dev/null || echo 0 ;;
  *is-active*) [ -e "$TOP/active" ] ;;
  *is-enabled*) [ -e "$TOP/enabled" ] ;;
  "enable heygemd") touch "$TOP/enabled" ;;
  "restart heygemd") [ ! -e "$TOP/start-fails" ] && touch "$TOP/active" ;;
  "stop heygemd") rm "$TOP/active" ;;
  "disable heygemd") rm -f "$TOP/enabled" ;;
esac
""",
    "ffmpeg": 'case "$*" in *-encoders*) echo libx264 ;; *) echo "ffmpeg version 5.1.9-0+deb12u1 Copyright" ;; esac',
    "ffprobe": "true",
}

SAMBA = {
    "smbd": "true",
    "smbpasswd": "true",
    # Knows shares of the file and of the one that it includes; "bad" anywhere is an error.
    "testparm": """
for conf; do :; done
files=$conf; grep -q "^include = /etc/samba/heygemd.conf" "$conf" && files="$conf $TOP/etc/samba/heygemd.conf"
if grep -q "^bad" $files; then echo "bad parameter"; exit 1; fi
for word; do case $word in --section-name=*) grep -qF "[${word#*=}]" $files || exit 1 ;; esac; done
""",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Paths inside the machine are written as the script writes them: /opt/heygemd, /etc/heygemd …"""

    top: Path
    bin: Path
    checkout: Path

    def put(self, name: str, body: str) -> None:
        """Put a stand-in into PATH."""
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        file.chmod(0o755)

    def path(self, inside: str) -> Path:
        """Where a path of the machine lies."""
        return self.top / inside.lstrip("/")

    def say(self, name: str) -> None:
        """Switch a stand-in's behaviour: see the names in this module."""
        (self.top / name).touch()

    def unsay(self, name: str) -> None:
        (self.top / name).unlink()

    def run(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.checkout / "scripts" / script, *words],
            cwd=self.checkout,
            env={
                "PATH": str(self.bin), "INSTALL_TOP": str(self.top), "TOP": str(self.top), "BIN": str(self.bin),
                "CALLS": str(self.calls_file), "HOME": str(self.top),
            } | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def install(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run install.sh, and demand that it ends well."""
        run = self.run("install.sh", *words, **environment)
        assert run.returncode == 0, run.stdout + run.stderr
        return run

    @property
    def calls_file(self) -> Path:
        return self.bin.parent / "calls"

    def calls(self, beginning: str = "") -> list[str]:
        """Return what was called so far, in order."""
        lines = self.calls_file.read_text(encoding="utf-8").splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def forget(self) -> None:
        """Begin a new list of calls."""
        self.calls_file.unlink(missing_ok=True)

    def change_program(self, version: str = "0.1.0") -> None:
        """Make the checkout one of another version."""
        (self.checkout / "heygemd" / "__init__.py").write_text(
            f'__version__ = "{version}"\n# changed\n', encoding="utf-8"
        )

    def files(self) -> set[str]:
        """Return every file and link of the machine."""
        return {str(path.relative_to(self.top)) for path in self.top.rglob("*") if path.is_symlink() or path.is_file()}

    def releases(self) -> list[str]:
        return sorted(path.name for path in self.path("/opt/heygemd/releases").iterdir())


def make_machine(folder: Path, repository: Path) -> Machine:
    """Make a machine with everything that apt would bring, but no Samba and no heygemd."""
    machine = Machine(folder / "top", folder / "bin", folder / "checkout")
    for place in (machine.bin, machine.path("/run/systemd/system"), machine.path("/etc"), machine.checkout / "docs"):
        place.mkdir(parents=True)
    machine.path("/etc/os-release").write_text('PRETTY_NAME="Testix 1"\n', encoding="utf-8")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (machine.bin / tool).symlink_to(found)
    for name, body in STAND_INS.items():
        machine.put(name, body)
    machine.put("python3", PYTHON.format(python=sys.executable))
    machine.put("made-python", MADE_PYTHON.format())
    machine.put("made-heygemd", HEYGEMD.format())
    _make_checkout(machine.checkout, repository)
    return machine


def _make_checkout(checkout: Path, repository: Path) -> None:
    shutil.copytree(repository / "systemd", checkout / "systemd")
    shutil.copytree(repository / "scripts" / "install", checkout / "scripts" / "install")
    shutil.copytree(repository / "config", checkout / "config")
    (checkout / "heygemd").mkdir()
    (checkout / "heygemd" / "__init__.py").write_text('__version__ = "0.1.0"\n', encoding="utf-8")
    for name in (
        "scripts/install.sh", "scripts/uninstall.sh", "docs/operations.md", "pyproject.toml",
    ):  # fmt: skip
        shutil.copy(repository / name, checkout / name)
