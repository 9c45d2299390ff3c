"""The process that measures and ends (see `aside.py`): `python -m heygemd.render.wav2lip.measuring --weights …`.

What it finds out it logs to its stdout, one JSON object a line: the candidates that were left out, then the choice.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

from heygemd.errors import HeygemdError
from heygemd.render.wav2lip.calibration import calibrated
from heygemd.render.wav2lip.checkpoint import load_weights
from heygemd.render.wav2lip.folding import fold
from heygemd.render.wav2lip.loading import candidates_for
from heygemd.render.wav2lip.processor import BATCH


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(prog="heygemd.render.wav2lip.measuring")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args(argv)
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(sys.stdout)
    )
    torch.set_num_threads(args.threads)
    try:
        network = fold(load_weights(args.weights, args.sha256))
        calibrated(network, candidates_for(args.backend), count=BATCH)
    except HeygemdError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
