"""The cache above its bound: what former versions made goes first, then what was used least recently."""

import os
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from heygemd.errors import ResourceError
from heygemd.outbox.retention import CacheSwept, sweep_cache


@pytest.fixture
def cache(fast_path: Path) -> Path:
    return fast_path / "cache"


def entry(cache: Path, name: str, *, used_s: float, size: int = 100) -> Path:
    """An entry; `name` without its digest and its ending. Somebody reads all of them every night."""
    return file(cache, f"{name}-01234567.npz", used_s=used_s, size=size)


def file(cache: Path, name: str, *, used_s: float = 1, size: int = 100) -> Path:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1e9, used_s))
    return path


def track(cache: Path, number: int, version: str = "landmark74-1-ffmpeg5.1", **how: float) -> Path:
    return entry(cache, f"tracks/{number:064x}-{version}", **how)


def speech(cache: Path, number: int, version: str = "atlas-2-ffmpeg5.1", **how: float) -> Path:
    return entry(cache, f"speech/{number:064x}-{version}", **how)


def kept(*paths: Path) -> list[bool]:
    return [path.exists() for path in paths]


def test_what_was_used_least_recently_goes_first_whatever_its_kind(cache: Path) -> None:
    tracks = [track(cache, n, used_s=used) for n, used in enumerate((30, 10, 20))]
    heard = speech(cache, 9, used_s=15)
    stamps = entry(cache, f"stamps/{1:064x}-stamps-1-ffmpeg5.1", used_s=12)
    assert sweep_cache(cache, 250) == CacheSwept(deleted=3, kept_bytes=200)
    assert kept(*tracks, heard, stamps) == [True, False, True, False, False]
    assert sweep_cache(cache, 200) == CacheSwept(kept_bytes=200)
    assert sweep_cache(cache, 0) == CacheSwept(deleted=2)


def test_a_large_entry_is_worth_many_small_ones(cache: Path) -> None:
    large, small = track(cache, 1, used_s=1, size=1000), [track(cache, n, used_s=n) for n in range(2, 8)]
    assert sweep_cache(cache, 700).deleted == 1
    assert kept(large, *small) == [False, *[True] * 6]


def test_what_former_versions_made_goes_before_everything_else(cache: Path) -> None:
    former = [track(cache, 1, "landmark74-1-ffmpeg5.1", used_s=50), track(cache, 2, "other-9-ffmpeg5.1", used_s=51)]
    present = [track(cache, 3, "landmark74-2-ffmpeg5.1", used_s=used) for used in (10,)]
    present.append(track(cache, 4, "landmark74-2-ffmpeg5.1", used_s=60))
    heard = speech(cache, 5, used_s=5)
    assert sweep_cache(cache, 300) == CacheSwept(deleted=2, old=2, kept_bytes=300)
    assert kept(*former, *present, heard) == [False, False, True, True, True]
    assert sweep_cache(cache, 200).old == 0
    assert kept(*present, heard) == [True, True, False]


def test_another_ffmpeg_is_another_version_and_so_is_what_older_releases_named_otherwise(cache: Path) -> None:
    older = file(cache, f"tracks/{1:064x}-landmark74-1.npz", used_s=8)
    former = track(cache, 2, "landmark74-1-ffmpeg5.1.9-0+deb12u1", used_s=9)
    present = track(cache, 3, "landmark74-1-ffmpeg7.1", used_s=10)
    first = track(cache, 4, "landmark74-1-ffmpeg7.1", used_s=1)
    assert sweep_cache(cache, 200) == CacheSwept(deleted=2, old=2, kept_bytes=200)
    assert kept(older, former, present, first) == [False, False, True, True]


