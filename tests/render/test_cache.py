import errno
import gc
import multiprocessing
import os
import pickle
import re
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from heygemd.media.ffmpeg import require_tools
from heygemd.outbox.retention import sweep_cache
from heygemd.render import cache
from heygemd.render.cache import entry_name, load_arrays, obtain, recall, save_arrays

ARRAYS = {"points": np.arange(20, dtype=np.float32).reshape(5, 2, 2), "scene": np.zeros(3, np.int32)}

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _collected():
    """numpy leaves a damaged archive for the garbage collector to close: here, not in another test."""
    yield
    gc.collect()


@pytest.fixture
def saved(tmp_path):
    save_arrays(tmp_path / "kept.npz", ARRAYS)
    return tmp_path / "kept.npz"


def test_arrays_come_back_with_their_types_and_shapes(saved):
    found = recall(saved, load_arrays)
    assert found is not None
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_nothing_but_the_file_itself_is_left(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["kept.npz"]


def test_saving_again_replaces(saved):
    save_arrays(saved, {"other": np.ones(1)})
    assert list(load_arrays(saved)) == ["other"]


def test_no_arrays_at_all_are_kept_too(tmp_path):
    save_arrays(tmp_path / "none.npz", {})
    assert recall(tmp_path / "none.npz", load_arrays) == {}


def test_what_is_absent_is_none_and_not_worth_a_word(tmp_path):
    with capture_logs() as logs:
        assert recall(tmp_path / "absent.npz", load_arrays) is None
    assert logs == []


def test_a_cut_file_is_dropped_whatever_its_length(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 41):
        saved.write_bytes(whole[:length])
        assert recall(saved, load_arrays) is None
        assert not saved.exists()


def test_a_damaged_file_is_closed(saved):
    saved.write_bytes(saved.read_bytes()[:-9])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert recall(saved, load_arrays) is None
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_dropped_entry_is_told(saved):
    saved.write_bytes(b"no archive")
    with capture_logs() as logs:
        recall(saved, load_arrays)
    assert [(line["event"], line["log_level"], line["path"]) for line in logs] == [
        ("cache.entry_dropped", "warning", str(saved))
    ]


def test_a_pickle_in_disguise_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").mkdir, ())

    bait = tmp_path / "bait.npz"
    np.savez(bait, points=np.array([Trap()], dtype=object))
    assert recall(bait, load_arrays) is None
    bait.write_bytes(pickle.dumps(Trap()))
    assert recall(bait, load_arrays) is None
    assert not (tmp_path / "sprung").exists()


def test_an_archive_without_the_needed_arrays_is_dropped(saved):
    def load(path):
        return load_arrays(path)["confidence"]

    assert recall(saved, load) is None
    assert not saved.exists()


@pytest.mark.parametrize(("offset", "value"), [(10, 0x63), (8, 0x01), (6, 0xAD)], ids=["method", "secret", "version"])
def test_a_single_wrong_byte_in_the_directory_drops_the_entry(saved, offset, value):
    data = bytearray(saved.read_bytes())
    data[data.index(b"PK\x01\x02") + offset] = value
    saved.write_bytes(bytes(data))
    with pytest.raises((NotImplementedError, RuntimeError)), zipfile.ZipFile(saved) as archive:
        archive.read(archive.namelist()[0])
    try:
        dropped = recall(saved, load_arrays) is None
    except (NotImplementedError, RuntimeError):
        dropped = False  # not held: its frames would keep the file open beyond the test
    assert dropped
    assert not saved.exists()


def test_a_bug_in_a_loader_is_not_taken_for_damage(saved):
    def load(path):
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        recall(saved, load)
    assert saved.exists()


def test_a_save_that_fails_leaves_no_part(tmp_path):
    class Full:
        def __array__(self, dtype=None, copy=None):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_arrays(tmp_path / "kept.npz", {"first": np.zeros(9), "second": Full()})
    assert list(tmp_path.iterdir()) == []


ENTRY = f"speech/{'a' * 64}-atlas-2-ffmpeg5.1-01234567.npz"
forked = multiprocessing.get_context("fork")


@pytest.fixture
def kept(tmp_path):
    """Where an entry goes; its folder is not made yet."""
    return tmp_path / "cache" / ENTRY


def save(arrays, path):
    save_arrays(path, arrays)


def get(entry, file, *, arrays=ARRAYS, load=load_arrays, save=save, refuse=False):
    """One analysis that makes `arrays`, unless the cache has them; says whether it had."""

    def make():
        assert not refuse, "it had to be in the cache"
        return arrays

    found, was_there = obtain(entry, file, make=make, load=load, save=save)
    assert list(found) == list(arrays)
    assert list(load_arrays(file)) == list(arrays)
    return was_there


def names_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_was_made_is_kept_and_lies_twice_on_the_disk_only_by_name(kept, tmp_path):
    assert not get(kept, tmp_path / "one.npz")
    assert get(kept, tmp_path / "two.npz", refuse=True)
    assert kept.stat().st_nlink == 3
    assert kept.samefile(tmp_path / "two.npz")
    assert names_below(tmp_path) == [f"cache/{ENTRY}", "one.npz", "two.npz"]


def test_a_repeated_analysis_of_the_same_job_leaves_the_same_two_names(kept, tmp_path):
    get(kept, tmp_path / "one.npz")
    for _ in range(2):
        assert get(kept, tmp_path / "one.npz", refuse=True)
        assert kept.samefile(tmp_path / "one.npz")
    assert names_below(tmp_path) == [f"cache/{ENTRY}", "one.npz"]


def test_what_an_earlier_analysis_of_the_job_left_is_replaced(kept, tmp_path):
    get(kept, tmp_path / "one.npz")
    save_arrays(tmp_path / "two.npz", {"other": np.ones(1)})
    assert get(kept, tmp_path / "two.npz", refuse=True)
    assert kept.samefile(tmp_path / "two.npz")


def test_the_job_keeps_its_file_when_the_entry_goes_or_is_replaced(kept, tmp_path):
    get(kept, tmp_path / "one.npz")
    save_arrays(kept, {"other": np.ones(1)})
    assert list(load_arrays(tmp_path / "one.npz")) == list(ARRAYS)
    get(kept, tmp_path / "two.npz", arrays={"other": 1})
    sweep_cache(tmp_path / "cache", 0)
    assert not kept.exists()
    assert list(load_arrays(tmp_path / "two.npz")) == ["other"]


def test_where_there_are_no_hard_links_it_is_copied(kept, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert not get(kept, tmp_path / "one.npz")
    assert get(kept, tmp_path / "two.npz", refuse=True)
    assert [path.stat().st_nlink for path in (kept, tmp_path / "one.npz", tmp_path / "two.npz")] == [1, 1, 1]
    assert names_below(tmp_path) == [f"cache/{ENTRY}", "one.npz", "two.npz"]


def test_a_cache_whose_disk_is_full_is_done_without(kept, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def save_unless_full(arrays, path):
        if path == kept:
            full()
        save_arrays(path, arrays)

    monkeypatch.setattr(os, "link", full)
    with capture_logs() as logs:
        assert not get(kept, tmp_path / "one.npz", save=save_unless_full)
    assert [(line["event"], line["path"], line["reason"]) for line in logs] == [
        ("cache.entry_not_kept", str(kept), "No space left on device")
    ]
    assert names_below(tmp_path) == ["one.npz"]


def test_a_cache_that_is_no_folder_is_done_without(kept, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with capture_logs() as logs:
        assert not get(kept, tmp_path / "one.npz")
    assert logs[-1]["event"] == "cache.entry_not_kept"


def test_a_damaged_entry_that_cannot_be_removed_does_no_harm(kept, tmp_path):
    kept.mkdir(parents=True)  # what a folder of that name stands for: neither read, removed nor replaced
    assert not get(kept, tmp_path / "one.npz")
    assert kept.is_dir()


def test_a_work_directory_that_cannot_be_written_is_an_error(kept, tmp_path):
    with pytest.raises(OSError, match="one"):
        get(kept, tmp_path / "missing/one.npz")
    assert not kept.exists()


def test_who_reads_an_entry_goes_on_while_it_is_deleted(kept, tmp_path):
    get(kept, tmp_path / "one.npz")

    def load(path):
        with path.open("rb") as file:
            assert sweep_cache(tmp_path / "cache", 0).deleted == 1
            with np.load(file) as data:
                return {name: data[name] for name in data.files}

    assert get(kept, tmp_path / "two.npz", load=load, refuse=True)
    assert list(load_arrays(tmp_path / "two.npz")) == list(ARRAYS)


def fill(entry, folder, rounds, enough):
    """In a process of its own: the same analysis again and again."""
    while not enough.is_set():
        get(entry, folder / f"{rounds.value % 3}-{os.getpid()}.npz")
        rounds.value += 1


@pytest.mark.parametrize("is_swept", [False, True], ids=["kept", "swept"])
def test_processes_may_fill_one_entry_while_it_is_swept(kept, tmp_path, is_swept):
    enough, rounds, deleted = forked.Event(), [forked.Value("i", 0) for _ in range(2)], 0
    fillers = [forked.Process(target=fill, args=(kept, tmp_path, done, enough)) for done in rounds]
    for filler in fillers:
        filler.start()
    try:
        while min(done.value for done in rounds) < 10 or (is_swept and deleted < 10):
            assert all(filler.exitcode is None for filler in fillers)
            if is_swept:
                deleted += sweep_cache(tmp_path / "cache", 0).deleted
    finally:
        enough.set()
        for filler in fillers:
            filler.join()
    assert [filler.exitcode for filler in fillers] == [0, 0]
    assert not list(tmp_path.rglob("*.part"))
    assert get(kept, tmp_path / "last.npz") or is_swept


def test_an_entry_is_used_when_it_is_read(kept, tmp_path):
    get(kept, tmp_path / "one.npz")
    os.utime(kept, (1, 1))
    get(kept, tmp_path / "two.npz", refuse=True)
    assert kept.stat().st_mtime > 1e9


def test_an_entry_is_named_after_file_maker_tool_and_choices(monkeypatch):
    monkeypatch.setattr(cache, "require_tools", lambda: replace(require_tools(), version="n7.1/odd name"))
    name = entry_name("ab", "atlas-2", "mov", 0)
    assert re.fullmatch(r"ab-atlas-2-ffmpegn7\.1_odd_name-[0-9a-f]{8}\.npz", name)
    assert name == entry_name("ab", "atlas-2", "mov", 0)


def test_whatever_changes_the_result_changes_the_name(monkeypatch):
    asked = [("ab", "atlas-2", "mov", 0), ("ac", "atlas-2", "mov", 0), ("ab", "atlas-3", "mov", 0),
             ("ab", "atlas-2", "avi", 0), ("ab", "atlas-2", "mov", 1), ("ab", "atlas-2", "mov", "0")]  # fmt: skip
    names = {entry_name(*one) for one in asked}
    monkeypatch.setattr(cache, "READING_VERSION", "2")
    names |= {entry_name(*one) for one in asked}
    for version in ("8" * 200, "8" * 201):
        monkeypatch.setattr(cache, "require_tools", lambda version=version: replace(require_tools(), version=version))
        names |= {entry_name(*one) for one in asked}
    assert len(names) == 4 * len(asked)
    assert max(map(len, names)) < 200
