"""Pipes are read as they fill, piece by piece, and never for longer than they may take."""

import os
from collections.abc import Iterator

import pytest

from heygemd.media.pipes import ReadPipe, StalledError
from heygemd.media.y4m import RawPictures, RawSize


class Pipe:
    """Both ends of one."""

    def __init__(self) -> None:
        self.reading_fd, self.writing_fd = os.pipe()
        self.reader = ReadPipe(self.reading_fd, lambda: 0.05)

    def give(self, data: bytes, *, is_last: bool = False) -> None:
        os.write(self.writing_fd, data)
        if is_last:
            self.close()

    def close(self) -> None:
        os.close(self.writing_fd)
        self.writing_fd = -1


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    made = [Pipe(), Pipe()]
    yield made
    for pipe in made:
        os.close(pipe.reading_fd)
        if pipe.writing_fd >= 0:
            pipe.close()


def test_views_are_filled_one_after_the_other(pipes: list[Pipe]) -> None:
    first, none, second = bytearray(3), bytearray(0), bytearray(5)
    pipes[0].give(b"abcdefgh rest")
    assert pipes[0].reader.fill(memoryview(first), memoryview(none), memoryview(second)) == 8
    assert (bytes(first), bytes(second)) == (b"abc", b"defgh")


def test_a_stream_that_ends_too_soon_fills_less(pipes: list[Pipe]) -> None:
    first, second = bytearray(3), bytearray(5)
    pipes[0].give(b"abcd", is_last=True)
    assert pipes[0].reader.fill(memoryview(first), memoryview(second)) == 4
    assert pipes[0].reader.is_at_end
    assert bytes(second) == b"d\0\0\0\0"


def test_lines_come_whole_whatever_the_pieces(pipes: list[Pipe]) -> None:
    pipes[0].give(b"one\n\ntw")
    assert pipes[0].reader.some_lines() == [b"one"]
    pipes[0].give(b"o\nthr", is_last=True)
    assert pipes[0].reader.some_lines() == [b"two"]
    assert not pipes[0].reader.is_at_end
    assert pipes[0].reader.some_lines() == [b"thr"]
    assert pipes[0].reader.is_at_end


def test_a_silent_pipe_is_given_up(pipes: list[Pipe]) -> None:
    for read in (lambda: pipes[0].reader.fill(memoryview(bytearray(1))), pipes[0].reader.some_lines):
        with pytest.raises(StalledError):
            read()
    with pytest.raises(StalledError):
        ReadPipe.ready([pipe.reader for pipe in pipes])


def test_patience_is_asked_even_where_nothing_is_waited_for(pipes: list[Pipe]) -> None:
    def out_of_time() -> float:
        raise StalledError("its wall clock")

    pipes[0].give(b"plenty")
    with pytest.raises(StalledError, match="wall clock"):
        ReadPipe(pipes[0].reading_fd, out_of_time).fill(memoryview(bytearray(3)))


def test_the_pipe_that_has_something_is_named(pipes: list[Pipe]) -> None:
    readers = [pipe.reader for pipe in pipes]
    pipes[1].give(b"x")
    assert ReadPipe.ready(readers) == [readers[1]]
    pipes[0].close()
    assert ReadPipe.ready(readers) == readers, "an end can be read, too"


def test_pictures_say_their_size_first(pipes: list[Pipe]) -> None:
    pictures, data = RawPictures(pipes[0].reader), bytearray(4 + 2)
    pipes[0].give(b"YUV4MPEG2 W2 H2 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\nFRAME\nabcdefFRAME\nghijkl", is_last=True)
    assert pictures.size() == RawSize(2, 2)
    assert pictures.fill(memoryview(data))
    assert pictures.fill(memoryview(data))
    assert bytes(data) == b"ghijkl"
    assert not pictures.fill(memoryview(data))
    assert not pictures.is_cut


@pytest.mark.parametrize("stream", [b"YUV4MPEG2 W2 H2 F25:1\nFRAME\nabc", b"YUV4MPEG2 W2 H2 F25:1\nFRA"])
def test_a_frame_that_is_cut_is_none(pipes: list[Pipe], stream: bytes) -> None:
    pictures = RawPictures(pipes[0].reader)
    pipes[0].give(stream, is_last=True)
    assert pictures.size() is not None
    assert not pictures.fill(memoryview(bytearray(6)))
    assert pictures.is_cut


@pytest.mark.parametrize(("stream", "is_cut"), [(b"", False), (b"RIFF" * 1000, True), (b"YUV4MPEG2 W1", True)])
def test_what_is_no_picture_has_no_size(pipes: list[Pipe], stream: bytes, is_cut: bool) -> None:
    pictures = RawPictures(pipes[0].reader)
    pipes[0].give(stream, is_last=True)
    assert pictures.size() is None
    assert pictures.is_cut == is_cut


def test_odd_pictures_have_their_chroma_rounded_up() -> None:
    size = RawSize(641, 361)
    assert size.padded_px == (642, 362)
    assert size.frame_bytes == 641 * 361 + 2 * 321 * 181
