"""What must be true when everything has come to rest, however often it was broken off before.

`take_account(grounds)` tells the end of a run in a normal form: nothing in it depends on times, ids or luck, so two
runs of one scene can be compared line by line (`differences`). `broken_promises(grounds)` needs nothing to compare
with: a film without its report, half a line in the event log, a step that may not follow the last one, leftovers.
"""

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

from heygemd.jobs.states import JobState, may_follow
from tests.faults.scene import Grounds

Account = dict[str, dict[str, str]]
"""Part of the whole → name → what is there, as text."""
REPORT_FIELDS = (
    "name",
    "folder",
    "state",
    "row",
    "row_id",
    "output",
    "sha256",
    "size_bytes",
    "frames",
    "fps",
    "options",
)
"""Those of a report that every run of a scene has in common."""
COUNTED_ONCE = frozenset({JobState.DONE})
"""States that a job enters once in its life."""
ID8 = re.compile(r"__[a-z0-9]{8}$")
KILLED_HELPER = "the helper process died (exit -9)"
EVENT_FIELDS = ("seq", "job", "state", "attempts", "error_code")
SEGMENT = re.compile(r"\d{5}\.mp4")


@dataclass(slots=True)
class Sightings:
    """What was seen of finished segments at each kill: none of them may be rendered again."""

    finished: dict[tuple[str, int], int] = field(default_factory=dict)
    """Job and segment → how many lives had been lived when both of its files were first seen to be there."""

    def look(self, grounds: Grounds) -> None:
        """Note what is there; the daemon must be dead."""
        lives = len(_logs(grounds))
        for film in (grounds.state / "work").glob("*/segments-*/*.mp4"):
            if SEGMENT.fullmatch(film.name) and film.with_suffix(".json").exists():
                self.finished.setdefault((film.parts[-3], int(film.stem)), lives)


def take_account(grounds: Grounds) -> Account:
    """Describe the end of a run; the daemon must have ended."""
    return {
        "outbox": _outbox(grounds.root / "outbox"),
        "inbox": _files(grounds.inbox),
        "done": _put_away(folder for day in _folders(grounds.root / "done") for folder in _folders(day)),
        "failed": _put_away(_folders(grounds.root / "failed")),
        "processing": _files(grounds.root / "processing"),
        "jobs": _jobs(grounds),
        "copies": _copies(grounds),
        "batches": _batches(grounds),
        "status": {
            str(path.relative_to(grounds.root)): "there"
            for path in (grounds.root / "status").rglob("*")
            if path.is_file()
        },
    }


def differences(wanted: Account, found: Account) -> list[str]:
    """Return a sentence for everything that is not as in the run that nothing had disturbed."""
    wrong = []
    for part in wanted:
        for name in sorted(wanted[part].keys() | found[part].keys()):
            here, there = wanted[part].get(name, "absent"), found[part].get(name, "absent")
            if here != there:
                wrong.append(f"{part}: {name}: {there[:300]}, and not {here[:300]}")
    return wrong


def broken_promises(grounds: Grounds, seen: Sightings | None = None) -> list[str]:
    """Return a sentence for everything that must never be, whatever the scene was; the daemon must have ended."""
    wrong = [*_films(grounds.root / "outbox"), *_leftovers(grounds), *_event_log(grounds), *_steps(grounds)]
    wrong += [*_published_twice(grounds), *_faults(grounds)]
    return wrong + (_rendered_again(grounds, seen) if seen else [])


# The account ------------------------------------------------------------------------------------------------------


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _digest(path) for path in folder.rglob("*") if path.is_file()}


def _outbox(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _told(path) for path in folder.rglob("*") if path.is_file()}


