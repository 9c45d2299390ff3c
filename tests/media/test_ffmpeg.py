"""The guarded door: what it opens, and what it makes of failures."""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from heygemd.errors import FaultError, InputError, ResourceError, SetupError
from heygemd.limits import Limits
from heygemd.media import ffmpeg
from heygemd.media.child import Leash, Outcome
from heygemd.media.openfile import open_file
from heygemd.media.pipes import StalledError


def outcome(stderr: str) -> Outcome:
    return Outcome(returncode=1, errors=1, stderr=stderr)


def test_fifo_socket_directory_and_link_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
        for name in ("fifo", "folder", "link", "broken", "socket"):
            with pytest.raises(InputError, match="not a regular file"), open_file(tmp_path / f"{name}.mp4"):
                pass


def test_a_file_that_is_gone_is_a_matter_of_the_share(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught, open_file(tmp_path / "gone.mp4"):
        pass
    assert caught.value.code == "E201"


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with open_file(tmp_path / "a") as file:
            assert file.head() == b"x"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("is_readable", [True, False])
def test_failures_of_a_reader_are_sorted(tmp_path: Path, is_readable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(3 << 20))
    if not is_readable:
        monkeypatch.setattr(os, "preadv", fails_after_a_while)
    cases = {
        "[error] Number of streams exceeds max_streams parameter (3)": "E105",
        "[x @ 0x1] [error] Picture size 9999x9999 is invalid": "E105",
        "[error] moov atom not found": "E110",
        # Said of damaged Matroska files as well: only a file that cannot be read is a matter of the share.
        "[error] /dev/fd/5: Input/output error": "E110" if is_readable else "E201",
        "[error] /dev/fd/5: Stale file handle": "E110" if is_readable else "E201",
    }
    with open_file(tmp_path / "file") as file:
        assert {text: ffmpeg.input_error(outcome(text), "x", file).code for text in cases} == cases


def fails_after_a_while(fd: int, buffers: Sequence[bytearray], at: int) -> int:
    if at:
        raise OSError(errno.EIO, "Input/output error")
    return len(buffers[0])


def test_failures_of_a_writer_are_sorted() -> None:
    assert (
        ffmpeg.output_error(outcome("[error] av_interleaved_write_frame(): No space left on device"), "x").code
        == "E202"
    )
    assert ffmpeg.output_error(outcome("[error] something else"), "x").code == "E500"


def test_lost_patience_becomes_an_error_of_the_right_family() -> None:
    for code, family in (("E110", InputError), ("E500", FaultError)):
        with pytest.raises(family), ffmpeg.patience_as(code, "x"):
            raise StalledError


def test_missing_tools_are_a_matter_of_the_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError) as caught:
        ffmpeg.require_tools.__wrapped__()
    assert caught.value.code == "E403"


@pytest.mark.parametrize(
    ("avutil", "encoder", "message"),
    [("56. 70.100", "Encoder libx264", "5.1 or newer"), ("57. 28.100", "not recognized", "without libx264")],
)
def test_old_or_crippled_tools_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, avutil: str, encoder: str, message: str
) -> None:
    for name in ("ffmpeg", "ffprobe"):
        (tmp_path / name).write_text(
            f"#!/bin/sh\necho 'ffmpeg version 4.4\n  libavutil     {avutil} / 59.  8.100' >&2\necho '{encoder}'\n"
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SetupError, match=message):
        ffmpeg.require_tools.__wrapped__()


def test_a_setpriv_that_is_not_allowed_to_work_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, words in (
        ("ffmpeg", "echo 'ffmpeg version 5.1'; echo 'libavutil 57. 28.100'; echo 'Encoder libx264'"),
        ("ffprobe", "true"),
        ("setpriv", "echo 'setpriv: activate capabilities: Operation not permitted' >&2; exit 127"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.require_tools.__wrapped__().leash == ()


@pytest.mark.ffmpeg
def test_the_tools_of_this_machine_are_found() -> None:
    tools = ffmpeg.require_tools()
    assert tools.version and Path(tools.ffmpeg).is_file() and Path(tools.ffprobe).is_file()


@pytest.mark.ffmpeg
def test_every_reader_carries_all_guards(film: Callable[..., Path], limits: Limits) -> None:
    with open_file(film("guarded.mp4", "-c:v", "libx264", seconds=10)) as file:
        output = ffmpeg.sink(ffmpeg.source(file, "mov", limits)["0"], url="-", muxer="rawvideo")
        with ffmpeg.start(output, leash=Leash(), pass_fds=(file.fd,)) as child:
            words = [""]
            while "-i" not in words:  # it is being started; it cannot end, because nobody reads what it writes
                words = Path(f"/proc/{child.pid}/cmdline").read_text().split("\0")
    before_input = " ".join(words[: words.index("-i")])
    for guard in ("-f mov", "-format_whitelist mov", "-protocol_whitelist file,pipe,fd", "-max_pixels", "-max_streams"):
        assert guard in before_input
    assert "-nostdin" in words
    assert words[words.index("-i") + 1] == f"/dev/fd/{file.fd}"


@pytest.mark.parametrize(
    ("returncode", "stderr", "code"),
    [
        (1, "[error] No space left on device", "E202"),
        (1, "[libx264 @ 0x5] [error] malloc of size 12345678 failed", "E303"),
        (1, "[error] Cannot allocate memory", "E303"),
        (-9, "", "E303"),
        (-11, "", "E500"),
        (1, "[error] Invalid argument", "E500"),
    ],
)
def test_an_encoder_without_memory_or_disk_is_no_fault_of_ours(returncode: int, stderr: str, code: str) -> None:
    ended = Outcome(returncode=returncode, errors=1, stderr=stderr)
    assert ffmpeg.output_error(ended, "the segment cannot be written").code == code


def test_the_memory_of_a_decoder_is_measured_by_its_picture() -> None:
    """A text in a tiny PNG that unpacks to gigabytes must not get the room that a film of 8192 x 4352 needs."""
    limits = Limits()
    small = ffmpeg.decoder_leash(limits, pixels=64 * 64).memory_bytes
    large = ffmpeg.decoder_leash(limits, pixels=8192 * 4352).memory_bytes
    assert small is not None
    assert large is not None
    assert small < 1.1 * (1 << 30)
    assert 3 << 30 < large <= limits.memory_bytes
    assert ffmpeg.decoder_leash(Limits(memory_bytes=1 << 28), pixels=64 * 64).memory_bytes == 1 << 28
    assert ffmpeg.decoder_leash(limits, pixels=64 * 64, card="cuda:0").memory_bytes == limits.memory_bytes
