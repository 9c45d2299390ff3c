"""Reading a log from its end, across rotations, and following it."""

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd import logtail
from heygemd.logtail import Follower, generations, lines_backwards


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "debug.jsonl"


@given(
    st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=40),
    st.binary(max_size=5).filter(lambda line: b"\n" not in line),
    st.integers(1, 50),
)
def test_backwards_gives_every_whole_line_once(lines: list[bytes], tail: bytes, block: int) -> None:
    path = Path(f"/proc/self/fd/{os.memfd_create('log')}")
    path.write_bytes(b"".join(line + b"\n" for line in lines) + tail)
    before, logtail.BLOCK_BYTES = logtail.BLOCK_BYTES, block
    try:
        assert list(lines_backwards(path)) == [line for line in reversed(lines) if line]
    finally:
        logtail.BLOCK_BYTES = before
        os.close(int(path.name))


def test_backwards_of_the_first_bytes_only(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthree\n")
    assert list(lines_backwards(path, stop=8)) == [b"two", b"one"]
    assert list(lines_backwards(path, stop=6)) == [b"one"]


def test_a_file_without_lines_is_given_up(path: Path) -> None:
    path.write_bytes(b"x" * (3 << 20))
    assert list(lines_backwards(path)) == []


def test_a_packed_file_is_read_backwards_and_a_damaged_one_as_far_as_it_goes(path: Path) -> None:
    packed = path.with_name("debug.jsonl.2.gz")
    lines = [b"%d %b" % (number, os.urandom(20).hex().encode()) for number in range(20_000)]
    packed.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    assert list(lines_backwards(packed)) == lines[::-1]
    packed.write_bytes(packed.read_bytes()[:100_000])
    some = list(lines_backwards(packed))
    packed.write_bytes(b"no gzip")
    assert list(lines_backwards(packed)) == []
    assert set(some[1:]) <= set(lines)


def test_generations_are_the_file_and_what_logrotate_made_of_it(path: Path) -> None:
    assert generations(path) == []
    assert generations(path / "missing" / "debug.jsonl") == []
    names = ["debug.jsonl.2.gz", "debug.jsonl-20260101", "debug.jsonl.1", "debug.jsonl"]
    for number, name in enumerate(names):
        path.with_name(name).touch()
        os.utime(path.with_name(name), (number, number))
    os.utime(path, (0, 0))
    path.with_name("debug.json").touch()
    path.with_name("debug.jsonl.d").mkdir()
    assert [found.name for found in generations(path)] == [
        "debug.jsonl", "debug.jsonl.1", "debug.jsonl-20260101", "debug.jsonl.2.gz",
    ]  # fmt: skip


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_following_gives_whole_new_lines(path: Path) -> None:
    path.write_bytes(b"old\n")
    follower = Follower(path)
    assert follower.begins == 4
    assert follower.poll() == []
    append(path, b"one\ntw")
    assert follower.poll() == [b"one"]
    append(path, b"o\n")
    assert follower.poll() == [b"two"]
    follower.close()


def test_following_survives_a_rename_and_misses_nothing(path: Path) -> None:
    path.write_bytes(b"")
    follower = Follower(path)
    append(path, b"one\n")
    path.rename(path.with_suffix(".1"))
    append(path.with_suffix(".1"), b"two\n")
    assert follower.poll() == [b"one", b"two"]
    assert follower.poll() == []
    append(path, b"three\n")
    assert follower.poll() == [b"three"]
    path.unlink()
    append(path, b"four\n")
    assert follower.poll() == [b"four"]
    follower.close()


def test_a_line_written_between_the_look_and_the_renaming_is_not_missed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    follower = Follower(path)

    def rotated(_: Follower) -> bool:
        append(path, b"late\n")
        path.rename(path.with_suffix(".1"))
        return False

    monkeypatch.setattr(Follower, "_has_the_name", rotated)
    assert follower.poll() == [b"late"]
    follower.close()


def test_following_survives_copytruncate(path: Path) -> None:
    path.write_bytes(b"old and long\n")
    follower = Follower(path)
    os.truncate(path, 0)
    append(path, b"new\n")
    assert follower.poll() == [b"new"]
    follower.close()


def test_a_file_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    follower = Follower(path)
    assert follower.poll() == []
    append(path, b"one\n")
    assert follower.poll() == [b"one"]
    follower.close()
