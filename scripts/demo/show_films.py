"""Say what the demo made: film, report and contact sheet of each pair, and the time it took; fail when one is missing.

python scripts/demo/show_films.py --root demo/root --elapsed-ms 12345 hello 你好
"""

import argparse
import json
import sys
from pathlib import Path


def show_film(root: Path, name: str) -> float | None:
    """Print what came of one pair; return the film's seconds, or None when there is no film."""
    film = root / "outbox" / f"{name}.mp4"
    report, sheet = film.with_name(film.name + ".json"), film.with_suffix(".jpg")
    missing = [path for path in (film, report, sheet) if not path.is_file()]
    if missing:
        print(f"\n{name}: missing {', '.join(map(str, missing))}", file=sys.stderr)
        for reason in sorted((root / "failed").glob(f"{name}__*/REASON.txt")):
            print(reason.read_text(encoding="utf-8-sig"), file=sys.stderr)
        return None
    facts = json.loads(report.read_text(encoding="utf-8"))
    film_s = float(facts["film_s"])
    print(f"\nfilm           {film}")
    print(f"report         {report}")
    print(f"contact sheet  {sheet}   (upper row: source; lower row: film)")
    print(
        f"               {facts['frames']} frames at {facts['fps']} fps, {film_s:.2f} s long, made in "
        f"{facts['wall_s']:.1f} s by {facts['engine']} on {facts['device']}; "
        f"mouth moved in {facts['touched_frames']} frames"
    )
    return film_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Say what the demo made.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--elapsed-ms", type=int, required=True)
    parser.add_argument("names", nargs="+")
    asked = parser.parse_args()
    lengths_s = [show_film(asked.root, name) for name in asked.names]
    if None in lengths_s:
        sys.exit("demo: a film is missing")
    film_s, elapsed_s = sum(filter(None, lengths_s)), asked.elapsed_ms / 1000
    print(
        f"\n{len(lengths_s)} films of {film_s:.1f} s in all took {elapsed_s:.1f} s, start and stop of the daemon "
        f"included: {elapsed_s / film_s:.2f} s of work for each second of film"
    )


if __name__ == "__main__":
    main()
