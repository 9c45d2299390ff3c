"""Row by row: what is a lack of memory, what is a fault of the card, and what only sounds like one."""

import errno
import subprocess

import cv2
import numpy as np
import pytest
import torch

from heygemd.errors import FaultError, InputError, ResourceError
from heygemd.render.shortage import TABLE, chain_of, is_device_fault, shortage_of

ASYNCHRONOUS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1.\n"
)
COUNT = "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() "


def accelerator(words: str, number: int) -> Exception:
    """As torch makes it: the message, and the number of the CUDA runtime as an attribute."""
    error = getattr(torch, "AcceleratorError", RuntimeError)(words)
    error.error_code = number
    return error


SHORT = {
    "the allocator of torch": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "E301"),
    "the same before torch 1.13": (
        RuntimeError("CUDA out of memory. Tried to allocate 2.87 GiB (GPU 0; 14.76 GiB total capacity)"),
        "E301",
    ),
    "a workspace beyond all bounds": (torch.OutOfMemoryError("Not enough memory for workspace!"), "E301"),
    "the runtime": (accelerator("CUDA error: out of memory" + ASYNCHRONOUS, 2), "E301"),
    "the runtime in other words": (accelerator("CUDA error: no memory is left", 2), "E301"),
    "the runtime before torch 2.8": (RuntimeError("CUDA error: out of memory" + ASYNCHRONOUS), "E301"),
    "the driver": (RuntimeError("CUDA driver error: out of memory"), "E301"),
    "no room to begin": (RuntimeError(COUNT + "that might have already set an error? Error 2: out of memory"), "E301"),
    "cuBLAS": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "E301"),
    "cuBLAS, begun": (
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        "E301",
    ),
    "cuBLASLt": (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasLtCreate(&h)`"), "E301"),
    "cuSOLVER": (
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`."),
        "E301",
    ),
    "cuDNN 8": (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "E301"),
    "cuDNN, begun": (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "E301"),
    "cuDNN 9, card": (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), "E301"),
    "cuDNN 9, machine": (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), "E303"),
    "no kernel ran": (RuntimeError("GET was unable to find an engine to execute this computation"), "E301"),
    "no kernel was found": (RuntimeError("FIND was unable to find an engine to execute this computation"), "E301"),
    "no kernel, earlier": (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), "E301"),
    "Python": (MemoryError(), "E303"),
    "torch on the CPU": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 4503599627370496 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "E303",
    ),
    "torch elsewhere": (
        RuntimeError(
            "[enforce fail at ..\\c10\\core\\CPUAllocator.cpp:72] data. DefaultCPUAllocator: not enough memory: you "
            "tried to allocate 113246208 bytes."
        ),
        "E303",
    ),
    "torch maps a file": (
        RuntimeError("unable to mmap 280 bytes from file </torch_59534_1208885928>: Cannot allocate memory (12)"),
        "E303",
    ),
    "C++ below torch": (RuntimeError("std::bad_alloc"), "E303"),
    "C++ below OpenCV": (cv2.error("std::bad_alloc"), "E303"),
    "OpenCV": (
        cv2.error(
            "OpenCV(4.10.0) /io/opencv/modules/core/src/alloc.cpp:73: error: (-4:Insufficient memory) Failed to "
            "allocate 281474976710656 bytes in function 'OutOfMemoryError'\n"
        ),
        "E303",
    ),
    "the kernel": (OSError(errno.ENOMEM, "Cannot allocate memory"), "E303"),
    "a thread": (RuntimeError("can't start new thread"), "E303"),
    "the loader": (
        ImportError("/lib/ft2font.so: failed to map segment from shared object: Cannot allocate memory"),
        "E303",
    ),
    "one of ours": (ResourceError("E303", "the encoder was ended for want of memory"), "E303"),
    "one of ours, card": (ResourceError("E301", "the card is full"), "E301"),
}

NAME = "CUDA out of memory. Tried to allocate.mp4"

