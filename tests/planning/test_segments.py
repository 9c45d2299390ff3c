"""Segments: a cut is a gapless partition, even but for edges that moved to a welcome place."""

from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heygemd.planning.segments import PLAY, Places, Segment, cut

frame_counts = st.integers(1, 4_000)
piece_lengths = st.integers(1, 6_000)
worker_counts = st.integers(1, 12)


@st.composite
def places(draw: st.DrawFn) -> Places:
    lap = draw(st.integers(1, 500))
    return Places(tuple(sorted(draw(st.sets(st.integers(0, lap - 1), max_size=12)))), lap)


welcome_places = st.lists(places(), max_size=2)


def lengths(segments: tuple[Segment, ...]) -> list[int]:
    return [segment.frame_count for segment in segments]


def only(*frames: int) -> Places:
    """Places of a film that has no laps."""
    return Places(frames, 1_000_000)


# What always holds ------------------------------------------------------------------------------------------------


@given(frame_counts, piece_lengths, piece_lengths, worker_counts, welcome_places)
@settings(max_examples=150, deadline=None)
def test_segments_cover_every_frame_once_in_order(
    frame_count: int, longest: int, shortest: int, workers: int, welcome: list[Places]
) -> None:
    segments = cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=welcome)
    assert segments[0].start == 0
    assert segments[-1].stop == frame_count
    assert all(a.stop == b.start for a, b in pairwise(segments))
    assert [segment.index for segment in segments] == list(range(len(segments)))


@given(frame_counts, piece_lengths, piece_lengths, worker_counts, welcome_places)
@settings(max_examples=150, deadline=None)
@example(4_000, 500, 400, 3, [Places((1,), 2)])
def test_no_segment_is_too_long_and_none_too_short_unless_the_longest_demands_it(
    frame_count: int, longest: int, shortest: int, workers: int, welcome: list[Places]
) -> None:
    found = lengths(cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=welcome))
    assert min(found) >= 1
    assert max(found) <= longest
    fewest = -(-frame_count // longest)
    assert min(found) >= min(shortest, frame_count // fewest)


@given(frame_counts, piece_lengths, piece_lengths, worker_counts, welcome_places)
@settings(max_examples=60, deadline=None)
def test_the_same_film_is_always_cut_the_same_way(
    frame_count: int, longest: int, shortest: int, workers: int, welcome: list[Places]
) -> None:
    once = cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=welcome)
    assert cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=tuple(welcome)) == once


@given(frame_counts, piece_lengths, piece_lengths, worker_counts)
@settings(max_examples=100, deadline=None)
def test_without_a_place_all_segments_are_equally_long(
    frame_count: int, longest: int, shortest: int, workers: int
) -> None:
    nowhere = [Places((), 7), only(10**5)]
    found = lengths(cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=nowhere[:1]))
    assert max(found) - min(found) <= 1
    far = lengths(cut(frame_count, longest, min_frames=shortest, workers=workers, welcome=nowhere))
    assert max(far) - min(far) <= 1


