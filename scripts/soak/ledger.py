"""What must be true: at every moment of what can be seen, and at the end of everything. A violation is a sentence."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from soak.goods import Goods

PRIVATE_FOLDERS = ("claims", "batches", "tmp")
"""Folders below `.heygemd` in which nothing of an ended job may lie."""
EVENT_FIELDS = ("seq", "job", "state", "attempts", "error_code")


@dataclass(slots=True)
class Outbox:
    """The films seen so far, so that each is read once, and again when it is another file."""

    folder: Path
    wanted: Collection[str]
    """Paths of the films that may appear."""
    seen: dict[Path, tuple[int, int, int]] = field(default_factory=dict)

    def look(self) -> list[str]:
        """Check every film that is new: it is wanted, and its report names its bytes. Safe beside a running daemon."""
        wrong = []
        for film in sorted(self.folder.rglob("*.mp4")):
            status = film.stat()
            face = (status.st_ino, status.st_size, status.st_mtime_ns)
            if film.name.startswith(".") or self.seen.get(film) == face:
                continue
            if film in self.seen:
                wrong.append(f"{film.name}: the film was replaced")
            elif str(film.relative_to(self.folder)) not in self.wanted:
                wrong.append(f"{film.name}: one film too many")
            self.seen[film] = face
            wrong += _check_film(film)
        return wrong


@dataclass(slots=True)
class Archive:
    """The originals that were put away so far: none may be before its films are published."""

    done: Path
    outbox: Path
    films: dict[str, list[str]]
    """sha256 of an original → paths of the films it is needed for."""
    seen: set[Path] = field(default_factory=set)

    def look(self) -> list[str]:
        """Check every folder that is new. Safe beside a running daemon."""
        wrong = []
        for folder in set(self.done.glob("*/*")) - self.seen:
            self.seen.add(folder)
            for original in folder.iterdir():
                needed = self.films.get(hashlib.sha256(original.read_bytes()).hexdigest(), [])
                missing = [film for film in needed if not (self.outbox / film).exists()]
                wrong += [f"{original.name} is put away, but {film} is not published" for film in missing]
        return wrong


def _check_film(film: Path) -> list[str]:
    try:
        report = json.loads(film.with_name(film.name + ".json").read_bytes())
    except FileNotFoundError:
        return [f"{film.name}: a film without a report"]
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    return [] if report.get("sha256") == digest else [f"{film.name}: not the film that its report names (partial)"]


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where everything lies."""

    folder: Path

    @property
    def root(self) -> Path:
        """What people share."""
        return self.folder / "root"

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        """One log for each life of the daemon."""
        return self.folder / "logs"


def check_end(grounds: Grounds, goods: Goods) -> dict[str, list[str]]:
    """Return the violations of each promise; the daemon must have ended."""
    return {
        "lost": _lost(grounds, goods),
        "published twice": _published_twice(grounds, goods),
        "originals": _originals(grounds, goods),
        "left over": _left_over(grounds, goods),
        "store": _store(grounds, goods),
        "event log": _event_log(grounds),
        "faults": _faults(grounds),
    }


def _films(grounds: Grounds) -> dict[str, Path]:
    outbox = grounds.root / "outbox"
    return {str(film.relative_to(outbox)): film for film in outbox.rglob("*.mp4")}


def _lost(grounds: Grounds, goods: Goods) -> list[str]:
    """Every film is there and made from the files that were dropped for it."""
    films, wrong = _films(grounds), []
    for film, inputs in goods.films.items():
        if film not in films:
            wrong.append(f"{film}: no film")
            continue
        report = json.loads(films[film].with_name(films[film].name + ".json").read_bytes())
        used = {report["inputs"][kind]["sha256"] for kind in ("video", "audio")}
        if used != inputs:
            wrong.append(f"{film}: made from other files than were dropped for it")
    return wrong


def _published_twice(grounds: Grounds, goods: Goods) -> list[str]:
    wrong = [f"{film}: one film too many" for film in sorted(_films(grounds).keys() - goods.films.keys())]
    told = [line for line in log_lines(grounds.logs) if line["event"] == "outbox.published" and not line["already"]]
    counts = Counter(line["job_id"] for line in told)
    return wrong + [f"{job}: published {count} times" for job, count in counts.items() if count > 1]


