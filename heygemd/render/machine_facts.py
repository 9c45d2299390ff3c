"""What torch and the other native libraries find on this machine: `python -m heygemd.render.machine_facts`.

Run as a child by the doctor, who may not load them himself; prints one JSON object as its last line. A library that
cannot be loaded is a fact like any other, so the exit status is 0 unless this process is ended from outside.
"""

import importlib
import json
import time
import traceback
from typing import Any

LIBRARIES = ("numpy", "scipy.ndimage", "cv2", "safetensors", "librosa")
"""What workers load beside torch, in the order in which one failing would make the next fail."""
SIDE = 64
"""Rows and columns of the two matrices that are multiplied on each device."""


def facts() -> dict[str, Any]:
    """Return everything as plain JSON values."""
    began_s = time.monotonic()
    found: dict[str, Any] = {"libraries": {name: _loaded(name) for name in LIBRARIES}}
    found["torch"] = _torch()
    found["seconds"] = round(time.monotonic() - began_s, 3)
    return found


def _loaded(name: str) -> dict[str, str]:
    """Load one library: its version, or why it cannot be loaded."""
    try:
        importlib.import_module(name)
    except (ImportError, OSError, AttributeError, RuntimeError, ValueError, SystemError) as error:
        return {"error": _last_line(error)}
    if name == "librosa" and (reason := _wrong_bank()):
        return {"error": reason}
    top = importlib.import_module(name.partition(".")[0])
    return {"version": str(getattr(top, "__version__", ""))}


def _wrong_bank() -> str:
    """Say how far the mel bank of the workers, who do without librosa, is from librosa's; "" where it is the same."""
    import librosa.filters  # noqa: PLC0415  # it may be what is broken
    import numpy as np  # noqa: PLC0415

    try:
        from heygemd.render.wav2lip import mel  # noqa: PLC0415
    except (ImportError, OSError):  # torch is broken: that is told by itself
        return ""
    ours = mel.mel_bank()
    theirs = librosa.filters.mel(
        sr=mel.RATE_HZ, n_fft=mel.WINDOW_SAMPLES, n_mels=len(ours), fmin=mel.LOWEST_HZ, fmax=mel.HIGHEST_HZ
    )
    off = float(np.abs(ours - theirs).max())
    return f"its mel bank is off by {off:g} from the one that wav2lip was trained with" if off else ""


def _torch() -> dict[str, Any]:
    loaded = _loaded("torch")
    if "error" in loaded:
        return dict(loaded)
    import torch  # noqa: PLC0415  # it may be what is broken

    found: dict[str, Any] = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,  # type: ignore[no-untyped-call]
        "architectures": torch.cuda.get_arch_list() if torch.version.cuda else [],
        "devices": [],
        "reason": "",
    }
    found["cpu_error"] = _computed("cpu")
    if not torch.version.cuda:
        return found
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        count = torch.cuda.device_count()
    except (RuntimeError, AssertionError, OSError) as error:
        found["reason"] = _last_line(error)
        return found
    found["devices"] = [_device(index) for index in range(count)]
    return found


def _device(index: int) -> dict[str, Any]:
    import torch  # noqa: PLC0415

    label = f"cuda:{index}"
    try:
        properties = torch.cuda.get_device_properties(index)
    except (RuntimeError, AssertionError) as error:
        return {"label": label, "name": "", "capability": None, "error": _last_line(error)}
    capability = [properties.major, properties.minor]
    return {"label": label, "name": properties.name, "capability": capability, "error": _computed(label)}


def _computed(device: str) -> str:
    """Multiply two small matrices of known product; returns what went wrong, "" when nothing did."""
    import torch  # noqa: PLC0415

    try:
        ones = torch.ones((SIDE, SIDE), device=device)
        total = float((ones @ ones).sum().item())
    except (RuntimeError, AssertionError) as error:  # torch.OutOfMemoryError and AcceleratorError are RuntimeErrors
        return _last_line(error)
    return "" if total == float(SIDE**3) else f"{SIDE} x {SIDE} ones gave {total:g} instead of {SIDE**3}"


def _last_line(error: BaseException) -> str:
    """One line: CUDA's messages go on with advice for programmers."""
    text = str(error).strip().splitlines()
    return text[0] if text else traceback.format_exception_only(error)[-1].strip()


if __name__ == "__main__":
    print(json.dumps(facts()))  # noqa: T201  # the answer
