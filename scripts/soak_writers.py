"""Let a thousand wicked writers at the front door, then compare what was taken with what they meant to hand in.

    python scripts/soak_writers.py [--writers 1000] [--at-once 250] [--settle 0.8] [--seed 1] [--smb]
                                   [--kind KIND]… [--mutant no-lease|no-recheck] [--keep FOLDER] [--json FILE]

A real daemon with a short quiet time takes the pairs. Its limits refuse every picture *after* it was claimed, hashed
and checked again: so each job ends in `failed/` with its sums in `error.json`, and no time goes into films. A job
is wrong when its sums, or the bytes that lie with it, are not those its writer meant; a pair is lost when it is
neither there nor, byte for byte, in the inbox. Exits 1 when there is one of either. With `--mutant` a daemon that
is blind in one eye takes them, and the exit status is turned round.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from soak.adversaries import KINDS, LOCAL_ONLY, Part, write  # noqa: E402
from soak.blinders import BLINDERS  # noqa: E402
from soak.places import LocalPlace, Place, SmbPlace  # noqa: E402

from heygemd.intake.roots import init_root  # noqa: E402
from heygemd.jobs.roots import Root  # noqa: E402
from tests.share.media import FILM_PX, pair  # noqa: E402
from tests.share.premises import events_in  # noqa: E402
from tests.share.samba import Share, start_samba  # noqa: E402

CONNECTIONS = 12
"""Of each share: one is a queue, and a thousand writers behind one would wait for each other."""
PATIENCE_S = 60.0
"""When no further job has come for so long, the rest is what still waits."""
CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = {settle_s}
settle_unsure_s = {settle_s}
scan_active_s = 0.2
scan_idle_s = 0.5
[limits]
max_pixels = {max_pixels}
[render]
engine = "passthrough"
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one writer's pair."""

    kind: str
    writer: str
    result: str
    """taken, waiting, wrong or lost."""
    why: str = ""


def main() -> int:
    args = read_arguments()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, contextlib.ExitStack() as stack:
        folder = Path(args.keep or scratch).absolute()
        root = init_root(folder / "root")
        place = stack.enter_context(open_place(folder, root, args))
        daemon = stack.enter_context(run_daemon(folder, root, args))
        parts = [Part(number, kind, place, args.settle) for number, kind in enumerate(deal(args))]
        write_all(parts, args.at_once)
        written_s = time.monotonic() - began_s
        await_jobs(root, parts, daemon)
        verdicts = judge(root, parts)
        reasons = put_back_reasons(folder)
    seconds = {"writing": round(written_s, 1), "in all": round(time.monotonic() - began_s, 1)}
    report(verdicts, reasons, seconds)
    if args.json:
        results = [asdict(verdict) for verdict in verdicts]
        Path(args.json).write_text(json.dumps({"seconds": seconds, "put back": reasons, "writers": results}, indent=1))
    broken = any(verdict.result in ("wrong", "lost") for verdict in verdicts)
    return int(broken) if not args.mutant else int(not broken)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Let wicked writers at the front door.")
    parser.add_argument("--writers", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=250)
    parser.add_argument("--settle", type=float, default=0.8, help="quiet time of the daemon, in seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smb", action="store_true", help="write through a Samba server (as root)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only these; may be given several times")
    parser.add_argument("--mutant", choices=BLINDERS)
    parser.add_argument("--keep", help="a new folder that stays")
    parser.add_argument("--json")
    return parser.parse_args()


def deal(args: argparse.Namespace) -> list[str]:
    """Give every writer a kind, all kinds alike often, in a random order."""
    kinds = [kind for kind in args.kind or KINDS if not (args.smb and kind in LOCAL_ONLY)]
    dealt = [kinds[number % len(kinds)] for number in range(args.writers)]
    random.Random(args.seed).shuffle(dealt)
    return dealt


@contextlib.contextmanager
def open_place(folder: Path, root: Root, args: argparse.Namespace) -> Iterator[Place]:
    if not args.smb:
        yield LocalPlace(root.path)
        return
    shares = [
        Share(name="soft", path=root.path, extra="strict allocate = no"),
        Share(name="solid", path=root.path, extra="strict allocate = yes"),
    ]
    samba = start_samba(folder / "samba", shares)
    try:
        place = SmbPlace(root.path, samba, CONNECTIONS)
        yield place
        place.close()
    finally:
        samba.stop()