def _originals(grounds: Grounds, goods: Goods) -> list[str]:
    """Every dropped file lies in `done/`, unchanged and under its name, once; nothing else lies in the inbox."""
    kept = Counter(
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in (grounds.root / "done").rglob("*")
        if path.is_file()
    )
    wrong = []
    for path, digest in goods.originals.items():
        count = kept[path.rpartition("/")[2], digest]
        if count != 1:
            wrong.append(f"{path}: {count} times in done/")
    inbox = grounds.root / "inbox"
    waiting = {str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file()}
    wrong += [f"{path}: still in the inbox" for path in sorted(waiting - goods.stays)]
    return wrong + [f"{path}: taken out of the inbox" for path in sorted(goods.stays - waiting)]


def _left_over(grounds: Grounds, goods: Goods) -> list[str]:
    root, private = grounds.root, grounds.root / ".heygemd"
    places = [root / "processing", root / "failed", *(private / name for name in PRIVATE_FOLDERS)]
    places.append(grounds.state / "work")
    left = [path for place in places if place.is_dir() for path in place.iterdir()]
    # Those of the caches name their process, and are swept with the caches.
    left += [path for top in (root, grounds.state / "work") for path in top.rglob("*.part")]
    known = {name for film in goods.films for name in (film, f"{film}.json", f"{film.removesuffix('.mp4')}.jpg")}
    known |= {f"{name}.report.{kind}" for name in goods.batches for kind in ("json", "csv")}
    outbox = root / "outbox"
    left += [path for path in outbox.rglob("*") if path.is_file() and str(path.relative_to(outbox)) not in known]
    # Private copies are swept every ten minutes; until then each is what its name says.
    copies = [path for path in (private / "shared").glob("*") if path.is_file()]
    left += [path for path in copies if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem]
    return [f"{path.relative_to(grounds.folder)}: left over" for path in sorted(set(left))]


def rows(grounds: Grounds, sql: str) -> list[tuple[object, ...]]:
    """Ask the store, beside a running daemon too."""
    db = sqlite3.connect(f"file:{grounds.state / 'jobs.sqlite'}?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def _store(grounds: Grounds, goods: Goods) -> list[str]:
    jobs = dict(rows(grounds, "SELECT id, state FROM job"))
    wrong = [f"{job}: ends {state}" for job, state in jobs.items() if state != "done"]
    if len(jobs) != len(goods.films):
        wrong.append(f"{len(jobs)} jobs for {len(goods.films)} films")
    done = Counter(job for job, state in rows(grounds, "SELECT job_id, state FROM event") if state == "done")
    return wrong + [f"{job}: done {done[job]} times" for job in jobs if done[job] != 1]


def _event_log(grounds: Grounds) -> list[str]:
    """One line for each transition of the store, once, in its order."""
    log = grounds.state / "events.jsonl"
    if not log.exists():
        return ["there is no events.jsonl"]
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        return [f"events.jsonl holds a line that is no JSON: {error}"]
    told = [tuple(line[name] for name in EVENT_FIELDS) for line in lines]
    kept = rows(grounds, "SELECT seq, job_id, state, attempts, error_code FROM event ORDER BY seq")
    if told == kept:
        return []
    for number, (line, row) in enumerate(zip(told, kept, strict=False)):
        if line != row:
            return [f"line {number + 1} of events.jsonl says {line}, the store {row}"]
    return [f"events.jsonl has {len(told)} lines for {len(kept)} transitions"]


def _faults(grounds: Grounds) -> list[str]:
    """Whatever the daemon itself calls an error: a kill is none of its bugs."""
    return [
        f"{line['event']}: {str(line.get('exception') or line.get('traceback') or line)[-300:]}"
        for line in log_lines(grounds.logs)
        if line.get("level") in ("error", "critical")
    ]


def log_lines(logs: Path) -> list[dict[str, object]]:
    """Read the JSON lines of every life; a line that a kill has cut is left out."""
    lines = []
    for log in sorted(logs.iterdir()):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and "event" in found:
                lines.append(found)
    return lines
