"""What the store remembers about memory: measured peaks, and batches that turned out too large.

One worker is like another when engine, number format and name of the device are the same, so what was learnt on one
card holds for every card of its name, and for the same card tomorrow.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from heygemd.jobs.batches import BatchRecords
from heygemd.jobs.database import Database, Record, Value
from heygemd.jobs.job import EngineName
from heygemd.jobs.rows import text_of

MOST_ROWS = 2_000
"""Of each table; the least recently seen go first."""
SEEN_EVERY = timedelta(days=1)
"""How stale `seen_at` may become while the same load is seen again and again."""

_OF_KIND = "engine = :engine AND precision = :precision AND device_name = :device_name"
_OF_SIZE = f"{_OF_KIND} AND width_px = :width_px AND height_px = :height_px"
_NOTE_PEAK = """
INSERT INTO memory_peak VALUES (:engine, :precision, :device_name, :width_px, :height_px, :batch, :peak_bytes, :samples,
                                :at)
ON CONFLICT DO UPDATE SET peak_bytes = max(peak_bytes, excluded.peak_bytes), samples = samples + excluded.samples,
                          seen_at = max(seen_at, excluded.seen_at)
"""
_SET_CEILING = """
INSERT OR REPLACE INTO memory_ceiling VALUES (:engine, :precision, :device_name, :width_px, :height_px, :batch, :at,
                                              :good_count, :failed_batch, :needed_bytes)
"""
_TRIM_PEAKS = """
DELETE FROM memory_peak WHERE (engine, precision, device_name, width_px, height_px, batch) IN (
    SELECT engine, precision, device_name, width_px, height_px, batch FROM memory_peak
    ORDER BY seen_at DESC LIMIT -1 OFFSET :most)
"""
_TRIM_CEILINGS = """
DELETE FROM memory_ceiling WHERE (engine, precision, device_name, width_px, height_px) IN (
    SELECT engine, precision, device_name, width_px, height_px FROM memory_ceiling
    ORDER BY since DESC LIMIT -1 OFFSET :most)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerKind:
    """Workers that are alike in the memory they take."""

    engine: EngineName
    precision: str
    device_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPeak:
    """The most that was held with one load."""

    kind: WorkerKind
    width_px: int
    height_px: int
    batch: int
    peak_bytes: int
    samples: int
    """Tasks that were measured; may lag behind a little."""
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """For pictures of this size no larger batch is tried at present."""

    kind: WorkerKind
    width_px: int
    height_px: int
    batch: int
    since: datetime
    good_count: int = 0
    """Tasks that ended well with it."""
    failed_batch: int
    needed_bytes: int = 0
    """With `failed_batch` the need was above this, context not counted."""


