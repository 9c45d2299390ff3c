"""A worker process: one engine on one device, kept warm; takes tasks from a pipe until the pipe breaks.

    python -m heygemd.render.worker --engine atlas --device cpu --tasks-fd 5 --events-fd 6

Both pipes carry one JSON object a line. The task pipe is also the leash: when its other end closes, because the
daemon stops or was killed, the worker ends at once; unfinished files keep their temporary names.
"""

import argparse
import ctypes
import errno
import os
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import structlog
import torch

from heygemd.errors import HeygemdError, ResourceError, SetupError
from heygemd.jobs.job import EngineName
from heygemd.log import LogChoice, configure
from heygemd.planning.plan import Event, EventKind, Order, Plan, Task, TaskKind, from_json, to_json
from heygemd.render.engine import LipSync
from heygemd.render.film import finish
from heygemd.render.passthrough import Passthrough
from heygemd.render.tasks import Staged, analyse, render_segment, stage

log = structlog.get_logger(__name__)

PROGRESS_EVERY_S = 0.5
LOST_DEVICE: tuple[type[Exception], ...] = tuple(
    kind for kind in (getattr(torch, "AcceleratorError", None),) if kind is not None
)
"""A CUDA fault ends the worker's context, not the film. Older torch raises a bare RuntimeError instead."""
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})


def load_engine(name: EngineName, weights: Path | None, device: str) -> LipSync:
    """Build the engine; its own imports happen here, so a worker loads only what it needs."""
    if name is EngineName.PASSTHROUGH:
        return Passthrough()
    if name is EngineName.WAV2LIP:
        from heygemd.render.wav2lip.engine import Wav2Lip  # noqa: PLC0415  # librosa is heavy; atlas needs none of it

        if weights is None:
            raise SetupError("E402", "the wav2lip engine was started without weights")
        return Wav2Lip(weights, device=device)
    from heygemd.render.atlas.engine import Atlas  # noqa: PLC0415

    return Atlas()


def usable_device(wanted: str, name: EngineName) -> str:
    """`wanted` if this build of torch can use it and the engine gains from it, else the CPU, said plainly."""
    if wanted == "cpu" or name is not EngineName.WAV2LIP:
        return "cpu"
    if torch.cuda.is_available():
        return wanted
    log.warning("device.fell_back", wanted=wanted, reason="this build of torch sees no CUDA device")
    return "cpu"


