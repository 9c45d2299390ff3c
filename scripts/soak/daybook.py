"""The ledger of one day after the other: what was ordered, where it must be in the evening, and what may lie around."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from soak.ledger import EVENT_FIELDS, PRIVATE_FOLDERS, Archive, Grounds, Outbox, rows
from soak.orders import Fate, Order, Wish

KEEP_DAYS = 1
"""Of originals and of failed jobs, so that two days are the most that lies on the share."""
EXPECTED_ERRORS = frozenset({"config.refused"})
"""What the daemon may call an error: a troublemaker has written a wrong configuration."""
OWN_FILES = frozenset({"error.json", "REASON.txt", "CANCEL"})


@dataclass(slots=True)
class LogReader:
    """Reads what the daemons have logged since the last time; a line that a kill has cut is left out."""

    folder: Path
    _read: Counter[str] = field(default_factory=Counter)

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Yield each line once."""
        for log in sorted(self.folder.iterdir()):
            with log.open("rb") as file:
                file.seek(self._read[log.name])
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[log.name] += len(whole)
            for text in whole.splitlines():
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and "event" in line:
                    yield line


@dataclass(slots=True)
class DayBook:
    """Notes the orders, and says in the evening what is wrong with the day."""

    grounds: Grounds
    today: list[Order] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=dict)
    _wanted: set[str] = field(default_factory=set)
    _needed_for: dict[str, list[str]] = field(default_factory=dict)
    _published: Counter[str] = field(default_factory=Counter)
    _last_job: int = 0
    _last_seq: int = 0
    _logs: LogReader = field(init=False)
    _outbox: Outbox = field(init=False)
    _archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        self._logs = LogReader(self.grounds.logs)
        self._outbox = Outbox(self.grounds.root / "outbox", self._wanted)
        self._archive = Archive(self.grounds.root / "done", self._outbox.folder, self._needed_for)

    def note(self, kind: str, found: list[str]) -> None:
        """Add violations of one kind."""
        if found:
            self.violations.setdefault(kind, []).extend(found)

    def take_order(self, order: Order) -> None:
        """Expect its films from now on."""
        self.today.append(order)
        self.totals["orders"] += 1
        if order.fate in (Fate.MADE, Fate.CANCELLED):
            self.expect_films(order)

    def expect_films(self, order: Order) -> None:
        """Let its films be no surprise."""
        self._wanted.update(order.lot.films)
        if order.kind == "twin":  # of two with the same bytes, one is put away before the other has its film
            return
        for film, inputs in order.lot.films.items():
            for digest in inputs:
                self._needed_for.setdefault(digest, []).append(film)

    def look(self) -> None:
        """Check what can be seen at this moment."""
        self.totals["looks"] += 1
        self.note("seen on the way", self._archive.look() + self._outbox.look())

    def unsettled(self, today: date) -> list[str]:
        """Say what is not in its last place yet."""
        root = self.grounds.root
        waits = [f"{order.kind} {next(iter(order.lot.files))}" for order in self.today if not self._is_settled(order)]
        waits += [f"processing: {path.name}" for path in (root / "processing").iterdir()]
        waits += [f"inbox: {path}" for path in sorted(self._in_inbox() - self.stays)]
        waits += [f"{job}: {state}" for job, state in rows(self.grounds, "SELECT id, state FROM job WHERE state IN"
                  " ('queued', 'running')")]  # fmt: skip
        waits += [f"too old: {path.name}" for path in (root / "done").iterdir()
                  if (today - date.fromisoformat(path.name)).days > KEEP_DAYS]  # fmt: skip
        return waits + [f"work: {path.name}" for path in (self.grounds.state / "work").iterdir()]

    @property
    def stays(self) -> frozenset[str]:
        """Files that nobody takes out of the inbox."""
        return frozenset(path for order in self.today for path in order.lot.stays)

    def check(self) -> None:
        """Judge the day; everything must be at rest."""
        self.look()
        self.note("lost", [text for order in self.today for text in self._lost(order)])
        self.note("originals", [text for order in self.today for text in self._originals(order)])
        self.note("left over", self._left_over())
        self.note("store", self._store())
        self.note("event log", self._event_log())
        self.read_logs()
        self.totals["films"] += sum(len(order.films) for order in self.today)

    def end_day(self) -> None:
        """Forget the orders: their results are carried home."""
        self.today.clear()

    def read_logs(self) -> None:
        """Look for films that were published twice, and for errors."""
        for line in self._logs.new_lines():
            self.totals[f"log {line.get('level')}"] += 1
            if line["event"] == "outbox.published" and not line["already"]:
                self._published[line["job_id"]] += 1
                if self._published[line["job_id"]] > 1:
                    self.note("published twice", [line["job_id"]])
            if line.get("level") in ("error", "critical") and line["event"] not in EXPECTED_ERRORS:
                self.note("faults", [f"{line['event']}: {str(line.get('exception') or line)[-400:]}"])

    def failed_folders(self, order: Order) -> list[Path]:
        """Return where a pair that was refused or cancelled lies."""
        found = (self.grounds.root / "failed").glob(f"{order.stem}__*")
        return [path for path in found if (path / "error.json").exists()]

    def _is_settled(self, order: Order) -> bool:
        has_films = all((self._outbox.folder / film).exists() for film in order.lot.films)
        if not order.is_wish_done:
            return False
        if order.fate is Fate.MADE:
            return has_films
        if order.fate is Fate.REFUSED:
            return bool(self.failed_folders(order))
        if order.fate is Fate.CANCELLED:
            return has_films or bool(self.failed_folders(order))
        return True

    def _lost(self, order: Order) -> list[str]:
        wrong = []
        if order.fate is Fate.CANCELLED:
            has_films = all((self._outbox.folder / film).exists() for film in order.lot.films)
            order.fate = Fate.MADE if has_films else Fate.REFUSED
        for film, inputs in order.films.items():
            report = self._outbox.folder / f"{film}.json"
            if not report.exists() or not report.with_suffix("").exists():
                wrong.append(f"{film}: no film")
                continue
            told = json.loads(report.read_bytes())["inputs"]
            if {told[kind]["sha256"] for kind in ("video", "audio")} != inputs:
                wrong.append(f"{film}: made from other files than were dropped for it")
        if order.fate is Fate.REFUSED and len(found := self.failed_folders(order)) != 1:
            wrong.append(f"{order.stem}: {len(found)} times in failed/")
        return wrong

    def _originals(self, order: Order) -> list[str]:
        """Each file lies in `done/` or `failed/`, unchanged and under its name, once."""
        if order.fate is Fate.FORGOTTEN:
            return []
        place = "failed" if order.fate is Fate.REFUSED else "done"
        kept = self._kept(place)
        wrong = []
        for path in order.lot.files.keys() - order.lot.stays:
            count = kept[Path(path).name, hashlib.sha256(order.lot.files[path]).hexdigest()]
            if count != 1:
                wrong.append(f"{path}: {count} times in {place}/")
        return wrong

    def _kept(self, place: str) -> Counter[tuple[str, str]]:
        files = (path for path in (self.grounds.root / place).rglob("*") if path.is_file())
        return Counter((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)

    def _in_inbox(self) -> set[str]:
        inbox = self.grounds.root / "inbox"
        return {str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file()}

    def _left_over(self) -> list[str]:
        root, private = self.grounds.root, self.grounds.root / ".heygemd"
        left = [path for name in PRIVATE_FOLDERS if (private / name).is_dir() for path in (private / name).iterdir()]
        left += [path for top in (root, self.grounds.state) for path in top.rglob("*.part")]
        known = {name for order in self.today for film in order.films
                 for name in (film, f"{film}.json", f"{film.removesuffix('.mp4')}.jpg")}  # fmt: skip
        batches = [order.lot.batch for order in self.today if order.lot.batch]
        known |= {f"{name}.report.{kind}" for name in batches for kind in ("json", "csv")}
        outbox = self._outbox.folder
        left += [path for path in outbox.rglob("*") if path.is_file() and str(path.relative_to(outbox)) not in known]
        return [f"{path.relative_to(self.grounds.folder)}: left over" for path in sorted(set(left))]

    def _store(self) -> list[str]:
        """As many jobs as films and refusals, each ended once, but for those that somebody put back."""
        found = rows(self.grounds, f"SELECT rowid, id, state FROM job WHERE rowid > {self._last_job}")
        ended = dict(rows(self.grounds, "SELECT job_id, count(*) FROM event WHERE state IN"
                          " ('done', 'failed', 'cancelled') GROUP BY job_id"))  # fmt: skip
        states = Counter(state for _, _, state in found)
        wanted = Counter({"done": sum(len(order.films) for order in self.today)})
        # Who is refused at the door a second time is another job: the first one stays as it was.
        again = sum(order.wish is Wish.AGAIN for order in self.today)
        wanted["failed"] = sum(order.fate is Fate.REFUSED for order in self.today) + again
        got = Counter({"done": states["done"], "failed": states["failed"] + states["cancelled"]})
        wrong = [] if got == wanted else [f"jobs of the day: {dict(states)} instead of {dict(wanted)}"]
        mended = sum(order.wish is Wish.MEND for order in self.today)
        ends = sum(ended.get(job, 0) for _, job, _ in found)
        if ends != len(found) + mended:
            wrong.append(f"{len(found)} jobs, {mended} of them put back, ended {ends} times")
        self._last_job = max([self._last_job, *(number for number, _, _ in found)])
        self.totals["jobs"] += len(found)
        self.totals["failed"] += got["failed"]
        self.totals["put back"] += again + mended
        return wrong

    def _event_log(self) -> list[str]:
        """One line for each transition of the day, once, in its order."""
        log = self.grounds.state / "events.jsonl"
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        told = [tuple(line[name] for name in EVENT_FIELDS) for line in lines]
        columns = "seq, job_id, state, attempts, error_code"
        kept = rows(self.grounds, f"SELECT {columns} FROM event WHERE seq > {self._last_seq} ORDER BY seq")
        self._last_seq = max([self._last_seq, *(row[0] for row in kept)])
        if told == kept:
            return []
        return [f"events.jsonl tells {len(told)} lines of the day, the store {len(kept)} transitions"]