class MemoryEvidence(BatchRecords):
    """The part of the store that keeps what was learnt about memory."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._unwritten: dict[tuple[Value, ...], int] = {}
        """Samples of a load since its row was last written: a sync for every task would be too many."""

    def note_peak(
        self, kind: WorkerKind, *, width_px: int, height_px: int, batch: int, peak_bytes: int, at: datetime
    ) -> bool:
        """Count one more measured task; True when it taught something, which is then durable.

        That is a new largest peak, or a count that reached 1, 2, 5, 10, 20, 50, …. Other counts wait in memory.
        """
        load = _columns(kind) | {"width_px": width_px, "height_px": height_px, "batch": batch}
        key = tuple(load.values())
        samples = self._unwritten.get(key, 0) + 1
        row = self._db.one(f"SELECT * FROM memory_peak WHERE {_OF_SIZE} AND batch = :batch", load)
        is_news = (
            row is None or peak_bytes > row["peak_bytes"] or row["samples"] + samples >= _next_step(row["samples"])
        )
        if is_news or (row is not None and at - datetime.fromisoformat(row["seen_at"]) > SEEN_EVERY):
            with self._db.transaction():
                self._db.execute(_NOTE_PEAK, load | {"peak_bytes": peak_bytes, "samples": samples, "at": text_of(at)})
                if row is None:
                    self._db.execute(_TRIM_PEAKS, {"most": MOST_ROWS})
            self._unwritten.pop(key, None)
        else:
            if len(self._unwritten) > MOST_ROWS:
                self._unwritten.clear()
            self._unwritten[key] = samples
        return is_news

    def peaks(self, kind: WorkerKind, *, limit: int = MOST_ROWS) -> list[MeasuredPeak]:
        """Return what was measured for the kind, the most recently seen first."""
        sql = f"SELECT * FROM memory_peak WHERE {_OF_KIND} ORDER BY seen_at DESC LIMIT :limit"
        return [_peak_of(row) for row in self._db.all(sql, _columns(kind) | {"limit": limit})]

    def set_ceiling(self, ceiling: Ceiling) -> None:
        """Remember a smaller batch, in place of what was remembered for the size."""
        values = _columns_of_size(ceiling) | {
            "batch": ceiling.batch, "at": text_of(ceiling.since), "good_count": ceiling.good_count,
            "failed_batch": ceiling.failed_batch, "needed_bytes": ceiling.needed_bytes,
        }  # fmt: skip
        with self._db.transaction():
            self._db.execute(_SET_CEILING, values)
            self._db.execute(_TRIM_CEILINGS, {"most": MOST_ROWS})

    def note_good_at_ceiling(self, ceiling: Ceiling) -> None:
        """Count one task that ended well with the remembered batch; nothing when it is remembered no more."""
        sql = f"UPDATE memory_ceiling SET good_count = good_count + 1 WHERE {_OF_SIZE}"
        with self._db.transaction():
            self._db.execute(sql, _columns_of_size(ceiling))

    def forget_ceiling(self, ceiling: Ceiling) -> None:
        """Let pictures of this size have any batch again."""
        with self._db.transaction():
            self._db.execute(f"DELETE FROM memory_ceiling WHERE {_OF_SIZE}", _columns_of_size(ceiling))

    def ceilings(self) -> list[Ceiling]:
        """Return every remembered batch, the latest first."""
        return [_ceiling_of(row) for row in self._db.all("SELECT * FROM memory_ceiling ORDER BY since DESC")]

    def note_context(self, device_name: str, context_bytes: int) -> bool:
        """Record what the driver's context takes in one worker; False, and nothing is written, when that is known."""
        if self.context_bytes(device_name) == context_bytes:
            return False
        with self._db.transaction():
            values = (device_name, context_bytes)
            self._db.execute("INSERT OR REPLACE INTO memory_context VALUES (?, ?)", values)
        return True

    def context_bytes(self, device_name: str) -> int | None:
        """Return what the context takes on such a device, if it was measured."""
        row = self._db.one("SELECT context_bytes FROM memory_context WHERE device_name = ?", (device_name,))
        return None if row is None else int(row["context_bytes"])


def _next_step(known: int) -> int:
    """Return the first of 1, 2, 5, 10, 20, 50, … above a positive number."""
    power = int(10 ** (len(str(known)) - 1))
    return next(step * power for step in (2, 5, 10) if step * power > known)


def _columns(kind: WorkerKind) -> dict[str, Value]:
    return {"engine": kind.engine.value, "precision": kind.precision, "device_name": kind.device_name}


def _columns_of_size(ceiling: Ceiling) -> dict[str, Value]:
    return _columns(ceiling.kind) | {"width_px": ceiling.width_px, "height_px": ceiling.height_px}


def _kind_of(row: Record) -> WorkerKind:
    return WorkerKind(engine=EngineName(row["engine"]), precision=row["precision"], device_name=row["device_name"])


def _peak_of(row: Record) -> MeasuredPeak:
    return MeasuredPeak(
        kind=_kind_of(row), width_px=row["width_px"], height_px=row["height_px"], batch=row["batch"],
        peak_bytes=row["peak_bytes"], samples=row["samples"], seen_at=datetime.fromisoformat(row["seen_at"]),
    )  # fmt: skip


def _ceiling_of(row: Record) -> Ceiling:
    return Ceiling(
        kind=_kind_of(row), width_px=row["width_px"], height_px=row["height_px"], batch=row["batch"],
        since=datetime.fromisoformat(row["since"]), good_count=row["good_count"],
        failed_batch=row["failed_batch"], needed_bytes=row["needed_bytes"],
    )  # fmt: skip
