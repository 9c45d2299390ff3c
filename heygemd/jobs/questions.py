"""What can be asked about jobs. Every question reads an index, so that a long history makes none of them slow."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from heygemd.jobs.database import Value
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.listing import JobListing
from heygemd.jobs.rows import Transition, job_of, transition_of
from heygemd.jobs.states import JobState

EventLine = dict[str, str | int | None]
"""One transition as the exported log tells it; keys in the order in which they are written."""

_ENDED = "state IN ('done', 'failed', 'cancelled')"
_UNFINISHED = "state IN ('queued', 'running')"
_IN_TURN = "ORDER BY turn, id LIMIT :limit"

# The lanes that are busy come as JSON, [[root, folder, running], …]; without a lane the comparison is NULL, and the
# job is not held back. All that decides lies in the named index: a row is read only when it is wanted.
_QUEUE = f"""
WITH busy (root, folder, running) AS MATERIALIZED (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:busy)
)
SELECT job.* FROM job INDEXED BY {{index}}
WHERE job.state = 'queued' AND job.duplicate_of IS NULL AND {{of}} AND (job.turn, job.id) > (:turn, :id)
  AND coalesce(job.lane_most, 1) > 0
  AND NOT EXISTS (SELECT 1 FROM busy WHERE busy.root = job.root AND busy.folder = job.lane_folder
                                       AND busy.running >= job.lane_most)
{_IN_TURN}
"""
_NEXT_FOLDER = """
SELECT root, folder FROM job INDEXED BY job_waiting_in_folder
WHERE state = 'queued' AND duplicate_of IS NULL AND {after} ORDER BY root, folder LIMIT 1
"""
_FIRST_FOLDER = _NEXT_FOLDER.format(after="TRUE")
_FOLDER_OF_ROOT_AFTER = _NEXT_FOLDER.format(after="root = :root AND folder > :folder")
_ROOT_AFTER = _NEXT_FOLDER.format(after="root > :root")
_DUPLICATES = f"""
SELECT * FROM job INDEXED BY job_copies WHERE state = 'queued' AND duplicate_of IS NOT NULL {_IN_TURN}
"""
_TWIN = """
SELECT * FROM job
WHERE root = :root AND content_key = :content_key AND duplicate_of IS NULL AND state IN ('done', 'running', 'queued')
  AND id <> :but
ORDER BY CASE state WHEN 'done' THEN 0 WHEN 'running' THEN 1 ELSE 2 END, ended_seq DESC, turn, id LIMIT 1
"""
_INPUT_PATHS = f"""
SELECT json_extract(video, '$.path') AS video, json_extract(audio, '$.path') AS audio FROM job
WHERE root = :root AND {_UNFINISHED}
UNION ALL
SELECT json_extract(video, '$.path'), json_extract(audio, '$.path') FROM job
WHERE root = :root AND {_ENDED} AND claim_dir IS NOT NULL
"""
_CLAIMED = f"""
SELECT id, claim_dir, json_extract(video, '$.path') AS video, json_extract(audio, '$.path') AS audio FROM job
WHERE root = ? AND {_UNFINISHED} AND claim_dir IS NOT NULL
"""
_KEEPS = f"""
SELECT job.id, job.batch, put_back.claim_id, job.keep_days FROM job LEFT JOIN put_back ON put_back.job_id = job.id
WHERE job.root = :root AND job.{_ENDED} AND job.keep_days IS NOT NULL
"""
_EVENT_LINES = """
SELECT event.seq, event.at, event.job_id AS job, job.root, job.name, job.folder, event.state, event.attempts,
       event.error_code, event.error_message, event.duplicate_of, job.batch, job.row_number AS row, job.row_id
