"""The engine paints the mouth of usable frames and nothing else, in any grouping of frames."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.jobs.job import LengthPolicy, RenderOptions, SilenceRule, VideoInfo
from heygemd.planning.timeline import plan_timeline
from heygemd.render.arrays import is_mapped
from heygemd.render.colour import coding_of
from heygemd.render.engine import Clip
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES
from heygemd.render.faces.track import FaceTrack
from heygemd.render.speech.mouth import MouthTracks
from heygemd.render.wav2lip import engine as wav2lip_engine
from heygemd.render.wav2lip.engine import Wav2Lip, Wav2LipPerformance, perform
from heygemd.render.wav2lip.generator import EchoPainter, Generator
from heygemd.render.wav2lip.mel import SILENCE
from heygemd.render.wav2lip.network import LOWER_ROW
from heygemd.render.wav2lip.paste import cut_face, lower_face_mask, window
from heygemd.render.wav2lip.processor import Processor, by_torch
from heygemd.render.wav2lip.untrained import save_published
from tests.render.wav2lip_rig import folded, published

WIDTH, HEIGHT, FPS = 320, 288, Fraction(25)
Planes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def picture(seed: int = 0) -> Planes:
    """A smooth, coloured picture: uint8[height * 3 // 2, width]."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(60, 190, (9, 10, 3)).astype(np.float32)
    bgr = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(np.clip(bgr, 0, 255).astype(np.uint8), cv2.COLOR_BGR2YUV_I420), np.uint8)


def track(frames: int, eyes_px: float = 90) -> FaceTrack:
    mean = load_face_model().mean_face[list(MESH_INDEXES), :2] * eyes_px
    points = np.stack([mean + np.array([160 + 0.3 * i, 130]) for i in range(frames)]).astype(np.float32)
    return FaceTrack(
        pts_s=np.arange(frames) / 25,
        points=points,
        confidence=np.ones(frames, np.float32),
        lips_visible=np.ones(frames, np.float32),
        skin=np.zeros((frames, 16, 3), np.uint8),
        scene=np.zeros(frames, np.int32),
    )


def clip_of(frames: int, *, track_of: FaceTrack | None = None, spoken: Floats | None = None, **options: object) -> Clip:
    sound_s = Fraction(frames, 25) if spoken is None else Fraction(len(spoken), 50)
    chosen = RenderOptions(**options)  # type: ignore[arg-type]
    timeline = plan_timeline(fps=FPS, tick_count=frames, sound_s=sound_s, policy=chosen.length)
    tracks = {field.name: np.zeros(int(sound_s * 50) + 1, np.float32) for field in dataclasses.fields(MouthTracks)}
    tracks["gate"] = np.ones(int(sound_s * 50) + 1, np.float32) if spoken is None else spoken
    mel = np.random.default_rng(1).uniform(-4, 4, (max(16, int(sound_s * 80) + 1), 80)).astype(np.float32)
    return Clip(
        timeline=timeline,
        source_frames=np.array([timeline.tick_of(i) for i in range(timeline.frame_count)], np.int32),
        track=track_of or track(frames),
        speech={"mel": mel, **{f"mouth.{name}": values for name, values in tracks.items()}},
        video=VideoInfo(
            demuxer="mov", codec="h264", stream=0, fps=FPS, frame_count=frames, width_px=WIDTH, height_px=HEIGHT
        ),
        options=chosen,
    )


def noisy(planes: Planes) -> Planes:
    """The same picture with grain in every plane."""
    grain = np.random.default_rng(7).normal(0, 4, planes.shape)
    return np.clip(np.round(planes + grain), 0, 255).astype(np.uint8)


class NegativePainter(EchoPainter):
    """Paints the negative, with the network's contract that the upper half may change too."""

    def paint(self, windows: Floats, faces: Floats, *, batch_frames: int) -> Floats:
        return 255 - faces[:, LOWER_ROW:]


class LoudPainter(EchoPainter):
    """Paints a mouth that is darker the louder it is."""

    def paint(self, windows: Floats, faces: Floats, *, batch_frames: int) -> Floats:
        halves = faces[:, LOWER_ROW:].copy()
        halves[:, 14:26, 34:62] -= 15 * (windows.mean(axis=(1, 2)) - SILENCE)[:, None, None, None]
        return halves


