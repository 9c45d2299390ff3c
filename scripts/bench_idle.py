"""What an idle daemon costs: memory, processor time, wake-ups and descriptors of the daemon and of its helpers.

    python scripts/bench_idle.py [--seconds 60] [--files 0] [--events 10000] [--films 300]

Makes a root in a temporary folder (with `--files` lone sounds in its inbox), starts `heygemd run` on it as a service
runs, with debug log and metrics file, lets it settle, then watches. Then it is given work: one film, `--films` copies
of it ordered by a manifest (three transitions each), and `--events` changes in the inbox; settles, and is watched
again: what grows there grows for months. Exits 1 when the daemon itself has more than 75 MB, or when it keeps more
descriptors than before.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT_BYTES = 75_000_000
SETTLE_S = 45.0
"""Recent activity makes the daemon look more often for 30 s."""
WARM_S = 5.0
WORK_LIMIT_S = 1800.0
CONFIG = """
roots = ["{root}"]
state_dir = "{folder}/state"
log_file = "{folder}/debug.jsonl"
metrics_file = "{folder}/heygemd.prom"
[render]
engine = "passthrough"
keep_warm_s = {warm_s}
"""


@dataclass(frozen=True, slots=True)
class Sight:
    """One process at one moment."""

    cpu_s: float
    switches: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--films", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name) / "root"
        subprocess.run([sys.executable, "-m", "heygemd", "init-root", str(root)], check=True, stdout=subprocess.DEVNULL)
        for number in range(args.files):
            (root / "inbox" / f"lone_{number:05d}.wav").write_bytes(b"RIFF")
        config = folder / "heygemd.toml"
        config.write_text(CONFIG.format(root=root, folder=folder, warm_s=WARM_S))
        with (folder / "log").open("wb") as log:
            daemon = psutil.Popen([sys.executable, "-m", "heygemd", "run", "--config", str(config)], stderr=log)
        try:
            return measure(daemon, root, args)
        finally:
            daemon.terminate()
            daemon.wait(60)


def measure(daemon: psutil.Popen, root: Path, args: argparse.Namespace) -> int:
    time.sleep(SETTLE_S)
    print("idle:")
    before = watch(daemon, args.seconds)
    if not args.events and not args.films:
        return int(daemon.memory_info().rss > LIMIT_BYTES)
    began_s = time.monotonic()
    make_films(root, args.films)
    stir(root / "inbox", args.events)
    print(f"{args.films} films and {args.events} changes in {time.monotonic() - began_s:.0f} s; idle again:")
    time.sleep(SETTLE_S + WARM_S)
    after = watch(daemon, args.seconds)
    print(f"descriptors of the daemon: {before} before, {after} after")
    rss = daemon.memory_info().rss
    print(f"the daemon has {rss / 1e6:.1f} MB; the limit is {LIMIT_BYTES / 1e6:.0f} MB")
    return int(rss > LIMIT_BYTES or after > before)


def make_films(root: Path, count: int) -> None:
    """Order one film and copies of it; returns when all are there."""
    if not count:
        return
    inbox = root / "inbox"
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]
    picture = ["testsrc2=s=160x90:r=25:d=0.4", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*make, *picture, str(inbox / "face.mp4")], check=True)
    subprocess.run([*make, "sine=duration=0.4:sample_rate=16000", str(inbox / "voice.wav")], check=True)
    rows = "".join(f"row{number},face.mp4,voice.wav,film{number}\n" for number in range(count))
    (inbox / ".films.heygem.csv.part").write_text("id,video,audio,output\n" + rows)
    (inbox / ".films.heygem.csv.part").rename(inbox / "films.heygem.csv")
    end_s = time.monotonic() + WORK_LIMIT_S
    while len(list((root / "outbox").rglob("*.mp4"))) < count:
        if time.monotonic() > end_s:
            sys.exit("the films did not come")
        time.sleep(1)


def stir(inbox: Path, changes: int) -> None:
    """Make files come, be renamed and go: four changes each."""
    for number in range(changes // 4):
        part, whole = inbox / f".stir{number % 50}.part", inbox / f"stir{number % 50}.wav"
        part.write_bytes(b"RIFF")
        part.rename(whole)
        whole.unlink()
        if number % 50 == 0:
            time.sleep(0.1)


def watch(daemon: psutil.Process, seconds: float) -> int:
    """Print what every process costs; returns the descriptors of the daemon."""
    tree = [daemon, *daemon.children(recursive=True)]
    before = {process.pid: snapshot(process) for process in tree}
    time.sleep(seconds)
    for process in tree:
        now, then = snapshot(process), before[process.pid]
        memory = process.memory_full_info()
        name = "daemon" if process.pid == daemon.pid else " ".join(process.cmdline()[-3:])[:60]
        print(
            f"  {name}: RSS {memory.rss / 1e6:.1f} MB, PSS {memory.pss / 1e6:.1f} MB, "
            f"CPU {100 * (now.cpu_s - then.cpu_s) / seconds:.2f} %, "
            f"{(now.switches - then.switches) / seconds:.1f} wake-ups/s, {process.num_fds()} descriptors, "
            f"{process.num_threads()} threads"
        )
    total = sum(process.memory_full_info().pss for process in tree)
    print(f"  whole tree: PSS {total / 1e6:.1f} MB in {len(tree)} processes")
    return int(daemon.num_fds())


def snapshot(process: psutil.Process) -> Sight:
    times, switches = process.cpu_times(), process.num_ctx_switches()
    return Sight(times.user + times.system, float(switches.voluntary + switches.involuntary))


if __name__ == "__main__":
    sys.exit(main())
