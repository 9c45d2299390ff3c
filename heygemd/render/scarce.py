"""A worker whose memory is short on purpose: a fake that ships, for tests of everything that follows a shortage.

    LocalWorkers(command=(sys.executable, "-m", "heygemd.render.scarce", "--ration", str(file)))

It is the real worker with the real engine, but before every stage it reads `file`, a `Ration`, which a test may change
at any time (others take memory and give it back). No setting leads here.

With `card_bytes` there is a pretended card, on which all workers of one file live together: each holds its context and
weights from its start and so much for every frame of a batch, reports that as torch would, under the label that it was
started with, and keeps what it once had until a shortage.
"""

import argparse
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import Event, Task, TaskKind, from_json
from heygemd.render.encoder_choice import EncoderChoice
from heygemd.render.engine import Clip, Footage, Likeness, LipSync, Performance, Speech, Weights
from heygemd.render.footprint import Footprint, Usage
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.worker import Worker, load_engine, main

ERRORS: dict[str, Callable[[], BaseException]] = {
    "vram": lambda: torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity"
    ),
    "context": lambda: RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "ram": lambda: MemoryError("Unable to allocate 2.00 GiB for an array"),
    "lost": lambda: RuntimeError("CUDA error: unspecified launch failure"),
}
"""What may be raised: E301 three times, E303, and E302, which is no shortage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ration:
    """How much there is, and of what."""

    error: str = "vram"
    """One of `ERRORS`."""
    stages: tuple[str, ...] = ()
    """Stages that are always short: `load`, `listen`, `prepare`, `render`, `finish`."""
    most_frames: int | None = None
    """A batch of more frames is short; None: as many as one likes."""
    from_batch: int = 1
    """Number of the batch of a segment, from 1, before which there is no shortage of frames."""
    times: int | None = None
    """After so many shortages, of all workers of this file together, there is plenty."""
    card_bytes: int = 0
    """Memory of the pretended card; 0: there is none."""
    foreign_bytes: int = 0
    """What others hold on it."""
    context_bytes: int = 0
    """Of each worker; torch does not know of it."""
    weights_bytes: int = 0
    frame_bytes: int = 0
    """For each frame of a batch."""
    real_frame_bytes: int = 0
    """Main memory that is truly taken for each frame of a batch while it is rendered."""


@dataclass(slots=True)
class Store:
    """The ration as it is now, and what the workers of its file hold."""

    file: Path
    reserved_bytes: int = 0
    """What this worker holds beside its context."""
    peak_bytes: int = 0

    @property
    def ration(self) -> Ration:
        """What the file says now."""
        return from_json(Ration, self.file.read_bytes())

    def draw(self, stage: str, frames: int = 0, batch: int = 1) -> None:
        """Take what a stage needs, or raise the error of the ration."""
        ration = self.ration
        too_many = ration.most_frames is not None and frames > ration.most_frames and batch >= ration.from_batch
        if (stage in ration.stages or too_many) and self._counts(ration):
            raise ERRORS[ration.error]()
        if ration.card_bytes and not self._hold(ration, ration.weights_bytes + frames * ration.frame_bytes):
            raise ERRORS["vram"]()

    def give_back(self) -> None:
        """Keep the weights only."""
        if self.reserved_bytes:
            self.reserved_bytes = min(self.reserved_bytes, self.ration.weights_bytes)
            with _ledger(self.file) as folder:
                (folder / str(os.getpid())).write_text(str(self.reserved_bytes + self.ration.context_bytes))

    def _counts(self, ration: Ration) -> bool:
        """One more shortage, if there is any left."""
        with _ledger(self.file) as folder:
            tally = folder / "tally"
            done = int(tally.read_text()) if tally.exists() else 0
            if ration.times is not None and done >= ration.times:
                return False
            tally.write_text(str(done + 1))
            return True

    def _hold(self, ration: Ration, wanted_bytes: int) -> bool:
        wanted_bytes = max(wanted_bytes, self.reserved_bytes)
        with _ledger(self.file) as folder:
            mine = folder / str(os.getpid())
            others = _held_bytes(folder, but=mine) + ration.foreign_bytes
            if others + ration.context_bytes + wanted_bytes > ration.card_bytes:
                return False
            mine.write_text(str(ration.context_bytes + wanted_bytes))
        self.reserved_bytes = wanted_bytes
        self.peak_bytes = max(self.peak_bytes, wanted_bytes)
        return True


def shortages(file: Path) -> int:
    """How often the workers of this ration were refused by `stages` and `most_frames` so far."""
    with _ledger(file) as folder, suppress(FileNotFoundError):
        return int((folder / "tally").read_text())
    return 0


def held_bytes(file: Path) -> int:
    """What the living workers of this ration hold of the pretended card together, contexts included."""
    with _ledger(file) as folder:
        return _held_bytes(folder)


def _held_bytes(folder: Path, but: Path | None = None) -> int:
    files = [file for file in folder.iterdir() if file.name.isdecimal() and file != but]
    return sum(int(file.read_text()) for file in files if Path("/proc", file.name).exists())


@contextmanager
def _ledger(file: Path) -> Iterator[Path]:
    """Lock the folder beside the ration in which the workers note what they hold."""
    folder = file.with_suffix(".held")
    folder.mkdir(exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(fd)


@dataclass(slots=True)
class ScarcePerformance:
    """A film whose batches need memory."""

    performance: Performance
    store: Store
    _batches: int = 0
    _next: int = -1

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint as the engine does, if there is enough for so many frames."""
        self._batches = self._batches + 1 if start == self._next else 1
        self._next = start + len(frames)
        self.store.draw("render", len(frames), self._batches)
        taken = np.ones(len(frames) * self.store.ration.real_frame_bytes, np.uint8)
        painted = self.performance.render(start, frames)
        del taken
        return painted


