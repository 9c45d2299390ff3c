"""The record `.heygemd/batches/<batch id>.json` of an accepted batch: written before its folder is claimed.

Users may write into the share, so a record is read as a claim's is: every name must be plain and stay in its place.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from heygemd.intake import names
from heygemd.intake.smallfile import read_small
from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.ids import id8_of, is_job_id
from heygemd.jobs.roots import Root

MAX_RECORD_BYTES = 64 << 20
SUFFIX = ".json"
_BATCH = TypeAdapter(Batch)


def record_file(root: Root, batch_id: str) -> Path:
    """Return where the record of a batch lies."""
    return root.batches / f"{batch_id}{SUFFIX}"


def to_bytes(batch: Batch) -> bytes:
    """Write a record."""
    return _BATCH.dump_json(batch) + b"\n"


def half_written(root: Root) -> list[Path]:
    """Return what a power cut has left of a record; only one process writes here."""
    return [root.batches / name for name in os.listdir(root.batches) if name.endswith(".part")]  # noqa: PTH208


def record_names(root: Root) -> Iterator[str]:
    """Yield the ids of the records on disk."""
    for name in sorted(os.listdir(root.batches)):  # noqa: PTH208  # names are wanted, not paths
        batch_id = name.removesuffix(SUFFIX)
        if name.endswith(SUFFIX) and is_job_id(batch_id):
            yield batch_id


def read_batch(root: Root, batch_id: str) -> Batch:
    """Read a record; raises ValueError for one that is not ours, OSError when it cannot be read."""
    text = read_small(record_file(root, batch_id), MAX_RECORD_BYTES)
    try:
        batch = _BATCH.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"no record of a batch: {error.error_count()} errors") from error
    _refuse_forged(batch, root, batch_id)
    return batch


def _refuse_forged(batch: Batch, root: Root, batch_id: str) -> None:
    if batch.id != batch_id or batch.root != root.uuid or batch.accepted_at.tzinfo is None:
        raise ValueError("the record belongs to another batch or root")
    claim = batch.claim_dir
    if claim.parent != root.processing or not claim.name.endswith(f"__{id8_of(batch_id)}") or not _is_plain(claim.name):
        raise ValueError("the folder in processing/ is not that of this batch")
    if not _is_way(batch.folder) or not _is_plain(batch.name):
        raise ValueError("a name leads out of its folder")
    if len({row.number for row in batch.rows}) != len(batch.rows):
        raise ValueError("two rows of one number")
    for row in batch.good_rows:
        _refuse_forged_row(row, batch.kind)


def _refuse_forged_row(row: Row, kind: BatchKind) -> None:
    if row.video is None or row.audio is None or not _is_plain(row.film_name) or not _is_way(row.film_folder):
        raise ValueError(f"row {row.number} is no row")
    for member in row.members:
        if not member.path or not _is_way(member.path) or (kind is BatchKind.FOLDER and "/" in member.path):
            raise ValueError(f"row {row.number}: a path leads out of its folder")


def _is_way(path: str) -> bool:
    """Tell whether this is a relative path of plain parts; `` is the top."""
    return all(_is_plain(part) and not names.is_ignored(part) for part in path.split("/")) if path else True


def _is_plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and PurePosixPath(name).name == name and not names.is_refused(name)
