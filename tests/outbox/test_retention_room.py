"""What is given up for room: originals before their time on a full disk."""

import errno
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.outbox import endings
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.publish import deliver
from tests.outbox.retention_rig import YOUNG, archived, failed, sweep

pytestmark = pytest.mark.usefixtures("roomy")


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    return fast_path


class Meter:
    """A disk on which what is deleted comes back as free space, or not."""

    def __init__(self, root, total: int, *, comes_back: bool = True) -> None:
        self.root, self.total, self.comes_back = root, total, comes_back
        self.used = self.now()

    def now(self) -> int:
        return sum(path.stat().st_blocks * 512 for path in self.root.done.rglob("*") if path.is_file())

    def __call__(self, root) -> int:
        return self.total - (self.now() if self.comes_back else self.used)


def fill(root, monkeypatch, **changes) -> list[Path]:
    folders = [archived(root, f"2025-03-0{day}", size=4096) for day in range(1, 7)]
    meter = Meter(root, total=6 * 8192 + 4096, **changes)
    monkeypatch.setattr(endings, "free_bytes", meter)
    monkeypatch.setattr("heygemd.outbox.retention.free_bytes", meter)
    return folders


def test_full_disk_takes_the_oldest_originals_before_their_time_and_no_more_than_needed(root, monkeypatch) -> None:
    folders = fill(root, monkeypatch)
    swept = sweep(root, low_water_bytes=2 * 8192 + 4096)
    assert (swept.done, swept.early, swept.is_low) == (2, 2, False)
    assert [folder.exists() for folder in folders] == [False, False, True, True, True, True]


def test_full_disk_takes_even_what_is_otherwise_kept_for_ever_but_not_what_a_folder_asked_to_keep(
    root, monkeypatch
) -> None:
    folders = fill(root, monkeypatch)
    folders[0].rename(folders[0].with_name("mine__mineming"))
    swept = sweep(root, low_water_bytes=1 << 30, done_days=0, keeps={"mineming": 0})
    assert (swept.early, swept.is_low) == (5, True)
    assert len(list(root.done.rglob("v.mp4"))) == 1


def test_full_disk_never_takes_failed_jobs_films_or_a_folder_with_somebodys_file(
    root, monkeypatch, make_delivery
) -> None:
    deliver(make_delivery())
    folders = fill(root, monkeypatch)
    kept = failed(root)
    sweep(root, failed_days=0)
    (folders[0] / "mine").write_bytes(b"")
    swept = sweep(root, low_water_bytes=1 << 30, failed_days=0)
    assert swept.early == 5
    assert kept.exists()
    assert folders[0].exists()
    assert (root.outbox / "lessons/anna.mp4").exists()


def test_disk_that_gives_nothing_back_does_not_cost_all_originals(root, monkeypatch) -> None:
    fill(root, monkeypatch, comes_back=False)
    swept = sweep(root, low_water_bytes=2 * 8192 + 4096)
    assert (swept.early, swept.is_low) == (2, True)


def test_sweep_makes_room_even_when_nothing_can_be_written(root) -> None:
    folder, _ = archived(root), archived(root, YOUNG)

    def full(step: int, call: str) -> None:
        if call in ("create", "write", "sync"):
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(ResourceError) as caught:
        sweep(root, disk=FaultyDisk(full))
    assert caught.value.code == "E202"
    assert not folder.exists()
    assert not list(root.private.glob(".*.part"))
