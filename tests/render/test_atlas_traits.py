import cv2
import numpy as np
import pytest

from heygemd.jobs.job import ColourTags
from heygemd.render.atlas.shape import Face, face_of
from heygemd.render.atlas.traits import (
    DONORS_APART_S,
    PATCH_PX_PER_EYE,
    Look,
    Traits,
    blurred_frames,
    covered_frames,
    look_at,
    relative_sharpness,
    rms_distances,
    seen_opening,
    teeth_donors,
)
from heygemd.render.colour import Region, coding_of, read_bgr
from heygemd.render.faces.topology import INNER_LIP_ROWS
from tests.render.gallery_rig import CAVITY, HEIGHT, TOOTH, WIDTH, drawn, some_traits, talking

NOWHERE = np.zeros(2)
SHUT_POINTS = talking([-0.021])[0]


def seen(planes: np.ndarray) -> np.ndarray:
    coding = coding_of(ColourTags(), width_px=WIDTH, height_px=HEIGHT)
    return read_bgr(planes, Region(x=0, y=0, width=WIDTH, height=HEIGHT), coding)


def look(points: np.ndarray, **drawing: object) -> Look:
    return look_at(seen(drawn(points, **drawing)), face_of(points), NOWHERE)


def turned(points: np.ndarray, deg: float, scale: float = 1.0) -> np.ndarray:
    middle = np.array([WIDTH, HEIGHT]) / 2
    matrix = cv2.getRotationMatrix2D(middle.tolist(), -deg, scale)
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def test_aperture_grows_with_the_opening():
    apertures = [look(points).aperture for points in talking([-0.021, 0.02, 0.06, 0.12, 0.18])]
    assert (np.diff(apertures) > 0.005).all()
    assert apertures[0] < 0.015


def test_aperture_sees_a_dark_slit_that_the_contour_hides():
    points = talking([0.08])[0]
    picture, misread = seen(drawn(points)), points.copy()
    inner = misread[INNER_LIP_ROWS]
    inner[:, 1] = inner[:, 1].mean()
    face = face_of(misread)
    assert face.opening < 0.02
    assert look_at(picture, face, NOWHERE).aperture > look(SHUT_POINTS).aperture + 0.02


def test_aperture_is_the_same_for_teeth_and_for_darkness():
    points = talking([0.15])[0]
    dark, teeth = (look(points, gap=colour).aperture for colour in (CAVITY, TOOTH))
    assert teeth == pytest.approx(dark, rel=0.25)


def test_teeth_are_seen_where_they_are_and_nowhere_else():
    points = talking([0.12])[0]
    assert look(points, gap=TOOTH).teeth > 0.9
    assert look(points, gap=CAVITY).teeth < 0.1
    assert look(points, gap=None).teeth < 0.1
    assert look(SHUT_POINTS).teeth < 0.1


def test_blur_takes_sharpness_away():
    points = talking([0.1])[0]
    levels = [look(points, blur_px=blur).sharpness for blur in (0, 1, 2, 4)]
    assert (np.diff(levels) < 0).all()
    assert levels[2] < 0.5 * levels[0]


def test_sharpness_does_not_depend_on_the_light():
    points = talking([0.1])[0]
    picture = seen(drawn(points))
    bright, dim = (look_at(picture * share, face_of(points), NOWHERE).sharpness for share in (1.0, 0.5))
    assert dim == pytest.approx(bright, rel=0.02)


def test_a_thumbnail_does_not_depend_on_where_the_head_is_nor_on_its_tilt():
    points = talking([0.1])[0]
    still = look(points).thumbnail.astype(int)
    for other in (points + np.float32(11), turned(points, 12), turned(points, 0, 1.1)):
        assert np.abs(look(other).thumbnail - still).mean() < 3
    assert np.abs(look(talking([0.25])[0]).thumbnail - still).mean() > 5


def test_a_crop_and_its_origin_give_what_the_whole_picture_gives():
    points = talking([0.1])[0]
    picture, face = seen(drawn(points)), face_of(points)
    part = look_at(np.ascontiguousarray(picture[60:, 40:]), face, np.array([40.0, 60.0]))
    assert np.array_equal(part.thumbnail, look_at(picture, face, NOWHERE).thumbnail)


def test_a_large_face_looks_as_a_small_one():
    points = talking([0.1])[0]
    picture = seen(drawn(points))
    large = np.asarray(cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.float32)
    large_points = ((points + 0.5) * 4 - 0.5).astype(np.float32)
    face: Face = face_of(large_points)
    assert face.eye_px > 2 * PATCH_PX_PER_EYE
    a, b = look_at(picture, face_of(points), NOWHERE), look_at(large, face, NOWHERE)
    assert np.abs(a.thumbnail.astype(int) - b.thumbnail).mean() < 0.25
    assert b.aperture == pytest.approx(a.aperture, rel=0.1)


