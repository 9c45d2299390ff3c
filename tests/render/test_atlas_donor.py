from dataclasses import replace

import numpy as np
import pytest

from heygemd.render.atlas.donor import Bite, cut_teeth
from heygemd.render.atlas.gap import LUMA
from heygemd.render.atlas.mouth import MouthSource
from tests.render.atlas_faces import TEETH, face, mouth_picture
from tests.render.test_atlas_interior import COLUMNS, MIDDLE, ROWS, cavity

SKIN = np.array([150.0, 170, 215])


def source(opening: float = 0.14, *, teeth: float = 0.07, level: float = 1.0, **place) -> MouthSource:
    own = face(opening, **place)
    return MouthSource(picture=mouth_picture(own, teeth=teeth, level=level), face=own)


def worn(bite: Bite, mouth) -> np.ndarray:
    """Luma of the teeth alone over black: float64[ROWS, COLUMNS]."""
    cover, colour = bite.upper.look(mouth, bite.upper.hang(mouth))
    return (colour * cover[:, None] @ LUMA).reshape(ROWS, COLUMNS)


def test_teeth_over_darkness_are_cut_out_with_their_height_and_colour():
    teeth = cut_teeth(source(teeth=0.07))
    assert teeth is not None
    assert teeth.height == pytest.approx(0.07, abs=0.012)
    assert teeth.half == pytest.approx(0.2, abs=0.03)
    middle = teeth.piece[teeth.piece.shape[0] // 2 - 8, teeth.piece.shape[1] // 2]
    assert middle[:3] == pytest.approx(TEETH, abs=6)


@pytest.mark.parametrize(
    "shown", [{"opening": 0.0, "teeth": 0.0}, {"teeth": 0.0}, {"teeth": 0.30}, {"eye_px": 30.0}],
    ids=["shut", "no teeth", "teeth down to the lower lip", "tiny"],
)  # fmt: skip
def test_nothing_is_cut_where_no_whole_teeth_are_seen(shown):
    assert cut_teeth(source(**shown)) is None


def test_the_best_of_several_sources_is_taken_and_teeth_are_grown_when_none_shows_any():
    tall, low, none = source(teeth=0.075), source(teeth=0.045), source(teeth=0.0)
    assert Bite.of([low, none, tall], seed=1).own.height == pytest.approx(cut_teeth(tall).height)
    bite = Bite.of([none], seed=9)
    assert bite.own is None
    assert np.array_equal(bite.dentition.upper.borders, Bite.of([], seed=9).dentition.upper.borders)


def test_own_teeth_stay_with_the_skull_while_the_lip_moves():
    bite = Bite.of([source()], seed=1)
    # The same mouth, its upper lip drawn down by a hundredth: the teeth show that much less.
    mouth = replace(cavity(0.14), top=bite.own.edge - bite.own.height)
    lower = replace(mouth, top=mouth.top + 0.01)
    assert bite.upper.hang(mouth) == pytest.approx(bite.own.height, abs=1e-6)
    assert bite.upper.hang(lower) == pytest.approx(bite.own.height - 0.01, abs=1e-6)


def test_own_teeth_are_seen_below_the_lip_and_end_in_the_dark():
    bite = Bite.of([source()], seed=1)
    mouth = cavity(0.14)
    luma = worn(bite, replace(mouth, y=mouth.y - mouth.top + bite.own.edge - 0.07, top=bite.own.edge - 0.07))
    assert np.median(luma[6:18, MIDDLE]) > 180
    assert np.median(luma[40:50, MIDDLE]) < 5


def test_a_darker_frame_gets_darker_teeth():
    bite = Bite.of([source()], seed=1)
    mouth = cavity(0.14)
    dim = replace(mouth, light=replace(mouth.light, skin=0.7 * SKIN))
    bright = worn(bite, mouth)
    assert np.percentile(worn(bite, dim), 95) == pytest.approx(0.7 * np.percentile(bright, 95), rel=0.03)


def test_a_blurred_frame_gets_blurred_teeth():
    bite = Bite.of([source()], seed=1)
    mouth = cavity(0.2)
    soft = replace(mouth, light=replace(mouth.light, soft_px=3.5))
    steep = [np.abs(np.diff(worn(bite, m)[:, COLUMNS // 2])).max() for m in (mouth, soft)]
    assert steep[1] < 0.75 * steep[0]
