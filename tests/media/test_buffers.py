"""Memory is lent again exactly when nobody can see it any more."""

import threading

import numpy as np

from heygemd.media import buffers
from heygemd.media.buffers import FrameBuffers

SIZE = 1000


def address(view: object) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)  # type: ignore[call-overload]


def test_a_buffer_that_nobody_holds_is_lent_again() -> None:
    lender = FrameBuffers(SIZE)
    places = set()
    for _ in range(20):
        view = lender.take()
        assert len(view) == SIZE
        places.add(address(view))
        del view
    assert len(places) == 1


def test_whatever_is_made_of_a_frame_keeps_its_memory() -> None:
    lender = FrameBuffers(SIZE)
    makers = {
        "view": lambda frame: frame,
        "slice of a shaped array": lambda frame: np.frombuffer(frame, np.uint8).reshape(20, 50)[3:5, ::2],
        "bytes of an array": lambda frame: np.frombuffer(frame, np.uint8).data,
    }
    held = {name: make(lender.take()) for name, make in makers.items()}
    places = [address(lender.take()) for _ in range(5)]
    assert len(set(places)) == 1, "only the fourth is free"
    for name, thing in held.items():
        memory = np.asarray(thing)
        assert not memory.ctypes.data <= places[0] < memory.ctypes.data + SIZE, name


def test_what_another_thread_holds_is_not_lent() -> None:
    lender = FrameBuffers(SIZE)
    is_held, may_go = threading.Event(), threading.Event()
    belt = [np.frombuffer(lender.take(), np.uint8)]
    place = belt[0].ctypes.data

    def hold() -> None:
        frame = belt.pop()
        is_held.set()
        may_go.wait(5)
        assert frame[0] == 7

    belt[0][:] = 7
    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(5)
    other = lender.take()
    assert address(other) != place
    other[:] = bytes(SIZE)
    del other
    may_go.set()
    thread.join()
    assert place in {address(view) for view in (lender.take(), lender.take())}


def test_more_frames_than_are_tracked_have_memory_of_their_own() -> None:
    lender = FrameBuffers(SIZE)
    held = [lender.take() for _ in range(buffers.MOST_TRACKED + 10)]
    for number, view in enumerate(held):
        view[:2] = number.to_bytes(2)
    assert [int.from_bytes(view[:2]) for view in held] == list(range(len(held)))
    assert len(lender._lent) == buffers.MOST_TRACKED