def test_sharpness_is_compared_with_that_of_mouths_as_open():
    openings = np.linspace(0, 0.2, 50)
    traits = some_traits(range(50), opening=openings, sharpness=np.exp(2 * openings))
    assert np.allclose(relative_sharpness(traits), 1, atol=0.08)


def test_blurred_frames_are_those_far_below_the_usual():
    sharpness = np.ones(30)
    sharpness[[4, 9]] = 0.4, 0.8
    assert np.flatnonzero(blurred_frames(some_traits(range(30), sharpness=sharpness))).tolist() == [4]


def test_the_seen_opening_is_in_the_measure_of_the_person():
    openings = np.concatenate([np.zeros(20), np.linspace(0.06, 0.2, 30)])
    for rise, floor in ((0.25, 0.0), (0.8, 0.05)):
        traits = some_traits(range(50), opening=openings, aperture=floor + rise * openings)
        assert np.allclose(seen_opening(traits), openings, atol=1e-6)


def test_a_rounded_mouth_whose_contour_is_shut_is_seen_open():
    openings = np.concatenate([np.zeros(20), np.linspace(0.06, 0.2, 30)])
    aperture = 0.02 + 0.4 * openings
    aperture[3] = 0.02 + 0.4 * 0.1
    assert seen_opening(some_traits(range(50), opening=openings, aperture=aperture))[3] == pytest.approx(0.1, abs=0.01)


def test_a_hand_is_seen_by_the_skin_around_the_mouth_and_a_change_of_light_is_not_a_hand():
    calm = np.full((100, 24, 24, 3), 128, np.uint8)
    calm[:, 8:16, 6:18] += np.random.default_rng(0).integers(0, 90, (100, 8, 12, 3)).astype(np.uint8)
    calm[60:] += 20
    calm[40:44, 12:] = 60
    traits = some_traits(range(100), thumbnail=calm)
    assert np.flatnonzero(covered_frames(traits)).tolist() == [40, 41, 42, 43]


def test_a_clip_too_short_to_compare_has_no_covered_frames():
    assert not covered_frames(some_traits(range(10))).any()


@pytest.mark.parametrize("measure", [relative_sharpness, seen_opening, blurred_frames, covered_frames])
def test_of_no_frames_nothing_is_told(measure):
    assert len(measure(some_traits([]))) == 0


def test_distances_are_those_of_any_two_pictures():
    views = np.random.default_rng(1).normal(0, 10, (6, 4, 4, 3)).astype(np.float32)
    distances = rms_distances(views)
    assert distances[1, 4] == pytest.approx(np.sqrt(((views[1] - views[4]) ** 2).mean()), rel=1e-3)
    assert np.allclose(np.diag(distances), 0, atol=1e-2)


def test_the_best_teeth_are_sure_sharp_and_frontal():
    teeth, yaw, sharpness = np.ones(8), np.zeros(8), np.ones(8)
    teeth[0], yaw[1], sharpness[2] = 0.3, 25, 0.4
    pitch = np.zeros(8)
    sharpness[5] = 1.2
    traits = some_traits(
        range(0, 160, 20), teeth=teeth, yaw_deg=yaw, pitch_deg=pitch, sharpness=sharpness, opening=np.full(8, 0.1)
    )
    assert teeth_donors(traits, most=1) == [5]
    donors = teeth_donors(traits)
    assert set(donors) == {2, 3, 4, 5, 6, 7}
    assert donors[-1] == 2


def test_donors_of_teeth_lie_apart_in_time():
    traits = some_traits(range(100), teeth=np.ones(100), yaw_deg=np.zeros(100), pitch_deg=np.zeros(100))
    times = np.sort(traits.time_s[teeth_donors(traits)])
    assert (np.diff(times) >= DONORS_APART_S - 1e-9).all()
    assert len(times) >= 4


def test_where_no_teeth_are_seen_nobody_lends_them():
    assert teeth_donors(some_traits(range(9)), most=1) == []
    assert teeth_donors(some_traits([]), most=1) == []


def test_traits_survive_being_saved():
    traits = some_traits(range(5))
    again = Traits.from_arrays(traits.to_arrays())
    assert np.array_equal(again.thumbnail, traits.thumbnail)
    assert np.array_equal(again.rows(np.array([3, 1])).opening, traits.opening[[3, 1]])