@dataclass(slots=True)
class Worker:
    """Carries out one task after the other and reports on the event pipe."""

    engine: LipSync
    device: str
    out: TextIO
    staged: Staged | None = None
    _last_progress_s: float = field(default=0.0)

    def say(self, event: Event) -> None:
        """Write one line; a worker whose daemon is gone ends without a word."""
        try:
            self.out.write(to_json(event) + "\n")
            self.out.flush()
        except BrokenPipeError:
            os._exit(0)

    def carry_out(self, task: Task) -> None:
        """Do one task; whatever happens, exactly one `done` or `failed` is said."""
        structlog.contextvars.bind_contextvars(job_id=task.job_id)
        try:
            event = self._perform(task)
        except Exception as error:  # noqa: BLE001  # the border of one task: a fault ends the task, not the worker
            event = failure(task, error)
            self.staged = None
        ended = replace(event, job_id=task.job_id, task=task.kind, segment=_index(task), device=self.device)
        self.say(replace(ended, peak_vram_bytes=_peak_vram(self.device)))
        structlog.contextvars.clear_contextvars()

    def _perform(self, task: Task) -> Event:
        def report(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._last_progress_s >= PROGRESS_EVERY_S:
                self._last_progress_s = now
                self.say(
                    Event(
                        kind=EventKind.PROGRESS, job_id=task.job_id, task=task.kind, segment=_index(task),
                        frames_done=done, frames_total=total,
                    )
                )  # fmt: skip

        text = task.order_path.read_bytes()
        if task.kind is TaskKind.ANALYSE:
            analysis, seconds = analyse(from_json(Order, text), self.engine, task.limits, report)
            return Event(kind=EventKind.DONE, analysis=analysis, seconds=seconds)
        plan = from_json(Plan, text)
        if task.kind is TaskKind.FINISH:
            seconds = finish(plan, task.limits, self.engine.version, report)
            return Event(kind=EventKind.DONE, seconds=seconds)
        if task.segment is None:
            raise ValueError("a render task needs a segment")
        if self.staged is None or self.staged.plan_hash != plan.hash:
            self.staged = None
            self.staged = stage(plan, self.engine)
        facts = render_segment(
            plan, task.segment, self.staged, batch_size=task.batch_size, limits=task.limits, report=report
        )
        count = task.segment.frame_count
        return Event(kind=EventKind.DONE, frames_done=count, frames_total=count, seconds=facts.seconds)


def _index(task: Task) -> int | None:
    return None if task.segment is None else task.segment.index


def failure(task: Task, error: Exception) -> Event:
    """Sort what went wrong into the code that the scheduler decides by."""
    code, message, trace = "E500", f"{type(error).__name__}: {error}", _plain(traceback.format_exc())
    if isinstance(error, HeygemdError):
        code, message, trace = error.code, error.message, ""
    elif isinstance(error, torch.OutOfMemoryError):
        code = ResourceError("E301", message).code
    elif isinstance(error, LOST_DEVICE):
        code = ResourceError("E302", message).code
    elif isinstance(error, OSError) and error.errno in DISK_ERRNOS:
        code = ResourceError("E202", message).code
    message = _plain(message)
    log.warning("task.failed", task=task.kind, segment=_index(task), error_code=code, reason=message)
    return Event(kind=EventKind.FAILED, error_code=code, message=message, traceback=trace)


def _plain(text: str) -> str:
    """A file name that is not UTF-8 reaches messages as lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _peak_vram(device: str) -> int:
    return torch.cuda.max_memory_reserved(device) if device.startswith("cuda") else 0


def follow_leash(fd: int) -> "queue.Queue[Task]":
    """Read tasks in a thread; the end of the pipe ends the process, whatever it is doing."""
    tasks: queue.Queue[Task] = queue.Queue()

    def read() -> None:
        # Also when a line is no task, after an upgrade below a running daemon: no worker survives its leash.
        try:
            with os.fdopen(fd, encoding="utf-8") as lines:
                for line in lines:
                    tasks.put(from_json(Task, line))
        finally:
            os._exit(0)

    threading.Thread(target=read, name="leash", daemon=True).start()
    return tasks


def main() -> None:
    """Load the engine, say READY, work."""
    parser = argparse.ArgumentParser(prog="heygemd.render.worker")
    parser.add_argument("--engine", type=EngineName, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tasks-fd", type=int, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-json", action=argparse.BooleanOptionalAction)
    args = parser.parse_args()
    # Ctrl-C on a terminal reaches the whole group; the daemon decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    configure(LogChoice(json=args.log_json, level=args.log_level))
    limit_threads()
    tasks = follow_leash(args.tasks_fd)
    with os.fdopen(args.events_fd, "w", encoding="utf-8") as out:
        device = usable_device(args.device, args.engine)
        try:
            engine = load_engine(args.engine, args.weights, device)
        except HeygemdError as error:
            out.write(to_json(Event(kind=EventKind.FAILED, error_code=error.code, message=error.message)) + "\n")
            out.flush()
            sys.exit(1)
        worker = Worker(engine=engine, device=device, out=out)
        worker.say(Event(kind=EventKind.READY, device=device))
        while True:
            worker.carry_out(tasks.get())


def limit_threads() -> None:
    """Leave cores to the decoder and the encoder that run beside this process."""
    import cv2  # noqa: PLC0415  # beside its only use

    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(max(1, cores // 2))
    cv2.setNumThreads(max(1, cores // 4))
    # glibc keeps an arena per thread, and frames of some MB each would pile up in every one of them.
    m_arena_max = -8  # malloc.h
    ctypes.CDLL(None).mallopt(m_arena_max, 2)


if __name__ == "__main__":
    main()
