"""Where a joint is welcome: cuts in ticks, pauses in seconds, and never too many of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.planning.plan import Analysis, Event, EventKind, to_json
from heygemd.render.atlas.engine import Atlas
from heygemd.render.joints import MOST_PLACES, longest, scene_ticks
from heygemd.render.passthrough import Passthrough
from heygemd.render.wav2lip.engine import Wav2Lip
from heygemd.scheduler.workers import LINE_LIMIT_BYTES


def test_another_scene_begins_where_its_number_changes() -> None:
    assert scene_ticks(np.array([0, 0, 1, 1, 1, 2, 4], np.int32)) == (2, 5, 6)


@pytest.mark.parametrize("scenes", [[], [0], [3, 3, 3]])
def test_one_scene_has_no_cut(scenes: list[int]) -> None:
    assert scene_ticks(np.array(scenes, np.int32)) == ()


def test_of_too_many_cuts_some_are_kept_over_the_whole_length() -> None:
    ticks = scene_ticks(np.arange(3 * MOST_PLACES, dtype=np.int32))
    assert len(ticks) == len(set(ticks)) == MOST_PLACES
    assert (ticks[0], ticks[-1]) == (1, 3 * MOST_PLACES - 1)
    assert max(np.diff(ticks)) <= 4


def test_the_longest_pauses_are_kept_in_their_order() -> None:
    pauses = [(float(i), i + (0.9 if i % 2 else 0.3)) for i in range(2 * MOST_PLACES)]
    kept = longest(pauses)
    assert len(kept) == MOST_PLACES
    assert all(round(stop - start, 3) == 0.9 for start, stop in kept)
    assert list(kept) == sorted(kept)


def test_pauses_are_told_to_the_millisecond() -> None:
    assert longest([(1 / 3, 2 / 3)]) == ((0.333, 0.667),)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(9, 99)), max_size=20))
def test_few_pauses_are_all_kept(pauses: list[tuple[float, float]]) -> None:
    assert len(longest(pauses)) == len(pauses)


def test_the_fullest_analysis_fits_into_one_line_of_the_pipe() -> None:
    ticks = scene_ticks(np.arange(2_000_000, dtype=np.int32))
    pauses = longest([(10_000 + i / 1.7, 10_000 + i / 1.7 + 0.3) for i in range(2 * MOST_PLACES)])
    analysis = Analysis(tick_count=1, face_frames=1, source_frames=1, scene_ticks=ticks, pauses_s=pauses)
    line = to_json(Event(kind=EventKind.DONE, analysis=analysis))
    assert len(line) < LINE_LIMIT_BYTES / 4


SPEECH = np.repeat(np.float32([0.0, 1.0, 0.2, 1.0]), 50)


def test_each_engine_that_hears_a_voice_tells_its_pauses() -> None:
    quiet = [(0.0, 1.0), (2.0, 3.0)]
    assert Atlas().pauses({"speech": SPEECH}) == quiet
    weightless = object.__new__(Wav2Lip)  # its network has no part in this
    assert weightless.pauses({"mel": np.zeros((16, 80), np.float32), "mouth.speech": SPEECH}) == quiet
    assert Passthrough().pauses({}) == ()


def test_an_engine_that_heard_a_sound_knows_where_the_voice_rests() -> None:
    atlas = Atlas()
    rate, rng = 16_000, np.random.default_rng(0)
    hum = rng.normal(0, 1e-5, 2 * rate).astype(np.float32)
    assert atlas.pauses(atlas.listen(hum)) == [(0.0, pytest.approx(2.0, abs=0.05))]
    assert atlas.pauses(atlas.listen(np.zeros(0, np.float32))) == []