@dataclass(slots=True)
class ScarceEngine:
    """The engine that it wraps, but for its needs."""

    engine: LipSync
    store: Store
    name: str = field(init=False)
    version: str = field(init=False)
    needs_face: bool = field(init=False)
    studies: bool = field(init=False)
    precision: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.version = self.engine.name, self.engine.version
        self.needs_face, self.precision = self.engine.needs_face, self.engine.precision
        self.studies = self.engine.studies

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear the sound, if there is enough."""
        self.store.draw("listen")
        return self.engine.listen(sound, pulse)

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell what the engine tells."""
        return self.engine.pauses(speech)

    def study(self, footage: Footage, pulse: Pulse = unheard) -> Likeness:
        """Learn what the engine learns."""
        return self.engine.study(footage, pulse)

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> ScarcePerformance:
        """Lay out the film, if there is enough."""
        self.store.draw("prepare")
        return ScarcePerformance(self.engine.prepare(clip, pulse), self.store)


@dataclass(slots=True)
class ScarceFootprint(Footprint):
    """Reports what is held of the pretended card."""

    store: Store = field(kw_only=True)

    @override
    def reset(self) -> None:
        Footprint.reset(self)
        self.store.peak_bytes = self.store.reserved_bytes

    @override
    def read(self) -> Usage:
        store = self.store
        return replace(Footprint.read(self), peak_vram_bytes=store.peak_bytes, held_vram_bytes=store.reserved_bytes)

    @override
    def give_back(self, error: BaseException) -> None:
        Footprint.give_back(self, error)
        self.store.give_back()


@dataclass(slots=True)
class ScarceWorker(Worker):
    """Joins a film only if there is enough."""

    store: Store = field(kw_only=True)

    @override
    def perform(self, task: Task) -> Event:
        if task.kind is TaskKind.FINISH:
            self.store.draw("finish")
        return Worker.perform(self, task)


def _load(store: Store, name: EngineName, weights: Weights | None, device: str) -> LipSync:
    store.draw("load")
    return ScarceEngine(load_engine(name, weights, device), store)


def _build(
    store: Store,
    label: str,
    *,
    engine: LipSync,
    device: str,
    out: TextIO,
    footprint: Footprint,
    encoders: EncoderChoice,
) -> Worker:
    """Make the worker; with a pretended card it goes by the name that the daemon gave it."""
    return ScarceWorker(
        engine=engine,
        device=label if store.ration.card_bytes else device,
        footprint=ScarceFootprint(footprint.torch_device, store=store),
        encoders=encoders,
        store=store,
        out=out,
    )


def start() -> None:
    """Run a worker that lives on a ration; all other arguments are those of the real one."""
    parser = argparse.ArgumentParser(prog="heygemd.render.scarce", add_help=False, allow_abbrev=False)
    parser.add_argument("--ration", type=Path, required=True)
    mine, rest = parser.parse_known_args()
    parser.add_argument("--device", default="cpu")
    label = parser.parse_known_args()[0].device
    store = Store(mine.ration)
    main(rest, load=partial(_load, store), build=partial(_build, store, label))


if __name__ == "__main__":
    start()