class BrighterPainter(EchoPainter):
    def paint(self, windows: Floats, faces: Floats, *, batch_frames: int) -> Floats:
        return faces[:, LOWER_ROW:] + np.float32([12, 9, 15])


class Listener(EchoPainter):
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.windows: list[Floats] = []
        self.faces: list[Floats] = []
        self.batches: list[int] = []

    def paint(self, windows: Floats, faces: Floats, *, batch_frames: int) -> Floats:
        self.windows += list(windows)
        self.faces += list(faces)
        self.batches.append(batch_frames)
        return faces[:, LOWER_ROW:]


def luma(planes: Planes) -> NDArray[np.int16]:
    return planes[:HEIGHT].astype(np.int16)


def test_network_that_changes_nothing_leaves_the_picture_as_it_is() -> None:
    before = picture()
    after = before.copy()
    assert perform(clip_of(3), EchoPainter()).render(0, [after]) == [True]
    assert np.abs(after.astype(np.int16) - before).max() <= 2


def test_only_the_lower_face_is_ever_written() -> None:
    film = perform(clip_of(3), NegativePainter())
    before = picture()
    after = before.copy()
    film.render(1, [after])
    changed = np.argwhere(luma(after) != luma(before))
    left, top, right, bottom = film.crops.boxes[1]
    assert len(changed) > 2000
    assert changed[:, 0].min() >= (top + bottom) / 2
    assert changed[:, 0].max() <= bottom
    assert changed[:, 1].min() >= left
    assert changed[:, 1].max() <= right
    chroma_before, chroma_after = (planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2) for planes in (before, after))
    chroma = np.argwhere(chroma_before != chroma_after)
    assert chroma[:, 1].min() * 2 >= (top + bottom) / 2 - 2
    assert chroma[:, 1].max() * 2 <= bottom + 1
    x, y = film.crops.jaws[1].mean(axis=0).astype(int)
    mouth = np.s_[y : y + 20, x - 10 : x + 10]
    assert np.abs(luma(after)[mouth] - luma(before)[mouth]).mean() > 10


