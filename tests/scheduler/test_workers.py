"""LocalWorkers with real processes: small stand-ins for the worker that obey, fall silent, or babble."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from heygemd.errors import ResourceError
from heygemd.jobs.job import EngineName
from heygemd.log import LogChoice
from heygemd.planning.plan import EngineChoice, Event, EventKind, Task, TaskKind
from heygemd.scheduler.fake_workers import FakeWorkers, done
from heygemd.scheduler.workers import LINE_LIMIT_BYTES, Ended, LocalWorkers, WorkerPool
from tests.processes import is_alive

ENGINE = EngineChoice(name=EngineName.WAV2LIP, weights=Path("/m/the weights.pth"))
TASK = Task(job_id="j", kind=TaskKind.ANALYSE, order_path=Path("/s/order.json"))
PATIENCE_S = 10.0

PREAMBLE = """
import argparse, json, os, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
for name in ("--engine", "--weights", "--device", "--torch-device", "--log-level"): parser.add_argument(name)
for name in ("--tasks-fd", "--events-fd", "--threads"): parser.add_argument(name, type=int)
args, left = parser.parse_known_args()
def say(kind, **facts): os.write(args.events_fd, (json.dumps({"kind": kind, **facts}) + "\\n").encode())
def tasks(): yield from os.fdopen(args.tasks_fd)
"""
OBEY = """
say("ready", device=args.device, message=f"{args.engine} {args.weights} {args.log_level}")
for line in tasks():
    task = json.loads(line)
    say("done", job_id=task["job_id"], task=task["kind"])
