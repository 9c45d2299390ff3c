"""Reading ahead and writing behind: order, bounds, what goes wrong, and that no thread is ever left behind."""

import gc
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import structlog

from heygemd.errors import InputError, ResourceError
from heygemd.media.child import Child, Leash, living_pids
from heygemd.render.pipeline import Belt, ReadAhead, StoppedError, WriteBehind, frames_waiting

PATIENCE_S = 20


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Every test ends with the threads and processes that it began with."""
    before, pids = set(threading.enumerate()), living_pids()
    yield
    assert set(threading.enumerate()) == before
    assert living_pids() == pids


def until(condition):
    """Wait for what another thread does."""
    ends_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_s, "it never came"
        threading.Event().wait(0.001)


# Reading ahead -------------------------------------------------------------------------------------------------------


def test_what_is_read_comes_in_order_and_is_the_very_same():
    made = [np.full(3, i) for i in range(50)]
    with ReadAhead(lambda: iter(made), most=4) as ahead:
        got = list(ahead)
        assert list(ahead) == [], "its end stays its end"
    assert [id(one) for one in got] == [id(one) for one in made]


def test_it_reads_ahead_while_nobody_asks_but_no_further_than_it_may():
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield i

    with ReadAhead(source, most=5) as ahead:
        until(lambda: len(read) == 6)
        assert [next(ahead) for _ in range(3)] == [0, 1, 2]
        until(lambda: len(read) == 9)
    assert len(read) == 9, "five wait, one is on its way, three were taken"


def test_its_source_is_opened_used_and_closed_by_one_thread_that_is_not_ours():
    threads = []

    def source():
        try:
            threads.append(threading.get_ident())
            yield 1
            yield 2
        finally:
            threads.append(threading.get_ident())

    def open_source():
        threads.append(threading.get_ident())
        return source()

    with ReadAhead(open_source, most=1) as ahead:
        next(ahead)
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_an_error_of_the_reader_comes_after_the_frames_before_it():
    def source():
        yield 1
        yield 2
        raise InputError("E110", "the picture ends here")

    got = []
    with pytest.raises(InputError, match="ends here") as caught, ReadAhead(source, most=8) as ahead:
        got.extend(ahead)
    assert (caught.value.code, got) == ("E110", [1, 2])


def test_a_source_that_cannot_be_opened_says_so_where_it_is_read():
    def open_source():
        raise ResourceError("E201", "the share is gone")

    with pytest.raises(ResourceError, match="share is gone"), ReadAhead(open_source, most=2) as ahead:
        next(ahead)


def test_an_error_of_ours_ends_a_reader_that_waits_for_room():
    with pytest.raises(ZeroDivisionError), ReadAhead(lambda: iter(range(100)), most=1) as ahead:
        assert next(ahead) == 0
        raise ZeroDivisionError


def test_a_reader_stuck_in_a_decoder_that_says_nothing_is_ended_with_it():
    started = []

    def source():
        with Child([sys.executable, "-S", "-c", "import time; time.sleep(600)"], leash=Leash(stall_s=600)) as child:
            started.append(child.pid)
            child.stdout.fill(memoryview(bytearray(8)))
            yield 1

    other = Child(["sleep", "600"], leash=Leash(stall_s=600))
    with other:
        began_s = time.monotonic()
        with ReadAhead(source, most=1):
            until(lambda: started)
        assert time.monotonic() - began_s < PATIENCE_S
        assert living_pids() == [other.pid], "what other threads have started lives on"


def test_frames_are_let_go_as_soon_as_they_are_used():
    alive = weakref.WeakSet()

    class Frame:
        def __init__(self):
            alive.add(self)

    most_alive = 0
    with ReadAhead(lambda: (Frame() for _ in range(60)), most=4) as ahead:
        for frame in ahead:
            until(lambda: len(alive) >= 5 or ahead._belt._is_complete)
            most_alive = max(most_alive, len(alive))
            del frame
    gc.collect()
    assert most_alive <= 4 + 1 + 1, "on the belt, on its way, in our hand"
    assert not alive


def test_a_frame_that_was_taken_is_let_go_while_the_next_one_is_waited_for():
    gate = threading.Event()

    class Frame:
        pass

    def source():
        yield Frame()
        gate.wait(3 * PATIENCE_S)

    with ReadAhead(source, most=4) as ahead:
        frame = weakref.ref(next(ahead))
        until(lambda: frame() is None)
        gate.set()


def test_a_source_that_somebody_else_holds_is_closed_all_the_same():
    ended = []

    def source():
        try:
            yield from range(100)
        finally:
            ended.append(threading.get_ident())

    held = source()
    with ReadAhead(lambda: held, most=1) as ahead:
        next(ahead)
    assert len(ended) == 1
    assert ended != [threading.get_ident()]


# Writing behind ------------------------------------------------------------------------------------------------------


def test_what_is_written_comes_in_order_is_the_very_same_and_is_all_there_at_the_end():
    made, written = [np.full(3, i) for i in range(50)], []
    with WriteBehind(written.extend, most=4) as sink:
        for item in made:
            sink.put(item)
    assert [id(one) for one in written] == [id(one) for one in made]


def test_we_go_on_while_it_is_written_but_no_further_than_the_belt_is_long():
    gate, put = threading.Event(), []

    def slowly(items):
        for _ in items:
            gate.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as feeder, WriteBehind(slowly, most=3) as sink:

        def feed():
            for i in range(10):
                sink.put(i)
                put.append(i)

        fed = feeder.submit(feed)
        until(lambda: len(put) == 4)
        assert not fed.done(), "three wait, one is being written"
        gate.set()
        fed.result(PATIENCE_S)


def test_drained_means_written_and_not_merely_taken():
    gate, written = threading.Event(), []

    def slowly(items):
        for item in items:
            gate.wait(PATIENCE_S)
            written.append(item)

    with ThreadPoolExecutor(1) as opener, WriteBehind(slowly, most=3) as sink:
        sink.put(1)
        until(lambda: not sink._belt._items)
        opener.submit(lambda: (until(lambda: threading.active_count() > 2), gate.set()))
        sink.drain()
        assert written == [1]
        sink.drain()


def test_an_error_of_the_writer_comes_with_one_of_the_next_frames():
    def write(items):
        next(items)
        raise ResourceError("E202", "the disk is full")

    with pytest.raises(ResourceError, match="full") as caught, WriteBehind(write, most=2) as sink:
        for i in range(100):
            sink.put(i)
    assert caught.value.code == "E202"


@pytest.mark.parametrize("is_drained", [False, True])
def test_an_error_of_the_writer_after_the_last_frame_comes_at_the_end(is_drained):
    def write(items):
        list(items) if not is_drained else next(items)
        raise ResourceError("E202", "the disk is full")

    with pytest.raises(ResourceError, match="full"), WriteBehind(write, most=2) as sink:
        sink.put(1)
        if is_drained:
            sink.drain()


def test_an_error_of_ours_reaches_the_writer_so_that_it_keeps_nothing():
    ends = []

    def write(items):
        try:
            list(items)
        except StoppedError:
            ends.append("unfinished")
            raise
        ends.append("whole")

    with pytest.raises(ZeroDivisionError), WriteBehind(write, most=2) as sink:
        sink.put(1)
        raise ZeroDivisionError
    assert ends == ["unfinished"]


def test_our_own_error_is_the_one_that_is_heard_when_the_writer_fails_as_well():
    def write(items):
        try:
            list(items)
        finally:
            raise ResourceError("E202", "the disk is full")

    with pytest.raises(InputError, match="no face"), WriteBehind(write, most=2) as sink:
        sink.put(1)
        raise InputError("E131", "no face")


def test_a_writer_stuck_in_an_encoder_that_takes_nothing_is_ended_with_it():
    started = []

    def write(items):
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
        with Child(sleeper, leash=Leash(stall_s=600), feed=True) as child:
            for item in items:
                started.append(child.pid)
                child.write(memoryview(item))

    with pytest.raises(ZeroDivisionError), WriteBehind(write, most=2) as sink:
        sink.put(bytearray(8 << 20))
        until(lambda: started)
        raise ZeroDivisionError


def test_the_frame_that_was_written_is_let_go():
    class Frame:
        pass

    def write(items):
        for item in items:
            del item

    with WriteBehind(write, most=2) as sink:
        frame = Frame()
        seen = weakref.ref(frame)
        sink.put(frame)
        del frame
        sink.drain()
        assert seen() is None


# Both ----------------------------------------------------------------------------------------------------------------


def test_what_both_threads_log_carries_the_job():
    def bound(items):
        list(items)
        seen.append(structlog.contextvars.get_contextvars())

    def source():
        seen.append(structlog.contextvars.get_contextvars())
        yield 1

    seen = []
    with (
        structlog.contextvars.bound_contextvars(job_id="j"),
        WriteBehind(bound, most=2) as sink,
        ReadAhead(source, most=2) as ahead,
    ):
        for item in ahead:
            sink.put(item)
    assert seen == [{"job_id": "j"}] * 2


def test_what_a_thread_cost_is_known():
    def source():
        began_s = time.thread_time()
        while time.thread_time() - began_s < 0.05:
            pass
        yield 1

    with ReadAhead(source, most=2) as ahead:
        list(ahead)
        assert 0.05 <= ahead.cpu_s < PATIENCE_S


def test_whoever_waits_at_a_belt_that_is_stopped_waits_no_longer():
    belt = Belt(1)
    with ThreadPoolExecutor(1) as other:
        taker = other.submit(belt.take)
        belt.stop()
        with pytest.raises(StoppedError):
            taker.result(PATIENCE_S)
    for act in (belt.take, belt.drain, lambda: belt.put(1)):
        with pytest.raises(StoppedError):
            act()


@pytest.mark.parametrize(
    ("batch", "frame_bytes", "waiting"),
    [(8, 3_110_400, 8), (1, 3_110_400, 2), (64, 3_110_400, 21), (16, 12_441_600, 5), (16, 80_000_000, 2)],
)
def test_a_belt_is_as_long_as_a_batch_unless_that_is_too_much_memory(batch, frame_bytes, waiting):
    assert frames_waiting(batch, frame_bytes) == waiting
