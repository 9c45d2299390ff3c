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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TextIO

import structlog
import torch

from heygemd.errors import HeygemdError, SetupError
from heygemd.jobs.job import EngineName
from heygemd.log import add_arguments, choice_of, configure
from heygemd.media.child import absolute_only
from heygemd.media.encoders import EncoderPlace, blamed_on
from heygemd.planning.plan import Event, EventKind, Order, Plan, Task, TaskKind, from_json, to_json
from heygemd.render.analysis import analyse
from heygemd.render.encoder_choice import EncoderChoice, card_index
from heygemd.render.engine import LipSync, Weights
from heygemd.render.film import finish
from heygemd.render.footprint import Footprint
from heygemd.render.passthrough import Passthrough
from heygemd.render.shortage import is_device_fault, shortage_of
from heygemd.render.tasks import Staged, render_segment, stage

log = structlog.get_logger(__name__)

PROGRESS_EVERY_S = 0.5
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})

LARGEST_CPU_BATCH = 8
"""The wav2lip network takes eight at once on a CPU, atlas one. More of them make the decoder and the encoder beside it
wait: 250 frames of 1080p with wav2lip on two cores took 8.1 s in batches of 16, and 6.5 s in batches of eight."""

Loader = Callable[[EngineName, Weights | None, str], LipSync]


def load_engine(name: EngineName, weights: Weights | None, device: str) -> LipSync:
    """Build the engine; its own imports happen here, so a worker loads only what it needs."""
    if name is EngineName.PASSTHROUGH:
        return Passthrough()
    if name is EngineName.WAV2LIP:
        from heygemd.render.wav2lip.engine import Wav2Lip  # noqa: PLC0415

        if weights is None:
            raise SetupError("E402", "the wav2lip engine was started without weights")
        return Wav2Lip(
            weights.path, device=device, sha256=weights.sha256, backend=weights.backend, cache_dir=weights.cache_dir
        )
    from heygemd.render.atlas.engine import Atlas  # noqa: PLC0415

    return Atlas()


def usable_device(wanted: str, name: EngineName) -> str:
    """`wanted` if torch can use it and the engine gains from it, else the CPU, said plainly.

    A card too full for the driver to begin with is no reason to do without it: that is raised as torch says it.
    """
    if wanted == "cpu" or name is not EngineName.WAV2LIP:
        return "cpu"
    if torch.cuda.is_available():
        return wanted
    reason = "torch sees no CUDA device"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # `is_available` never says why not; this does
    except (RuntimeError, AssertionError) as error:
        if shortage_of(error):
            raise
        reason = str(error).partition("\n")[0]
    log.warning("device.fell_back", wanted=wanted, reason=reason)
    return "cpu"


@dataclass(slots=True)
class Worker:
    """Carries out one task after the other and reports on the event pipe."""

    engine: LipSync
    device: str
    out: TextIO
    footprint: Footprint = field(default_factory=lambda: Footprint("cpu"))
    encoders: EncoderChoice = field(default_factory=lambda: EncoderChoice(place=EncoderPlace()))
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
        self.footprint.reset()
        try:
            event = self.perform(task)
        except Exception as error:  # noqa: BLE001  # the border of one task: a fault ends the task, not the worker
            self.staged = None
            if shortage_of(error):
                self.footprint.give_back(error)
            event = failure(task, error)
        ended = replace(event, job_id=task.job_id, task=task.kind, segment=_index(task), device=self.device)
        self.say(replace(ended, **asdict(self.footprint.read())))
        structlog.contextvars.clear_contextvars()

    def perform(self, task: Task) -> Event:
        """Do the task; what it raises becomes `failed`."""

        def report(done: int, total: int) -> None:
            self.footprint.sample()
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
            analysis, seconds, cached = analyse(
                from_json(Order, text), self.engine, task.limits, report, self.footprint.torch_device,
                settle_encoder=self.encoders.settle, card=self._card(task),
            )  # fmt: skip
            return Event(kind=EventKind.DONE, analysis=analysis, seconds=seconds, cached=cached)
        plan = from_json(Plan, text)
        if task.kind is TaskKind.FINISH:
            with blamed_on(plan.encoder):
                seconds = finish(plan, task.limits, self.engine.version, report)
            return Event(kind=EventKind.DONE, seconds=seconds)
        if task.segment is None:
            raise ValueError("a render task needs a segment")
        count = task.segment.frame_count
        if self.staged is None or self.staged.plan_hash != plan.hash:
            self.staged = None
            self.staged = stage(plan, self.engine, lambda: report(0, count))
        most = LARGEST_CPU_BATCH if self.footprint.torch_device == "cpu" else task.batch_size
        facts = render_segment(
            plan, task.segment, self.staged, batch_size=min(task.batch_size, most), limits=task.limits, report=report,
            place=self.encoders.place, card=self._card(task),
        )  # fmt: skip
        return Event(kind=EventKind.DONE, frames_done=count, frames_total=count, seconds=facts.seconds)

    def _card(self, task: Task) -> str | None:
        """What may decode beside the processor."""
        device = self.footprint.torch_device
        return device if task.hardware_decoding and device.startswith("cuda") else None


