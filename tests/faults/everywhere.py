"""Break a daemon at every change of a disk that it makes, one after the other; or at a part of them.

    python -m tests.faults.everywhere [--scene pairs …] [--act kill "kill twice" half ENOSPC …] [--parallel 2]
                                      [--each-name N] [--every N] [--minutes N] [--folder DIR] [--results FILE]

Points are found by running each scene once undisturbed. They are tried in an order without any, so that a run which
ends early is a fair sample. What has been tried stands in the results file, one JSON object a line, and is not tried
again. Exits 1 when a promise was broken, by whatever stands in that file. Use it alone on a machine: a point takes
about 7 CPU seconds, two or three starts of a daemon.
"""

import argparse
import json
import queue
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.crashes import Point, Reference, Result, Stage, as_line
from tests.faults.scene import SCENES, Template, make_clips, make_template

SMALL = ("pairs", "folder", "manifest", "past", "default")
"""Scenes that show together what `all` shows at once, in less time each."""
ACTS = {"kill": 0, "kill twice": 2, "half": 2, "kill one": 1, "ENOSPC": 1, "EIO": 1, "EROFS": 1, "EMFILE": 1}
"""What can happen → at how many points of each name it does, unless another number is asked for; 0: all."""
BULLETINS = ("R/status/", "/.STATUS.txt", "S/.vitals.json", "S/vitals.json", "/STATUS.txt")
OF_A_BULLETIN = 3
"""What is written anew every few seconds is broken so often, and not each time."""
WRITES = ("write", "pwrite64")
SHOWN, TOLD = 20, 3
"""Points with violations at the end, violations of a point."""


def main() -> int:
    args = read_arguments()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        folder = Path(args.folder or scratch).absolute()
        template = template_in(folder)
        references = {scene: Stage(folder / "record", template).record(scene) for scene in args.scene}
        found = [point for scene in args.scene for point in points_of(scene, references[scene], args)]
        wanted = sorted(found, key=lambda point: zlib.crc32(point.key.encode()))
        results = read_results(args.results)
        points = [point for point in wanted if point.key not in results]
        say(f"{len(wanted)} points, {len(wanted) - len(points)} of them tried before")
        results |= try_all(points, references, template, folder, args)
    return summary(wanted, results, time.monotonic() - began_s)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", nargs="+", choices=sorted(SCENES), default=list(SMALL))
    parser.add_argument("--act", nargs="+", choices=list(ACTS), default=list(ACTS))
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--each-name", type=int, help="So many points of each name; 0: all.")
    parser.add_argument("--every", type=int, default=1, help="Only every N-th point.")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="Begin no point after that.")
    parser.add_argument("--only", default="", help="Only points with this in their name.")
    parser.add_argument("--folder", help="Work there, and leave what is broken there.")
    parser.add_argument("--results", help="What has been tried.")
    return parser.parse_args()


def template_in(folder: Path) -> Template:
    place = folder / "template"
    if (place / "state/jobs.sqlite").exists():
        return Template(place, make_clips(place / "logs"))
    place.mkdir(parents=True)
    return make_template(place)


def points_of(scene: str, reference: Reference, args: argparse.Namespace) -> list[Point]:
    """Return every point at which these acts can happen."""
    points = []
    for act in args.act:
        for name, count in reference.names.items():
            if not can_happen(act, name) or args.only not in name:
                continue
            most = OF_A_BULLETIN if any(mark in name for mark in BULLETINS) else count
            each_name = ACTS[act] if args.each_name is None else args.each_name
            most = min(most, each_name or most, count)
            # Of many alike, some from the beginning to the end.
            numbers = {1 + (count - 1) * index // max(1, most - 1) for index in range(most)}
            points += [Point(scene=scene, act=act, name=name, number=number) for number in sorted(numbers)]
    return sorted(points, key=lambda point: zlib.crc32(point.key.encode()))[:: args.every]


def can_happen(act: str, name: str) -> bool:
    role, call = name.split()[:2]
    if act == "half":
        return call in WRITES
    if act == "kill one":
        return role != "daemon"
    if act == "EMFILE":
        return call == "openat"
    if act == "ENOSPC":
        return call not in ("unlink", "unlinkat", "rmdir", "fchown")
    return True


def read_results(file: str | None) -> dict[str, Result]:
    if file is None or not Path(file).exists():
        return {}
    told = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    return {line["key"]: Result(**line) for line in told}


def try_all(
    points: list[Point], references: dict[str, Reference], template: Template, folder: Path, args: argparse.Namespace
) -> dict[str, Result]:
    results: dict[str, Result] = {}
    stages: queue.Queue[Stage] = queue.Queue()
    for number in range(args.parallel):
        stages.put(Stage(folder / f"stage-{number}", template))
    lock = threading.Lock()
    ends_s = time.monotonic() + 60 * args.minutes

    def attempt(point: Point) -> None:
        if time.monotonic() >= ends_s:
            return
        stage = stages.get()
        try:
            note(stage, point, stage.try_point(point, references[point.scene]))
        finally:
            stages.put(stage)

    def note(stage: Stage, point: Point, result: Result) -> None:
        with lock:
            results[point.key] = result
            if args.results:
                with Path(args.results).open("a", encoding="utf-8") as file:
                    file.write(as_line(result))
            if result.violations:
                say("\n    ".join((point.key, *result.violations[:TOLD])))
                if args.folder:
                    place = stage.grounds.root.parent
                    place.rename(place.with_name(f"broken-{zlib.crc32(point.key.encode()):08x}"))

    with ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(attempt, points))
    return results


def summary(wanted: list[Point], results: dict[str, Result], seconds: float) -> int:
    found = {point.key: results[point.key] for point in wanted if point.key in results}
    acts = Counter(point.act for point in wanted if point.key in found)
    reached = sum(result.is_reached for result in found.values())
    twice = sum(result.is_reached_twice for result in found.values())
    refused = sum(result.refused for result in found.values())
    broken = [result for result in found.values() if result.violations]
    say(", ".join(f"{count} × {act}" for act, count in acts.items()))
    say(f"{len(found)} points tried, {reached} reached, {twice} of them killed again in the restart, {refused} calls "
          f"refused, {sum(result.lives for result in found.values())} lives, {seconds:.0f} s")  # fmt: skip
    say(f"{len(broken)} points with violations")
    for result in broken[:SHOWN]:
        say(f"  {result.key}: {result.violations[0]}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
