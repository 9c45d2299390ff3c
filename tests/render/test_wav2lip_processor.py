"""On the processor every batch has one size, and nobody waits before there is something to wait for."""

import threading

import numpy as np
import pytest
import torch

from heygemd.render.wav2lip.generator import Generator
from heygemd.render.wav2lip.processor import BATCH, Processor, by_torch
from tests.render.wav2lip_rig import folded, some_faces


def brighter(windows, faces):
    """Stand for a network: the sound and the place in the batch show in the picture."""
    assert len(windows) == len(faces) == BATCH
    return (faces[:, 48:] + windows[:, :1, :1, None]).astype(np.float32)


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_any_number_of_faces_comes_back_in_order(count):
    windows, faces = some_faces(count)
    painted = Generator(Processor(brighter, "float32")).paint(windows, faces, batch_frames=count)
    assert painted.shape == (count, 48, 96, 3)
    assert np.array_equal(painted, faces[:, 48:] + windows[:, :1, :1, None])


def test_no_face_is_no_work():
    def never(windows, faces):
        raise AssertionError

    windows, faces = some_faces(0)
    assert Generator(Processor(never, "float32")).paint(windows, faces, batch_frames=16).shape == (0, 48, 96, 3)


def test_a_face_looks_the_same_with_whatever_others_it_is_painted():
    painter = Generator(Processor(by_torch(folded(), "float32"), "float32"))
    windows, faces = some_faces(BATCH + 2)
    together = painter.paint(windows, faces, batch_frames=16)
    for some in (slice(0, 1), slice(3, 6), slice(BATCH, BATCH + 2)):
        alone = painter.paint(windows[some], faces[some], batch_frames=2)
        assert np.array_equal(alone, together[some])


def test_submitting_waits_for_nothing_and_waiting_waits():
    gate, seen = threading.Event(), []

    def held(windows, faces):
        assert gate.wait(10)
        seen.append(threading.current_thread().name)
        return brighter(windows, faces)

    painter = Generator(Processor(held, "float32"))
    windows, faces = some_faces(2 * BATCH)
    first = painter.submit(windows[:3], faces[:3], batch_frames=16)
    second = painter.submit(windows, faces, batch_frames=16)
    assert not seen
    gate.set()
    assert len(second()) == 2 * BATCH
    assert len(first()) == 3
    assert len(seen) == 3
    assert threading.current_thread().name not in seen


def test_what_goes_wrong_is_raised_to_who_waits_and_later_work_is_done():
    faults = [MemoryError("no more")]

    def failing(windows, faces):
        if faults:
            raise faults.pop()
        return brighter(windows, faces)

    painter = Generator(Processor(failing, "float32"))
    begun = painter.submit(*some_faces(1), batch_frames=1)
    with pytest.raises(MemoryError):
        begun()
    assert len(painter.paint(*some_faces(1), batch_frames=1)) == 1


def test_its_thread_computes_with_as_many_threads_as_the_worker_was_given():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        counts = []

        def counting(windows, faces):
            counts.append(torch.get_num_threads())
            return brighter(windows, faces)

        Generator(Processor(counting, "float32")).paint(*some_faces(1), batch_frames=1)
        assert counts == [3]
    finally:
        torch.set_num_threads(before)
