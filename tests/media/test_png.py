"""Texts of a PNG are unpacked a little, to see that they do not unpack to gigabytes."""

import os
import zlib
from pathlib import Path

import pytest

from heygemd.errors import InputError
from heygemd.limits import Limits
from heygemd.media.png import CHUNKS, TEXTS_BYTES, refuse_texts
from heygemd.media.probe import probe_video
from tests.corpus.bytework import MIB, deflated, png, png_chunk


def look(path: Path, *chunks: bytes, behind: bytes = b"") -> None:
    path.write_bytes(png(8, 8, bits=8, more=chunks) + behind)
    fd = os.open(path, os.O_RDONLY)
    try:
        refuse_texts(fd)
    finally:
        os.close(fd)


BOMB = deflated(b"A", 64 * MIB)
FEW = deflated(b"A", 6 * MIB)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"zTXt", b"c\0\0" + BOMB)],
        [(b"iCCP", b"name\0\0" + BOMB)],
        [(b"iTXt", b"c\0\1\0en\0key\0" + BOMB)],
        [(b"iTXt", b"c\0\1\0\0\0" + BOMB)],
        [(b"iTXt", b"c\0\0\0\0\0" + bytes(TEXTS_BYTES))],
        [(b"zTXt", b"c\0\0" + FEW)] * 3,
        [(b"zTXt", b"c\0\0" + BOMB[: len(BOMB) // 2] + b"broken")],
        [(b"zTXt", b"c\0\0" + FEW[:-4] + bytes(4))] * 3,  # wrong sums, found at the end
    ],
)
def test_texts_that_unpack_to_too_much_are_refused(tmp_path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InputError) as caught:
        look(tmp_path / "a.png", *(png_chunk(kind, body) for kind, body in chunks))
    assert caught.value.code == "E105"


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [(b"zTXt", b"c\0\0" + FEW)] * 2,
        [(b"iCCP", b"name\0\0" + zlib.compress(os.urandom(3 * MIB)))],
        [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")],
        [(b"zTXt", b"")],
        [(b"zTXt", b"no end of its keyword")],
        [(b"tEXt", b"c\0" + b"A" * MIB)],
    ],
)
def test_texts_of_a_sane_length_are_let_pass(tmp_path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    look(tmp_path / "a.png", *(png_chunk(kind, body) for kind, body in chunks))


def test_a_picture_of_countless_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        look(tmp_path / "a.png", png_chunk(b"tIME", b"") * (CHUNKS + 1))


@pytest.mark.ffmpeg
def test_the_probe_refuses_it_before_ffmpeg_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("ffprobe was started")

    monkeypatch.setattr("heygemd.media.probe.describe", never)
    (tmp_path / "a.png").write_bytes(png(8, 8, bits=8, more=(png_chunk(b"zTXt", b"c\0\0" + BOMB),)))
    with pytest.raises(InputError) as caught:
        probe_video(tmp_path / "a.png", Limits())
    assert caught.value.code == "E105"
