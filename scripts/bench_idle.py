"""What an idle daemon costs: memory, processor time and wake-ups of the daemon and of its helpers.

    python scripts/bench_idle.py [--seconds 60] [--files 0]

Makes a root in a temporary folder (with `--files` lone sounds in its inbox), starts `heygemd run` on it, lets it
settle, then watches. The daemon itself is held to 75 MB of resident memory; exits 1 above.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

LIMIT_BYTES = 75_000_000
SETTLE_S = 45.0
"""Recent activity makes the daemon look more often for 30 s."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        subprocess.run([sys.executable, "-m", "heygemd", "init-root", str(root)], check=True, stdout=subprocess.DEVNULL)
        for number in range(args.files):
            (root / "inbox" / f"lone_{number:05d}.wav").write_bytes(b"RIFF")
        state = ["--state-dir", str(Path(folder) / "state")]
        with (Path(folder) / "log").open("wb") as log:
            daemon = psutil.Popen([sys.executable, "-m", "heygemd", "run", "--root", str(root), *state], stderr=log)
        try:
            time.sleep(SETTLE_S)
            return watch(daemon, args.seconds)
        finally:
            daemon.terminate()
            daemon.wait(30)


def watch(daemon: psutil.Process, seconds: float) -> int:
    tree = [daemon, *daemon.children(recursive=True)]
    before = {process.pid: snapshot(process) for process in tree}
    time.sleep(seconds)
    for process in tree:
        cpu_s, switches = (now - then for now, then in zip(snapshot(process), before[process.pid], strict=True))
        memory = process.memory_full_info()
        name = "daemon" if process.pid == daemon.pid else " ".join(process.cmdline()[-3:])[:60]
        print(
            f"{name}: RSS {memory.rss / 1e6:.1f} MB, PSS {memory.pss / 1e6:.1f} MB, CPU {100 * cpu_s / seconds:.2f} %, "
            f"{switches / seconds:.1f} wake-ups/s, {process.num_fds()} descriptors, {process.num_threads()} threads"
        )
    total = sum(process.memory_full_info().pss for process in tree)
    print(f"whole tree: PSS {total / 1e6:.1f} MB in {len(tree)} processes")
    rss = daemon.memory_info().rss
    print(f"the daemon has {rss / 1e6:.1f} MB; the limit is {LIMIT_BYTES / 1e6:.0f} MB")
    return 1 if rss > LIMIT_BYTES else 0


def snapshot(process: psutil.Process) -> tuple[float, float]:
    times, switches = process.cpu_times(), process.num_ctx_switches()
    return times.user + times.system, float(switches.voluntary + switches.involuntary)


if __name__ == "__main__":
    sys.exit(main())
