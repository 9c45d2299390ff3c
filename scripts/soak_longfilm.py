"""Make a film of an hour while its daemon is killed on the way, and one of a minute; then compare their memory.

    python scripts/soak_longfilm.py [--minutes 60] [--kills 3] [--engine passthrough] [--source-minutes 0]
                                    [--clip FILE] [--voice FILE] [--size 640x360] [--seed 1] [--json FILE]

A short clip is shown to and fro below a long voice; with `--source-minutes` it is looped into a clip of that length
first. SIGKILL meets, by turns, the daemon with its helpers, a worker, and everything at once, each in the middle of
the rendering; `heygemd run` is started again. Memory is the proportional set size (PSS) of the daemon and everything
below it. Exits 1 when the film is wrong, when a segment was rendered twice or not at all, or when the peak of the
long film is more than 10 % above that of the short one.
"""

import argparse
import contextlib
import itertools
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import structlog
from bench.goods import FFMPEG, VOICE, make_faces, make_voice
from bench.machine import facts
from bench_films import check
from bench_memory import GROWTH_LIMIT, pss_bytes
from soak.births import Births
from soak.shard import die_with_parent

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
[intake]
settle_s = 0.5
settle_unsure_s = 1.0
scan_active_s = 0.5
reserve_mib = 0
[render]
engine = "{engine}"
preset = "ultrafast"
{workers}
# Every kill costs the job an attempt, and a killed worker is a strike: as they should.
max_attempts = 100
max_strikes = 100
"""
VICTIMS = ("group", "worker", "everything")
"""The daemon with its helpers (workers lose their leash), one worker alone, and all of them with their ffmpegs."""
CLIP_S = 12.0
LOOK_S = 0.1
LONGEST_DELAY_S = 5.0
"""A kill comes up to so long after the segment that it waits for."""
PARTS = 4
"""The peak of the rendering is told for each part of the film, to show whether it grows."""


@dataclass(slots=True)
class Run:
    """One film."""

    minutes: float
    wall_s: float = 0.0
    lives: int = 0
    kills: list[str] = field(default_factory=list)
    segments_needed: int = 0
    segments_rendered: int = 0
    """Over all lives."""
    rendered_twice: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    peak_by_process_mb: dict[str, float] = field(default_factory=dict)
    peak_by_phase_mb: dict[str, float] = field(default_factory=dict)
    looks: int = 0
    film: str = ""
    """What was found in it."""
    broken: list[str] = field(default_factory=list)


class Soak:
    """Makes one film in a root and a state directory of its own."""

    def __init__(self, folder: Path, clip: Path, voice: Path, minutes: float, args: argparse.Namespace) -> None:
        self._folder, self._clip, self._voice, self._args = folder, clip, voice, args
        self._root, self._state = folder / "root", folder / "state"
        self._births = Births(self._state / "work")
        self._next_look_s = 0.0
        self._daemon: psutil.Popen | None = None
        self.run = Run(minutes=minutes)

    def make(self, moments: list[float], order: list[str]) -> Run:
        """Make the film; kill `order[i]` when the share `moments[i]` of the segments is done."""
        began_s = time.monotonic()
        self._prepare()
        self._start()
        for share, victim in zip(moments, order, strict=True):
            if not self._wait_for(share):
                self.run.broken.append(f"the daemon ended before a {victim} could be killed")
                break
            self._kill(victim)
            self.run.kills.append(victim)
        self._wait_for(None)
        self.run.wall_s = round(time.monotonic() - began_s, 1)
        self._births.close()
        self._judge()
        return self.run

    def _prepare(self) -> None:
        subprocess.run([sys.executable, "-m", "heygemd", "init-root", str(self._root)], check=True, capture_output=True)
        workers = f"workers = {self._args.workers}" if self._args.workers else ""
        config = CONFIG.format(root=self._root, state=self._state, engine=self._args.engine, workers=workers)
        (self._folder / "heygemd.toml").write_text(config, encoding="utf-8")
        for source in (self._clip, self._voice):
            shutil.copyfile(source, self._root / "inbox" / f"film{source.suffix}")

    def _start(self) -> None:
        self.run.lives += 1
        argv = [sys.executable, "-m", "heygemd", "run", "--config", str(self._folder / "heygemd.toml"), "--until-idle"]
        with (self._folder / f"life-{self.run.lives}.log").open("wb") as log:
            self._daemon = psutil.Popen(
                argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent
            )

    def _wait_for(self, share: float | None) -> bool:
        """Look on until this share of the segments is done, and a moment longer; None: until the daemon ends."""
        assert self._daemon is not None
        kill_at_s = float("inf")
        while self._daemon.poll() is None:
            self._look()
            births, now_s = self._births, time.monotonic()
            if share is not None and births.needed and births.done >= share * births.needed:
                kill_at_s = min(kill_at_s, now_s + random.uniform(0, LONGEST_DELAY_S))  # seeded in main
            if now_s >= kill_at_s:
                return True
            time.sleep(LOOK_S)
        self._look()
        return share is None

    def _kill(self, victim: str) -> None:
        assert self._daemon is not None
        family = self._daemon.children(recursive=True)
        workers = [child for child in family if _label(child) == "worker"]
        if victim == "worker" and workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(workers).kill()
            return
        os.killpg(self._daemon.pid, signal.SIGKILL)
        for child in family if victim == "everything" else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._daemon.wait()
        self._start()

    def _look(self) -> None:
        self._births.look()
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + self._args.interval_s
        now = _tree_pss(self._daemon)
        run, total_mb = self.run, now.total() / 1e6
        run.looks += 1
        phase = self._phase()
        run.peak_by_phase_mb[phase] = round(max(total_mb, run.peak_by_phase_mb.get(phase, 0.0)), 1)
        if total_mb > run.peak_mb:
            run.peak_mb = round(total_mb, 1)
            run.peak_by_process_mb = {name: round(size / 1e6, 1) for name, size in now.most_common()}

    def _phase(self) -> str:
        births = self._births
        if not births.needed:
            return "analyse" if not births.is_analysed else "plan"
        if births.done >= births.needed:
            return "finish"
        return f"render {1 + births.done * PARTS // births.needed}/{PARTS}"

    def _judge(self) -> None:
        run, births = self.run, self._births
        run.segments_needed, run.segments_rendered = births.needed, births.counts.total()
        run.rendered_twice = sorted(name for name, count in births.counts.items() if count > 1)
        if run.segments_rendered != run.segments_needed or run.rendered_twice:
            run.broken.append(f"{run.segments_rendered} segments were rendered, {run.segments_needed} are needed")
        if self._daemon is not None and self._daemon.returncode:
            run.broken.append(f"the last daemon ended with {self._daemon.returncode}")
        films = sorted((self._root / "outbox").glob("*.mp4"))
        if len(films) != 1:
            run.broken.append(f"{len(films)} films instead of one")
            return
        good, run.film = check(films[0], self._voice)
        if not good:
            run.broken.append(f"the film is wrong: {run.film}")


def _label(process: psutil.Process) -> str:
    """Tell processes of one name apart."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return "gone"
    if "heygemd.render" in words:
        return "worker"
    return "ffmpeg" if words and "ff" in Path(words[0]).name else "daemon and helpers"