NO_SHORTAGE = {
    "an illegal access": (accelerator("CUDA error: an illegal memory access was encountered", 700), True),
    "an assertion": (accelerator("CUDA error: device-side assert triggered" + ASYNCHRONOUS, 710), True),
    "a failed launch": (accelerator("CUDA error: unspecified launch failure" + ASYNCHRONOUS, 719), True),
    "the same before torch 2.8": (RuntimeError("CUDA error: unspecified launch failure" + ASYNCHRONOUS), True),
    "a busy card": (accelerator("CUDA error: CUDA-capable device(s) is/are busy or unavailable", 46), True),
    "a busy card, earlier": (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), True),
    "the driver": (RuntimeError("CUDA driver error: unknown error"), True),
    "cuBLAS at work": (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( h`"), True),
    "cuBLAS lost": (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm( h`"), True),
    "cuBLAS misused": (RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( h`"), False),
    "cuDNN at work": (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
    "cuDNN in itself": (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True),
    "cuDNN misused": (RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"), False),
    "no card": (RuntimeError("No CUDA GPUs are available"), True),
    "an old driver": (RuntimeError(COUNT + "... Error 804: forward compatibility was attempted"), True),
    "a mount without exec": (ImportError("/lib/_umath.so: failed to map segment from shared object"), False),
    "an order of imports": (ImportError("/lib/libgomp.so.1: cannot allocate memory in static TLS block"), False),
    "a negative size": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:98] ((ptrdiff_t)nbytes) >= 0. alloc_cpu() was called"),
        False,
    ),
    "a file's name": (InputError("E110", NAME), False),
    "a file's name in a bug": (ValueError(NAME), False),
    "a file's name in torch": (RuntimeError(f"cannot read {NAME}: CUDA error: out of memory"), False),
    "a file's name in OpenCV": (
        cv2.error(f"OpenCV(4.10.0) grfmt.cpp:1: error: (-2:Unspecified error) no {NAME} in function 'read'"),
        False,
    ),
    "a file's name that is absent": (FileNotFoundError(errno.ENOENT, "No such file", NAME), False),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), False),
    "too many files": (OSError(errno.EMFILE, "Too many open files"), False),
    "a lost card of ours": (ResourceError("E302", "CUDA error: out of memory"), False),
    "a fault of ours": (FaultError("E500", "CUDA error: out of memory"), False),
    "a bug": (ZeroDivisionError("division by zero"), False),
}


@pytest.mark.parametrize(("error", "code"), SHORT.values(), ids=SHORT)
def test_a_lack_of_memory_is_known_by_its_type_and_its_words(error, code):
    assert shortage_of(error) == code


@pytest.mark.parametrize(("error", "is_fault"), NO_SHORTAGE.values(), ids=NO_SHORTAGE)
def test_what_only_sounds_like_it_is_none_and_the_card_is_blamed_where_it_failed(error, is_fault):
    assert shortage_of(error) is None
    assert is_device_fault(error) is is_fault


def test_every_row_of_the_table_is_needed():
    """Without it one of the errors above, which are real, would be taken for something else."""
    for row in TABLE:
        rest = [other for other in TABLE if other is not row]
        only = [
            error
            for error, _ in SHORT.values()
            if isinstance(error, row.kind)
            and row.words.search(str(error))
            and not any(isinstance(error, other.kind) and other.words.search(str(error)) for other in rest)
        ]
        assert only, row


def test_what_the_libraries_here_raise_is_known():
    with pytest.raises(RuntimeError) as by_torch:
        torch.empty(1 << 50)
    with pytest.raises(MemoryError) as by_numpy:
        np.empty(1 << 45)
    with pytest.raises(cv2.error) as by_opencv:
        cv2.resize(np.zeros((4, 4), np.uint8), (1 << 24, 1 << 24))
    assert [shortage_of(caught.value) for caught in (by_torch, by_numpy, by_opencv)] == ["E303"] * 3


def test_a_process_that_cannot_be_started_for_want_of_memory_is_a_shortage(monkeypatch):
    def refuse(*args: object) -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "_fork_exec", refuse)
    with pytest.raises(OSError, match="Cannot allocate") as caught:
        subprocess.Popen(["ffmpeg"])
    assert shortage_of(caught.value) == "E303"


def test_a_shortage_is_seen_through_what_followed_from_it():
    lack = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
    try:
        raise ResourceError("E201", "the file cannot be opened") from OSError(errno.ENOMEM, "Cannot allocate memory")
    except ResourceError as error:
        assert shortage_of(error) == "E303"
    try:
        try:
            raise lack
        finally:
            raise BrokenPipeError("the encoder is gone")
    except BrokenPipeError as error:
        assert shortage_of(error) == "E301"
        assert list(chain_of(error)) == [error, lack]


def test_a_shortage_that_was_dealt_with_counts_no_more():
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise InputError("E131", "no face") from None
    except InputError as error:
        assert shortage_of(error) is None


def test_a_fault_of_the_card_is_seen_through_what_followed_from_it():
    try:
        try:
            raise accelerator("CUDA error: unspecified launch failure", 719)
        finally:
            raise ValueError("cleaning up failed, too")
    except ValueError as error:
        assert is_device_fault(error)
        assert shortage_of(error) is None


def test_errors_that_lead_to_each_other_are_followed_once():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(chain_of(first)) == [first, second]
    assert shortage_of(first) is None
