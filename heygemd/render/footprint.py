"""How much memory a task takes: of the card as torch reserved it, of the machine as the kernel counted it.

The kernel keeps the peak of a process (VmHWM) and forgets it when asked (`clear_refs` ← 5, proc(5)). The decoder and
encoder beside the worker count, too; they are looked at while they live, for `ru_maxrss` of a dead child also counts
what its parent held when it was started.
"""

import ctypes
import gc
import os
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from heygemd.media.child import living_pids
from heygemd.render.shortage import chain_of

FORGET_PEAK = "5"
"""Written to clear_refs: the peak becomes what is resident now."""
SAMPLE_EVERY_S = 0.1
"""A sample takes about 0.1 ms; to search the system for children would take 1 ms, and ten on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes of one task; the names are those of `Event`."""

    peak_vram_bytes: int
    held_vram_bytes: int
    peak_rss_bytes: int
    rss_bytes: int


@dataclass(slots=True)
class Footprint:
    """The memory of this process, measured task by task."""

    torch_device: str
    """What torch calls the device; nothing is asked of it when that is the CPU."""
    proc: Path = Path("/proc")
    clock: Callable[[], float] = time.monotonic
    children: Callable[[], Iterable[int]] = living_pids
    """Process ids of what runs beside, whichever thread has started it."""
    _due_s: float = field(default=0.0)
    """When the next sample is worth its time."""
    _children_bytes: int = field(default=0)
    """Largest sum over the children of the task."""
    _sampled_bytes: int = field(default=0)
    """Largest resident size that was seen, where the kernel does not forget peaks."""
    _is_forgetful: bool = field(default=True)

    def reset(self) -> None:
        """Begin a task: what was before counts no more."""
        self._children_bytes = self._sampled_bytes = 0
        self._due_s = self.clock()
        try:
            (self.proc / "self/clear_refs").write_text(FORGET_PEAK, encoding="ascii")
        except OSError:  # forbidden in some sandboxes
            self._is_forgetful = False
        if self._is_on_card:
            torch.cuda.reset_peak_memory_stats(self.torch_device)

    def sample(self) -> None:
        """Look at what runs beside, if it is long enough ago: to be called often."""
        if self.clock() >= self._due_s:
            self._look()
            self._due_s = self.clock() + SAMPLE_EVERY_S

    def read(self) -> Usage:
        """Sum up the task so far."""
        self._look()
        resident = self._status_bytes(os.getpid(), "VmRSS")
        own = self._status_bytes(os.getpid(), "VmHWM") if self._is_forgetful else self._sampled_bytes
        return Usage(
            peak_vram_bytes=torch.cuda.max_memory_reserved(self.torch_device) if self._is_on_card else 0,
            held_vram_bytes=torch.cuda.memory_reserved(self.torch_device) if self._is_on_card else 0,
            peak_rss_bytes=max(own, resident) + self._children_bytes,  # the kernel counts lazily: VmHWM may lag
            # Mapped files are caches that the kernel drops by itself.
            rss_bytes=self._status_bytes(os.getpid(), "RssAnon") or resident,
        )

    def give_back(self, error: BaseException) -> None:
        """Free what a task left behind that ended with `error`, so that others, or a smaller task, can have it."""
        for link in chain_of(error):
            traceback.clear_frames(link.__traceback__)  # their variables are frames, batches and tensors
        gc.collect()
        if self._is_on_card:
            with suppress(RuntimeError):  # a context that broke, too, shows in the next task
                torch.cuda.empty_cache()
        ctypes.CDLL(None).malloc_trim(0)

    def _look(self) -> None:
        children = sum(self._status_bytes(pid, "VmHWM") for pid in self.children())
        self._children_bytes = max(self._children_bytes, children)
        if not self._is_forgetful:
            self._sampled_bytes = max(self._sampled_bytes, self._status_bytes(os.getpid(), "VmRSS"))

    def _status_bytes(self, pid: int, name: str) -> int:
        """Field of /proc/PID/status, which the kernel gives in kB; 0 for a process that is over."""
        with suppress(OSError):
            for line in (self.proc / f"{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith(name + ":"):
                    return int(line.split()[1]) << 10
        return 0

    @property
    def _is_on_card(self) -> bool:
        return self.torch_device.startswith("cuda")
