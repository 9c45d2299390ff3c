"""The last look at a film: everything that could be wrong is said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import FaultError
from heygemd.limits import Limits
from heygemd.media import child, probe
from heygemd.media.frames import SourceVideo
from heygemd.media.openfile import open_file
from heygemd.media.probe import probe_video
from heygemd.media.verify import FilmCheck, Shots, verify_film

pytestmark = pytest.mark.ffmpeg

Make = Callable[..., Path]
GOOD = ("-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2:r=48000")


@pytest.fixture
def check(limits: Limits) -> Callable[..., FilmCheck]:
    def call(path: Path, **changes: object) -> FilmCheck:
        facts: dict[str, object] = {"frame_count": 50, "fps": Fraction(25), "width_px": 128, "height_px": 72}
        return verify_film(path, **{**facts, "sound_s": Fraction(2), **changes}, limits=limits)  # type: ignore[arg-type]

    return call


@pytest.fixture(scope="session")
def good(make: Make) -> Path:
    return make("good.mp4", *GOOD, "-c:v", "libx264", "-c:a", "aac")


def test_a_good_film_passes(check: Callable[..., FilmCheck], good: Path) -> None:
    found = check(good)
    assert (found.frame_count, found.audio_codec) == (50, "aac")
    assert abs(found.sound_s - 2) < Fraction(1, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_count": 51}, "number of frames: 50 instead of 51"),
        ({"fps": Fraction(24)}, "frame 1 is stamped"),
        ({"width_px": 130}, "size"),
        ({"sound_s": Fraction(21, 10)}, "the sound lasts"),
    ],
)
def test_what_differs_is_named(
    check: Callable[..., FilmCheck], good: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(FaultError, match=message) as caught:
        check(good, **change)
    assert caught.value.code == "E502"


def test_uneven_time_is_seen(check: Callable[..., FilmCheck], make: Make) -> None:
    dropped = ("-vf", "select='not(eq(n,30))'", "-fps_mode", "passthrough")
    uneven = make("uneven.mp4", *GOOD, *dropped, "-c:a", "aac")
    with pytest.raises(FaultError, match="frame 30 is stamped"):
        check(uneven, frame_count=49)


def test_a_late_sound_is_seen(check: Callable[..., FilmCheck], make: Make) -> None:
    late = make("late-sound.mp4", *GOOD[:4], "-itsoffset", "0.2", *GOOD[4:], "-c:a", "aac")
    with pytest.raises(FaultError, match="the sound starts at"):
        check(late)


def test_a_film_without_sound_is_seen(check: Callable[..., FilmCheck], make: Make) -> None:
    with pytest.raises(FaultError, match="kinds of streams"):
        check(make("mute.mp4", *GOOD[:4]))


def test_damage_in_the_middle_is_seen(check: Callable[..., FilmCheck], good: Path, tmp_path: Path) -> None:
    data = bytearray(good.read_bytes())
    middle = data.index(b"mdat") + 20_000
    data[middle : middle + 4000] = bytes(4000)
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(FaultError) as caught:
        check(tmp_path / "a.mp4")
    assert caught.value.code == "E502"


def test_a_cut_film_is_our_fault(check: Callable[..., FilmCheck], good: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(good.read_bytes()[:30_000])
    with pytest.raises(FaultError) as caught:
        check(tmp_path / "a.mp4")
    assert caught.value.code == "E502"


def test_the_frames_that_are_wanted_are_shown_as_they_are(
    check: Callable[..., FilmCheck], good: Path, limits: Limits
) -> None:
    shown: list[tuple[int, bytes]] = []
    shots = Shots(frames=[0, 7, 49], show=lambda frame, planes: shown.append((frame, bytes(planes))))
    assert check(good, shots=shots).frame_count == 50
    decoded = [frame.planes.tobytes() for frame in SourceVideo(good, probe_video(good, limits), limits).decode()]
    assert shown == [(frame, decoded[frame]) for frame in (0, 7, 49)]


def test_large_frames_and_many_stamps_do_not_wait_for_each_other(check: Callable[..., FilmCheck], make: Make) -> None:
    """Frames that fill their pipe, and between them more stamps than theirs holds."""
    still = ("-f", "lavfi", "-i", "color=s=1280x720:r=25:d=60", "-f", "lavfi", "-i", "sine=d=60:r=8000")
    long = make("long.mp4", *still, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    wanted = [0, 1, 1498, 1499]
    seen: list[int] = []
    shots = Shots(frames=wanted, show=lambda frame, planes: seen.append(frame))
    size = {"width_px": 1280, "height_px": 720}
    assert check(long, frame_count=1500, sound_s=Fraction(60), shots=shots, **size).frame_count == 1500
    assert seen == wanted


def test_one_process_decodes_all_and_one_describes(
    check: Callable[..., FilmCheck], good: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    plain = child.subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda *args, **how: started.append(args) or plain(*args, **how))
    shots = Shots(frames=[3], show=lambda frame, planes: None)
    check(good, shots=shots)
    assert len(started) == 2
    with open_file(good) as file:
        description, _ = probe.describe(file, "mov", limits)
    started.clear()
    check(good, shots=shots, description=description)
    assert len(started) == 1


def test_progress_is_told_once_a_second(check: Callable[..., FilmCheck], good: Path) -> None:
    told: list[int] = []
    check(good, progress=told.append)
    assert told == [25, 50]


def test_damage_in_the_sound_is_seen(check: Callable[..., FilmCheck], make: Make, tmp_path: Path) -> None:
    still = ("-f", "lavfi", "-i", "color=s=128x72:r=25:d=2", *GOOD[4:])
    film = make("still.mp4", *still, "-c:v", "libx264", "-c:a", "aac", "-b:a", "192k")
    assert check(film).frame_count == 50
    data = bytearray(film.read_bytes())
    at = data.index(b"mdat") + (len(data) - data.index(b"mdat")) * 2 // 3
    data[at : at + 2000] = bytes(reversed(data[at : at + 2000]))
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(FaultError):
        check(tmp_path / "a.mp4")
