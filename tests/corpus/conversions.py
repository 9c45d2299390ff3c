"""Runs cases of checkpoints in one process that loads torch once and forks for each (`tests.corpus.converter`)."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.corpus.case import Case, Ending, Seen

LIMIT_S = 1800.0
REPOSITORY = Path(__file__).parents[2]


def convert_all(folder: Path, cases: Sequence[Case]) -> dict[str, Seen]:
    """Return what became of each case, by name, with its time and memory."""
    argv = [sys.executable, "-m", "tests.corpus.converter", str(folder), *(case.name for case in cases)]
    # Neither more threads than one, nor a card.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        argv, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if ended.returncode != 0:
        raise RuntimeError(f"the converter ended with {ended.returncode}: {ended.stderr.decode()[-1000:]}")
    return {line["case"]: _seen(line) for line in map(json.loads, ended.stdout.splitlines())}


def _seen(line: dict) -> Seen:
    return Seen(
        ending=Ending(line["ending"]), codes=frozenset(line["codes"]), films=frozenset(line["films"]),
        message=line["message"], troubles=tuple(line["troubles"]), wall_s=line["wall_s"], rss_bytes=line["rss_bytes"],
    )  # fmt: skip