"""


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class Crowd:
    """A pool of stand-ins, and everything they said."""

    def __init__(self, script: str, clock: Callable[[], float] = time.monotonic, **choice: Any) -> None:
        command = (sys.executable, "-S", "-c", PREAMBLE + script)
        self.pool = LocalWorkers(command=command, clock=clock, **({"logs": LogChoice(level="debug")} | choice))
        self.heard: list[tuple[int, Event | Ended]] = []

    def until(self, is_enough: Callable[[list[Event | Ended]], object]) -> list[Event | Ended]:
        """Listen until what was said is enough; returns it without the speakers."""
        ends_s = time.monotonic() + PATIENCE_S
        while not is_enough(said := [thing for _, thing in self.heard]):
            assert time.monotonic() < ends_s, f"only heard {said}"
            self.pool.wait(0.05)
            self.heard += self.pool.events()
        return said

    def until_ended(self) -> Ended:
        (*_, last) = self.until(lambda said: any(isinstance(thing, Ended) for thing in said))
        assert isinstance(last, Ended)
        return last


@pytest.fixture(autouse=True)
def no_choice_of_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def crowd() -> Iterator[Callable[..., Crowd]]:
    crowds: list[Crowd] = []

    def open_crowd(script: str, clock: Callable[[], float] = time.monotonic, **choice: Any) -> Crowd:
        crowds.append(Crowd(script, clock, **choice))
        return crowds[-1]

    descriptors = open_descriptors()
    yield open_crowd
    for opened in crowds:
        opened.pool.close()
        assert opened.pool.filenos() == ()
    assert open_descriptors() == descriptors


def kinds(said: list[Event | Ended]) -> list[EventKind]:
    return [thing.kind for thing in said if isinstance(thing, Event)]


def process_of(worker_device: str) -> psutil.Process:
    """Find the stand-in that was started for this device."""
    return next(process for process in psutil.Process().children() if worker_device in process.cmdline())


def test_a_worker_is_told_what_computes_and_where_measurements_are_kept(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY, backend="openvino", cache_dir=Path("/state/the cache"))
    some.pool.start(ENGINE, "cuda:7")
    some.until(lambda said: said)
    words = process_of("cuda:7").cmdline()
    assert [words[words.index(name) + 1] for name in ("--backend", "--cache")] == ["openvino", "/state/the cache"]


def test_a_worker_is_started_as_the_protocol_says_and_answers_its_task(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY)
    worker = some.pool.start(ENGINE, "cuda:1")
    some.pool.send(worker, TASK)
    said = some.until(lambda said: len(said) == 2)
    assert said[0] == Event(kind=EventKind.READY, device="cuda:1", message="wav2lip /m/the weights.pth debug")
    assert said[1] == done(TASK)
    assert {speaker for speaker, _ in some.heard} == {worker}


SIGHT = """
visible = os.environ.get("CUDA_VISIBLE_DEVICES")
say("ready", device=args.device, message=f"{args.torch_device} {visible!r} {args.threads}")
for line in tasks(): pass
"""


@pytest.mark.parametrize(
    ("device", "visible", "sight"),
    [
        ("cuda:1", None, "cuda:0 'GPU-bbbb' None"),
        ("cuda:1", "3,1", "cuda:0 'GPU-bbbb' None"),
        ("cuda:2", None, "cuda:2 None None"),
        ("cuda:2", "3,1,0", "cuda:2 '3,1,0' None"),
        ("cpu", None, "cpu '' None"),
        ("cpu", "3,1", "cpu '' None"),
    ],
)
def test_a_worker_sees_its_own_card_and_no_other(
    crowd: Callable[..., Crowd], monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, sight: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    some = crowd(SIGHT, uuids={"cuda:0": "GPU-aaaa", "cuda:1": "GPU-bbbb"})
    some.pool.start(ENGINE, device)
    assert some.until(len) == [Event(kind=EventKind.READY, device=device, message=sight)]


def test_a_worker_is_told_how_many_cores_it_may_count_on(crowd: Callable[..., Crowd]) -> None:
    some = crowd(SIGHT, threads=3)
    some.pool.start(ENGINE, "cpu")
    (ready,) = some.until(len)
    assert isinstance(ready, Event)
    assert ready.message.endswith(" 3")


def test_the_process_of_a_worker_is_known_until_its_end_was_told(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY)
    worker = some.pool.start(ENGINE, "cuda:7")
    some.until(len)
    assert some.pool.pids() == {worker: process_of("cuda:7").pid}
    some.pool.stop(worker)
    some.until_ended()
    assert some.pool.pids() == {}


def test_a_fake_is_in_no_process_unless_the_test_says_so() -> None:
    pool = FakeWorkers()
    worker = pool.start(ENGINE, "cpu")
    assert pool.pids() == {}
    pool.known_pids[worker] = 4711
    assert pool.pids() == {worker: 4711}
    pool.kill(worker)
    assert pool.pids() == {}


def test_the_end_of_the_leash_ends_a_worker(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY)
    some.pool.stop(some.pool.start(ENGINE, "cpu"))
    assert some.until_ended() == Ended(returncode=0, reason="stopped by the daemon")


def test_what_a_worker_said_before_its_death_is_heard_first(crowd: Callable[..., Crowd]) -> None:
    some = crowd('say("ready"); say("failed", error_code="E405"); os.kill(os.getpid(), signal.SIGSEGV)')
    some.pool.start(ENGINE, "cpu")
    ended = some.until_ended()
    assert kinds([thing for _, thing in some.heard]) == [EventKind.READY, EventKind.FAILED]
    assert ended == Ended(returncode=-signal.SIGSEGV)
    assert "signal 11" in str(ended)
    assert some.pool.events() == []


def test_a_worker_killed_from_outside_is_noticed_at_once(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY)
    some.pool.start(ENGINE, "cuda:7")
    some.until(len)
    process_of("cuda:7").kill()
    began_s = time.monotonic()
    some.pool.wait(PATIENCE_S)
    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert some.until_ended() == Ended(returncode=-signal.SIGKILL)


def test_a_kill_takes_grandchildren_in_other_sessions_along(crowd: Callable[..., Crowd]) -> None:
    some = crowd(
        'child = subprocess.Popen(["sleep", "60"], start_new_session=True)\n'
        'say("ready", message=str(child.pid)); time.sleep(60)'
    )
    worker = some.pool.start(ENGINE, "cpu")
    (ready,) = some.until(len)
    assert isinstance(ready, Event)
    grandchild = psutil.Process(int(ready.message))
    some.pool.kill(worker)
    assert some.until_ended().returncode == -signal.SIGKILL
    psutil.wait_procs([grandchild], timeout=PATIENCE_S)
    assert not is_alive(grandchild.pid)


def test_a_worker_that_ignores_the_leash_and_sigterm_is_killed_in_the_end(crowd: Callable[..., Crowd]) -> None:
    now_s = 0.0
    some = crowd(
        'signal.signal(signal.SIGTERM, lambda *_: say("progress")); say("ready")\nwhile True: time.sleep(60)',
        lambda: now_s,
    )
    worker = some.pool.start(ENGINE, "cpu")
    some.until(len)
    some.pool.stop(worker)
    assert some.pool.events() == []
    now_s = 2.0
    some.until(lambda said: EventKind.PROGRESS in kinds(said))
    now_s = 5.0
    assert some.until_ended() == Ended(returncode=-signal.SIGKILL, reason="stopped by the daemon")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('os.write(args.events_fd, b"hello\\n"); time.sleep(60)', "said something that is no event"),
        ('os.write(args.events_fd, b"\\xff\\xfe\\n"); time.sleep(60)', "said something that is no event"),
        (f'for _ in range({LINE_LIMIT_BYTES >> 10}): os.write(args.events_fd, b"x" * 1025)\ntime.sleep(60)',
         "said a line without end"),
    ],
    ids=["no JSON", "no UTF-8", "no end"],
)  # fmt: skip
def test_a_worker_that_babbles_is_killed(crowd: Callable[..., Crowd], script: str, reason: str) -> None:
    some = crowd(script)
    some.pool.start(ENGINE, "cpu")
    ended = some.until_ended()
    assert ended.returncode == -signal.SIGKILL
    assert reason in ended.reason


def test_a_worker_that_reads_no_tasks_is_killed_and_never_blocks_the_daemon(crowd: Callable[..., Crowd]) -> None:
    some = crowd('say("ready"); time.sleep(60)')
    worker = some.pool.start(ENGINE, "cpu")
    for _ in range(1000):
        some.pool.send(worker, TASK)
    assert "did not read" in some.until_ended().reason


def test_a_worker_that_closes_its_events_but_lives_on_is_killed(crowd: Callable[..., Crowd]) -> None:
    now_s = 0.0
    some = crowd('say("ready"); os.close(args.events_fd); time.sleep(60)', lambda: now_s)
    some.pool.start(ENGINE, "cpu")
    some.until(len)
    ends_s = time.monotonic() + PATIENCE_S
    while len(some.pool.filenos()) > 1 and time.monotonic() < ends_s:
        assert some.pool.events() == []
    now_s = 5.0
    assert some.until_ended().returncode == -signal.SIGKILL


def test_half_a_line_waits_for_its_end(crowd: Callable[..., Crowd]) -> None:
    begin, end = "os.write(args.events_fd, b'{\"kind\":')", "os.write(args.events_fd, b' \"ready\"}\\n')"
    some = crowd(f"{begin}\nnext(tasks())\n{end}\ntime.sleep(60)")
    worker = some.pool.start(ENGINE, "cpu")
    some.pool.wait(PATIENCE_S)
    assert some.pool.events() == []
    some.pool.send(worker, TASK)
    assert some.until(len) == [Event(kind=EventKind.READY)]


def test_two_workers_keep_their_own_leashes(crowd: Callable[..., Crowd]) -> None:
    some = crowd(OBEY)
    first, second = some.pool.start(ENGINE, "cuda:0"), some.pool.start(ENGINE, "cuda:1")
    some.until(lambda said: len(said) == 2)
    some.pool.stop(first)
    some.until_ended()
    some.pool.send(first, TASK)
    some.pool.send(second, TASK)
    some.until(lambda said: done(TASK) in said)
    assert (second, done(TASK)) in some.heard


def test_the_death_of_the_daemon_ends_its_workers() -> None:
    """A daemon killed with SIGKILL can clean nothing up: the leash breaks by itself."""
    daemon = f"""
