"""Cases of names, special files, manifests and folders through a real inbox, beside which secrets lie."""

import json
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heygemd.jobs.ids import id8_of
from tests.corpus.case import Case, Ending, Seen
from tests.corpus.inbox import POLL_S, UNFINISHED, Inbox
from tests.corpus.specials import SECRETS, make_secrets
from tests.corpus.writings import broken_commands, broken_logs, broken_page, broken_texts, files_below, read_at

UNDECIDED = ("ARRIVING", "CHECKING")
REPORT_ENDING = ".report.json"


@dataclass
class StrangersInbox(Inbox):
    """An inbox beside which secrets lie, and which is read with suspicion when the daemon has rested."""

    notice_s: float = 0.5
    """When lone files are spoken of; the status has room for the fifty most urgent notices."""

    _secrets: dict[str, bytes] = field(default_factory=dict)
    _staying: set[str] = field(default_factory=set)
    _dropped: Counter[str] = field(default_factory=Counter)

    def prepare(self) -> None:
        super().prepare()
        config = self.folder / "heygemd.toml"
        text = config.read_text().replace("orphan_notice_s = 0.5", f"orphan_notice_s = {self.notice_s}")
        config.write_text(f'log_file = "{self.folder}/debug.log"\n{text}')

    def drop(self, cases: Sequence[Case]) -> None:
        self._secrets = contents(make_secrets(self.root))
        super().drop(cases)
        self._staying = {case.name for case in cases if case.answer.ending is Ending.WAIT}
        self._dropped = Counter(name for _, name, _ in files_below(self.inbox) if not is_marker(name))

    def judge(self) -> list[str]:
        """Return everything that must not be, whatever the cases are."""
        found = [*self.troubles, *broken_logs(self.folder), *broken_texts(self.root), *broken_page(self.root)]
        found += [*self._lost(), *broken_commands(self.folder / "heygemd.toml")]
        if contents(self.folder / SECRETS) != self._secrets:
            found.append("something outside the root was changed")
        found += [f"a secret lies at {path}" for path in copies_of(self._secrets, self.root)]
        return found

    def _lost(self) -> list[str]:
        """Return the names that were dropped and lie nowhere now."""
        places = ("inbox", "processing", "failed", "done")
        left = Counter(name for place in places for _, name, _ in files_below(self.root / place))
        return [f"{count} of {name!r} lost" for name, count in (self._dropped - left).items()]

    def _wait_for_rest(self, cases: Sequence[Case], ends_s: float) -> None:
        while not self.status() and self.daemon is not None and self.daemon.poll() is None:
            time.sleep(POLL_S)
        super()._wait_for_rest(cases, ends_s)

    def _is_busy(self) -> bool:
        """Folders of batches whose rows wait for files may stay; everything else in processing/ is work."""
        waiting = tuple(f"__{id8_of(path.stem)}" for path in (self.root / ".heygemd" / "batches").glob("*.json"))
        if self._still_arrives():
            return True
        left = [path for path in (self.root / "processing").iterdir() if not path.name.endswith(waiting)]
        return any(job["state"] in UNFINISHED for job in self.jobs()) or bool(left)

    def _still_arrives(self) -> bool:
        """Something is not looked at yet, or not for long enough, that is to become more than a notice."""
        arriving = [entry["path"] for entry in self.status().get("waiting", []) if entry["why"] in UNDECIDED]
        return any(path.partition("/")[0] not in self._staying for path in arriving)

    def _see(self, case: Case, jobs: list[dict[str, Any]], status: dict[str, Any]) -> Seen:
        mine = [job for job in jobs if _lies_in(job["folder"], case.name)]
        rows = [row for report in self._reports(case.name) for row in report["rows"]]
        failed = {job["error_code"] for job in mine if job["state"] == "failed"}
        failed |= {row["error_code"] for row in rows if row["state"] == "refused"}
        outbox = self.root / "outbox" / case.name
        films = {os.path.relpath(f"{place}/{name}", outbox) for place, name, _ in files_below(outbox) if is_film(name)}
        waiting = [entry["reason"] for entry in status["waiting"] if _lies_in(entry["path"], case.name)]
        waiting += ["rows wait" for batch in status["batches"] if _lies_in(batch["folder"], case.name)]
        told = [f"{job['error_code']} {job['error_message']}" for job in mine if job["error_code"]]
        told += [f"{row['error_code']} {row['message']}" for row in rows if row["error_code"]]
        ending = Ending.RENDER if films else Ending.REJECT if failed else Ending.WAIT if waiting else Ending.IGNORE
        return Seen(
            ending=ending,
            codes=frozenset(failed),
            films=frozenset(films),
            message=" | ".join(told or waiting)[:300],
            troubles=tuple(f"job {job['name']!r} is {job['state']}" for job in mine if job["state"] in UNFINISHED),
        )

    def _leavings(self) -> list[str]:
        return [f"left behind: {name!r}" for _, name, _ in files_below(self.root / "outbox") if name.endswith(".part")]

    def _reports(self, name: str) -> Iterator[dict[str, Any]]:
        """What became of the rows of its manifests, as told beside the results."""
        for _, file, number in files_below(self.root / "outbox" / name):
            if file.endswith(REPORT_ENDING):
                yield json.loads(read_at(number, file))


def is_film(name: str) -> bool:
    """Tell whether a file of the outbox is a film."""
    return name.endswith(".mp4")


def is_marker(name: str) -> bool:
    """Tell whether it only says that another file is complete, and goes when that has been claimed."""
    return name.lower().endswith(".ready")


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a flat folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def copies_of(secrets: Mapping[str, bytes], root: Path) -> list[str]:
    """Return where in the root a file lies that has the contents of a secret picture or text."""
    wanted = {data for name, data in secrets.items() if name in ("face.png", "password.txt")}
    sizes = {len(data) for data in wanted}
    found = []
    for place, name, number in files_below(root):
        told = os.stat(name, dir_fd=number, follow_symlinks=False)
        if stat.S_ISREG(told.st_mode) and told.st_size in sizes and read_at(number, name) in wanted:
            found.append(f"{place}/{name}")
    return found
