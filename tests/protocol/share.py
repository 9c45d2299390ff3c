"""What can be seen on a share, and what people have made of it: the ledger that everything is judged by."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.protocol import goods, model
from tests.protocol.world import World

SHOWN = ("inbox", "processing", "done", "failed")
"""Where inputs lie that people can see."""


class Share:
    """The files of a share by path, read anew only when they have changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._read: dict[tuple[int, ...], bytes] = {}
        self._sums: dict[bytes, str] = {}
        self._seen: dict[str, bytes] = {}
        self.owed: Counter[str] = Counter()
        """Inputs by sha256, as often as people have put them here and not taken them away."""
        self.contents: dict[str, bytes] = {}
        """Every input that was ever seen, by sha256."""
        self.ticket_folders: dict[str, str] = {}
        """Folders of the inbox that ever held an `error.json` of ours: the job that the latest one names."""
        self.foreign_count = self.put_back_count = 0
        """How often people have put something into the outbox, and folders back into the inbox."""
        self.aliases: defaultdict[str, set[str]] = defaultdict(set)
        """Short ids of the claims by which a job was put back, by job: its folder in `processing/` is named so."""
        self.lain: dict[str, set[model.Place]] = {}
        """Where in the inbox each input has been seen."""
        self.used: set[str] = set()
        """Inputs of jobs, as far as they were there when everything was at rest."""
        self.lent: set[str] = set()
        """Inputs of which jobs were given private copies."""
        self.before: model.Inbox | None = None
        """The inbox as the latest tick has left it, unless people did something since."""
        self.outbox: dict[str, str] = {}
        """What lies in the outbox, by path: sha256."""
        self.foreign: set[str] = set()
        """Paths in the outbox that people have put there."""
        self.removed: Counter[bytes] = Counter()
        """Films that people have taken away, by content."""
        self.given_up: set[str] = set()
        """Folders of `failed/` that people have moved or changed."""
        self.known_failed: set[str] = set()

    # Looking ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what lies there now, and remember what was seen in the inbox."""
        self._seen = dict(self._walk(self._world.kept, ""))
        for place, content in self.inbox().items():
            self.lain.setdefault(content, set()).add(place)
        self.ticket_folders |= self.tickets()

    def files(self, top: str) -> Iterator[tuple[str, bytes]]:
        """Yield every file below a folder of the share: its path from there, and its content."""
        start = f"{top}/"
        return ((path.removeprefix(start), content) for path, content in self._seen.items() if path.startswith(start))

    def inputs(self) -> Counter[str]:
        """Return how often each input lies where people can see it, by sha256."""
        return Counter(
            self.sha256_of(content)
            for path, content in self._seen.items()
            if path.partition("/")[0] in SHOWN and _is_input(path.rpartition("/")[2])
        )

    def paths(self) -> frozenset[str]:
        """Return everything that lies there, but for what the daemon tells people."""
        return frozenset(path for path in self._seen if not path.startswith(("status/", ".heygemd/")))

    def inbox(self) -> dict[model.Place, str]:
        """Return the files of the inbox that are not ignored: place → sha256."""
        found = {}
        for path, content in self.files("inbox"):
            folder, _, name = path.rpartition("/")
            if not any(map(model.is_ignored, path.split("/"))):
                found[folder, name] = self.sha256_of(content)
        return found

    def inodes(self) -> dict[int, model.Place]:
        """Return where the files of the inbox lie, by inode."""
        top = self._world.kept / "inbox"
        return {(top / folder / name).stat().st_ino: (folder, name) for folder, name in self.inbox()}

    def films(self) -> dict[str, bytes]:
        """Return everything in the outbox that is not hidden."""
        return {path: content for path, content in self.files("outbox") if not path.rpartition("/")[2].startswith(".")}

    def tickets(self) -> dict[str, str]:
        """Return the folders of the inbox with an `error.json` of ours, and the job that it names."""
        return {
            path.rpartition("/")[0]: json.loads(content)["job"]
            for path, content in self.files("inbox")
            if path.endswith("/error.json")
        }

    def sha256_of(self, content: bytes) -> str:
        """Return the hash, and remember of what."""
        if content not in self._sums:
            self._sums[content] = goods.sha256(content)
            self.contents[self._sums[content]] = content
        return self._sums[content]

    def _walk(self, folder: Path | str, above: str) -> Iterator[tuple[str, bytes]]:
        """Read every file; those that look the same as at the last time are not read again."""
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            path = f"{above}/{entry.name}" if above else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(entry.path, path)
            elif path.partition("/")[0] not in ("status", ".heygemd"):
                found = entry.stat(follow_symlinks=False)
                face = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                if face not in self._read:
                    self._read[face] = Path(entry.path).read_bytes()
                yield path, self._read[face]

    def named(self, contents: Counter[str]) -> list[str]:
        return [f"{content[:8]} ({sorted(self.lain.get(content, ()))})" for content in contents]

    # People -----------------------------------------------------------------------------------------------------

    @contextmanager
    def people(self) -> Iterator[Path]:
        """Let people do something; what is there afterwards and was not before is owed to them, and no more."""
        self.look()
        before, films = self.inputs(), self.films()
        yield self._world.kept
        self.look()
        self.owed.update(self.inputs())
        self.owed.subtract(before)
        self._note_outbox(films)
        self.before = None
        failed = self._world.kept / "failed"
        self.given_up |= self.known_failed - {path.name for path in failed.iterdir()}

    def _note_outbox(self, before: dict[str, bytes]) -> None:
        now = self.films()
        for path, content in now.items():
            if before.get(path) != content:
                self.foreign.add(path)
                self.foreign_count += 1
                self.outbox[path] = goods.sha256(content)
        for path, content in before.items():
            if now.get(path) != content:
                self.removed[content] += 1
                if path not in now:
                    self.outbox.pop(path, None)
                    self.foreign.discard(path)


def _is_input(name: str) -> bool:
    """A picture, a sound or a manifest, whatever it is called just now."""
    plain = name.lstrip(".~")
    return model.kind_of(plain) is not None or model.is_manifest(plain)
