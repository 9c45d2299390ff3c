"""Segments: a cut is a gapless, even partition."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.planning.segments import Segment, cut

frame_counts = st.integers(1, 4_000)
piece_lengths = st.integers(1, 6_000)


@given(frame_counts, piece_lengths)
@settings(max_examples=60, deadline=None)
def test_segments_cover_every_frame_once_in_order(frame_count: int, max_frames: int) -> None:
    segments = cut(frame_count, max_frames)
    assert segments[0].start == 0
    assert segments[-1].stop == frame_count
    assert all(a.stop == b.start for a, b in pairwise(segments))
    assert [segment.index for segment in segments] == list(range(len(segments)))


@given(frame_counts, piece_lengths)
@settings(max_examples=60, deadline=None)
def test_no_segment_is_too_long_or_a_useless_stub(frame_count: int, max_frames: int) -> None:
    lengths = {segment.frame_count for segment in cut(frame_count, max_frames)}
    assert min(lengths) >= 1
    assert max(lengths) <= max_frames
    assert max(lengths) - min(lengths) <= 1


@given(frame_counts, piece_lengths)
@settings(max_examples=60, deadline=None)
def test_there_are_as_few_segments_as_possible(frame_count: int, max_frames: int) -> None:
    pieces = len(cut(frame_count, max_frames))
    assert (pieces - 1) * max_frames < frame_count <= pieces * max_frames


def test_seven_frames_in_threes_are_cut_like_this() -> None:
    assert cut(7, 3) == (Segment(0, 0, 2), Segment(1, 2, 4), Segment(2, 4, 7))


@pytest.mark.parametrize(("frame_count", "max_frames"), [(0, 10), (10, 0), (-1, 5)])
def test_nothing_cannot_be_cut(frame_count: int, max_frames: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        cut(frame_count, max_frames)


@given(st.integers(0, 99_998))
@settings(max_examples=60, deadline=None)
def test_file_names_sort_like_segments(index: int) -> None:
    assert Segment(index, 0, 1).file_name < Segment(index + 1, 0, 1).file_name
