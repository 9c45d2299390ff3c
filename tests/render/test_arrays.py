"""Arrays in files: the same numbers as in memory, found damaged when they are, and not held."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from heygemd.render.arrays import (
    Spool,
    blocks,
    folder_of,
    is_mapped,
    let_go,
    map_arrays,
    spooled,
    write_arrays,
)
from heygemd.render.cache import DAMAGED

ARRAYS = {
    "points": np.arange(24, dtype=np.float32).reshape(4, 3, 2),
    "turned": np.asfortranarray(np.arange(15).reshape(3, 5)),
    "one": np.float64(2.5),
    "none": np.zeros((0, 7), np.int32),
    "flags": np.array([True, False, True]),
    "spread": np.broadcast_to(np.float32(np.nan), (5, 2)),
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "arrays.npz"
    with path.open("wb") as file:
        write_arrays(file, ARRAYS)
    return path


def test_what_is_written_can_be_mapped_and_loaded_by_numpy(written):
    mapped = map_arrays(written)
    with np.load(written, allow_pickle=False) as loaded:
        assert list(mapped) == list(loaded) == list(ARRAYS)
        for name, array in ARRAYS.items():
            for found in (mapped[name], loaded[name]):
                assert (found.dtype, found.shape) == (array.dtype, array.shape)
                np.testing.assert_array_equal(found, array)


def test_mapped_arrays_are_aligned_and_cannot_be_written(written):
    for name, array in map_arrays(written).items():
        assert array.flags.aligned
        assert not array.size or (array.ctypes.data % 64 == 0 and is_mapped(array) and not array.flags.writeable), name


def test_what_numpy_writes_can_be_mapped(tmp_path):
    np.savez(tmp_path / "theirs.npz", points=ARRAYS["points"], none=ARRAYS["none"])
    np.testing.assert_array_equal(map_arrays(tmp_path / "theirs.npz")["points"], ARRAYS["points"])


def test_the_same_arrays_give_the_same_bytes(written, tmp_path):
    with (tmp_path / "again.npz").open("wb") as file:
        write_arrays(file, map_arrays(written))
    assert (tmp_path / "again.npz").read_bytes() == written.read_bytes()


def test_a_wrong_byte_anywhere_is_noticed_or_does_not_matter(tmp_path):
    path, points, noticed = tmp_path / "points.npz", ARRAYS["points"], 0
    with path.open("wb") as file:
        write_arrays(file, {"points": points})
    whole = bytearray(path.read_bytes())
    for at in range(len(whole)):
        path.unlink()  # a file that is mapped is never written into
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = map_arrays(path)
        except DAMAGED:
            noticed += 1
        else:
            assert all(np.array_equal(array, points) for array in found.values())
    assert noticed > 0.7 * len(whole)


def test_archives_that_cannot_be_mapped_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "small.npz", points=ARRAYS["points"])
    with pytest.raises(ValueError, match="compressed"):
        map_arrays(tmp_path / "small.npz")
    np.savez(tmp_path / "object.npz", points=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be mapped"):
        map_arrays(tmp_path / "object.npz")
    with (tmp_path / "object.npz").open("wb") as file, pytest.raises(ValueError, match="objects"):
        write_arrays(file, {"bad": np.array([{}], dtype=object)})


def test_an_array_longer_than_its_file_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
        member.write(bytes(64))
    with pytest.raises(ValueError, match="holds 64 bytes"):
        map_arrays(tmp_path / "short.npz")


def test_a_map_outlives_the_name_of_its_file(written):
    mapped = map_arrays(written)
    written.unlink()
    let_go(*mapped.values())
    np.testing.assert_array_equal(mapped["points"], ARRAYS["points"])


def resident_file_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssFile", "RssShmem")))


def test_pages_that_were_let_go_are_not_held(tmp_path):
    array = spooled(tmp_path, (16, 1 << 20), np.uint8)
    array[:] = 7
    held = resident_file_bytes()
    let_go(array[3:5, ::2])  # a view of it stands for all of it
    assert resident_file_bytes() < held - (15 << 20)
    assert (array[:, 5] == 7).all(), "what was written is in the file"


def test_writing_lets_go_as_it_walks(tmp_path):
    array = spooled(tmp_path, (32, 1 << 20), np.uint8)
    with (tmp_path / "out.npz").open("wb") as file:
        before = resident_file_bytes()
        write_arrays(file, {"array": array})
    assert resident_file_bytes() < before + (4 << 20)


def test_arrays_in_memory_are_left_alone():
    array = np.arange(9)
    let_go(array, array[2:])
    assert array.tolist() == list(range(9))
    assert not is_mapped(array)


def test_an_array_without_a_folder_lies_in_memory(tmp_path):
    assert not is_mapped(spooled(None, (3, 2), np.float32))
    array = spooled(tmp_path, (3, 2), np.float32)
    assert is_mapped(array)
    assert (array == 0).all()
    assert spooled(tmp_path, (0, 2), np.float32).shape == (0, 2)
    assert list(tmp_path.iterdir()) == [], "its file has no name"


def test_a_spool_takes_rows_one_by_one(tmp_path):
    with Spool(tmp_path, (2,), np.float32) as spool:
        assert spool.array().shape == (0, 2)
        for row in range(5):
            spool.add(np.array([row, -row]))
        assert len(spool) == 5
        spool.array()[3] = 9
        array = spool.array()
    assert array[:, 0].tolist() == [0, 1, 2, 9, 4]
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_mapped_file_is_known(tmp_path):
    np.zeros(4, np.float32).tofile(tmp_path / "sound.f32")
    assert folder_of(np.memmap(tmp_path / "sound.f32", np.float32, "r")) == tmp_path
    assert folder_of(np.zeros(4)) is None


def test_blocks_cover_everything_once():
    assert [(part.start, part.stop) for part in blocks(7, 400_000)] == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert list(blocks(0, 8)) == []
    assert [(part.start, part.stop) for part in blocks(2, 1 << 30)] == [(0, 1), (1, 2)]
