import numpy as np
import pytest

from heygemd.render.atlas.motion import head_motion
from heygemd.render.atlas.variety import GalleryLimits, choose_frames
from tests.render.gallery_rig import talking, track_of

COUNT = 600
FEW = GalleryLimits(frames=100)


@pytest.fixture(scope="module")
def long_clip():
    """Mumbling, but for one wide vowel at 300 and one smile at 450."""
    openings = 0.03 + 0.02 * np.sin(np.arange(COUNT) / 3)
    openings[300:306] = [0.1, 0.2, 0.25, 0.25, 0.2, 0.1]
    widths = np.zeros(COUNT)
    widths[450:460] = 0.1
    track = track_of(talking(openings, widths=widths))
    return track, head_motion(track)


def everything(track) -> np.ndarray:
    return np.ones(len(track.pts_s), np.bool_)


def test_a_short_clip_is_taken_whole_but_for_what_cannot_be_used():
    track = track_of(talking(np.linspace(0, 0.2, 30)), absent=[7])
    usable = track.present.copy()
    usable[20] = False
    chosen = choose_frames(head_motion(track), usable, track)
    assert chosen.tolist() == [k for k in range(30) if k not in {7, 20}]
    assert chosen.dtype == np.int32


def test_a_clip_of_one_frame_gives_that_frame():
    track = track_of(talking([0.05]))
    assert choose_frames(head_motion(track), everything(track), track).tolist() == [0]


def test_a_clip_without_a_face_gives_none():
    track = track_of(talking([0.0] * 3), absent=[0, 1, 2])
    assert len(choose_frames(head_motion(track), everything(track), track)) == 0


def test_of_a_long_clip_runs_are_taken_up_to_the_limit(long_clip):
    track, motion = long_clip
    chosen = choose_frames(motion, everything(track), track, FEW)
    assert 80 <= len(chosen) <= 100
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    assert np.median([len(run) for run in runs]) >= 10
    assert (np.diff(chosen) > 0).all()


def test_what_is_seen_but_once_is_among_them(long_clip):
    track, motion = long_clip
    chosen = choose_frames(motion, everything(track), track, FEW)
    assert motion.opening[chosen].max() == motion.opening.max()
    assert motion.opening[chosen].min() == motion.opening.min()
    assert motion.width[chosen].max() == motion.width.max()


def test_they_are_spread_over_the_whole_clip(long_clip):
    track, motion = long_clip
    chosen = choose_frames(motion, everything(track), track, FEW)
    assert (np.histogram(chosen, bins=4, range=(0, COUNT))[0] >= 10).all()


def test_what_differs_is_taken_before_what_is_rich_but_was_seen():
    """Twenty times the same word, then ten mouths that are held, each another one."""
    word, held = 0.1 + 0.1 * np.sin(np.arange(400) * 2 * np.pi / 20), 0.1 + 0.04 * np.arange(10)
    track = track_of(
        talking(np.concatenate([word, np.full(200, 0.1)]), widths=np.r_[np.zeros(400), np.repeat(held, 20)])
    )
    chosen = choose_frames(head_motion(track), everything(track), track, GalleryLimits(frames=240))
    assert len(np.unique(chosen[chosen >= 400] // 20)) >= 8


def test_no_run_crosses_a_cut_or_a_frame_that_cannot_be_used(long_clip):
    track, motion = long_clip
    usable = everything(track)
    usable[::10] = False
    chosen = choose_frames(motion, usable, track, FEW)
    assert usable[chosen].all()
    assert len(chosen) > 80


def test_large_faces_give_fewer_frames():
    track = track_of(talking([0.03] * 60))
    motion = head_motion(track)
    all_bytes = 60 * 30_000
    some = choose_frames(motion, everything(track), track, GalleryLimits(size_bytes=all_bytes // 4))
    assert 8 <= len(some) < 30


def test_a_budget_below_one_run_still_gives_frames():
    track = track_of(talking(np.linspace(0, 0.2, 60)))
    assert 1 <= len(choose_frames(head_motion(track), everything(track), track, GalleryLimits(frames=3))) <= 3


def test_a_blurred_repetition_is_left_for_a_calm_one():
    """The same vowels twice: in a head that shakes, and in one that is still."""
    vowels = 0.1 + 0.08 * np.sin(np.arange(200) / 4)
    points = talking(np.tile(vowels, 2))
    points[:200] += np.where(np.arange(200) % 2, 12, -12)[:, None, None]
    track = track_of(points)
    # Of each part of the clip something is wanted, so some of the shaken half is there anyway.
    chosen = choose_frames(head_motion(track), everything(track), track, GalleryLimits(frames=120))
    assert (chosen >= 200).sum() > 1.3 * (chosen < 200).sum()


def test_the_choice_is_the_same_every_time(long_clip):
    track, motion = long_clip
    first, again = (choose_frames(motion, everything(track), track, FEW) for _ in range(2))
    assert np.array_equal(first, again)
