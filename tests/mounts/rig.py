"""A share that can be taken away, exchanged, filled and made to hang, and a real daemon that has to live with it."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.mounts.namespace import MS_BIND, MS_RDONLY, MS_REMOUNT, mount, unmount

CONFIG = """
roots = [{roots}]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.1
scan_idle_s = 0.3
scan_limit_s = {scan_limit_s}
orphan_notice_s = 0.5
reserve_mib = {reserve_mib}
[render]
engine = "passthrough"
segment_s = 0.6
preset = "ultrafast"
[retention]
low_water_gib = 0
"""
MIB = 1 << 20
FUSE = Path("/dev/fuse")
LOG_SHOWN = 120
"""Lines."""


@dataclass(frozen=True)
class Goods:
    """A picture and a sound of a second and a bit."""

    folder: str

    def drop(self, inbox, name, mark=b""):
        """Write a pair; `mark` makes its bytes differ from those of other pairs, so that none is a duplicate."""
        mark = mark or name.encode()
        inbox.mkdir(parents=True, exist_ok=True)
        picture = (Path(self.folder) / "face.mp4").read_bytes()
        box = (8 + len(mark)).to_bytes(4, "big") + b"free" + mark
        (inbox / f"{name}.mp4").write_bytes(picture + box)
        shutil.copy(Path(self.folder) / "voice.wav", inbox / f"{name}.wav")


def make_goods(folder):
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]
    x264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*make, "testsrc2=size=64x64:rate=25:duration=0.4", *x264, str(folder / "face.mp4")], check=True)
    voice = "sine=frequency=220:duration=1.2:sample_rate=16000"
    subprocess.run([*make, voice, str(folder / "voice.wav")], check=True)
    return Goods(str(folder))


@dataclass
class Share:
    """A file system that outlives being unmounted: `kept` is always there, `place` is where the daemon knows it."""

    kept: Path
    place: Path

    @classmethod
    def make(cls, folder, size_mib=64):
        kept, place = folder / "kept", folder / "place"
        kept.mkdir(parents=True)
        place.mkdir()
        mount("tmpfs", kept, "tmpfs", options=f"size={size_mib}m")
        share = cls(kept, place)
        share.mount()
        return share

    def mount(self):
        mount(str(self.kept), self.place, flags=MS_BIND)

    def unmount(self):
        unmount(self.place)

    def mount_readonly(self, source, place):
        """A second view of `source`, read-only, over `place`."""
        mount(str(source), place, flags=MS_BIND)
        mount("none", place, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)

    def init_root(self):
        argv = [sys.executable, "-m", "heygemd", "init-root", str(self.place)]
        subprocess.run(argv, check=True, capture_output=True)

    def fill(self, leave_mib=0):
        """Use up the space but for `leave_mib`; returns the file to be removed."""
        return fill(self.kept, leave_mib)

    @property
    def inbox(self):
        return self.kept / "inbox"

    def films(self):
        return sorted(str(path.relative_to(self.kept / "outbox")) for path in (self.kept / "outbox").rglob("*.mp4"))

    def parts(self):
        return sorted(path.name for path in self.kept.rglob("*.part"))

    def status(self):
        """What people read."""
        try:
            return json.loads((self.kept / "status/status.json").read_text())
        except FileNotFoundError:
            return None

    def tree(self):
        """Everything that would tell of a visit: names, contents, times."""
        return {
            str(path.relative_to(self.kept)): (
                path.lstat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in [self.kept, *self.kept.rglob("*")]
        }


def fill(folder, leave_mib=0):
    """Use up the space of the file system that `folder` lies on, to the last block; others may write meanwhile."""
    file = folder / ".fill"
    with file.open("wb") as out:
        while (left := os.statvfs(folder)).f_bavail * left.f_frsize > leave_mib * MIB:
            taken_bytes = out.seek(0, os.SEEK_END)
            with suppress(OSError):
                os.posix_fallocate(out.fileno(), taken_bytes, left.f_bavail * left.f_frsize - leave_mib * MIB)
    return file


class Hang:
    """A file system that never answers: FUSE without anybody at the other end."""

    def __init__(self, place):
        self._place = place
        self._fd = os.open(FUSE, os.O_RDWR | os.O_CLOEXEC)
        mount("silence", place, "fuse", options=f"fd={self._fd},rootmode=40000,user_id=0,group_id=0")

    def end(self):
        """Let everybody go who waits for it; what it hid comes to light again."""
        if self._fd >= 0:
            os.close(self._fd)
            unmount(self._place)
        self._fd = -1


@dataclass
class Studio:
    """A state directory and the daemons that are run on it."""

    folder: Path
    goods: Goods
    roots: list
    reserve_mib: int = 0
    scan_limit_s: float = 60.0
    daemon: subprocess.Popen | None = None
    begun: list = field(default_factory=list)

    @property
    def state(self):
        return self.folder / "state"

    @property
    def log(self):
        return self.folder / "daemon.log"

    def start(self, *flags):
        roots = ", ".join(f'"{share.place}"' for share in self.roots)
        values = {"reserve_mib": self.reserve_mib, "scan_limit_s": self.scan_limit_s, "state": self.state}
        config = self.folder / "heygemd.toml"
        config.write_text(CONFIG.format(roots=roots, **values))
        hasty = Path(__file__).with_name("hasty_daemon.py")
        argv = [sys.executable, str(hasty), "run", "--config", str(config), *flags]
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        count = len(self.named("daemon.started"))
        self.wait_for(lambda: len(self.named("daemon.started")) > count)
        return self.daemon

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def end(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.kill()
        if self.log.exists():
            # pytest shows it when the test fails; a loop that spins must not fill the screen
            sys.stdout.writelines(f"{line[:400]}\n" for line in self.log.read_text().splitlines()[:LOG_SHOWN])

    def stop(self):
        """As systemd does; the daemon must end by itself."""
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(30) == 0

    def events(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith('{"') and line.endswith("}")]

    def named(self, *names):
        return [line for line in self.events() if line["event"] in names]

    def wait_for(self, condition, limit_s=40.0):
        """Poll what other processes make; the daemon must not end meanwhile."""
        ends_s = time.monotonic() + limit_s
        while not (found := condition()):
            assert self.daemon.poll() is None, f"the daemon ended with {self.daemon.returncode}"
            assert time.monotonic() < ends_s, "the time is up"
            time.sleep(0.05)
        return found

    def states(self):
        """State of each job by name."""
        return dict(self._ask("SELECT name, state FROM job"))

    def history(self):
        """Every state that any job was ever in."""
        return {state for (state,) in self._ask("SELECT DISTINCT state FROM event")}

    def _ask(self, sql):
        file = self.state / "jobs.sqlite"
        if not file.exists():
            return []
        db = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:  # just being made
            return []
        finally:
            db.close()

    def all_done(self, *names):
        return set(names) == set(states := self.states()) and set(states.values()) == {"done"}

    def check_untroubled(self, share, *names):
        """The end of every bad day: each film is there once, nothing failed, nothing was left, no bug was met."""
        self.wait_for(lambda: self.all_done(*names))
        self.wait_for(lambda: not list((share.kept / "processing").iterdir()))
        assert share.films() == sorted(f"{name}.mp4" for name in names)
        assert share.parts() == []
        assert list((share.kept / "failed").iterdir()) == []
        assert not self.history() & {"failed", "cancelled"}
        assert [line for line in self.events() if line["level"] in ("error", "critical")] == []
        originals = sorted(path.name for path in (share.kept / "done").rglob("*") if path.is_file())
        assert originals == sorted(f"{name}.{suffix}" for name in names for suffix in ("mp4", "wav"))