def _index(task: Task) -> int | None:
    return None if task.segment is None else task.segment.index


def failure(task: Task, error: Exception) -> Event:
    """Sort what went wrong into the code that the scheduler decides by."""
    code, message, trace = "E500", f"{type(error).__name__}: {error}", _plain(traceback.format_exc())
    if shortage := shortage_of(error):
        code = shortage
    elif isinstance(error, HeygemdError):
        code, message, trace = error.code, error.message, ""
    elif is_device_fault(error):
        code = "E302"
    elif isinstance(error, OSError) and error.errno in DISK_ERRNOS:
        code = "E202"
    message = _plain(message)
    log.warning("task.failed", task=task.kind, segment=_index(task), error_code=code, reason=message)
    return Event(kind=EventKind.FAILED, error_code=code, message=message, traceback=trace)


def _plain(text: str) -> str:
    """A file name that is not UTF-8 reaches messages as lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def follow_into_death() -> None:
    """Let the kernel end this process with the daemon that started it.

    The leash needs Python to run, which a stopped process, or one that hangs in a library, does not do.
    """
    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


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


def main(
    argv: Sequence[str] | None = None, *, load: Loader = load_engine, build: Callable[..., Worker] = Worker
) -> None:
    """Load the engine, say READY, work."""
    args = argument_parser().parse_args(argv)
    # Ctrl-C on a terminal reaches the whole group; the daemon decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    configure(choice_of(args), fd=args.log_fd)
    limit_threads(args.threads)
    forget_current_folder()
    follow_into_death()
    tasks = follow_leash(args.tasks_fd)
    with os.fdopen(args.events_fd, "w", encoding="utf-8") as out:
        try:
            device = usable_device(args.torch_device or args.device, args.engine)
            engine = load(args.engine, weights_of(args), device)
        except (HeygemdError, RuntimeError, MemoryError, OSError, ImportError) as error:
            if (said := failed_start(error)) is None:
                raise
            out.write(to_json(said) + "\n")
            out.flush()
            sys.exit(1)
        ctypes.CDLL(None).malloc_trim(0)  # reading and measuring the network took several times what it keeps
        label = "cpu" if device == "cpu" else args.device
        encoders = EncoderChoice(place=EncoderPlace(cores=args.threads, card=card_index(device)))
        worker = build(engine=engine, device=label, out=out, footprint=Footprint(device), encoders=encoders)
        worker.say(Event(kind=EventKind.READY, device=worker.device, precision=engine.precision))
        while True:
            worker.carry_out(tasks.get())


def argument_parser() -> argparse.ArgumentParser:
    """The command line, as the daemon writes it."""
    parser = argparse.ArgumentParser(prog="heygemd.render.worker")
    parser.add_argument("--engine", type=EngineName, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--weights-sha256", help="what the plan was made with; another content is refused")
    parser.add_argument("--backend", default="auto", help="what computes with the weights on a CPU")
    parser.add_argument("--cache", type=Path, help="where what was measured of this machine is kept")
    parser.add_argument("--device", default="cpu", help="what the device is called here")
    parser.add_argument("--torch-device", help="what torch calls it, where that differs: it may see one card only")
    parser.add_argument("--threads", type=int, default=0, help="cores that it may count on; 0: all there are")
    parser.add_argument("--tasks-fd", type=int, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    add_arguments(parser)
    return parser


def weights_of(args: argparse.Namespace) -> Weights | None:
    """What the command line says of the engine's weights; None for an engine without."""
    if args.weights is None:
        return None
    return Weights(path=args.weights, sha256=args.weights_sha256, backend=args.backend, cache_dir=args.cache)


def failed_start(error: BaseException) -> Event | None:
    """What the daemon is told; None for a bug, which ends the worker with its traceback."""
    if shortage := shortage_of(error):
        message, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        return Event(kind=EventKind.FAILED, error_code=shortage, message=_plain(message), traceback=_plain(trace))
    if isinstance(error, HeygemdError):
        return Event(kind=EventKind.FAILED, error_code=error.code, message=_plain(error.message))
    return None


def forget_current_folder() -> None:
    """Let no child look for libraries where somebody stands: OpenCV's loader has just left a list that says so."""
    if kept := absolute_only(os.environ.pop("LD_LIBRARY_PATH", "")):
        os.environ["LD_LIBRARY_PATH"] = kept


def limit_threads(cores: int = 0) -> None:
    """Leave cores to the decoder and the encoder that run beside this process; 0: of all cores there are."""
    import cv2  # noqa: PLC0415  # beside its only use

    cores = cores or len(os.sched_getaffinity(0))
    torch.set_num_threads(max(1, cores // 2))
    cv2.setNumThreads(max(1, cores // 4))
    # glibc keeps an arena per thread, and frames of some MB each would pile up in every one of them: two arenas instead
    # of one cost 120 MB after a few segments at 1080p.
    m_arena_max = -8  # malloc.h
    ctypes.CDLL(None).mallopt(m_arena_max, 1)


if __name__ == "__main__":
    main()
