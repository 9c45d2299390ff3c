"""Has the ways to compute the network measured by a process of its own, which leaves nothing behind.

What was tried stays loaded: a worker that had tried OpenVINO and then painted with torch held 130 MB more than one
that had not, for as long as it lived. The process costs 1.5 CPU s of imports, once for these weights on this machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-P", "-m", "heygemd.render.wav2lip.measuring")
WALL_S = 120.0
"""Measuring takes 2 s, and much longer only where nothing else would work either."""


def chosen_aside(
    weights: Path, sha256: str, backend: str, *, command: Sequence[str] = COMMAND, wall_s: float = WALL_S
) -> tuple[str, float]:
    """Name the cheapest candidate, and the CPU milliseconds of its batch; an empty name when that went wrong.

    Whoever gets no name measures by itself, and so meets whatever is wrong as what it is.
    """
    words = ("--weights", os.fspath(weights), "--sha256", sha256, "--backend", backend)
    argv = (*command, *words, "--threads", str(torch.get_num_threads()))
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=wall_s, check=True)
        said = [json.loads(line) for line in done.stdout.splitlines()]
        chosen, figures = str(said[-1]["chosen"]), said[-1]["batch_cpu_ms"]
        batch_cpu_ms = float(figures[chosen])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        stderr = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
        reason = stderr.splitlines()[-1] if stderr else f"{type(error).__name__}: {error}"
        log.warning("wav2lip.measuring_failed", reason=reason[:300])
        return "", 0.0
    for left_out in said[:-1]:
        log.info("wav2lip.candidate_left_out", candidate=left_out.get("candidate"), reason=left_out.get("reason"))
    log.info("wav2lip.backend_calibrated", chosen=chosen, batch_cpu_ms=figures)
    return chosen, batch_cpu_ms
