"""heygemd installed in a machine of the rig: the shipped unit at its shipped paths, run from this checkout.

What differs from a real installation: `/opt/heygemd/venv` is put together from the checkout and its packages instead of
by pip, and the configuration asks for small, quick films.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.systemd.rig import Content, Machine, boot

UNIT = "heygemd.service"
ROOT = "/srv/heygemd"
CONFIG = "/etc/heygemd/heygemd.toml"
STATE = "/var/lib/heygemd"
CATALOGS = "/usr/lib/systemd/catalog"
VENV = "/opt/heygemd/venv"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"

SETTINGS = """
roots = ["/srv/heygemd"]
state_dir = "/var/lib/heygemd"
models_dir = "/var/lib/heygemd/models"
log_file = "/var/log/heygemd/debug.jsonl"
metrics_file = "/var/lib/heygemd/metrics/heygemd.prom"
[intake]
settle_s = 0.3
settle_unsure_s = 0.6
scan_active_s = 0.2
scan_idle_s = 1.0
reserve_mib = 0
[render]
engine = "passthrough"
preset = "ultrafast"
segment_s = 0.6
min_segment_s = 0.5
workers = 1
ram_reserve_mib = 0
[retention]
low_water_gib = 0
"""
"""As scripts/install.sh writes them, but for speed."""

PROGRAM = """\
#!/opt/heygemd/venv/bin/python
import sys
from heygemd.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


@contextmanager
def boot_installed(
    folder: Path, repository: Path, *, files: Mapping[str, Content] | None = None, settings: str = SETTINGS
) -> Iterator["Installed"]:
    """Boot a machine with heygemd installed and a root made at /srv/heygemd; the service is not started."""
    shipped = repository / "systemd"
    program, binds = _program(repository)
    placed = {
        f"/etc/systemd/system/{UNIT}": shipped / UNIT,
        "/etc/sysusers.d/heygemd.conf": shipped / "heygemd.sysusers",
        "/etc/tmpfiles.d/heygemd.conf": shipped / "heygemd.tmpfiles",
        f"{CATALOGS}/heygemd.catalog": shipped / "heygemd.catalog",
        CONFIG: settings,
    }
    with boot(folder, files={**placed, **program, **(files or {})}, binds=binds, fresh=(CATALOGS,)) as machine:
        machine.run("ldconfig")
        machine.run("journalctl", "--update-catalog")
        machine.run("install", "-d", "-o", "heygemd", "-g", "heygemd", "-m", "2770", ROOT)
        machine.run("sh", "-c", f"umask 007; exec {VENV}/bin/heygemd init-root {ROOT}", user="heygemd")
        yield Installed(machine)


