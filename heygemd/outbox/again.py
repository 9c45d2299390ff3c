"""The same bytes with the same options once more: the film is there already, and is given again where it is missing.

The store says which job made it; whether it still lies in the outbox, and unchanged, only the outbox can say.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from heygemd.jobs.job import EngineName, Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.report import Report, pretty
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.standing import REPORT_MAX_BYTES, Mark, mark_at, read_mark

PATH_MAX_BYTES = 4096
"""What Linux takes in one call, with the zero at its end (limits.h). Films are published step by step, below longer
ones, too: people's folders are deep, and what Windows cannot hold becomes three times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A film that need not be made once more."""

    film: Path | None = None
    """A published film with exactly the bytes of the original; None when no such film was found: make it."""
    there: str | None = None
    """File name when it lies already where this job's film would lie: nothing is to be copied."""
    report_json: str | None = None
    """What lies beside it as its report, if it names this very film; a stranger may have written it."""
    sheet: Path | None = None
    """Its contact sheet, if its report proves which that is."""


def find_again(original: Job, job: Job, root: Root) -> Again:
    """Look in the outbox for the film of job `original`, of which `job` is a duplicate.

    First where the job's own film would lie, under any version of its name, then where the original was published.
    A film counts only when its bytes hash to `original.film_sha256`, and one that is to be copied only when a path can
    reach it. Raises ResourceError E201 or E202.
    """
    require_root(root)
    if original.film_sha256 is None:
        return Again()  # published by a version that did not note it
    home, stem = names.mirrored(job.folder), names.film_stem(job.name)
    source = names.mirrored(original.folder)
    with disks.share_faults(root.outbox), disks.open_folder(root.outbox):
        with disks.folder_if_there(root.outbox, *home) as fd:
            if fd is not None:
                published = original.published_name if source == home else None
                for name in _candidates(fd, stem, published, original.film_sha256):
                    if disks.sha256_of(fd, name) == original.film_sha256:
                        return replace(_found(fd, root.outbox.joinpath(*home), name, original), there=name)
        name = original.published_name or ""
        with disks.folder_if_there(root.outbox, *source) as fd:
            folder = root.outbox.joinpath(*source)
            is_copied = fd is not None and _is_plain(name) and len(os.fsencode(folder / name)) < PATH_MAX_BYTES
            if fd is not None and is_copied and disks.sha256_of(fd, name) == original.film_sha256:
                return _found(fd, folder, name, original)
    return Again()


def retold(original_report_json: str | None, job: Job, finished_at: datetime) -> str:
    """Write the report of a duplicate: what the original's says of the film; names, times and id are the job's own.

    The original's report is not trusted: what has not the form of its field is left out. No time is told as work.
    """
    own = replace(job, state=JobState.DONE)
    told = asdict(Report.of_ended(own, finished_at=finished_at)) | {"wall_s": 0.0, "sha256": job.film_sha256}
    for field, value in _facts(original_report_json).items():
        told[field] = told[field] if field == "sha256" and told[field] else value
    return pretty(told)


def _candidates(fd: int, stem: str, published: str | None, sha256: str) -> Iterator[str]:
    """Yield versions of the job's own film name that may hold the film."""
    if published is not None and names.is_version_of(stem, published):
        yield published
    for name in sorted(disks.names_in(fd)):
        if name != published and names.is_version_of(stem, name):
            mark = mark_at(fd, names.report_name(name))
            if mark is not None and mark.sha256 == sha256:
                yield name


def _found(fd: int, folder: Path, name: str, original: Job) -> Again:
    data = disks.read_at_most(fd, names.report_name(name), REPORT_MAX_BYTES)
    mark = read_mark(data) if data is not None else None
    if data is None or mark is None or mark.sha256 != original.film_sha256:
        return Again(film=folder / name)
    with suppress(UnicodeDecodeError):
        sheet = folder / names.sheet_name(name) if _is_sheet(fd, name, mark) else None
        return Again(film=folder / name, report_json=data.decode(), sheet=sheet)
    return Again(film=folder / name)


def _is_sheet(fd: int, name: str, mark: Mark) -> bool:
    return bool(mark.sheet_sha256) and disks.sha256_of(fd, names.sheet_name(name)) == mark.sheet_sha256


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


_ABSURD = 1 << 63
"""No film has so many bytes, frames or seconds."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _ABSURD


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_versions(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _are_weights(value: object) -> bool:
    is_form = isinstance(value, dict) and value.keys() == {"name", "sha256"}
    return is_form and isinstance(value, dict) and all(isinstance(value[key], str | None) for key in ("name", "sha256"))


_FACTS: dict[str, Callable[[object], bool]] = {
    "sha256": _is_hash,
    "size_bytes": _is_count,
    "frames": _is_count,
    "fps": lambda value: isinstance(value, str) and re.fullmatch("[0-9]{1,9}(/[0-9]{1,9})?", value) is not None,
    "width_px": _is_count,
    "height_px": _is_count,
    "film_s": _is_length,
    "audio_codec": _is_text,
    "audio_copied": lambda value: isinstance(value, bool),
    "encoder": _is_text,
    "touched_frames": _is_count,
    "passed_frames": _is_count,
    "device": _is_text,
    "engine": lambda value: value in list(EngineName),
    "engine_version": _is_text,
    "weights": _are_weights,
    "versions": _are_versions,
    "plan": _is_text,
    "warnings": _are_texts,
}
"""What a report says of the film itself, and which form it has."""


def _facts(report_json: str | None) -> dict[str, Any]:
    """Return the facts of the film that can be believed to be such; none when it is no report of ours."""
    if report_json is None or read_mark(report_json) is None:
        return {}
    data = json.loads(report_json)
    return {field: data[field] for field, is_right in _FACTS.items() if field in data and is_right(data[field])}
