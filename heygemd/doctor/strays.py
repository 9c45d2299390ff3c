"""Folders in `processing/` that nobody works on: the store that knew them was lost, or restored from an old backup."""

from collections.abc import Iterator
from pathlib import Path

from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, warning
from heygemd.errors import HeygemdError
from heygemd.jobs.ids import id8_of
from heygemd.jobs.roots import Root
from heygemd.jobs.store import JobStore
from heygemd.naming import printable
from heygemd.outbox.keepsakes import id8_of_folder

YOUNG_S = 600.0
"""A claim that is under way is in no store for a moment."""
TOLD = 3


def look(case: Case, root: Root) -> Iterator[Finding]:
    """Compare the folders with the store; without a store that can be read nothing is said here."""
    state_dir = case.state_dir()
    if state_dir is None:
        return
    try:
        known = _known(state_dir, root)
        strays = sorted(_strays(case, root, known))
    except (HeygemdError, OSError):  # the checks of the state directory and of the root say so
        return
    if not strays:
        return
    names = ", ".join(printable(name) for name in strays[:TOLD]) + (" …" if len(strays) > TOLD else "")
    yield warning(
        f"processing of {root.path}",
        f"{len(strays)} folders belong to no job, and nobody works on them: {names}",
        f"{len(strays)} 个文件夹不属于任何任务，无人处理：{names}",
        code="E401",
        fix=f"move the pictures and sounds in them back into {root.inbox}, then delete the folders",
        fix_zh=f"请将其中的画面和声音移回 {root.inbox}，然后删除这些文件夹",
    )


def _known(state_dir: Path, root: Root) -> frozenset[str]:
    """Return the names of the folders that the store, or a claim under way, speaks of."""
    with JobStore.open_readonly(state_dir / "jobs.sqlite") as store:
        claims = set(store.claim_dirs(root.uuid).values())
        claims |= {job.claim_dir.name for job in store.to_put_away() if job.claim_dir is not None}
        claims |= {found.batch.claim_dir.name for found in store.open_batches()}
    return frozenset(claims)


def _strays(case: Case, root: Root, known: frozenset[str]) -> Iterator[str]:
    under_way = {id8_of(record.stem) for record in root.claims.iterdir()}
    now_s = case.around.now().timestamp()
    for folder in root.processing.iterdir():
        id8 = id8_of_folder(folder.name)
        if id8 is None or folder.name in known or id8 in under_way or folder.is_symlink():
            continue
        if now_s - folder.stat().st_ctime > YOUNG_S:
            yield folder.name
