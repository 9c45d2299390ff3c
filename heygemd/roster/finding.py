"""From what a person types to the job or batch that is meant: an id, a part of it, a film's name, a path."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import ResourceError
from heygemd.jobs.ids import is_job_id
from heygemd.jobs.listing import JobFilter
from heygemd.jobs.roots import Root
from heygemd.jobs.store import JobStore
from heygemd.naming import NAME_MAX_BYTES
from heygemd.outbox import disk as disks
from heygemd.outbox.keepsakes import id8_of_folder
from heygemd.outbox.names import report_name
from heygemd.outbox.originals import ERROR_NAME
from heygemd.outbox.standing import mark_at

MOST = 20
_TAIL = re.compile(r"[a-z2-7]{4,10}", re.ASCII)
_NOTES = (".mp4.json", ".jpg", ".mp4")
"""What lies in the outbox for one film, by the end of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Ids that fit; one of them, and it is clear what is meant."""

    jobs: tuple[str, ...] = ()
    """The newest first."""
    batches: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Tell whether exactly one thing is meant."""
        return len(self.jobs) + len(self.batches) == 1


NOTHING = Found()


def find(store: JobStore, word: str, roots: Sequence[Root] = ()) -> Found:
    """Return what `word` can mean; more than `MOST` jobs of one name are not told.

    The first of these that gives something: whole id; 4 to 10 of its random characters (as in names of folders); a
    path of a root (film, report, sheet, or a folder in processing, failed or done); name of a film; of a batch.
    """
    if is_job_id(word):
        return _by_id(store, word)
    if _TAIL.fullmatch(word):
        found = Found(jobs=tuple(store.find_ids(word, MOST)), batches=tuple(store.find_batches(word, MOST)))
        if found != NOTHING:
            return found
    if "/" in word or Path(word).exists():
        return _by_path(store, Path(word), roots)
    name = word.removesuffix(".mp4")
    for one in dict.fromkeys((word, name)):
        if jobs := store.named(one, MOST):
            return Found(jobs=tuple(listed.job.id for listed in jobs))
    return Found(batches=tuple(store.find_batches(name, MOST)))


def _by_id(store: JobStore, word: str) -> Found:
    if store.get(word) is not None:
        return Found(jobs=(word,))
    if store.get_batch(word) is not None:
        return Found(batches=(word,))
    return Found(jobs=tuple(store.find_ids(word.rpartition("-")[2], MOST)))  # of a job that was put back


def _by_path(store: JobStore, path: Path, roots: Sequence[Root]) -> Found:
    place = path.absolute()
    root = next((one for one in roots if place.is_relative_to(one.path)), None)
    if root is None:
        place = place.resolve()
        root = next((one for one in roots if place.is_relative_to(one.path.resolve())), None)
    if root is None:
        return NOTHING
    below = place.relative_to(root.path if place.is_relative_to(root.path) else root.path.resolve())
    if below.parts[:1] == ("outbox",):
        return _by_film(store, root, below.parts[1:])
    for part in below.parts[1:]:
        if (id8 := id8_of_folder(part)) is not None:
            jobs = _ticketed(store, root, place) or tuple(store.find_ids(id8, MOST))
            return Found(jobs=jobs, batches=tuple(store.find_batches(id8, MOST)))
    return NOTHING


def _by_film(store: JobStore, root: Root, parts: tuple[str, ...]) -> Found:
    """Ask the report beside the film; when that is gone, the newest job that was published under this name."""
    if not parts:
        return NOTHING
    *folders, file = parts
    stem = next((file.removesuffix(ending) for ending in _NOTES if file.endswith(ending)), file)
    film = stem + ".mp4"
    job_id = None
    try:
        with disks.folder_if_there(root.outbox, *folders) as fd:
            mark = mark_at(fd, report_name(film)) if fd is not None and len(film) < NAME_MAX_BYTES else None
        job_id = mark.job if mark is not None else None
    except (OSError, ResourceError):
        pass  # not for us to read: the store may still know
    if job_id is not None and store.get(job_id) is not None:
        return Found(jobs=(job_id,))
    name = re.sub(r"\.v[0-9]+\Z", "", stem)
    listed = store.listed(JobFilter(root=root.uuid, name=f"{_literal(name)}*"), -1)
    return Found(jobs=tuple(one.job.id for one in listed if one.job.published_name == film)[:MOST])


def _ticketed(store: JobStore, root: Root, place: Path) -> tuple[str, ...]:
    """Return the job that the `error.json` of a folder in `failed/` names; it may have another id than the folder."""
    folder = place if place.parent == root.failed else place.parent
    if folder.parent != root.failed:
        return ()
    try:
        with disks.folder_if_there(root.failed, folder.name) as fd:
            mark = mark_at(fd, ERROR_NAME) if fd is not None else None
    except (OSError, ResourceError):
        return ()
    return (mark.job,) if mark is not None and store.get(mark.job) is not None else ()


def _literal(text: str) -> str:
    """Return a pattern that only the text itself fits."""
    return re.sub(r"([*?\[])", r"[\1]", text)
