"""What stands before a decoder of strangers' files begins: limits, fewer rights, and no way round by links."""

import os
import re
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.errors import InputError
from heygemd.limits import Limits
from heygemd.media import ffmpeg
from heygemd.media.child import Leash, Outcome
from heygemd.media.openfile import open_file


def test_a_folder_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Whoever may write on one share could lead us to the films of another."""
    (tmp_path / "other/processing").mkdir(parents=True)
    (tmp_path / "other/processing/secret.mp4").write_bytes(b"x")
    (tmp_path / "claim").symlink_to(tmp_path / "other/processing")
    (tmp_path / "above").symlink_to(tmp_path / "other")
    for way in ("claim/secret.mp4", "above/processing/secret.mp4"):
        with pytest.raises(InputError, match="link") as caught, open_file(tmp_path / way):
            pass
        assert caught.value.code == "E101"
    with open_file(tmp_path / "other/processing/secret.mp4") as file:
        assert file.head() == b"x"


def test_no_descriptor_of_the_way_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/link").symlink_to("b")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for way in ("a/b/c/none", "a/link/c/none", "a/none/none"):
        with pytest.raises(Exception, match="file"), open_file(tmp_path / way):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_whoever_used_up_the_processor_time_was_too_large(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    ended = Outcome(returncode=-signal.SIGXCPU, errors=0, stderr="")
    with open_file(tmp_path / "a") as file:
        assert ffmpeg.input_error(ended, "x", file).code == "E105"


def test_a_decoder_that_is_killed_from_outside_says_nothing_about_the_file(tmp_path: Path) -> None:
    """A kernel that is short of memory does that; the file must not be called damaged."""
    (tmp_path / "a").write_bytes(b"x")
    ended = Outcome(returncode=-signal.SIGKILL, errors=0, stderr="")
    with open_file(tmp_path / "a") as file:
        assert ffmpeg.input_error(ended, "x", file).code == "E303"


@pytest.mark.ffmpeg
def test_limits_stand_when_a_program_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not soon after: a busy machine may let a decoder run for a while before its parent comes to set them."""
    told = tmp_path / "limits"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat /proc/self/limits /proc/self/status > {told}\n")
    program.chmod(0o755)
    tools = replace(ffmpeg.require_tools(), ffmpeg=str(program))
    monkeypatch.setattr(ffmpeg, "require_tools", lambda: tools)
    monkeypatch.setattr("heygemd.media.child._limit", lambda pid, leash: None)
    leash = Leash(wall_s=20, memory_bytes=1 << 30, file_bytes=1 << 20)
    assert ffmpeg.run(ffmpeg.sink(ffmpeg.own_source("x", "wav")["0"], url="-", muxer="null"), leash=leash).ok
    rows = dict(re.findall(r"^(Max [a-z ]+?|NoNewPrivs:)\s+(\d+)", told.read_text(), re.MULTILINE))
    assert rows["Max address space"] == str(1 << 30)
    assert rows["Max file size"] == str(1 << 20)
    assert rows["Max open files"] == "64"
    assert rows["Max core file size"] == "0"
    assert rows["Max cpu time"] == str(20 * (os.cpu_count() or 1) + 1)
    assert rows["NoNewPrivs:"] == "1", "it gains no rights by programs of others"


@pytest.mark.ffmpeg
def test_a_machine_without_prlimit_sets_limits_all_the_same(
    film: Callable[..., Path], limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = replace(ffmpeg.require_tools(), prlimit="")
    monkeypatch.setattr(ffmpeg, "require_tools", lambda: tools)
    with open_file(film("late.mp4", "-c:v", "libx264", seconds=10)) as file:
        output = ffmpeg.sink(ffmpeg.source(file, "mov", limits)["0"], url="-", muxer="rawvideo")
        leash = ffmpeg.decoder_leash(limits, waits_s=20)
        with ffmpeg.start(output, leash=leash, pass_fds=(file.fd,)) as child:
            assert resource.prlimit(child.pid, resource.RLIMIT_AS)[0] == leash.memory_bytes
            assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[0] == 0
