"""What `heygemd logs` shows: the journal where heygemd is a service, else the debug file and `events.jsonl`."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from heygemd.errors import SetupError
from heygemd.language import advice_of, said
from heygemd.log import LEVELS
from heygemd.logline import BLOCKS, Entry, plain_entry, sentence
from heygemd.logtail import Follower, generations, lines_backwards

UNIT = "heygemd.service"
UNIT_FOLDERS = (
    "etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
    "lib/systemd/system",
)  # fmt: skip
EVENTS_NAME = "events.jsonl"
DEFAULT_LINES = 100
FOLLOW_PAUSE_S = 0.5
DISORDER = timedelta(minutes=1)
"""Lines of several processes need not stand in the order of their times; further apart they do."""
_JOURNAL_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "err"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which lines are wanted."""

    jobs: tuple[str, ...] = ()
    """Only lines about one of these; empty: about anything."""
    batches: tuple[str, ...] = ()
    """The same for manifests and job folders; only one of the two is given."""
    level: str = "debug"
    """The least."""
    since: datetime | None = None
    lines: int | None = None
    """Only the last so many; None: all."""
    follow: bool = False
    explain: bool = False
    as_json: bool = False

    def fits(self, entry: Entry) -> bool:
        """Tell whether a line is wanted."""
        if LEVELS.get(str(entry.get("level")), LEVELS["info"]) < LEVELS[self.level]:
            return False
        if self.jobs:
            return entry.get("job_id", entry.get("job")) in self.jobs
        return not self.batches or entry.get("batch") in self.batches


def has_journal(root: Path = Path("/")) -> bool:
    """Tell whether heygemd is installed as a service of this machine, and its journal can be asked."""
    is_installed = any((root / folder / UNIT).exists() for folder in UNIT_FOLDERS)
    return is_installed and (root / "run/systemd/journal").is_dir() and shutil.which("journalctl") is not None


def journal_command(query: Query) -> tuple[str, ...]:
    """Return the words that ask the journal."""
    words = ["journalctl", f"--unit={UNIT}", f"--lines={'all' if query.lines is None else query.lines}"]
    if query.level != "debug":
        words.append(f"--priority={_JOURNAL_LEVELS[query.level]}")
    if query.since is not None:
        words.append(f"--since=@{int(query.since.timestamp())}")
    words += [
        *(("--follow",) if query.follow else ()),
        *(("--catalog",) if query.explain else ()),
        *(("--output=json",) if query.as_json else ()),
    ]
    words += [f"HEYGEMD_JOB_ID={job_id}" for job_id in query.jobs]
    return (*words, *(f"HEYGEMD_BATCH={batch}" for batch in query.batches))


class LogBook:
    """The log as it lies in files: the debug file, and before its beginning what `events.jsonl` tells."""

    def __init__(self, log_file: Path | None, state_dir: Path) -> None:
        self._debug = log_file if log_file is not None and _is_there(log_file) else None
        self._events = state_dir / EVENTS_NAME
        if self._debug is None and not _is_there(self._events):
            where = f"neither {log_file} nor" if log_file else "log_file is not set, and there is no"
            raise SetupError("E401", f"there is no log to show: {where} {self._events} (has the daemon run yet?)")

    def read(self, query: Query, pause: Callable[[float], None] = time.sleep) -> Iterator[Entry]:
        """Yield what is wanted, oldest first, and with `follow` without end; raises SetupError E407."""
        path = self._debug or self._events
        follower: Follower | None = None
        try:
            if query.follow:
                follower = Follower(path)
            last = list(islice(self._backwards(query, follower), query.lines))
            yield from reversed(last)
            while follower is not None:
                for line in follower.poll():
                    if (entry := entry_of(line)) is not None and query.fits(entry):
                        yield entry
                pause(FOLLOW_PAUSE_S)
        except PermissionError as error:
            raise SetupError("E407", f"{error.filename}: {error.strerror}") from error
        finally:
            if follower is not None:
                follower.close()

    def _backwards(self, query: Query, follower: Follower | None) -> Iterator[Entry]:
        """Yield what is wanted, the newest first."""
        oldest = ""
        path = self._debug or self._events
        for entry in _entries_backwards(path, query, follower.begins if follower else None):
            oldest = str(entry.get("timestamp", oldest))
            if query.fits(entry):
                yield entry
        if self._debug is not None:
            for entry in _entries_backwards(self._events, query, None):
                if (not oldest or str(entry.get("timestamp")) < oldest) and query.fits(entry):
                    yield entry


def _is_there(path: Path) -> bool:
    try:
        return bool(generations(path))
    except PermissionError as error:
        raise SetupError("E407", f"{error.filename}: {error.strerror}") from error


def _entries_backwards(path: Path, query: Query, stop: int | None) -> Iterator[Entry]:
    """Yield all entries since the wanted time, the newest first; `stop`: of the present file only the first bytes."""
    since = query.since.isoformat() if query.since else ""
    end = (query.since - DISORDER).isoformat() if query.since else ""
    for file in generations(path):
        try:
            for line in lines_backwards(file, stop if file == path else None):
                if (entry := entry_of(line)) is None:
                    continue
                at = str(entry.get("timestamp", ""))
                if at < end:
                    return
                if at >= since:
                    yield entry
        except FileNotFoundError:
            continue  # rotated away between two looks


def entry_of(line: bytes) -> Entry | None:
    """Read a line of the debug file or of `events.jsonl`; None when it is neither."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    if "event" in values:
        return plain_entry(values)
    if "seq" not in values:
        return None
    renamed = {"timestamp": values.pop("at", ""), "level": "warning" if values.get("error_code") else "info"}
    renamed |= {"event": "job.moved", "job_id": values.pop("job", ""), "reason": values.pop("error_message", None)}
    return plain_entry(renamed | values)


def told(entry: Entry, *, explain: bool = False) -> list[str]:
    """Return the lines in which a person reads an entry; the first begins with the time of this machine."""
    try:
        moment = f"{datetime.fromisoformat(str(entry.get('timestamp'))).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        moment = str(entry.get("timestamp", ""))
    blocks = [line for key in sorted(BLOCKS & entry.keys()) for line in str(entry[key]).splitlines()]
    lines = [f"{moment} {entry.get('level', ''):<7} {sentence(entry)}", *(f"    {line}" for line in blocks)]
    if explain and (code := entry.get("error_code")):
        title, todo = advice_of(str(code))
        if not title:
            return lines
        lines += [f"    {code} {title}", f"    {said('what to do:', '处理方法：')} {todo}"]
    return lines