@pytest.mark.parametrize(("frame_count", "max_frames"), [(0, 10), (10, 0), (-1, 5)])
def test_nothing_cannot_be_cut(frame_count: int, max_frames: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        cut(frame_count, max_frames)


@given(st.integers(0, 99_998))
@settings(max_examples=60, deadline=None)
def test_file_names_sort_like_segments(index: int) -> None:
    assert Segment(index, 0, 1).file_name < Segment(index + 1, 0, 1).file_name


# How many ---------------------------------------------------------------------------------------------------------


@given(frame_counts, piece_lengths, piece_lengths)
@settings(max_examples=60, deadline=None)
def test_one_worker_gets_as_few_segments_as_possible(frame_count: int, longest: int, shortest: int) -> None:
    pieces = len(cut(frame_count, longest, min_frames=shortest))
    assert (pieces - 1) * longest < frame_count <= pieces * longest


@given(frame_counts, piece_lengths, welcome_places)
@settings(max_examples=60, deadline=None)
def test_what_one_worker_makes_in_one_go_is_not_cut(frame_count: int, spare: int, welcome: list[Places]) -> None:
    assert cut(frame_count, frame_count + spare, welcome=welcome) == (Segment(0, 0, frame_count),)


@given(frame_counts, piece_lengths, piece_lengths, st.integers(2, 12))
@settings(max_examples=150, deadline=None)
def test_all_workers_are_busy_to_the_end(frame_count: int, longest: int, shortest: int, workers: int) -> None:
    pieces = len(cut(frame_count, longest, min_frames=shortest, workers=workers))
    fewest = -(-frame_count // longest)
    most = max(fewest, frame_count // shortest)
    if most < workers:
        assert pieces == most, "the film is too short for all of them"
    elif most >= max(2, -(-fewest // workers)) * workers:
        assert pieces % workers == 0
        assert pieces // workers >= 2
        assert pieces // workers <= max(3, -(-fewest // workers))
    else:
        assert pieces in (workers, most)


@pytest.mark.parametrize(
    ("film_s", "workers", "pieces"),
    [(5, 4, 1), (20, 4, 2), (60, 1, 1), (60, 2, 6), (60, 3, 6), (60, 4, 4), (240, 2, 6), (3600, 2, 60), (3600, 8, 64)],
)
def test_films_of_a_queue_are_cut_into_so_many(film_s: int, workers: int, pieces: int) -> None:
    assert len(cut(25 * film_s, 25 * 60, min_frames=25 * 8, workers=workers)) == pieces


# Where ------------------------------------------------------------------------------------------------------------


def test_seven_frames_in_threes_are_cut_like_this() -> None:
    assert cut(7, 3) == (Segment(0, 0, 2), Segment(1, 2, 4), Segment(2, 4, 7))


@given(st.integers(2, 8), st.integers(80, 300), st.data())
@settings(max_examples=100, deadline=None)
def test_a_place_near_an_edge_is_used(pieces: int, length: int, data: st.DataObject) -> None:
    frame_count, reach = pieces * length, length // 8
    edges = range(length, frame_count, length)
    frames = tuple(data.draw(st.integers(edge - reach, edge + reach)) for edge in edges)
    segments = cut(frame_count, length * 5 // 4, min_frames=length * 3 // 4, welcome=[only(*frames)])
    assert [segment.start for segment in segments[1:]] == list(frames)


@pytest.mark.parametrize("away", [14, -14, 50])
def test_a_place_that_is_too_far_away_is_left_alone(away: int) -> None:
    reach = 13  # an eighth of 105
    assert cut(210, 150, welcome=[only(105 + away)])[1].start == 105
    assert cut(210, 150, welcome=[only(105 + reach)])[1].start == 105 + reach


def test_a_scene_is_better_than_a_pause_and_a_pause_than_nothing() -> None:
    scene, pause = only(110), only(104)
    assert cut(210, 150, welcome=[scene, pause])[1].start == 110
    assert cut(210, 150, welcome=[only(), pause])[1].start == 104
    assert cut(210, 150, welcome=[only(), only()])[1].start == 105


def test_of_two_places_of_a_kind_the_nearer_one_is_used() -> None:
    assert cut(210, 150, welcome=[only(100, 109, 117)])[1].start == 109


def test_an_edge_between_two_full_pieces_has_room_when_there_are_places() -> None:
    assert len(cut(10_000, 1_000)) == 10
    places = only(*range(0, 10_000, 90))
    segments = cut(10_000, 1_000, welcome=[places])
    assert len(segments) == 12
    assert all(segment.start in places.frames for segment in segments)


def test_places_that_bring_two_edges_too_far_apart_are_not_both_used() -> None:
    segments = cut(300, 120, min_frames=80, welcome=[only(88, 212)])
    assert lengths(segments) == [88, 112, 100]


@given(
    st.integers(20, 90), st.integers(8, 40), st.integers(1, 20), st.lists(st.integers(1, 89), max_size=8, unique=True)
)
@settings(max_examples=100, deadline=None)
@example(60, 30, 1, [19, 21, 40, 42])
def test_no_other_cut_near_the_even_edges_uses_more_places(
    frame_count: int, longest: int, shortest: int, frames: list[int]
) -> None:
    segments = cut(frame_count, longest, min_frames=shortest, welcome=[only(*sorted(frames))])
    pieces = len(segments)
    even = [i * frame_count // pieces for i in range(1, pieces)]
    reach = int(PLAY * Fraction(frame_count, pieces))
    choices = [[edge, *(f for f in frames if abs(f - edge) <= reach)] for edge in even]
    least = min(shortest, frame_count // pieces)
    possible = [
        sum(edge in frames for edge in edges)
        for edges in product(*choices)
        if all(least <= b - a <= longest for a, b in pairwise((0, *edges, frame_count)))
    ]
    assert sum(segment.start in frames for segment in segments[1:]) == max(possible)


def test_four_hours_of_flicker_are_cut_evenly() -> None:
    flicker = Places(tuple(range(50)), 50)
    found = lengths(cut(4 * 3600 * 60, 60 * 60, min_frames=8 * 60, workers=8, welcome=[flicker, flicker]))
    assert max(found) - min(found) <= 1
    assert len(found) == 280


# Places -----------------------------------------------------------------------------------------------------------


@given(places(), st.integers(0, 3_000), st.integers(0, 900))
@settings(max_examples=100, deadline=None)
def test_places_come_again_with_every_lap(places: Places, start: int, count: int) -> None:
    expected = [frame for frame in range(start, start + count) if frame % places.lap_frames in places.frames]
    assert list(places.within(start, start + count)) == expected
