"""The last look at a film: everything that could be wrong is said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import FaultError
from heygemd.limits import Limits
from heygemd.media.verify import FilmCheck, verify_film

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
