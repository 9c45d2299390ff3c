"""The queue at work: many films of one voice and a few faces through a real daemon, and what the machine did meanwhile.

    python scripts/bench_queue.py                              50 films of a minute, ten faces of 1280×720, atlas
    python scripts/bench_queue.py --quick                      8 films of 6 s, four faces of 640×360
    python scripts/bench_queue.py --quick --compare 1,2        one worker against two, by turns
    python scripts/bench_queue.py --engine wav2lip --faces-dir clips/ --voice speech.wav --json figures.json

Films of one face differ by some milliseconds of offset, so that none is a copy of another. wav2lip without weights
of your own gets untrained ones, which are as slow. Ends with 1 when a film is missing.
"""

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import psutil
import structlog
from bench.figures import Figures, Log, figures
from bench.goods import VOICE, drop, find_faces, make_faces, make_voice
from bench.machine import facts
from bench.watch import Watch
from rich.console import Console
from rich.table import Table

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{models}"
[intake]
settle_s = 0.5
settle_unsure_s = 1.0
scan_active_s = 0.5
reserve_mib = 0
[render]
engine = "{engine}"
device = "{device}"
batch_size = {batch}
{workers}
"""
UNTRAINED = """
import sys
from pathlib import Path
from heygemd.render.wav2lip.untrained import save_published, untrained_network
save_published(untrained_network().state_dict(), Path(sys.argv[1]))
"""
WAV2LIP_FILES = ("wav2lip.pth", "wav2lip_gan.pth")


class Goods(NamedTuple):
    """What is put in, and the weights to do it with."""

    faces: list[Path]
    voice: Path
    models: Path


def main() -> int:
    args = read_arguments()
    # The device module tells at every look that there is no driver.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    arms = [int(workers) for workers in args.compare.split(",")] if args.compare else [args.workers]
    machine = facts()
    runs: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="bench-queue-") as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        faces = (
            find_faces(args.faces_dir, args.faces)
            if args.faces_dir
            else make_faces(folder, args.faces, args.size, args.face_s)
        )
        goods = Goods(
            faces, make_voice(folder, args.voice_s, args.voice), models_for(args.engine, args.models_dir, folder)
        )
        for number, workers in enumerate(by_turns(arms, args.rounds), 1):
            home = folder / f"run-{number}"
            runs.append(run(home, goods, workers, args))
            if runs[-1].exit_status:
                print(f"the daemon ended with {runs[-1].exit_status}: {home / 'daemon.log'} (kept with --keep)")
            show([runs[-1]], f"run {number}: {args.films} films of {args.voice_s:g} s, {args.engine}")
    ratios = compare(runs, arms)
    if args.compare:
        show(runs, "all runs")
        print("\n".join(f"{name}: {ratio:.2f} × the films an hour" for name, ratio in ratios.items()))
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    result = {"machine": machine, "asked": asked, "runs": [asdict(one) for one in runs], "ratios": ratios}
    print(json.dumps(machine, ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 1 if any(one.films - one.failed < args.films for one in runs) else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=50)
    parser.add_argument("--voice-s", type=float, default=60.0)
    parser.add_argument("--faces", type=int, default=10)
    parser.add_argument("--face-s", type=float, default=12.0, help="length of each clip")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--engine", choices=["atlas", "passthrough", "wav2lip"], default="atlas")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--workers", type=int, default=0, help="most workers of a device; 0: what it carries")
    parser.add_argument("--batch", type=int, default=16, help="most frames at once")
    parser.add_argument("--compare", metavar="1,2", help="numbers of workers to be run by turns")
    parser.add_argument("--rounds", type=int, default=1, help="of each number that is compared")
    parser.add_argument("--faces-dir", type=Path)
    parser.add_argument("--voice", type=Path, default=VOICE)
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--keep", type=Path, help="folder for inputs, films and logs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    quick = {"films": 8, "voice_s": 6.0, "faces": 4, "face_s": 6.0, "size": "640x360"}
    if parser.parse_args().quick:
        parser.set_defaults(**quick)
    return parser.parse_args()


def by_turns(arms: list[int], rounds: int) -> Iterable[int]:
    """Yield every arm once a round, there and back: what changes slowly on the machine meets all of them alike."""
    for number in range(rounds):
        yield from arms[::-1] if number % 2 else arms


def models_for(engine: str, models: Path, folder: Path) -> Path:
    """Return the folder of the weights; untrained ones are made where there are none."""
    if engine != "wav2lip" or any((models / name).is_file() for name in WAV2LIP_FILES):
        return models.absolute()
    made = folder / "models"
    made.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", UNTRAINED, str(made / "wav2lip_gan.pth")], check=True)
    print("wav2lip has no weights here: untrained ones are used")
    return made


# One run -------------------------------------------------------------------------------------------------------------


def run(home: Path, goods: Goods, workers: int, args: argparse.Namespace) -> Figures:
    """Start a daemon on a root of its own, watch it until it has nothing to do, and count."""
    root, config, log_file = home / "root", home / "heygemd.toml", home / "daemon.log"
    home.mkdir(parents=True)
    limit = f"workers = {workers}" if workers else ""
    config.write_text(
        CONFIG.format(
            root=root,
            state=home / "state",
            models=goods.models,
            engine=args.engine,
            device=args.device,
            batch=args.batch,
            workers=limit,
        ),
        encoding="utf-8",
    )
    heygemd = [sys.executable, "-m", "heygemd"]
    subprocess.run([*heygemd, "init-root", str(root)], check=True, stdout=subprocess.DEVNULL)
    drop(root / "inbox", goods.faces, goods.voice, args.films)
    watch, began_s, began_cpu_s = Watch(), time.monotonic(), cpu_s()
    with log_file.open("wb") as log:
        daemon = psutil.Popen([*heygemd, "run", "--config", str(config), "--until-idle"], stderr=log)
        try:
            watch.until_end_of(daemon, root / "status" / "status.json")
        except BaseException:
            daemon.terminate()
            raise
        finally:
            daemon.wait()
    wall_s = time.monotonic() - began_s
    status, log = daemon.returncode, Log.of(log_file)
    took_s = cpu_s() - began_cpu_s
    return figures(root, log, watch, workers=workers, exit_status=status, wall_s=wall_s, cpu_s=took_s)


def cpu_s() -> float:
    """Return the processor time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# What came of it -----------------------------------------------------------------------------------------------------