@contextlib.contextmanager
def run_daemon(folder: Path, root: Root, args: argparse.Namespace) -> Iterator[subprocess.Popen[bytes]]:
    config = folder / "heygemd.toml"
    max_pixels = FILM_PX[0] * FILM_PX[1]
    text = CONFIG.format(root=root.path, state=folder / "state", settle_s=args.settle, max_pixels=max_pixels)
    config.write_text(text, encoding="utf-8")
    argv = [str(HERE / "soak" / "blinders.py"), args.mutant] if args.mutant else ["-m", "heygemd"]
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, *argv, "run", "--config", str(config)],
            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        while not (root.status / "status.json").exists() and daemon.poll() is None:
            time.sleep(0.05)  # its first look is what the writers wait for
        yield daemon
        if daemon.poll() is not None:
            sys.exit(f"the daemon ended: {(folder / 'daemon.log').read_text()[-2000:]}")
    finally:
        daemon.terminate()
        daemon.wait(30)


def write_all(parts: list[Part], at_once: int) -> None:
    pair("warm up", is_refused=True)  # the picture they are all made from
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in concurrent.futures.as_completed([pool.submit(write, part) for part in parts]):
            done.result()


def await_jobs(root: Root, parts: list[Part], daemon: subprocess.Popen[bytes]) -> None:
    """Wait until every writer has a job, or nothing comes any more."""
    count, since_s = -1, time.monotonic()
    while count < len(parts) and time.monotonic() - since_s < PATIENCE_S and daemon.poll() is None:
        now = len({folder.name.split("__")[0].split(" (")[0] for folder in ended(root)})
        if now != count:
            count, since_s = now, time.monotonic()
        time.sleep(0.3)


def ended(root: Root) -> list[Path]:
    return [folder for folder in root.failed.iterdir() if (folder / "error.json").exists()]


def judge(root: Root, parts: list[Part]) -> list[Verdict]:
    """Compare jobs and inbox with what was meant."""
    jobs: dict[str, list[Path]] = defaultdict(list)
    for folder in ended(root):
        jobs[folder.name.split("__")[0].split(" (")[0]].append(folder)
    waiting: dict[str, set[str]] = defaultdict(set)
    for file in (*root.inbox.rglob("*"), *root.processing.rglob("*")):
        if file.is_file():
            waiting[file.name[:6]].add(sum_of(file.read_bytes()))
    return [Verdict(part.kind, part.stem, *_result(part, jobs[part.stem], waiting[part.stem])) for part in parts]


def _result(part: Part, jobs: list[Path], waiting: set[str]) -> tuple[str, str]:
    partner, meant = sum_of(part.partner[1]), sum_of(part.data)
    may_be = {sum_of(data) for data in part.may_be}
    taken = set()
    for folder in jobs:
        inputs = json.loads((folder / "error.json").read_bytes())["inputs"]
        wicked, other = ("audio", "video") if part.suffix == "wav" else ("video", "audio")
        if inputs[other]["sha256"] != partner or inputs[wicked]["sha256"] not in may_be:
            return "wrong", f"{folder.name}: {wicked} is not what was meant"
        for facts in inputs.values():
            if sum_of((folder / facts["name"]).read_bytes()) != facts["sha256"]:
                return "wrong", f"{folder.name}: {facts['name']} is not what was hashed"
        taken.add(inputs[wicked]["sha256"])
    if len(jobs) > 1:
        return "wrong", f"{len(jobs)} jobs"
    if jobs and (meant in taken or meant in waiting or part.may_be == [part.earlier]):
        return "taken", ""
    return ("waiting", "") if not jobs and {partner, meant} <= waiting else ("lost", "neither taken nor there")


def put_back_reasons(folder: Path) -> dict[str, int]:
    """Count why claims were undone: the door's second thoughts."""
    events = events_in(folder / "daemon.log")
    return Counter(str(event["reason"]) for event in events if "put_back" in event["event"] and "reason" in event)


def report(verdicts: list[Verdict], reasons: dict[str, int], seconds: dict[str, float]) -> None:
    results = ("taken", "waiting", "wrong", "lost")
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        by_kind[verdict.kind][verdict.result] += 1
        by_kind["all"][verdict.result] += 1
    print(f"{'kind':22}" + "".join(f"{result:>9}" for result in results))
    for kind in [*(kind for kind in KINDS if kind in by_kind), "all"]:
        print(f"{kind:22}" + "".join(f"{by_kind[kind][result]:9}" for result in results))
    print(f"claims put back: {dict(reasons) or 0}; seconds: {seconds}")
    for verdict in [verdict for verdict in verdicts if verdict.result in ("wrong", "lost")][:20]:
        print(f"  {verdict.result}: {verdict.kind}: {verdict.why or verdict.writer}")


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
