"""A card that decodes gives the same frames, or none: with a card that is software in disguise, and without one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from heygemd.jobs.job import VideoInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, hardware
from heygemd.media.child import Child, Leash
from heygemd.media.frames import SourceVideo
from heygemd.media.openfile import open_file
from heygemd.media.probe import probe_video

pytestmark = pytest.mark.ffmpeg

Film = Callable[..., Path]
Card = Callable[[str], None]
Planes = NDArray[np.uint8]

AS_IT_IS = "s/settb/format=nv12,settb/"
LOSES_FRAME_50 = r"s/settb/select='not(eq(n\\,50))',settb/"
DOUBLES_FRAME_50 = r"s/settb/split[a][b];[b]select='eq(n\\,50)'[c];[a][c]interleave,settb/"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    """Return a function that puts a card in: its decoder is the software, behind a change to the filters."""
    real = ffmpeg.require_tools()

    def put_in(change: str, extra: str = "", end: str = "") -> None:
        program = tmp_path / "ffmpeg"
        program.write_text(
            f"""#!{shutil.which("bash")}
words=(); on_card=
while [ $# -gt 0 ]; do
  case $1 in
    -hwaccel|-hwaccel_device) on_card=1; shift;;
    -i) [ $on_card ] && words+=({extra}); words+=("$1");;
    -vf) shift; words+=(-vf "$([ $on_card ] && sed "{change}" <<< "$1" || echo "$1")");;
    *) words+=("$1");;
  esac; shift
done
[ $on_card ] && {{ echo x >/dev/null; {real.ffmpeg} "${{words[@]}}"; status=$?; {end or "exit $status"}; }}
exec {real.ffmpeg} "${{words[@]}}"
""".replace("echo x >/dev/null; ", "")
        )
        program.chmod(0o755)
        monkeypatch.setattr(ffmpeg, "require_tools", lambda: replace(real, ffmpeg=str(program)))

    return put_in


def everything(
    path: Path, info: VideoInfo, limits: Limits, name: str | None = None
) -> tuple[list[Planes], list[float]]:
    """All frames and their times; then once more by number, which must give the same."""
    found = list(SourceVideo(path, info, limits, card=name).decode())
    frames, pts_s = [frame.planes for frame in found], [frame.pts_s for frame in found]
    again = SourceVideo(path, info, limits, card=name).read(range(40, len(frames)), np.array(pts_s))
    assert all(np.array_equal(a, b) for a, b in zip(frames[40:], again, strict=True))
    return frames, pts_s


CARDS: dict[str, tuple[tuple[str, ...], int]] = {
    "works": ((AS_IT_IS,), 0),
    "loses a frame": ((LOSES_FRAME_50,), 2),
    "doubles a frame": ((DOUBLES_FRAME_50,), 2),
    "ends too soon": ((AS_IT_IS, "-t 2"), 2),
    "complains at the end": ((AS_IT_IS, "", "echo '[error] CUDA_ERROR_UNKNOWN' >&2; exit $status"), 2),
    "breaks at the end": ((AS_IT_IS, "", "exit 1"), 2),
    "does not start": (("s/.*/nonsense/",), 2),
}


@pytest.mark.parametrize("kind", CARDS)
def test_whatever_the_card_does_the_frames_are_the_same(card: Card, film: Film, limits: Limits, kind: str) -> None:
    path = film("for-a-card.mp4", "-c:v", "libx264", "-bf", "3", "-g", "30")
    info = probe_video(path, limits)
    frames, pts_s = everything(path, info, limits)
    how, given_up = CARDS[kind]
    card(*how)
    with structlog.testing.capture_logs() as logs:
        found, times_s = everything(path, info, limits, "cuda:1")
    assert len(found) == len(frames) == 100
    assert all(np.array_equal(a, b) for a, b in zip(frames, found, strict=True))
    assert np.abs(np.array(times_s) - pts_s).max() < 1e-5
    told = [entry for entry in logs if entry["event"] == "media.card_given_up"]
    assert len(told) == given_up, "once for each reading"
    assert {entry["card"] for entry in told} <= {"cuda:1"}


def test_a_machine_without_a_card_reads_in_software(film: Film, limits: Limits) -> None:
    path = film("for-a-card.mp4", "-c:v", "libx264", "-bf", "3", "-g", "30")
    source = SourceVideo(path, probe_video(path, limits), limits, card="cuda")
    with structlog.testing.capture_logs() as logs:
        assert sum(1 for _ in source.decode()) == 100
        assert sum(1 for _ in source.decode()) == 100
    assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == ["media.card_given_up"]
    assert source.errors == 0


def test_the_card_is_named_as_ffmpeg_names_it() -> None:
    assert hardware.input_options("cuda") == {"hwaccel": "cuda"}
    assert hardware.input_options("cuda:1") == {"hwaccel": "cuda", "hwaccel_device": "1"}


@pytest.mark.parametrize(
    ("change", "may"),
    [
        ({}, True),
        ({"codec": "av1"}, True),
        ({"codec": "prores"}, False),
        ({"pixel_format": "yuv420p10le"}, False),
        ({"pixel_format": "yuvj420p"}, False),
        ({"is_still": True}, False),
    ],
)
def test_only_what_is_the_same_to_the_bit_goes_to_a_card(
    film: Film, limits: Limits, change: dict[str, object], may: bool
) -> None:
    info = probe_video(film("for-a-card.mp4", "-c:v", "libx264", "-bf", "3", "-g", "30"), limits)
    assert hardware.suits(replace(info, **change)) == may  # type: ignore[arg-type]


def test_packets_without_stamps_promise_nothing(make: Film, film: Film, limits: Limits) -> None:
    path = film("for-a-card.mp4", "-c:v", "libx264", "-bf", "3", "-g", "30")
    with open_file(path) as file:
        promised = hardware.promised_flicks(file, probe_video(path, limits), limits)
    assert promised is not None
    assert len(promised) == 100
    bare = make("bare.avi", "-i", str(path), "-c", "copy")
    with open_file(bare) as file:
        assert hardware.promised_flicks(file, replace(probe_video(bare, limits)), limits) is None


def test_memory_of_a_process_that_drives_a_card_is_bounded_by_what_it_writes() -> None:
    code = (
        "import mmap, resource, sys; sys.stdin.read()\n"
        "mmap.mmap(-1, 1 << 33, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "try: bytearray(1 << 30); print('more', end='')\n"
        "except MemoryError: print('no more', end='')"
    )
    leash = Leash(stall_s=10, memory_bytes=1 << 29, drives_card=True)
    with Child([shutil.which("python3") or "python3", "-c", code], leash=leash, feed=True) as child:
        assert child.finish().stdout == b"no more"