FROM event JOIN job ON job.id = event.job_id WHERE event.seq > :after_seq ORDER BY event.seq LIMIT :limit
"""


class JobQuestions(JobListing):
    """The half of the store that changes nothing."""

    def get(self, job_id: str) -> Job | None:
        """Return the job, if there is one."""
        row = self._db.one("SELECT * FROM job WHERE id = ?", (job_id,))
        return None if row is None else job_of(row)

    def jobs(self, state: JobState | None = None, limit: int | None = None) -> list[Job]:
        """Return the jobs (in `state`), the smallest turn first."""
        where = "" if state is None else "WHERE state = :state"
        return self._jobs(f"SELECT * FROM job {where} {_IN_TURN}", state=state, limit=-1 if limit is None else limit)

    def queue(
        self,
        limit: int,
        *,
        root: str | None = None,
        folder: str | None = None,
        busy: Mapping[tuple[str, str], int] | None = None,
        after: Job | None = None,
    ) -> list[Job]:
        """Return the jobs (of a root, of a folder of that root) that wait for a worker, in turn.

        Duplicates wait for another job instead. `busy` says how many jobs run of each lane, (root, folder): jobs whose
        lane is full are left out, so that they hide nobody. `after`: only those that come behind this one.
        """
        return self._jobs(
            _queue_sql(root, folder),
            root=root,
            folder=folder,
            busy=json.dumps([[*lane, running] for lane, running in (busy or {}).items()]),
            turn=float("-inf") if after is None else after.turn,
            id="" if after is None else after.id,
            limit=limit,
        )

    def waiting_folders(self) -> list[tuple[str, str]]:
        """Return root and folder of all jobs that wait for a worker, each once."""
        found = []
        row = self._db.one(_FIRST_FOLDER)
        while row is not None:  # from one to the next through the index, without a look at the jobs between
            found.append((row["root"], row["folder"]))
            row = self._db.one(_FOLDER_OF_ROOT_AFTER, row) or self._db.one(_ROOT_AFTER, {"root": row["root"]})
        return found

    def duplicates(self) -> list[Job]:
        """Return the queued jobs that wait for the film of another job, in turn."""
        return self._jobs(_DUPLICATES, limit=-1)

    def twin_of(self, root: str, content_key: str, *, but: str = "") -> Job | None:
        """Return the job (other than `but`) that has made, makes or will make the film with this key, if any.

        It is no duplicate itself. Done (the newest) comes before running, and running before queued.
        """
        return next(iter(self._jobs(_TWIN, root=root, content_key=content_key, but=but)), None)

    def unfinished(self, root: str | None = None) -> list[Job]:
        """Return the jobs (of one root) that are queued or run, in turn."""
        sql = f"SELECT * FROM job WHERE {_UNFINISHED} AND {_of(root)} {_IN_TURN}"
        return self._jobs(sql, root=root, limit=-1)

    def ended(self, limit: int, root: str | None = None) -> list[Job]:
        """Return the jobs (of one root) that ended last, the newest first."""
        sql = f"SELECT * FROM job WHERE ended_seq IS NOT NULL AND {_of(root)} ORDER BY ended_seq DESC LIMIT :limit"
        return self._jobs(sql, root=root, limit=limit)

    def to_put_away(self) -> list[Job]:
        """Return the jobs that have ended but whose inputs still lie in their claim folder."""
        sql = f"SELECT * FROM job INDEXED BY job_of_claim WHERE claim_dir IS NOT NULL AND {_ENDED} ORDER BY id"
        return self._jobs(sql)

    def oldest_waiting(self) -> datetime | None:
        """Return since when the job waits that has waited longest; duplicates count, too."""
        sql = "SELECT queued_at FROM job INDEXED BY job_waiting_since WHERE state = 'queued' ORDER BY queued_at LIMIT 1"
        row = self._db.one(sql)
        return None if row is None else datetime.fromisoformat(row["queued_at"])

    def has_work(self, roots: Iterable[str]) -> bool:
        """Tell whether a job of these roots is queued or runs."""
        sql = f"SELECT 1 FROM job WHERE root = ? AND {_UNFINISHED} LIMIT 1"
        return any(self._db.one(sql, (root,)) for root in roots)

    def ids(self) -> frozenset[str]:
        """Return the ids of all jobs there ever were, and of the claims that put an old job back."""
        rows = self._db.all("SELECT id FROM job UNION ALL SELECT claim_id FROM put_back")
        return frozenset(row["id"] for row in rows)

    def counts(self, root: str | None = None) -> dict[JobState, int]:
        """Return how many jobs (of one root) stand in each state; every state is a key."""
        rows = self._db.all(f"SELECT state, count(*) AS jobs FROM job WHERE {_of(root)} GROUP BY state", {"root": root})
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): int(row["jobs"]) for row in rows}

    def input_paths(self, root: str) -> frozenset[str]:
        """Return the paths of all inputs that are still needed: of unfinished jobs, and of those not put away yet."""
        rows = self._db.all(_INPUT_PATHS, {"root": root})
        return frozenset(path for row in rows for path in row.values() if path is not None)

    def claim_dirs(self, root: str) -> dict[str, str]:
        """Return the name of the claim folder of every unfinished job that has one, by job id."""
        sql = f"SELECT id, claim_dir FROM job WHERE root = ? AND {_UNFINISHED} AND claim_dir IS NOT NULL"
        return {row["id"]: row["claim_dir"].rpartition("/")[2] for row in self._db.all(sql, (root,))}

    def claimed_names(self, root: str) -> dict[str, tuple[str, ...]]:
        """Return the names of the inputs that lie in the claim folder of every unfinished job, by job id."""
        return {
            row["id"]: tuple(
                path.rpartition("/")[2]
                for path in (row["video"], row["audio"])
                if path is not None and path.rpartition("/")[0] == row["claim_dir"]
            )
            for row in self._db.all(_CLAIMED, (root,))
        }

    def keeps(self, root: str) -> dict[str, int]:
        """Return for how many days originals are kept where a job says so itself; 0: for ever.

        Keys are the `id8` at the end of the folder's name in `done/` or `failed/`: of the job, of the claim with
        which it was put back, or of its batch (there the longest time counts).
        """
        kept: dict[str, int] = {}
        for row in self._db.all(_KEEPS, {"root": root}):
            for claim in {row["id"], row["batch"], row["claim_id"]} - {None}:
                days = (row["keep_days"], kept.get(id8_of(claim), row["keep_days"]))
                kept[id8_of(claim)] = 0 if 0 in days else max(days)
        return kept

    def events(self, after_seq: int = 0) -> Iterator[Transition]:
        """Every transition after `after_seq`, oldest first."""
        rows = self._db.all("SELECT * FROM event WHERE seq > ? ORDER BY seq", (after_seq,))
        return (transition_of(row) for row in rows)

    def events_of(self, job_id: str) -> list[Transition]:
        """Every transition of one job, oldest first."""
        rows = self._db.all("SELECT * FROM event WHERE job_id = ? ORDER BY seq", (job_id,))
        return [transition_of(row) for row in rows]

    def event_lines(self, after_seq: int, limit: int) -> list[EventLine]:
        """Return the transitions after `after_seq` with what their jobs are, oldest first; the same at any time."""
        return self._db.all(_EVENT_LINES, {"after_seq": after_seq, "limit": limit})

    def event_offset(self) -> int:
        """Return the `seq` up to which the event table has been exported."""
        row = self._db.one("SELECT seq FROM export")
        return 0 if row is None else int(row["seq"])

    def _jobs(self, sql: str, **values: Value) -> list[Job]:
        return [job_of(row) for row in self._db.all(sql, values)]


def _queue_sql(root: str | None, folder: str | None) -> str:
    if root is None or folder is None:
        return _QUEUE.format(index="job_waiting", of=_of(root))
    return _QUEUE.format(index="job_waiting_in_folder", of="job.root = :root AND job.folder = :folder")


def _of(root: str | None) -> str:
    """Condition of a question about one root, or about all; never both in one, or no index would serve it."""
    return "TRUE" if root is None else "job.root = :root"
