r"""Another lip-sync program beside ours, on the same clips and sounds, taking turns: CPU, wall time, memory, ratios.

    python scripts/bench_peer.py --peer-dir ../Wav2Lip --models models/ --clips native.mp4 --lengths 5 10 \
        --peer 'python inference.py --checkpoint_path models/wav2lip_gan.pth --box 100 500 100 420
                --face {video} --audio {audio} --outfile {out}' --json fixed-box.json
    python scripts/bench_peer.py … --peer-frames 8              a peer too slow for whole films
    python scripts/bench_peer.py --make-weights models/         untrained weights in both published forms
    python scripts/bench_peer.py --markdown fixed-box.json      the tables of an earlier run; measures nothing

The peer's command stands in --peer, with places {video} {audio} {out}; it runs in --peer-dir. How the public reference
is set up is told in docs/performance.md; its code is no part of this project. Ours is run twice for each film: *cold*,
the whole command `heygemd render` with its start and its end, and *warm*, the same film by a worker that has made one
before, as the daemon works. Everything that a command starts is counted: user and system time of the whole tree, and
the proportional and resident memory at the worst moment that was seen (every half second).

--peer-frames N runs the peer on N and on 2N frames only; the difference is what a frame costs it, the rest its
start-up, and whole films are told from that line. The tables say so.

Nothing here looks at the pictures: untrained weights show what films cost and nothing of how they look.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from bench.clips import cut_clip, cut_voice, make_clip, make_weights, rate_of
from bench.contest import COLD, PEER, WARM, Outcome, compared, fill, foretell, marginals, play, sheets
from bench.goods import VOICE
from bench.machine import facts
from bench.tables import show, tell
from bench.warm import WarmWorker

from heygemd import catalogue
from heygemd.jobs.job import EngineName

OURS = f"{sys.executable} -m heygemd render --video {{video}} --audio {{audio}} --output {{out}} --engine {{engine}}"


def main() -> int:
    args = read_arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for figures
    if args.markdown:
        result = json.loads(args.markdown.read_bytes())
        tell(result, sheets(result), args.page, args.name)
        return 0
    if args.make_weights:
        args.make_weights.mkdir(parents=True, exist_ok=True)
        print(f"{make_weights(args.make_weights)} for ours, wav2lip_gan.pth beside it for the reference")
        return 0
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as name:
        folder = (args.folder or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        asked = {"peer": args.peer, "engine": args.engine, "lengths": args.lengths, "rounds": args.rounds}
        result = {"machine": facts(), "asked": asked, **Contest(args, folder).result()}
    show(sheets(result))
    print(json.dumps(result["machine"], ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="its command; without it ours is measured alone")
    parser.add_argument("--peer-dir", type=Path, help="where its command runs")
    parser.add_argument("--peer-frames", type=int, metavar="N", help="run it on N and 2N frames and extrapolate")
    parser.add_argument("--ours", default=OURS, help="our command, with {engine} besides")
    parser.add_argument("--engine", choices=("wav2lip", "atlas", "passthrough"), default="wav2lip")
    parser.add_argument("--models", type=Path, help="folder with our weights; else untrained ones are made")
    parser.add_argument("--clips", type=Path, nargs="+", help="talking faces; else the demo's presenter at 1080p")
    parser.add_argument("--voice", type=Path, default=VOICE)
    parser.add_argument("--lengths", type=float, nargs="+", default=[5, 10], metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where clips are made and kept for the next run")
    parser.add_argument("--make-weights", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="print an earlier run's tables for a page")
    parser.add_argument(
        "--page", type=Path, help="with --markdown: put them into this page, between the marks of --name"
    )
    parser.add_argument("--name", default="", help="<!-- NAME --> … <!-- /NAME -->")
    args = parser.parse_args()
    for template in filter(None, (args.peer, args.ours)):
        try:
            fill(template)
        except ValueError as error:
            parser.error(str(error))
    return args


@dataclass(frozen=True, slots=True)
class Pair:
    """What one film is made of."""

    clip: str
    """Name of the clip that it was cut from."""
    video: Path
    audio: Path
    frames: int


class Contest:
    """All turns of one call."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args = args
        self._folder = folder
        self._models = (args.models or folder).absolute()
        if args.models is None and args.engine == "wav2lip":
            make_weights(folder)
        self._clips = args.clips or [make_clip(folder, "1920x1080")]
        self._pairs = [
            self._pair(clip, round(length * rate_of(clip))) for clip in self._clips for length in sorted(args.lengths)
        ]

    def _pair(self, clip: Path, frames: int) -> Pair:
        video = cut_clip(self._folder, clip, frames).absolute()
        audio = cut_voice(self._folder, frames / float(rate_of(clip)), self._args.voice).absolute()
        return Pair(clip.stem, video, audio, frames)

    def result(self) -> dict[str, Any]:
        """Let everybody take turns; each round begins with another."""
        args = self._args
        short = self._short_runs() if args.peer and args.peer_frames else {}
        foretold = {clip: foretell(outcomes) for clip, outcomes in short.items()}
        outcomes: list[Outcome] = []
        with WarmWorker(catalogue.choose_engine(EngineName(args.engine), self._models), self._folder) as worker:
            worker.make(self._pairs[0].video, self._pairs[0].audio)  # a worker is warm after its first film
            self._cold(self._pairs[0])  # and the first command on a machine measures that
            turns: list[Callable[[Pair], Outcome]] = [self._cold, partial(self._warm, worker)]
            if args.peer and not foretold:
                turns.insert(0, self._peer)
            for number in range(args.rounds):
                first = number % len(turns)
                for pair in self._pairs:
                    outcomes += [turn(pair) for turn in (*turns[first:], *turns[:first])]
        every = [*outcomes, *(outcome for row in short.values() for outcome in row)]
        return {
            "outcomes": [asdict(outcome) for outcome in every],
            "films": compared(outcomes, foretold),
            "marginals": marginals(outcomes, foretold),
            "foretold": "; ".join(f"{clip}: {lines['cpu_s']}" for clip, lines in foretold.items()),
        }

    def _short_runs(self) -> dict[str, list[Outcome]]:
        """Let the peer make the beginning of each clip, N and 2N frames, as often as there are rounds."""
        counts = (self._args.peer_frames, 2 * self._args.peer_frames)
        return {
            clip.stem: [self._peer(self._pair(clip, count)) for _ in range(self._args.rounds) for count in counts]
            for clip in self._clips
        }

    def _peer(self, pair: Pair) -> Outcome:
        out = self._folder / "peer.mp4"
        words = fill(self._args.peer, video=pair.video, audio=pair.audio, out=out)
        env, cwd = dict(os.environ), self._args.peer_dir
        return play(PEER, words, out, clip=pair.clip, wanted_frames=pair.frames, env=env, cwd=cwd)

    def _cold(self, pair: Pair) -> Outcome:
        out = self._folder / "ours.mp4"
        ours = self._args.ours.replace("{engine}", self._args.engine)
        words = fill(ours, video=pair.video, audio=pair.audio, out=out)
        places = {"HEYGEMD_STATE_DIR": str(self._folder / "state"), "HEYGEMD_MODELS_DIR": str(self._models)}
        for made in self._folder.glob("ours.*"):
            made.unlink()
        return play(COLD, words, out, clip=pair.clip, wanted_frames=pair.frames, env={**os.environ, **places})

    def _warm(self, worker: WarmWorker, pair: Pair) -> Outcome:
        film = worker.make(pair.video, pair.audio)
        return Outcome(
            who=WARM, clip=pair.clip, wanted_frames=pair.frames, frames=film.frames, film_s=film.film_s,
            cpu_s=film.cpu_s, wall_s=film.wall_s, pss_bytes=film.pss_bytes, rss_bytes=film.rss_bytes,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
