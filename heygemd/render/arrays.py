"""Arrays that grow with the film lie in files and are mapped, so that the memory of a task does not grow with it.

    spooled()      an unnamed file, written and read like any array; gone with the last reference
    Spool          the same, for rows whose number is not known before
    write_arrays() many arrays into one archive, block by block
    map_arrays()   the arrays of such an archive, read only where they are looked at
    let_go()       pages that were touched leave this process; the file, or the page cache, still has them

A mapped page counts as this process's memory until it is let go, so whoever walks over a long array lets go as it
walks. Files are replaced as a whole and never cut, so a map stays valid whatever happens to their names.
"""

import math
import mmap
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

BLOCK_BYTES = 1 << 20
"""Copied, written or checked at once."""
ALIGNMENT = 64
"""Bytes; that of numpy's own files."""
LOCAL_HEADER = 30
"""Bytes of a member's header before its name (APPNOTE.TXT 4.3.7); the lengths of name and extra field end it."""

_MADVISE = getattr(mmap, "MADV_DONTNEED", None)


def let_go(*arrays: NDArray[Any]) -> None:
    """Take the pages of mapped arrays, and of views of such, out of this process; other arrays stay as they are.

    Nothing is lost: what was written is in the file.
    """
    for array in arrays:
        pages = _pages_of(array)
        if pages is not None and _MADVISE is not None:
            pages.madvise(_MADVISE)


def is_mapped(array: NDArray[Any]) -> bool:
    """Tell whether an array, or what it is a view of, lies in a file."""
    return _pages_of(array) is not None


def _pages_of(array: object) -> mmap.mmap | None:
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def blocks(count: int, row_bytes: int) -> Iterator[slice]:
    """Cut `count` rows into slices of about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def spooled(folder: Path | None, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array of zeros in an unnamed file in `folder`; in memory without one."""
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is None or not size_bytes:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size_bytes)
        return _mapped(file, np.dtype(dtype), shape, mode="r+")


def folder_of(array: NDArray[Any]) -> Path | None:
    """Tell where a mapped file with a name lies; whoever works on it may spool beside it."""
    name = getattr(array, "filename", None)
    return Path(name).parent if name else None


class Spool:
    """Rows that come one by one, in an unnamed file; `folder` None is the system's own for such.

    Leaving the `with` block ends the adding; what `array` gave stays.
    """

    def __init__(self, folder: Path | None, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by __exit__
        self._row_shape, self._dtype = row_shape, np.dtype(dtype)
        self._count = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def add(self, row: NDArray[Any]) -> None:
        """Append one row; raises OSError when the disk is full."""
        self._file.write(np.ascontiguousarray(row, self._dtype).data)
        self._count += 1

    def array(self) -> NDArray[Any]:
        """Show the rows so far; writing into them is writing into the file."""
        shape = (self._count, *self._row_shape)
        if not math.prod(shape):
            return np.zeros(shape, self._dtype)
        self._file.flush()
        return _mapped(self._file, self._dtype, shape, mode="r+")


def write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an `.npz` that numpy can load and `map_arrays` can map; what was mapped is let go."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            array = np.asanyarray(values)
            # A ZipInfo made from a name alone has a constant time: the same arrays give the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                member.write(_header(array, at=file.tell()))
                _write_rows(member, array)


def _header(array: NDArray[Any], at: int) -> bytes:
    """Make numpy's header, version 1.0, as long as it takes for the data behind it to be aligned in the archive."""
    if array.dtype.hasobject:
        raise ValueError("objects cannot be saved")
    fields = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    text = repr(fields).encode("latin1")
    magic = np.lib.format.magic(1, 0)
    before = len(magic) + 2  # the length of the text, two bytes
    padding = -(at + before + len(text) + 1) % ALIGNMENT
    text += b" " * padding + b"\n"
    return magic + len(text).to_bytes(2, "little") + text


def _write_rows(member: IO[bytes], array: NDArray[Any]) -> None:
    if array.ndim == 0:
        member.write(array.tobytes())
        return
    for part in blocks(len(array), array.nbytes // max(1, len(array))):
        member.write(np.ascontiguousarray(array[part]).tobytes())
        let_go(array)


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of an archive, read-only, after its checksums were compared.

    Raises what numpy and zipfile raise on a file that is damaged anywhere.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        return {info.filename.removesuffix(".npy"): _member(file, archive, info) for info in archive.infolist()}


def _member(file: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    with archive.open(info) as member:
        shape, dtype = _read_header(member)
        data_at = member.tell()
        while member.read(BLOCK_BYTES):  # at the end zipfile compares the checksum
            pass
        size_bytes = member.tell() - data_at
    if size_bytes != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{info.filename} holds {size_bytes} bytes for {shape} of {dtype}")
    if not size_bytes:
        return np.zeros(shape, dtype)
    file.seek(info.header_offset + LOCAL_HEADER - 4)
    name_and_extra = file.read(4)
    start = info.header_offset + LOCAL_HEADER + data_at
    start += sum(int.from_bytes(name_and_extra[i : i + 2], "little") for i in (0, 2))
    return _mapped(file, dtype, shape, mode="r", offset=start)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"format {version} is not known")
    shape, is_fortran, dtype = readers[version](member)
    if dtype.hasobject or (is_fortran and len(shape) > 1):
        raise ValueError(f"an array of {dtype} that cannot be mapped")
    return shape, dtype


def _mapped(
    file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], *, mode: str, offset: int = 0
) -> NDArray[Any]:
    array: NDArray[Any] = np.memmap(file, dtype, mode, offset, shape)  # type: ignore[call-overload]  # mode is a Literal
    return array.view(np.ndarray).reshape(shape)  # numpy maps a single number as a row of one
