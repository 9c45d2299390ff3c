"""Files of strangers, mutated in all their parts, for as long as you like: media, manifests, records, weights.

Each kind gets its share of the time. Inputs that ended a process or did harm are kept, each beside a text that says
what it did; a seed makes the same inputs again. With atheris installed manifests are fuzzed by coverage, too.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import structlog

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fuzz import campaign  # noqa: E402
from tests.fuzz.outcome import Ending, Tally  # noqa: E402

SHARES = {"media": 8, "daemon": 4, "texts": 2, "structure": 1, "checkpoints": 2, "coverage": 1}
"""Of the time."""


def main() -> int:
    """Return 1 when an input did harm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="of all kinds together")
    parser.add_argument("--seed", default="1", help="any word")
    parser.add_argument("--only", nargs="+", choices=SHARES, help="these kinds alone")
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "fuzz", help="where bad inputs go")
    parser.add_argument("--json", type=Path, help="write what was counted to this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kinds = arguments.only or [kind for kind in SHARES if kind != "coverage" or find_spec("atheris")]
    whole = sum(SHARES[kind] for kind in kinds)
    folder, counts, is_harmed = Path(tempfile.mkdtemp(prefix="heygemd-fuzz-")), {}, False
    try:
        for kind in kinds:
            seconds = arguments.seconds * SHARES[kind] / whole
            if kind == "coverage":
                is_harmed |= not covered(seconds, arguments.seed, arguments.kept / kind)
                continue
            began_s = time.monotonic()
            tally = campaign.run(kind, folder, arguments.seed, Tally(arguments.kept / kind), seconds=seconds)
            counts[kind] = counted(tally, time.monotonic() - began_s)
            print(f"{kind}: " + "\n  ".join(tally.lines()), flush=True)
            is_harmed |= bool(tally.harm)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(counts))
    if arguments.json:
        arguments.json.write_text(json.dumps(counts) + "\n")
    return int(is_harmed)


def counted(tally: Tally, wall_s: float) -> dict[str, object]:
    endings = {ending.value: tally.endings[ending] for ending in Ending}
    return {"executions": tally.executions, **endings, "slowest_s": round(tally.slowest_s, 1), "wall_s": round(wall_s)}


def covered(seconds: float, seed: str, kept: Path) -> bool:
    """Let atheris look for new ways through the readers of manifests; False when one of them breaks."""
    kept.mkdir(parents=True, exist_ok=True)
    number = sum(seed.encode()) or 1
    words = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-seed={number}",
        f"-artifact_prefix={kept}/",
        "-max_len=4096",
    ]
    argv = [sys.executable, "-m", "tests.fuzz.coverage", *words]
    done = subprocess.run(argv, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    print("coverage: " + (done.stderr.strip().splitlines() or ["nothing said"])[-1], flush=True)
    if done.returncode:
        print(done.stderr[-4000:])
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
