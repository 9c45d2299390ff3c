"""Memory that does not grow with the clip: an hour takes hardly more than a minute."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from heygemd.render.atlas.motion import SteadyPoints
from heygemd.render.faces import tracker
from heygemd.render.faces.reader import Reading
from heygemd.render.faces.track import FaceTrack
from heygemd.render.speech.features import speech_features
from heygemd.render.wav2lip.crops import crops_of

HOUR_FRAMES = 90_000
"""53 MB of points."""
SLACK_BYTES = 20 << 20


def grown_bytes(work: Callable[[], object]) -> int:
    """How much more memory than before was resident at the worst moment of `work`."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        clear.write_text("5")  # proc(5): from here on the peak counts anew
    except OSError:
        pytest.skip("the peak of memory cannot be reset here")

    def read(name: str) -> int:
        return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith(name))

    before = read("VmRSS")
    kept = work()
    del kept
    return read("VmHWM") - before


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved track of an hour, with a cut each minute and a few frames without a face."""
    rng = np.random.default_rng(1)
    frame = rng.normal(300, 40, (74, 2)).astype(np.float32)
    confidence = np.ones(HOUR_FRAMES, np.float32)
    confidence[::777] = 0
    points = np.broadcast_to(frame, (HOUR_FRAMES, 74, 2))
    path = tmp_path_factory.mktemp("hour") / "track.npz"
    FaceTrack(
        pts_s=np.arange(HOUR_FRAMES) / 25,
        points=points,
        confidence=confidence,
        lips_visible=confidence,
        skin=np.broadcast_to(np.uint8(99), (HOUR_FRAMES, 16, 3)),
        scene=(np.arange(HOUR_FRAMES) // 1500).astype(np.int32),
    ).save(path)
    return path


def test_the_points_of_a_long_clip_are_not_held(hour: Path) -> None:
    def walk() -> object:
        points = SteadyPoints(FaceTrack.load(hour))
        for start in range(0, HOUR_FRAMES, 5000):
            points(np.arange(start, start + 5000))
        return points

    assert grown_bytes(walk) < SLACK_BYTES


def test_the_boxes_of_a_long_clip_are_not_held(hour: Path, tmp_path: Path) -> None:
    track = FaceTrack.load(hour)
    assert grown_bytes(lambda: crops_of(track, width_px=640, height_px=360, scratch=tmp_path)) < SLACK_BYTES


def test_following_a_face_holds_no_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Follower:
        def __init__(self, device: str) -> None:
            self.frames = 0

        def forget(self) -> None:
            pass

        def follow(self, pictures: Sequence[object]) -> list[list[tuple[int, Reading]]]:
            return [[self.reading()] for _ in pictures]

        def reading(self) -> tuple[int, Reading]:
            self.frames += 1
            strand = self.frames % 1000 < 20
            points = POINTS + 2000.0 * strand
            return 2 * (self.frames // 1000) + strand, Reading(points=points, face=0.9, lips_visible=1.0, skin=SKIN)

    monkeypatch.setattr(tracker, "FaceTracker", Follower)
    monkeypatch.setattr(tracker, "CutDetector", lambda: SimpleNamespace(is_cut=lambda luma: False))
    monkeypatch.setattr(
        tracker.Picture, "of_planes", lambda planes: SimpleNamespace(luma=None, width_px=4, height_px=4)
    )
    planes = np.zeros((6, 4), np.uint8)
    frames = ((number / 25, planes) for number in range(HOUR_FRAMES))
    track: list[FaceTrack] = []

    def follow() -> object:
        track.append(tracker.track_clip(frames, scratch=tmp_path))
        track[0].save(tmp_path / "track.npz")
        return None

    assert grown_bytes(follow) < SLACK_BYTES
    assert np.isnan(track[0].points[1003]).all(), "somebody else was seen there"
    assert HOUR_FRAMES - track[0].present.sum() == 20 * HOUR_FRAMES // 1000
    assert [file.name for file in tmp_path.iterdir()] == ["track.npz"]


POINTS = np.random.default_rng(2).normal(300, 40, (74, 2))
SKIN = np.full((16, 3), 99, np.uint8)


def test_a_clip_without_a_face_takes_no_room_for_points(tmp_path: Path) -> None:
    def keep() -> object:
        FaceTrack.without_face(np.arange(HOUR_FRAMES) / 25).save(tmp_path / "track.npz")
        return FaceTrack.load(tmp_path / "track.npz")

    assert grown_bytes(keep) < SLACK_BYTES
    assert (tmp_path / "track.npz").stat().st_size < 25 * HOUR_FRAMES
    again = FaceTrack.load(tmp_path / "track.npz")
    assert again.points.shape == (HOUR_FRAMES, 74, 2)
    assert np.isnan(again.points[-1]).all()


def test_a_track_whose_points_are_missing_is_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "track.npz",
        pts_s=np.zeros(1),
        confidence=np.ones(1, np.float32),
        lips_visible=np.ones(1, np.float32),
        skin=np.zeros((1, 16, 3), np.uint8),
        scene=np.zeros(1, np.int32),
    )
    with pytest.raises(KeyError):
        FaceTrack.load(tmp_path / "track.npz")


def test_a_long_sound_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def heard(minutes: int) -> int:
        path = tmp_path / f"{minutes}.f32"
        with path.open("wb") as file:
            file.truncate(minutes * 60 * 16_000 * 4)
        return grown_bytes(lambda: speech_features(np.memmap(path, np.float32, "r")))

    heard(2)
    # Its samples and features would be 96 MB.
    assert heard(14) - heard(2) < SLACK_BYTES
