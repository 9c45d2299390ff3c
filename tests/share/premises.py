"""The whole thing as people have it: a daemon with one root per person, each exported by a Samba server."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heygemd.intake.roots import init_root
from heygemd.jobs.roots import Root
from tests.share.media import MAX_PIXELS, Pair
from tests.share.samba import Samba, Share, start_samba
from tests.share.wire import Wire

SETTLE_S = 0.4
BEYOND_SETTLE_S = 1.6
"""A pause in which a file that counts as complete would be claimed, checked, hashed and gone."""
SOON_S = 30.0

CONFIG = """
roots = [{roots}]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = {settle_s}
settle_unsure_s = {settle_s}
scan_active_s = 0.1
scan_idle_s = 0.5
reserve_mib = 1
[limits]
max_pixels = {max_pixels}
[render]
engine = "passthrough"
preset = "ultrafast"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that is over: where its files lie, and its report."""

    path: Path
    """The film, or the folder in `failed/`."""
    report: dict[str, Any]

    @property
    def sums(self) -> tuple[str, str]:
        """sha256 of picture and sound as they were when the job was accepted."""
        inputs = self.report["inputs"]
        return inputs["video"]["sha256"], inputs["audio"]["sha256"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a share of their own; paths are those they see, with `/`."""

    name: str
    root: Root
    samba: Samba
    scratch: Path
    daemon: subprocess.Popen[bytes]

    def smb(self, *commands: str, **how) -> str:
        """Let smbclient do something that works."""
        run = self.samba.run(self.name, *commands, **how)
        assert run.returncode == 0, f"{commands}: {run.stdout}{run.stderr}"
        return run.stdout

    def put(self, data: bytes, path: str) -> None:
        """Copy with smbclient; the folder must be there."""
        file = self.scratch / hashlib.sha256(data).hexdigest()
        file.write_bytes(data)
        self.smb(f'put "{file}" "{path}"')

    def put_pair(self, pair: Pair, stem: str) -> None:
        """Copy both files of a pair into the inbox; `stem` may begin with a folder that is there."""
        self.put(pair.video, f"inbox/{stem}.mp4")
        self.put(pair.audio, f"inbox/{stem}.wav")

    def make_folder(self, path: str) -> None:
        """Make it."""
        self.smb(f'mkdir "{path}"')

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """Open a connection of another client."""
        wire = Wire(self.samba.port, self.name)
        try:
            yield wire
        finally:
            wire.close()

    def film(self, name: str, limit_s: float = SOON_S) -> Ended:
        """Wait for `outbox/<name>.mp4`."""
        path = self.root.outbox / f"{name}.mp4"
        report = path.with_name(f"{path.name}.json")
        self.wait_for(lambda: path.exists() or self._complain(name), limit_s)
        return Ended(path=path, report=json.loads(report.read_bytes()))

    def failure(self, stem: str, limit_s: float = SOON_S) -> Ended:
        """Wait for `failed/<stem>__<id8>/`, complete."""

        def look() -> Path | None:
            found = [path for path in self.root.failed.glob("*__*") if path.name.rpartition("__")[0] == stem]
            whole = (path for path in found if (path / "REASON.txt").exists() and (path / "error.json").exists())
            return next(whole, None)

        path = self.wait_for(look, limit_s)
        return Ended(path=path, report=json.loads((path / "error.json").read_bytes()))

    def held(self, stem: str, limit_s: float = SOON_S) -> Path:
        """Wait for `processing/<stem>__<id8>/`."""
        return self.wait_for(lambda: next(iter(self.root.processing.glob(f"{stem}__*")), None), limit_s)

    def stays(self, *names: str, for_s: float = BEYOND_SETTLE_S) -> None:
        """Watch files of the inbox: none of them may leave it."""
        all_stay({self: names}, for_s=for_s)

    def wait_for(self, condition: Callable[[], Any], limit_s: float = SOON_S) -> Any:
        """Return what `condition` says as soon as it says something."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            if found := condition():
                return found
            assert self.daemon.poll() is None, "the daemon ended; its log lies in the folder above the roots"
            time.sleep(0.02)
        raise AssertionError(f"nothing came in {limit_s} s: {self.tree()}")

    def tree(self) -> list[str]:
        """What lies in the root, without the daemon's private folder."""
        files = (str(path.relative_to(self.root.path)) for path in self.root.path.rglob("*") if path.is_file())
        return sorted(name for name in files if not name.startswith((".heygemd", "status", "done")))

    def _complain(self, name: str) -> None:
        """A film that will not come need not be waited for."""
        stem = name.rpartition("/")[2]
        for reason in self.root.failed.glob("*__*/REASON.txt"):
            if reason.parent.name.rpartition("__")[0] == stem:
                raise AssertionError(f"{name} failed: {reason.read_text(encoding='utf-8-sig')}")


@dataclass(frozen=True, slots=True)
class Premises:
    """Server, daemon and people."""

    folder: Path
    samba: Samba
    people: dict[str, Person]
    daemon: subprocess.Popen[bytes]

    def log(self) -> list[dict[str, Any]]:
        """Return the events of the daemon."""
        return events_in(self.folder / "daemon.log")


def all_stay(names: Mapping[Person, Iterable[str]], *, for_s: float = BEYOND_SETTLE_S) -> None:
    """Watch files in the inboxes of several people: none of them may leave."""
    places = [person.root.inbox / name for person, mine in names.items() for name in mine]
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        gone = [str(place) for place in places if not place.exists()]
        assert not gone, f"{gone} left the inbox: {[person.tree() for person in names]}"
        time.sleep(0.02)


def events_in(log: Path) -> list[dict[str, Any]]:
    """Return the events of a daemon's log, in which two processes may have ended their lines at the same time."""
    text, events, decoder = log.read_text(encoding="utf-8"), list[dict[str, Any]](), json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            event, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            end = start + 1  # words of another program, or a line that is being written
        else:
            events.append(event)
        start = text.find("{", end)
    return [event for event in events if "event" in event]


@contextmanager
def open_premises(folder: Path, shares: dict[str, str]) -> Iterator[Premises]:
    """Make roots, start server and daemon; `shares`: person → more lines of smb.conf."""
    roots = {name: init_root(folder / name) for name in shares}
    (folder / "scratch").mkdir()
    state, config = folder / "state", folder / "heygemd.toml"
    listed = ", ".join(f'"{root.path}"' for root in roots.values())
    config.write_text(
        CONFIG.format(roots=listed, state=state, settle_s=SETTLE_S, max_pixels=MAX_PIXELS), encoding="utf-8"
    )
    samba = start_samba(
        folder / "samba", [Share(name=name, path=roots[name].path, extra=extra) for name, extra in shares.items()]
    )
    try:
        with _daemon(config, folder / "daemon.log") as daemon:
            people = {name: Person(name, root, samba, folder / "scratch", daemon) for name, root in roots.items()}
            for person in people.values():
                person.wait_for((person.root.status / "status.json").exists)
            yield Premises(folder, samba, people, daemon)
    finally:
        samba.stop()


@contextmanager
def _daemon(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "heygemd", "run", "--config", str(config)]
    with log.open("wb") as file:
        daemon = subprocess.Popen(argv, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield daemon
        assert daemon.poll() is None, f"the daemon ended: {log.read_text(encoding='utf-8')[-2000:]}"
    finally:
        daemon.terminate()
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