def _told(path: Path) -> str:
    """Return what a file of the outbox says, without what changes from run to run."""
    if path.name.endswith(".mp4.json"):
        report = json.loads(path.read_bytes())
        inputs = {kind: report["inputs"][kind]["sha256"] for kind in ("video", "audio")}
        return json.dumps({name: report[name] for name in REPORT_FIELDS} | inputs, sort_keys=True)
    if path.name.endswith(".report.json"):
        rows = json.loads(path.read_bytes())["rows"]
        return json.dumps([{name: row.get(name) for name in ("row", "state", "output", "error_code")} for row in rows])
    if path.name.endswith(".report.csv"):
        return f"{len(path.read_bytes().splitlines())} lines"
    if path.suffix == ".zip":
        with ZipFile(path) as bundle:
            # A report in it is that of the outbox, which tells of times.
            told = {
                item.filename: "" if item.filename.endswith(".json") else f"{item.CRC:08x}"
                for item in bundle.infolist()
            }
        return json.dumps(told, sort_keys=True)
    return _digest(path)


def _put_away(folders: Iterable[Path]) -> dict[str, str]:
    """Tell the folders of `done/` or `failed/`, without the ids in their names."""
    found: dict[str, str] = {}
    for folder in folders:
        name = ID8.sub("", folder.name)
        while name in found:
            name += " once more"
        files = {path.name: _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        for told in ("error.json", "REASON.txt"):
            if told in files:
                files[told] = _code_of(folder) or "no code"
        found[name] = json.dumps(files)
    return found


def _code_of(folder: Path) -> str | None:
    told = json.loads((folder / "error.json").read_bytes())
    code = (told.get("error") or {}).get("code")
    in_words = (folder / "REASON.txt").read_text(encoding="utf-8")
    return str(code) if code and code in in_words else None


def rows(grounds: Grounds, sql: str) -> list[tuple[object, ...]]:
    """Ask the store; the daemon must have ended."""
    db = sqlite3.connect(f"file:{grounds.state / 'jobs.sqlite'}?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def _jobs(grounds: Grounds) -> dict[str, str]:
    sql = "SELECT folder, name, state, error_code, published_name, film_sha256, row_number, claim_dir IS NULL FROM job"
    found: dict[str, str] = {}
    for folder, name, *rest in rows(grounds, sql):
        key = f"{folder}/{name}"
        while key in found:
            key += " once more"
        found[key] = json.dumps(rest)
    return found


def _copies(grounds: Grounds) -> dict[str, str]:
    """Tell how many films are copies of which one; a crash may decide which of two alike is claimed first."""
    sql = (
        "SELECT o.film_sha256, count(*) FROM job j JOIN job o ON o.id = j.duplicate_of"
        " WHERE j.film_sha256 = o.film_sha256 GROUP BY o.film_sha256"
    )
    return {str(film): str(count) for film, count in rows(grounds, sql)}


def _batches(grounds: Grounds) -> dict[str, str]:
    sql = "SELECT name, kind, good_count, stopped, closed_at IS NOT NULL FROM batch"
    told = Counter((str(name), json.dumps(rest)) for name, *rest in rows(grounds, sql))
    return {name: f"{rest} × {count}" for (name, rest), count in told.items()}


# The promises -----------------------------------------------------------------------------------------------------


def _films(outbox: Path) -> list[str]:
    wrong = []
    for film in outbox.rglob("*.mp4"):
        try:
            report = json.loads(film.with_name(f"{film.name}.json").read_bytes())
        except (FileNotFoundError, ValueError) as error:
            wrong.append(f"{film.name}: no report: {error}")
            continue
        if report["sha256"] != hashlib.sha256(film.read_bytes()).hexdigest():
            wrong.append(f"{film.name}: not the film that its report names")
    return wrong


def _leftovers(grounds: Grounds) -> list[str]:
    private = grounds.root / ".heygemd"
    places = [grounds.root / "processing", *(private / name for name in ("claims", "batches", "tmp"))]
    places.append(grounds.state / "work")
    left = {path for place in places if place.is_dir() for path in place.iterdir()}
    left |= {path for top in (grounds.root, grounds.state / "work") for path in top.rglob("*.part")}
    left |= {path for path in (grounds.root / "outbox").rglob(".*") if path.is_file()}
    # Private copies are swept now and then; until then each is what its name says.
    copies = [path for path in (private / "shared").glob("*") if path.is_file()]
    left |= {path for path in copies if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem}
    return [f"{path}: left over" for path in sorted(left)]


def _event_log(grounds: Grounds) -> list[str]:
    """One line for each transition of the store, once, in its order."""
    try:
        lines = [json.loads(line) for line in (grounds.state / "events.jsonl").read_bytes().splitlines()]
    except (FileNotFoundError, ValueError) as error:
        return [f"events.jsonl: {error}"]
    told = [tuple(line[name] for name in EVENT_FIELDS) for line in lines]
    kept = rows(grounds, "SELECT seq, job_id, state, attempts, error_code FROM event ORDER BY seq")
    if told == kept:
        return []
    odd = [f"{line} and not {row}" for line, row in zip(told, kept, strict=False) if line != row]
    return [f"events.jsonl: {len(told)} lines for {len(kept)} transitions; {(odd or ['the rest is alike'])[0]}"]


def _steps(grounds: Grounds) -> list[str]:
    """Every transition is a legal one, attempts only grow, and a job is done once."""
    wrong = []
    last: dict[object, tuple[JobState, int]] = {}
    entered: Counter[tuple[object, JobState]] = Counter()
    for job, told, attempts in rows(grounds, "SELECT job_id, state, attempts FROM event ORDER BY seq"):
        state = JobState(str(told))
        before, attempts_before = last.get(job, (None, 0))
        if before is not None and not may_follow(before, state):
            wrong.append(f"{job}: {state} after {before}")
        if state is JobState.RUNNING and before is JobState.QUEUED and int(str(attempts)) <= attempts_before:
            wrong.append(f"{job}: {attempts} attempts after {attempts_before}: this start was not counted")
        last[job] = state, int(str(attempts))
        entered[job, state] += 1
    wrong += [f"{job}: {state} {count} times" for (job, state), count in entered.items()
              if state in COUNTED_ONCE and count > 1]  # fmt: skip
    states = dict(rows(grounds, "SELECT id, state FROM job"))  # type: ignore[arg-type]
    wrong += [f"{job}: the last event says {last[job][0]}, the store {state}" for job, state in states.items()
              if job in last and last[job][0] != state]  # fmt: skip
    return wrong + [f"{job}: no event tells of it" for job in states if job not in last]


def _published_twice(grounds: Grounds) -> list[str]:
    told = [line for line in log_lines(grounds) if line["event"] == "outbox.published" and not line["already"]]
    counts = Counter(line["job_id"] for line in told)
    return [f"{job}: published {count} times" for job, count in counts.items() if count > 1]


def _faults(grounds: Grounds) -> list[str]:
    """Whatever the daemon itself calls an error: no kill and no full disk is one of its bugs.

    That a helper was killed is an error to those who did not do it.
    """
    told = [
        f"{line['event']}: {str(line.get('exception') or line.get('traceback') or line)[-400:]}"
        for line in log_lines(grounds)
        if line.get("level") in ("error", "critical")
    ]
    return [line for line in told if not line.endswith(KILLED_HELPER)]


def _rendered_again(grounds: Grounds, seen: Sightings) -> list[str]:
    wrong = []
    for number, log in enumerate(_logs(grounds), start=1):
        for line in _lines(log):
            if line["event"] == "task.done" and line.get("task") == "render":
                job, segment = str(line["job_id"]), int(str(line["segment"]))
                if seen.finished.get((job, segment), number) < number:
                    wrong.append(f"{job}: segment {segment} was finished, and is rendered again in life {number}")
    return wrong


def log_lines(grounds: Grounds) -> list[dict[str, object]]:
    """Read the JSON lines of every life; a line that a kill has cut is left out."""
    return [line for log in _logs(grounds) for line in _lines(log)]


def _logs(grounds: Grounds) -> list[Path]:
    return sorted(grounds.logs.glob("*.jsonl"))


def _lines(log: Path) -> list[dict[str, object]]:
    found = []
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            told = json.loads(text)
        except ValueError:
            continue
        if isinstance(told, dict) and "event" in told:
            found.append(told)
    return found