import os, signal, sys, time
from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice
from heygemd.scheduler.workers import LocalWorkers
pool = LocalWorkers(command=(sys.executable, "-S", "-c", {PREAMBLE + OBEY!r}))
pool.start(EngineChoice(name=EngineName.ATLAS), "cpu")
while not (events := pool.events()): pool.wait(1)
import psutil
print(psutil.Process().children()[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with psutil.Popen([sys.executable, "-c", daemon], stdout=-1) as process:
        worker = int(process.stdout.readlines()[-1])
        process.wait(PATIENCE_S)
    ends_s = time.monotonic() + PATIENCE_S
    while is_alive(worker):
        assert time.monotonic() < ends_s, "the worker outlived its daemon"


def test_a_worker_that_cannot_be_started_is_a_fault_of_the_machine() -> None:
    descriptors = open_descriptors()
    pool = LocalWorkers(command=("/nowhere/python",))
    with pytest.raises(ResourceError) as caught:
        pool.start(ENGINE, "cpu")
    assert caught.value.code == "E302"
    assert open_descriptors() == descriptors


def test_what_a_worker_prints_is_told_by_the_log_and_does_not_reach_our_stdout(
    crowd: Callable[..., Crowd], capfd: pytest.CaptureFixture[str]
) -> None:
    some = crowd('print("from a library", flush=True); os.write(2, b"and from \\xff C"); say("ready")')
    with capture_logs() as logs:
        worker = some.pool.start(ENGINE, "cpu")
        some.until_ended()
    (wrote,) = [line for line in logs if line["event"] == "worker.wrote"]
    assert (wrote["worker"], wrote["log_level"]) == (worker, "warning")
    assert wrote["printed"] == "from a library\nand from \\xff C"
    assert "from a library" not in capfd.readouterr().out


def test_what_a_worker_prints_is_told_while_it_works(crowd: Callable[..., Crowd]) -> None:
    some = crowd('print("slow down", flush=True)\n' + OBEY, clock=lambda: 10 * time.monotonic())
    with capture_logs() as logs:
        worker = some.pool.start(ENGINE, "cpu")
        some.until(lambda _: any(line["event"] == "worker.wrote" for line in logs))
        some.pool.send(worker, TASK)
        some.until(lambda said: done(TASK) in said)


def test_the_last_words_of_a_crash_are_an_error_of_the_log(crowd: Callable[..., Crowd]) -> None:
    some = crowd('raise ImportError("libcuda.so.1: no such file")')
    with capture_logs() as logs:
        some.pool.start(ENGINE, "cpu")
        assert some.until_ended().returncode == 1
    (wrote,) = [line for line in logs if line["event"] == "worker.wrote"]
    assert wrote["log_level"] == "error"
    assert wrote["printed"].endswith("ImportError: libcuda.so.1: no such file")


def test_a_worker_logs_as_the_daemon_does_and_to_the_same_places(
    crowd: Callable[..., Crowd], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "debug \udcff.jsonl"
    some = crowd('os.write(int(left[left.index("--log-fd") + 1]), b"to the log"); say("ready", message=ascii(left))',
                 logs=LogChoice(level="debug", file=file))  # fmt: skip
    some.pool.start(ENGINE, "cpu")
    (ready, *_) = some.until(len)
    assert isinstance(ready, Event)
    assert "'--log-sink', 'json'" in ready.message
    assert ascii(str(file)) in ready.message
    some.until_ended()
    assert capfd.readouterr().err == "to the log"


@pytest.mark.parametrize("is_real", [True, False], ids=["processes", "fakes"])
def test_processes_and_fakes_end_alike(crowd: Callable[..., Crowd], is_real: bool) -> None:
    pool: WorkerPool = crowd(OBEY).pool if is_real else FakeWorkers()
    first, second = pool.start(ENGINE, "cuda:0"), pool.start(ENGINE, "cuda:1")

    def two_things() -> list[tuple[int, Event | Ended]]:
        said: list[tuple[int, Event | Ended]] = []
        ends_s = time.monotonic() + PATIENCE_S
        while len(said) < 2:
            assert time.monotonic() < ends_s
            pool.wait(0.05)
            said += pool.events()
        return sorted(said, key=lambda pair: pair[0])

    assert [(worker, thing.device) for worker, thing in two_things() if isinstance(thing, Event)] == [
        (first, "cuda:0"),
        (second, "cuda:1"),
    ]
    pool.kill(first)
    pool.stop(second)
    pool.send(first, TASK)
    for act in (pool.kill, pool.stop, lambda nobody: pool.send(nobody, TASK)):
        act(99)
    assert two_things() == [
        (first, Ended(returncode=-signal.SIGKILL, reason="killed by the daemon")),
        (second, Ended(returncode=0, reason="stopped by the daemon")),
    ]
    pool.close()
    assert pool.events() == []
    assert pool.filenos() == ()