def _tree_pss(daemon: psutil.Popen | None) -> Counter[str]:
    found: Counter[str] = Counter()
    if daemon is None:
        return found
    try:
        family = [daemon, *daemon.children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for member in family:
        found[_label(member)] += pss_bytes(member.pid)
    return found


def main() -> int:
    args = read_arguments()
    # The device module tells at every look that there is no driver.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    random.seed(args.seed)
    machine = facts()
    with tempfile.TemporaryDirectory(prefix="soak-longfilm-") as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        short = [film(folder, f"short-{number}", 1.0, 0, args) for number in range(args.short_runs)]
        long = film(folder, "long", args.minutes, args.kills, args)
    growth = long.peak_mb / max(run.peak_mb for run in short)
    broken = [text for run in (*short, long) for text in run.broken]
    if growth > GROWTH_LIMIT:
        broken.append(f"memory grew by {100 * growth - 100:.1f} % with the film")
    print(f"peak of the long film: {growth:.3f} of the short one's (limit {GROWTH_LIMIT})")
    print(json.dumps(machine, ensure_ascii=False))
    print("\n".join(broken) or "nothing is broken")
    if args.json:
        asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        result = {
            "machine": machine, "asked": asked, "short": [asdict(run) for run in short], "long": asdict(long),
            "growth": round(growth, 4), "broken": broken,
        }  # fmt: skip
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 1 if broken else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--engine", choices=["passthrough", "atlas"], default="passthrough")
    parser.add_argument("--clip", type=Path, help="else the demo's presenter")
    parser.add_argument("--voice", type=Path, default=VOICE)
    parser.add_argument("--size", default="640x360", help="of the presenter")
    parser.add_argument("--source-minutes", type=float, default=0.0, help="loop the clip to this length; 0: as it is")
    parser.add_argument("--workers", type=int, default=0, help="most workers; 0: what the machine carries")
    parser.add_argument("--interval-s", type=float, default=0.5, help="from one look at the memory to the next")
    parser.add_argument("--short-runs", type=int, default=2, help="films of a minute; the largest peak counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave everything there")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def film(folder: Path, name: str, minutes: float, kills: int, args: argparse.Namespace) -> Run:
    """Make the inputs and then the film, and show what it took."""
    home = folder / name
    home.mkdir()
    clip = args.clip or make_faces(home, 1, args.size, CLIP_S)[0]
    if args.source_minutes:
        length = ["-t", str(60 * min(args.source_minutes, minutes))]
        looped = home / "source.mp4"
        subprocess.run([*FFMPEG, "-stream_loop", "-1", "-i", clip, *length, "-an", "-c", "copy", looped], check=True)
        clip = looped
    voice = make_voice(home, 60 * minutes, args.voice)
    moments = [(number + random.uniform(0.1, 0.9)) / kills for number in range(kills)]
    order = list(itertools.islice(itertools.cycle(VICTIMS), kills))
    random.shuffle(order)
    run = Soak(home, clip, voice, minutes, args).make(moments, order)
    show(run)
    return run


def show(run: Run) -> None:
    phases = ", ".join(f"{phase} {peak:.0f}" for phase, peak in run.peak_by_phase_mb.items())
    processes = ", ".join(f"{name} {peak:.0f}" for name, peak in run.peak_by_process_mb.items())
    print(
        f"{run.minutes:g} min  {run.segments_rendered} segments rendered, {run.segments_needed} needed",
        f"       {run.lives} lives, killed: {', '.join(run.kills) or 'nobody'}; {run.wall_s:.0f} s",
        f"       peak {run.peak_mb:.0f} MB ({processes})",
        f"       by phase: {phases}",
        f"       {run.film}",
        sep="\n",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