def test_engines_hear_each_in_a_version_of_its_own(cache: Path) -> None:
    wav2lip = [speech(cache, n, "wav2lip-1-ffmpeg5.1", used_s=used) for n, used in ((1, 1), (2, 4))]
    former, atlas = speech(cache, 3, "wav2lip-0-ffmpeg5.1", used_s=3), speech(cache, 4, used_s=5)
    assert sweep_cache(cache, 300) == CacheSwept(deleted=1, old=1, kept_bytes=300)
    assert kept(*wav2lip, former, atlas) == [True, True, False, True]


def test_what_was_used_in_the_future_tells_nothing(cache: Path) -> None:
    wrong = track(cache, 1, "landmark74-1-ffmpeg5.1", used_s=time.time() + 86400)
    right = track(cache, 2, "landmark74-2-ffmpeg5.1", used_s=time.time() - 60)
    assert sweep_cache(cache, 100) == CacheSwept(deleted=1, old=1, kept_bytes=100)
    assert kept(wrong, right) == [False, True]


def test_nothing_else_is_touched(cache: Path) -> None:
    other = cache.parent / "other"
    strangers = [
        file(cache, "notes.txt"), file(cache, "ab-atlas-2-01234567.npz"), file(cache, "models/ab-atlas-2-01234567.npz"),
        file(cache, "tracks/notes.txt"), file(cache, "tracks/my own.npz"), file(cache, "tracks/.npz"),
        file(cache, "tracks/deep/ab-atlas-2-01234567.npz"), file(cache, "tracks/AB-atlas-2-01234567.npz"),
        file(cache, f"tracks/ab-atlas-2-01234567.npz.{os.getpid()}.part"), file(cache, "tracks/x.npz.999999999.part"),
        file(other, "ab-atlas-2-01234567.npz"),
    ]  # fmt: skip
    (cache / "tracks/ab-link-2-01234567.npz").symlink_to(other / "ab-atlas-2-01234567.npz")
    (cache / "tracks/ab-folder-2-01234567.npz").mkdir()
    (cache / "speech").symlink_to(other)
    assert sweep_cache(cache, 0) == CacheSwept()
    assert all(kept(*strangers))
    assert (cache / "tracks/ab-link-2-01234567.npz").is_symlink()


def test_a_second_name_for_an_entry_keeps_its_bytes(cache: Path) -> None:
    found = track(cache, 1, used_s=1)
    job = cache.parent / "track.npz"
    os.link(found, job)
    assert sweep_cache(cache, 0).deleted == 1
    assert job.stat().st_size == 100


def test_unfinished_files_of_dead_processes_go(cache: Path) -> None:
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    part = file(cache, f"tracks/ab-landmark74-1-ffmpeg5.1-01234567.npz.{dead}.part")
    assert sweep_cache(cache, 1000) == CacheSwept()
    assert not part.exists()


def test_cache_that_was_never_made_is_empty(cache: Path) -> None:
    assert sweep_cache(cache / "nothing", 0) == CacheSwept()


def test_entries_that_vanish_meanwhile_are_no_trouble(cache: Path) -> None:
    entries = [track(cache, n, used_s=n) for n in range(300)]
    swept: list[int] = []
    sweepers = [threading.Thread(target=lambda: swept.append(sweep_cache(cache, 0).deleted)) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    assert len(swept) == 3
    assert not any(kept(*entries))


def test_a_disk_that_refuses_is_e202(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track(cache, 1, used_s=1)

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ResourceError) as caught:
        sweep_cache(cache, 0)
    monkeypatch.undo()
    assert caught.value.code == "E202"


def test_what_was_swept_is_told_and_nothing_is_not(cache: Path) -> None:
    track(cache, 1, "landmark74-1-ffmpeg5.1", used_s=1)
    track(cache, 2, "landmark74-2-ffmpeg5.1", used_s=2)
    with capture_logs() as logs:
        sweep_cache(cache, 100)
        sweep_cache(cache, 100)
    assert [{name: line[name] for name in ("event", "count", "old", "kept_bytes")} for line in logs] == [
        {"event": "outbox.cache_swept", "count": 1, "old": 1, "kept_bytes": 100}
    ]
