import numpy as np
import pytest

from heygemd.render.arrays import is_mapped, map_arrays
from heygemd.render.atlas.gallery import KEPT_SOURCES, Gallery, gather
from heygemd.render.atlas.mesh import LIPS
from heygemd.render.atlas.motion import SteadyPoints, head_motion
from heygemd.render.atlas.mouth import REACH
from heygemd.render.atlas.shape import face_of
from heygemd.render.atlas.variety import choose_frames
from heygemd.render.cache import save_arrays
from heygemd.render.colour import Region, coding_of, read_bgr
from tests.render.gallery_rig import HEIGHT, WIDTH, Film, drawn, talking

COUNT = 20


@pytest.fixture
def film() -> Film:
    points = talking(np.linspace(0, 0.2, COUNT))
    points += np.linspace(0, 15, COUNT, dtype=np.float32)[:, None, None]
    return Film(points)


def coding(film: Film):
    return coding_of(film.footage().video.colour, width_px=WIDTH, height_px=HEIGHT)


def gathered(film: Film, frames=None, folder=None) -> dict[str, np.ndarray]:
    motion = film.motion
    if frames is None:
        frames = choose_frames(motion, film.track.present, film.track)
    return gather(film.footage(folder), motion, np.asarray(frames, np.int32))


def whole(film: Film, frame: int) -> np.ndarray:
    return read_bgr(film.planes[frame], Region(x=0, y=0, width=WIDTH, height=HEIGHT), coding(film))


def test_every_chosen_frame_is_read_once_and_in_order(film):
    gathered(film, [2, 3, 4, 9])
    assert film.was_read == [2, 3, 4, 9]


def test_a_crop_holds_the_very_pixels_of_its_frame(film):
    gallery = Gallery.from_arrays(gathered(film, [2, 9]), coding(film))
    source = gallery.source(1)
    frame = face_of(SteadyPoints(film.track).of(9))
    x, y = (frame.vertices - source.face.vertices)[0].astype(int)
    height, width = source.picture.shape[:2]
    expected = whole(film, 9)[y : y + height, x : x + width]
    # Chroma at the very edge is interpolated without its neighbours.
    assert np.abs(source.picture - expected)[2:-2, 2:-2].max() < 1e-3
    assert (x % 2, y % 2) == (0, 0)


def test_a_source_has_the_geometry_that_its_frame_has_when_it_is_painted_itself(film):
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    steady = SteadyPoints(film.track)
    for k in (0, 7, len(gallery) - 1):
        source, own = gallery.source(k).face, face_of(steady.of(int(gallery.frames[k])))
        assert source.opening == own.opening
        assert source.width == own.width
        assert np.array_equal(source.shape, own.shape)
        shift = own.vertices - source.vertices
        assert np.abs(shift - shift[0]).max() < 1e-9
        assert np.abs(shift[0] - np.round(shift[0])).max() < 1e-9


def test_a_crop_shows_more_than_layer_b_reaches(film):
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    source = gallery.source(5)
    lips, reach = source.face.vertices[LIPS], REACH * source.face.eye_px
    assert (lips.min(axis=0) > reach).all()
    assert (lips.max(axis=0) < np.array(source.picture.shape[1::-1]) - reach).all()


def test_what_is_known_of_a_frame_is_kept_with_it(film):
    traits = Gallery.from_arrays(gathered(film, [3, 8]), coding(film)).traits
    motion = film.motion
    assert traits.frames.tolist() == [3, 8]
    assert np.array_equal(traits.opening, motion.opening[[3, 8]])
    assert np.array_equal(traits.pitch_deg, motion.pitch_deg[[3, 8]])
    assert np.array_equal(traits.time_s, film.track.pts_s[[3, 8]])
    assert len(traits) == 2


def test_arrays_that_were_saved_and_mapped_give_the_same_sources(film, tmp_path):
    arrays = gathered(film, folder=tmp_path)
    assert is_mapped(arrays["gallery_pixels"])
    save_arrays(tmp_path / "likeness.npz", arrays)
    kept = Gallery.from_arrays(map_arrays(tmp_path / "likeness.npz"), coding(film))
    made = Gallery.from_arrays(gathered(film), coding(film))
    for k in (0, 11):
        assert np.array_equal(kept.source(k).picture, made.source(k).picture)
        assert np.array_equal(kept.source(k).face.vertices, made.source(k).face.vertices)


def test_gathering_twice_gives_the_same_bytes(film):
    first, again = gathered(film), gathered(film)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_source_is_the_same_whenever_it_is_asked_for(film):
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    first = gallery.source(3)
    assert gallery.source(3) is first
    for k in range(4, 4 + KEPT_SOURCES):
        gallery.source(k)
    again = gallery.source(3)
    assert again is not first
    assert np.array_equal(again.picture, first.picture)


def test_a_blurred_frame_is_left_out(film):
    points = film.track.points[6]
    sharp = Gallery.from_arrays(gathered(film), coding(film))
    film.planes[6] = drawn(points, blur_px=3)
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    assert gallery.frames.tolist() == [k for k in range(COUNT) if k != 6]
    for k in (0, 12):
        assert np.array_equal(gallery.source(k).picture, sharp.source(k + (k >= 6)).picture)


def test_a_frame_with_something_before_the_mouth_is_left_out():
    count = 90
    film = Film(talking(0.1 + 0.08 * np.sin(np.arange(count) / 3)))
    luma = film.planes[40][:HEIGHT]
    lips = film.track.points[40, :40]
    luma[int(lips[:, 1].mean()) :, : int(lips[:, 0].max())] = 70
    frames = gathered(film)["gallery_frames"]
    assert frames.tolist() == [k for k in range(count) if k != 40]


def test_a_face_whose_mouth_lies_outside_the_picture_is_left_out():
    points = talking([0.05, 0.05, 0.05])
    points[1] += (0, HEIGHT)
    film = Film(points, scene=[0, 1, 2])
    assert gathered(film)["gallery_frames"].tolist() == [0, 2]
    assert film.was_read == [0, 2]


def test_a_mouth_at_the_border_of_the_picture_is_cut_there():
    points = talking([0.05] * 3)
    points -= (float(points[0, :40, 0].min()) - 5, 0)
    film = Film(points)
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    source, own = gallery.source(0), face_of(SteadyPoints(film.track).of(0))
    x, y = np.round(own.vertices[0] - source.face.vertices[0]).astype(int)
    assert x == 0
    height, width = source.picture.shape[:2]
    assert np.abs(source.picture - whole(film, 0)[y : y + height, :width])[2:-2, :-2].max() < 1e-3


def test_a_still_has_a_gallery_of_one():
    film = Film(talking([0.1]))
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    assert gallery.frames.tolist() == [0]
    assert gallery.source(0).face.opening == film.motion.opening[0]


def test_a_clip_without_a_face_has_an_empty_gallery():
    film = Film(talking([0.1, 0.1]), absent=[0, 1])
    gallery = Gallery.from_arrays(gathered(film), coding(film))
    assert len(gallery) == 0
    assert film.was_read == []


def test_someone_hears_that_it_goes_on(film):
    beats = []
    gather(film.footage(), head_motion(film.track), np.arange(5, dtype=np.int32), lambda: beats.append(1))
    assert len(beats) == 5