def compare(runs: list[Figures], arms: list[int]) -> dict[str, float]:
    """Return how many films an hour each arm makes, as a multiple of the first."""
    per_hour = {arm: statistics.fmean(one.films_per_hour for one in runs if one.workers == arm) for arm in arms}
    first = arms[0]
    return {f"{arm} against {first}": per_hour[arm] / (per_hour[first] or 1e-9) for arm in arms[1:]}


def show(runs: list[Figures], title: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for number, one in enumerate(runs, 1):
        table.add_column(f"{number}: workers {one.workers or 'auto'}", justify="right")
    rows = {
        "films, failed": lambda one: ", ".join(map(str, (one.films, one.failed, *one.errors))),
        "films an hour": lambda one: f"{one.films_per_hour:.1f}",
        "seconds of film a second": lambda one: f"{one.realtime_factor:.2f}",
        "work, wall": lambda one: f"{one.work_s:.1f} s, {one.wall_s:.1f} s",
        "workers at most": lambda one: str(one.most_workers),
        "tasks at once, most and mean": lambda one: (
            ", ".join(f"{kind} {told['most']:.0f}, {told['mean']:.1f}" for kind, told in one.at_once.items()) or "–"
        ),
        "CPU time, share of all cores": lambda one: f"{one.cpu_s:.0f} s, {one.cpu_busy:.0%}",
        "machine busy": lambda one: f"{one.machine_busy:.0%}",
        "GPU busy": lambda one: "–" if one.gpu_busy is None else f"{one.gpu_busy:.0%}",
        "peak PSS": lambda one: f"{one.peak_pss_mb:.0f} MB",
        "peak VRAM by card": lambda one: ", ".join(f"{size:.0f} MB" for size in one.peak_vram_mb.values()) or "–",
        "largest task, predicted": lambda one: (
            ", ".join(
                f"{kind} {told['measured_mb']:.0f} MB, {told['predicted_mb']:.0f} MB"
                for kind, told in one.memory.items()
            )
            or "–"
        ),
        "mean error of predictions": lambda one: (
            ", ".join(f"{kind} {told['mean_error']:.0%}" for kind, told in one.memory.items()) or "–"
        ),
        "cache hits: faces, voices": lambda one: f"{one.face_hits}, {one.voice_hits}",
        "worker seconds by stage": lambda one: ", ".join(f"{name} {took:.0f}" for name, took in one.stage_s.items()),
        "end foreseen, error": lambda one: ", ".join(f"at {at} {off:+.0%}" for at, off in one.foreseen.items()) or "–",
    }
    for name, text in rows.items():
        table.add_row(name, *(text(one) for one in runs))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