@pytest.mark.parametrize("detail", [True, False])
def test_bytes_outside_the_mask_are_those_of_the_source_in_every_plane(detail: bool) -> None:
    film = perform(clip_of(3, detail=detail), NegativePainter())
    before = noisy(picture())
    after = before.copy()
    film.render(1, [after])
    box = film.crops.boxes[1]
    mask = np.zeros((96, 96), np.float32)
    mask[LOWER_ROW:] = lower_face_mask(film.crops.jaws[1], box)
    inside = cv2.dilate((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    scale = (box[2:] - box[:2]) / 96
    for plane, halved in ((np.s_[:HEIGHT], 1), (np.s_[HEIGHT:], 2)):
        one, other = (
            planes[plane].reshape(-1, HEIGHT // halved, WIDTH // halved).astype(np.int16) for planes in (before, after)
        )
        for y, x in np.argwhere((one != other).any(axis=0)):
            place = (np.array([x, y]) * halved + (halved - 1) / 2 - box[:2]) / scale - 0.5
            assert inside[tuple(np.clip(np.round(place).astype(int)[::-1], 0, 95))]


def test_detail_gives_noise_back_that_the_square_does_not_carry() -> None:
    before = noisy(picture())
    with_detail, without = before.copy(), before.copy()
    perform(clip_of(3), EchoPainter()).render(0, [with_detail])
    perform(clip_of(3, detail=False), EchoPainter()).render(0, [without])
    film = perform(clip_of(3), EchoPainter())
    x, y = film.crops.jaws[0].mean(axis=0).astype(int)
    cheek = np.s_[y - 10 : y + 20, x - 40 : x - 15]
    grain, kept, lost = (
        cv2.Laplacian(luma(p)[cheek].astype(np.float32), -1).std() for p in (before, with_detail, without)
    )
    assert lost < 0.6 * grain
    assert 0.85 * grain < kept < 1.1 * grain


def test_another_tone_of_the_painted_skin_is_matched() -> None:
    before = picture()
    after = before.copy()
    perform(clip_of(3), BrighterPainter()).render(0, [after])
    assert np.abs(luma(after) - luma(before)).max() <= 3


def test_crop_is_what_cutting_and_bilinear_resizing_would_give() -> None:
    planes = picture()
    tags = VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=FPS, frame_count=1, width_px=WIDTH, height_px=HEIGHT
    ).colour
    coding = coding_of(tags, width_px=WIDTH, height_px=HEIGHT)
    place = window(np.array([59.5, 39.5, 209.5, 239.5]), width_px=WIDTH, height_px=HEIGHT)
    assert place is not None
    bgr = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
    expected = cv2.resize(bgr[40:240, 60:210], (96, 96), interpolation=cv2.INTER_LINEAR)
    assert np.abs(cut_face(planes, place, coding) - expected).mean() < 1.0


def test_faces_are_given_as_bgr() -> None:
    blue = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    blue[:, :, 0] = 200
    listener = Listener()
    perform(clip_of(1), listener).render(0, [cv2.cvtColor(blue, cv2.COLOR_BGR2YUV_I420)])
    assert listener.faces[0].shape == (96, 96, 3)
    np.testing.assert_allclose(listener.faces[0].mean(axis=(0, 1)), [200, 0, 0], atol=3)


def test_every_frame_hears_its_own_window() -> None:
    clip, listener = clip_of(10), Listener()
    perform(clip, listener).render(2, [picture(), picture()])
    for heard, first in zip(listener.windows, (6, 9), strict=True):
        np.testing.assert_allclose(heard, clip.speech["mel"][first : first + 16], atol=1e-6)


def test_offset_moves_the_windows() -> None:
    clip, listener = clip_of(10, audio_offset_ms=40), Listener()
    perform(clip, listener).render(2, [picture()])
    np.testing.assert_allclose(listener.windows[0], clip.speech["mel"][3:19], atol=1e-6)


def test_negative_offset_moves_the_windows_forward() -> None:
    clip, listener = clip_of(10, audio_offset_ms=-40), Listener()
    perform(clip, listener).render(2, [picture()])
    np.testing.assert_allclose(listener.windows[0], clip.speech["mel"][9:25], atol=1e-6)


@pytest.mark.parametrize(("offset_ms", "silent", "spoken"), [(400, 0, 12), (400, 9, 10), (-400, 19, 2), (-400, 14, 5)])
def test_before_the_sound_and_behind_it_is_silence_however_far_it_is_moved(
    offset_ms: int, silent: int, spoken: int
) -> None:
    listener = Listener()
    film = perform(clip_of(20, audio_offset_ms=offset_ms), listener)
    film.render(silent, [picture()])
    film.render(spoken, [picture()])
    assert (listener.windows[0] == SILENCE).all()
    assert listener.windows[1].std() > 1


def test_source_mouth_is_followed_before_a_sound_that_is_moved() -> None:
    film = perform(clip_of(20, audio_offset_ms=400, silence=SilenceRule.SOURCE), NegativePainter())
    assert film.render(3, [picture()]) == [False]
    assert film.render(15, [picture()]) == [True]


def test_mouth_is_shut_and_still_where_nobody_speaks() -> None:
    spoken = np.ones(101, np.float32)
    spoken[50:] = 0
    film = perform(clip_of(50, spoken=spoken), LoudPainter())
    before = noisy(picture())
    frames = [before.copy() for _ in range(50)]
    film.render(0, frames)
    x, y = film.crops.jaws[0].mean(axis=0).astype(int)
    mouth = np.s_[y - 4 : y + 4, x - 8 : x + 8]
    opening = [float((luma(before) - luma(frame))[mouth].mean()) for frame in frames]
    assert min(opening[3:20]) > 15
    assert max(np.abs(opening[36:])) < 0.1 * min(opening[3:20])


def test_what_is_not_speech_is_heard_as_silence() -> None:
    spoken = np.ones(101, np.float32)
    spoken[50:] = 0
    listener = Listener()
    film = perform(clip_of(50, spoken=spoken), listener)
    assert film.render(0, [picture() for _ in range(50)]) == [True] * 50
    assert (listener.windows[40] == SILENCE).all()
    assert listener.windows[10].std() > 1


def test_source_mouth_is_followed_in_silence_when_asked() -> None:
    spoken = np.ones(101, np.float32)
    spoken[50:] = 0
    film = perform(clip_of(50, spoken=spoken, silence=SilenceRule.SOURCE), NegativePainter())
    before = picture()
    speaking, silent = before.copy(), before.copy()
    assert film.render(10, [speaking]) == [True]
    assert film.render(40, [silent]) == [False]
    assert (speaking != before).any()
    assert (silent == before).all()


def test_picture_that_outlasts_the_sound_goes_on_with_a_closed_mouth() -> None:
    clip, listener = clip_of(100, spoken=np.ones(51, np.float32), length=LengthPolicy.KEEP_VIDEO), Listener()
    assert clip.timeline.frame_count == 100
    perform(clip, listener).render(60, [picture()])
    assert (listener.windows[0] == SILENCE).all()


def absent(frames: int, gone: range) -> FaceTrack:
    whole = track(frames)
    confidence, points = whole.confidence.copy(), whole.points.copy()
    confidence[gone.start : gone.stop] = 0
    points[gone.start : gone.stop] = np.nan
    return dataclasses.replace(whole, confidence=confidence, points=points)


def test_frames_without_a_face_pass_untouched_and_their_neighbours_fade() -> None:
    film = perform(clip_of(12, track_of=absent(12, range(6, 8))), NegativePainter())
    before = picture()
    frames = [before.copy() for _ in range(12)]
    assert film.render(0, frames) == [True] * 6 + [False] * 2 + [True] * 4
    change = [float(np.abs(luma(frame) - luma(before)).mean()) for frame in frames]
    assert change[6] == change[7] == 0
    assert change[2] > change[3] > change[4] > change[5] > 0
    assert 0 < change[8] < change[9] < change[10] < change[11]


def test_film_without_any_usable_face_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        perform(clip_of(5, track_of=absent(5, range(5))), EchoPainter())
    assert refused.value.code == "E131"


def test_faces_are_cut_from_their_own_source_frames_in_ping_pong() -> None:
    clip = clip_of(5, spoken=np.ones(17, np.float32))
    assert clip.source_frames.tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    film = perform(clip, NegativePainter())
    first, again = picture(), picture()
    film.render(3, [first])
    film.render(5, [again])
    assert (first == again).all()


def groups(film: Wav2LipPerformance, sizes: list[int]) -> list[Planes]:
    frames = [picture(i) for i in range(sum(sizes))]
    start = 0
    for size in sizes:
        film.render(start, frames[start : start + size])
        start += size
    return frames


def test_grouping_of_frames_does_not_change_a_byte_outside_the_network() -> None:
    film = perform(clip_of(6), NegativePainter())
    for one, other in zip(groups(film, [6]), groups(film, [1, 3, 2]), strict=True):
        assert (one == other).all()


def test_grouping_of_frames_does_not_change_what_the_network_paints() -> None:
    painter = Generator(Processor(by_torch(folded(), "float32"), "float32"))
    film = perform(clip_of(4, track_of=absent(4, range(2, 3))), painter)
    for one, other in zip(groups(film, [4]), groups(film, [1, 3]), strict=True):
        assert (one == other).all()


@pytest.fixture
def weights(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "wav2lip_gan.pth"
    save_published(published().state_dict(), path)
    yield path
    path.unlink()


def test_whole_engine_renders_from_a_published_file(weights: Path) -> None:
    engine = Wav2Lip(weights, device="cpu", backend="torch")
    assert (engine.name, engine.needs_face) == ("wav2lip", True)
    time_s = np.arange(16_000) / 16_000
    sound = (0.2 * np.sin(2 * np.pi * 150 * time_s) * np.sin(2 * np.pi * 4 * time_s)).astype(np.float32)
    speech = engine.listen(sound)
    assert speech["mel"].shape == (81, 80)
    assert {values.dtype for name, values in speech.items() if not name.endswith("answers")} == {np.dtype(np.float32)}
    clip = dataclasses.replace(clip_of(25), speech=speech)
    before = picture()
    frames = [before.copy() for _ in range(2)]
    assert engine.prepare(clip).render(5, frames) == [True, True]
    assert all((frame != before).any() for frame in frames)


def test_what_was_settled_is_taken_by_the_next_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(12, length=LengthPolicy.KEEP_VIDEO, spoken=np.ones(11, np.float32))
    expected = groups(perform(clip, NegativePainter()), [12])
    clip = dataclasses.replace(clip, settled_file=tmp_path / "settled.npz")
    first = perform(clip, NegativePainter())
    monkeypatch.setattr(wav2lip_engine, "settle", None)
    for film in (first, perform(clip, NegativePainter())):
        assert is_mapped(film.crops.boxes)
        for one, other in zip(groups(film, [5, 7]), expected, strict=True):
            assert (one == other).all()
    assert [file.name for file in tmp_path.iterdir()] == ["settled.npz"]
