"""What a film costs, stage by stage, against what its parts cost when nothing else runs: on one machine, in one run.

    python scripts/bench_render.py                                      the demo's presenter at 1080p25, wav2lip
    python scripts/bench_render.py --clip talk.mp4 --voice talk.wav --engine atlas --json atlas.json
    python scripts/bench_render.py --markdown wav2lip.json              the tables of an earlier run; measures nothing

**Floors** are measured alone: the decoder to nowhere, the encoder with the product's own words from a file of raw
frames, following the face through frames in memory, the whole published network in the cheapest way this machine has.
Two sums are made of them. *Once each*: decode + follow + forward + encode, the least that any such program must do.
*As promised*: decode the clip twice (its whole face is known before the first frame is painted) and the finished film
once (nobody gets a film that was not decoded to its end).

**Ours** are real films by a real worker process over its pipes, nothing known of face or voice: processor time of the
worker and of its children by task, wall time, memory. Films of several lengths give, by least squares, what a frame
costs and what a film costs besides. Floors and films take turns, and medians are told.

With a card: `--device cuda:0` adds the card's own clock for network and copies, and VRAM. Everything in one call, on 16
cores beside an H200 about six minutes (then `bench_card.py` for accuracy and `bench_queue.py` for many films):

    python scripts/bench_render.py --device cuda:0 --seconds 10 30 60 --repeat 3 --presets --json card.json

Weights are made up where none are given: they cost the same and paint noise, so films look like nothing.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog
from bench.clips import cut_clip, cut_voice, make_clip, make_weights, rate_of
from bench.floors import FOLLOWED_FRAMES, PAINTED_FRAMES, Commands, alone, decode_s, encode_s, make_raw, presets_of
from bench.goods import VOICE
from bench.machine import facts
from bench.renderfigures import Rounds, figures, sheets
from bench.sums import WITHOUT_FACE, WITHOUT_NETWORK
from bench.tables import show, tell
from bench.warm import Film, WarmWorker

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice


def main() -> int:
    args = read_arguments()
    if args.markdown:
        result = json.loads(args.markdown.read_bytes())
        tell(result, sheets(result), args.page, args.name)
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for figures
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as name:
        folder = args.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        result = {"machine": facts(), "asked": asked_of(args), **measure(args, folder)}
    show(sheets(result))
    print(json.dumps(result["machine"], ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a talking face; else the demo's presenter")
    parser.add_argument("--size", default="1920x1080", help="of the clip that is made")
    parser.add_argument("--voice", type=Path, default=VOICE)
    parser.add_argument("--engine", choices=("wav2lip", "atlas", "passthrough"), default="wav2lip")
    parser.add_argument("--weights", type=Path, help="else untrained ones are made")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 30, 60], help="lengths of the films")
    parser.add_argument(
        "--loop", action="store_true", help="the shortest clip for all films; else clips as long as they"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--presets", action="store_true", help="also what the encoder's presets cost")
    parser.add_argument("--folder", type=Path, help="where clips are made and kept for the next run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="print an earlier run's tables for a page")
    parser.add_argument(
        "--page", type=Path, help="with --markdown: put them into this page, between the marks of --name"
    )
    parser.add_argument("--name", default="", help="<!-- NAME --> … <!-- /NAME -->")
    args = parser.parse_args()
    if len(set(args.seconds)) < 2:
        parser.error("--seconds: a cost per frame needs films of two lengths")
    return args


def asked_of(args: argparse.Namespace) -> dict[str, Any]:
    names = ("size", "engine", "device", "seconds", "loop", "repeat")
    files = {name: path.name for name in ("clip", "voice", "weights") if (path := getattr(args, name))}
    return {**{name: getattr(args, name) for name in names}, **files}


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let floors and films take turns."""
    lengths = sorted(set(args.seconds))
    given = args.clip or make_clip(folder, args.size)
    rate = rate_of(given)
    pairs = {}
    for length in lengths:
        clip_s = lengths[0] if args.loop else length
        pairs[length] = (cut_clip(folder, given, round(clip_s * rate)), cut_voice(folder, length, args.voice))
    floors: list[dict[str, float]] = []
    films: dict[float, list[Film]] = {length: [] for length in lengths}
    made, forward = folder / "made.mp4", {"way": ""}
    choice = choice_of(args, folder)
    with WarmWorker(choice, folder, args.device) as fresh:  # measures the machine, which is done once
        measuring = fresh.start
    with WarmWorker(choice, folder, args.device) as worker:
        first = worker.make(*pairs[lengths[0]], keep=made)
        commands = Commands(worker.commands["decoder"], worker.commands["encoder"])
        longest = pairs[lengths[-1]][0]
        raw = make_raw(folder, longest, commands)
        for _ in range(args.repeat):
            floors.append(picture_floors(longest, made, raw, commands))
            if args.engine not in WITHOUT_FACE:
                floors[-1]["follow"] = alone("follow", longest, FOLLOWED_FRAMES)["cpu_s"]
            if args.engine not in WITHOUT_NETWORK:
                forward = alone("forward", worker.device, PAINTED_FRAMES)
                floors[-1]["forward"] = forward["cpu_s"]
            for length in lengths:
                films[length].append(worker.make(*pairs[length]))
        presets = presets_of(raw, longest, commands) if args.presets and "libx264" in commands.encoder else []
        raw.unlink()
        found = figures(Rounds(engine=args.engine, floors=floors, films=films, way=forward["way"]))
        started = {
            "start_cpu_s": worker.start.cpu.total_s,
            "start_wall_s": worker.start.wall_s,
            "first_start_cpu_s": measuring.cpu.total_s,
            "first_film_extra_s": first.cpu_s - found["films"][0]["cpu_s"],
            "precision": worker.precision,
            "device": worker.device,
        }
    card = forward if "gpu_ms" in forward else None
    return {**found, "worker": started, "forward": forward, "presets": presets, "card": card}


def picture_floors(clip: Path, film: Path, raw: Path, commands: Commands) -> dict[str, float]:
    """Decoder and encoder by themselves."""
    threads = commands.decoder_threads
    return {
        "decode": decode_s(clip, threads),
        "decode into a pipe": decode_s(clip, threads, into_pipe=commands.decoder_form),
        "encode": encode_s(raw, clip, commands)[0],
        "decode film": decode_s(film, threads),
    }


def choice_of(args: argparse.Namespace, folder: Path) -> EngineChoice:
    """The engine, with weights that are given or made up."""
    engine = EngineName(args.engine)
    if engine is not EngineName.WAV2LIP:
        return EngineChoice(name=engine)
    return EngineChoice(name=engine, weights=(args.weights or make_weights(folder)).absolute())


if __name__ == "__main__":
    sys.exit(main())
