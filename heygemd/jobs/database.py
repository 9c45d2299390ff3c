"""The store's file: opening it, bringing it to the newest schema, transactions. The only module that knows SQLite.

WAL with `synchronous = FULL`: what has been committed survives a power cut. A disk that is full, read-only or broken
is a ResourceError E202; a file that is no store of ours is a SetupError E401.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import structlog

from heygemd.errors import ResourceError, SetupError
from heygemd.filesystem import sync_folder

log = structlog.get_logger(__name__)

BUSY_TIMEOUT_S = 10.0
"""How long a write waits for another process (a backup, say) before it counts as a fault of the machine."""

_PRIMARY_CODE_MASK = 0xFF
_MACHINE_FAULTS = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
})  # fmt: skip

Value = str | int | float | None
Values = Sequence[Value] | Mapping[str, Value]
Record = dict[str, Any]
"""A row by the names of its columns."""


class Database:
    """One connection; every fault of SQLite leaves it as an error that says who must act."""

    def __init__(self, path: Path, *, readonly: bool = False, may_migrate: bool = True) -> None:
        with _sorted_faults(path):
            if readonly:
                self._db = _connect_to_read(path)
            else:
                self._db = _connect_to_write(path) if may_migrate else _connect_beside(path)

    def close(self) -> None:
        """Give the files back."""
        self._db.close()

    def execute(self, sql: str, values: Values = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with _sorted_faults():
            return self._db.execute(sql, values)

    def one(self, sql: str, values: Values = ()) -> Record | None:
        """Return the first row, if there is one."""
        with _sorted_faults():
            row = self._db.execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def all(self, sql: str, values: Values = ()) -> list[Record]:
        """Return every row."""
        with _sorted_faults():
            return [dict(row) for row in self._db.execute(sql, values).fetchall()]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything within one change: whole and durable when this ends well, not there at all otherwise."""
        with _sorted_faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A disk that fills up rolls back by itself; then there is nothing left to roll back.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


class Holder:
    """What lives on one connection, and gives its files back at the end of a `with`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self) -> None:
        """Give the files back; it cannot be used afterwards."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@cache
def schema_sections() -> tuple[str, ...]:
    """Return the SQL of each schema version, oldest first."""
    text = resources.files("heygemd.jobs").joinpath("schema.sql").read_text(encoding="utf-8")
    head, *rest = text.split("\n-- version ")
    del head
    return tuple(section.partition("\n")[2] for section in rest)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db, path, schema_sections())
    except BaseException:
        db.close()
        raise
    return db


def _connect_beside(path: Path) -> sqlite3.Connection:
    """Open for writing a store that another process looks after: neither made nor migrated here."""
    _require_store(path, os.R_OK | os.W_OK)
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _require_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _require_store(path: Path, rights: int) -> None:
    """Raise SetupError E401 when there is no store, E407 when this user may not use it so."""
    try:
        is_there = path.is_file()
    except PermissionError as error:
        raise SetupError("E407", f"{path}: {error.strerror}") from error
    if not is_there:
        raise SetupError("E401", f"there is no job store at {path}: the daemon has not run with this state directory")
    # A store in WAL mode is written by opening files beside it.
    if not os.access(path, rights) or (rights & os.W_OK and not os.access(path.parent, os.W_OK)):
        raise SetupError("E407", f"{path} may not be {'written' if rights & os.W_OK else 'read'} by this user")


def _require_schema(db: sqlite3.Connection, path: Path) -> None:
    version, known = _version(db), len(schema_sections())
    if version == 0:
        raise SetupError("E401", f"the job store {path} is still empty: the daemon is only just making it")
    if version != known:
        older = "start the new daemon once" if version < known else "use the program of the daemon"
        raise SetupError("E401", f"the job store {path} has schema {version}, this program knows {known}: {older}")


def _connect_to_read(path: Path) -> sqlite3.Connection:
    _require_store(path, os.R_OK)
    # A reader that may not write the directory cannot rebuild the WAL index of a store that was closed cleanly;
    # then no writer is there, and the file alone is the whole truth.
    for mode in ("mode=ro", "immutable=1"):
        db = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            db.row_factory = sqlite3.Row
            _require_schema(db, path)
        except sqlite3.OperationalError:
            db.close()
            if mode == "immutable=1" or path.with_name(path.name + "-wal").exists():
                raise
        except BaseException:
            db.close()
            raise
        else:
            return db
    raise AssertionError("unreachable")


def _migrate(db: sqlite3.Connection, path: Path, sections: Sequence[str]) -> None:
    """Bring the file to the newest schema, one transaction a version, a backup copy before each."""
    version = _version(db)
    if version > len(sections):
        raise SetupError("E401", f"the job store {path} was written by a newer heygemd (schema {version})")
    if version == 0:  # in one go: a reader meets a whole store, or none
        _run(db, ";\n".join(sections), len(sections))
        return
    for number in range(version + 1, len(sections) + 1):
        _back_up(db, path.with_name(f"{path.name}.v{number - 1}.bak"))
        _run(db, sections[number - 1], number)
        log.info("store.migrated", schema=number)


def _run(db: sqlite3.Connection, sql: str, version: int) -> None:
    try:
        db.executescript(f"BEGIN IMMEDIATE;{sql};PRAGMA user_version = {version};COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _back_up(db: sqlite3.Connection, copy: Path) -> None:
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(part),))
    number = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(number)
    os.close(number)
    part.replace(copy)
    sync_folder(copy.parent)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _sorted_faults(path: Path | None = None) -> Iterator[None]:
    """Turn SQLite's faults into errors that say who must act."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE_MASK
        if code in _MACHINE_FAULTS:
            raise ResourceError("E202", f"the job store cannot be used: {error}") from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise SetupError("E401", f"the job store {path or ''} is damaged or is none: {error}") from error
        raise