def _program(repository: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the files and the binds that make /opt/heygemd/venv, an environment that runs this checkout.

    The interpreter may lie in somebody's home directory, which the unit must not see: it is shown elsewhere.
    """
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(Path(entry) for entry in sys.path if Path(entry, "structlog").is_dir())
    binds = {"/opt/heygemd/packages": packages, "/opt/heygemd/checkout/heygemd": repository / "heygemd"}
    home, library = base / "bin", ""
    if not base.is_relative_to("/usr"):
        binds["/opt/heygemd/python"] = base
        home, library = Path("/opt/heygemd/python/bin"), "/opt/heygemd/python/lib\n"
    files = {
        f"{VENV}/bin/heygemd": (PROGRAM, 0o755),
        f"{VENV}/bin/python": ((base / "bin" / version).resolve(), 0o755),
        f"{VENV}/pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = false\n",
        f"{VENV}/lib/{version}/site-packages/checkout.pth": "/opt/heygemd/packages\n/opt/heygemd/checkout\n",
        "/etc/ld.so.conf.d/heygemd-python.conf": library,
    }
    return files, binds


@dataclass(frozen=True)
class Installed:
    """The service and its root, as an administrator and the people of the share see them."""

    machine: Machine
    root: str = ROOT

    def path(self, below: str) -> Path:
        """Where the host sees a file of the root."""
        return self.machine.path(f"{ROOT}/{below}")

    def start(self, **drop_in: str) -> None:
        """Start the service as it is shipped, or with some lines of [Service] in a drop-in; anew if it runs."""
        place = self.machine.path(DROP_IN)
        if drop_in:
            place.parent.mkdir(exist_ok=True)
            place.write_text("\n".join(["[Service]", *(f"{key}={value}" for key, value in drop_in.items()), ""]))
        else:
            place.unlink(missing_ok=True)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("reset-failed", UNIT, check=False)
        self.machine.systemctl("restart", UNIT)

    def configure(self, settings: str) -> None:
        """Write the configuration."""
        self.machine.path(CONFIG).write_text(settings)

    def show(self) -> dict[str, str]:
        """Return what systemd knows of the service."""
        return self.machine.show(UNIT)

    def main_pid(self) -> int:
        """Pid of the daemon, as the machine counts; 0 when there is none."""
        return int(self.show()["MainPID"])

    def processes(self) -> list[int]:
        """Pids of the daemon and all its children."""
        return self.machine.processes(UNIT)

    def drop(self, name: str, pair: "Pair", *, user: str = "heygemd") -> None:
        """Put a pair into the inbox as a careful person does; no two names give the same bytes."""
        for suffix, data in ((".mp4", pair.picture_named(name)), (".wav", pair.sound)):
            waiting, part = f"/opt/{name}{suffix}", f"{ROOT}/inbox/.{name}{suffix}.part"
            self.machine.path(waiting).write_bytes(data)
            copy = f"umask 007; cp {waiting} {part} && mv {part} {ROOT}/inbox/{name}{suffix}"
            self.machine.run("sh", "-c", copy, user=user)

    def films(self) -> list[str]:
        """Names of the films in the outbox."""
        return sorted(path.name for path in self.path("outbox").glob("*.mp4"))

    def wait_for_film(self, name: str, limit_s: float = 90.0) -> Path:
        """Wait until a film is there and its originals are put away."""
        film = self.path(f"outbox/{name}.mp4")
        self.machine.wait_for(lambda: film.exists() and self.path("done").glob(f"*/{name}__*"), limit_s, f"film {name}")
        return film

    def entries(self, event: str = "", *, job: str = "", since_us: int = 0) -> list[dict[str, Any]]:
        """Entries of the journal by event, by job, later than `now_us()` was."""
        words = [f"HEYGEMD_EVENT={event}"] if event else []
        words += [f"HEYGEMD_JOB_ID={job}"] if job else []
        found = self.machine.journal(f"--unit={UNIT}", *words)
        # Not journalctl's --after-cursor: with matches, systemd 252 passes over the first entry that it should show.
        return [entry for entry in found if int(entry["__MONOTONIC_TIMESTAMP"]) > since_us]

    def events(self, *, job: str = "", since_us: int = 0) -> list[str]:
        """Names of our events, in order."""
        found = self.entries(job=job, since_us=since_us)
        return [str(entry["HEYGEMD_EVENT"]) for entry in found if "HEYGEMD_EVENT" in entry]

    def now_us(self) -> int:
        """When the latest entry of the journal was written."""
        return int(self.machine.journal("--lines=1")[-1]["__MONOTONIC_TIMESTAMP"])

    def job_of(self, name: str) -> str:
        """Id of the job with this name."""
        found = [entry for entry in self.entries("job.added") if entry["HEYGEMD_NAME"] == name]
        return str(found[-1]["HEYGEMD_JOB_ID"])


@dataclass(frozen=True)
class Pair:
    """A picture with a face and a sound with a voice."""

    picture: bytes
    sound: bytes

    def picture_named(self, name: str) -> bytes:
        """Return the picture with a mark that makes its bytes differ from all others'."""
        return self.picture + (8 + len(name)).to_bytes(4, "big") + b"free" + name.encode()
