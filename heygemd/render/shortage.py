"""The one place that decides what is a lack of memory, and what is a fault of the card.

A row says which type of error must carry which words. Never words alone: a user's file may be named "CUDA out of
memory.mp4" and stand in the message of any error. The words were taken from the sources of torch, OpenCV and glibc;
`owner/repository#number` are threads at github.com in which they were met.
"""

import errno
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import torch

from heygemd.errors import ResourceError

ShortageCode = Literal["E301", "E303"]
"""Of the card's memory; of the main memory."""
CODES: dict[str, ShortageCode] = {"E301": "E301", "E303": "E303"}

CUDA_ERROR_MEMORY_ALLOCATION = 2
"""cudaErrorMemoryAllocation (driver_types.h)."""

ACCELERATOR_ERRORS: tuple[type[BaseException], ...] = tuple(
    kind for kind in (getattr(torch, "AcceleratorError", None),) if kind is not None
)
"""What the CUDA runtime reports, with its number as `error_code`, since torch 2.8 (pytorch/pytorch#152023); before,
and still where cuBLAS and cuDNN report something, it is a bare RuntimeError."""


class Row(NamedTuple):
    """One kind of shortage."""

    kind: type[BaseException]
    words: re.Pattern[str]
    """Searched in the message; with ^ wherever the message begins with them."""
    code: ShortageCode


def _row(kind: type[BaseException], words: str, code: ShortageCode) -> Row:
    return Row(kind, re.compile(words), code)


TABLE: tuple[Row, ...] = (
    # --- The card. torch's own allocator, c10/cuda/CUDACachingAllocator.cpp; a bare RuntimeError until torch 1.12.
    _row(torch.OutOfMemoryError, "", "E301"),
    _row(RuntimeError, r"^CUDA out of memory\. ", "E301"),
    # Everything else that takes memory through the CUDA runtime or driver (c10/cuda/CUDAException.cpp): making the
    # context or a stream, loading kernels (deepbeepmeep/Wan2GP#1083, nunchux-ai/nunchaku#144). Pinned main memory is
    # refused in the very same words (aten/src/ATen/cuda/CachingHostAllocator.cpp); ours is a few MB a batch, so the
    # card it is.
    _row(RuntimeError, r"^CUDA (driver )?error: out of memory\b", "E301"),
    # The driver has no room to begin with (c10/cuda/CUDAFunctions.cpp; Zeleni9/pytorch-wgan#36).
    _row(RuntimeError, r"^Unexpected error from cudaGetDeviceCount\(\)\..* Error 2: out of memory", "E301"),
    # Handles and workspaces of the libraries, outside torch's allocator (ATen/cuda/Exceptions.h). cuBLAS on a full
    # card: QwenLM/Qwen3#873, nerdyrodent/VQGAN-CLIP#92; NOT_INITIALIZED there: firewaterfire/HKDnet#1.
    _row(RuntimeError, r"^CUDA error: CU(BLAS|SPARSE)_STATUS_ALLOC_FAILED when calling `", "E301"),
    _row(RuntimeError, r"^CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublas(Lt)?Create\(", "E301"),
    _row(RuntimeError, r"^cusolver error: CUSOLVER_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)\b", "E301"),
    # cuDNN on a full card: haotian-liu/LLaVA#392, flexflow/flexflow-train#51, torch/torch7#780;
    # version 9 tells card and main memory apart (statuses 4003 and 4004).
    _row(RuntimeError, r"^cuDNN error: CUDNN_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)\b", "E301"),
    _row(RuntimeError, r"^cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED\b", "E301"),
    _row(RuntimeError, r"^cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED\b", "E303"),
    # No kernel of cuDNN ran, each failure having been swallowed (ATen/native/cudnn/Conv_v8.cpp): mostly for want of
    # workspace (Nerogar/OneTrainer#274, ultralytics/yolov5#4463), now and then because cuDNN does not suit the card.
    # Nothing tells the two apart here; going down the ladder ends well in both, at the latest on the CPU.
    _row(RuntimeError, r"^(GET|FIND) was unable to find an engine to execute this computation", "E301"),
    _row(RuntimeError, r"^Unable to find (an engine to execute this computation|a valid cuDNN algorithm)", "E301"),
    # --- The main memory. Python and numpy (its _ArrayMemoryError is a MemoryError); ENOMEM of the kernel is below.
    _row(MemoryError, "", "E303"),
    # torch: c10/core/impl/alloc_cpu.cpp (pytorch/pytorch#20618; the second wording is that of other systems).
    _row(
        RuntimeError,
        r"^\[enforce fail at \S*(alloc_cpu|CPUAllocator)\.cpp:\d+\] .*DefaultCPUAllocator: "
        r"(can't allocate|not enough) memory: you tried to allocate \d+ ",
        "E303",
    ),
    _row(RuntimeError, r"^unable to mmap \d+ bytes from file <.*>: Cannot allocate memory \(12\)$", "E303"),
    # C++ below torch and OpenCV that has no words of its own.
    _row(RuntimeError, r"^std::bad_alloc$", "E303"),
    _row(cv2.error, r"^std::bad_alloc$", "E303"),
    # OpenCV: StsNoMem of modules/core/src/alloc.cpp.
    _row(cv2.error, r"^OpenCV\([^)]*\) .*: error: \(-4:Insufficient memory\) ", "E303"),
    # No room for a stack, or too many threads (pthread_create(3) says EAGAIN for both): later it may go.
    _row(RuntimeError, r"^can't start new thread$", "E303"),
    # glibc's loader (single-cell-genetics/vireo#22). Without the last words it is a mount without exec, and "cannot
    # allocate memory in static TLS block" is a matter of the order of imports (opencv/opencv#14884).
    _row(ImportError, r": failed to map segment from shared object: Cannot allocate memory$", "E303"),
)

FAULTS = re.compile(
    r"^CUDA (driver )?error: (?!CU[A-Z]+_STATUS_(INVALID_VALUE|NOT_SUPPORTED|ARCH_MISMATCH)\b)"
    r"|^cuDNN error: CUDNN_STATUS_(INTERNAL_ERROR|EXECUTION_FAILED|MAPPING_ERROR)"
    r"|^Unexpected error from cudaGetDeviceCount\(\)\."
    r"|^(CUDA unknown error|No CUDA GPUs are available|CUDA driver initialization failed)\b"
)
"""What torch says in a bare RuntimeError when the card, its driver or the context is gone and the program not wrong."""


def shortage_of(error: BaseException) -> ShortageCode | None:
    """Say which memory was short when this was raised, also when it only followed from a shortage; None: neither."""
    for link in chain_of(error):
        if code := _shortage(link):
            return code
    return None


def is_device_fault(error: BaseException) -> bool:
    """The card failed, or what was running on it: a fresh worker may do better."""
    return any(
        isinstance(link, ACCELERATOR_ERRORS) or (type(link) is RuntimeError and FAULTS.search(str(link)) is not None)
        for link in chain_of(error)
    )


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it, as a traceback shows them: what `from None` hides stays hidden."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _shortage(error: BaseException) -> ShortageCode | None:
    if isinstance(error, ResourceError):
        return CODES.get(error.code)
    if isinstance(error, OSError):  # also of the fork for a decoder
        return "E303" if error.errno == errno.ENOMEM else None
    if isinstance(error, ACCELERATOR_ERRORS) and getattr(error, "error_code", None) == CUDA_ERROR_MEMORY_ALLOCATION:
        return "E301"
    text = str(error)
    return next((row.code for row in TABLE if isinstance(error, row.kind) and row.words.search(text)), None)
