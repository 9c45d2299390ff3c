"""Does the film do what was wanted, and does it look like the source? Figures and a picture for every clip.

    python scripts/measure_sync.py --clips clips/*.mp4 stills/*.jpg --drives own held shifted silence --out figures/
    python scripts/measure_sync.py --clips a.mp4 b.mp4 --drives cross:b audio:voice.wav --seconds 5 --out figures/

Drives are listed in `measure/drives.py`. A film is made of every clip with every drive, encoded as a real one, and
measured from the encoded file:

    curves     wanted against re-measured opening and width (eye distances), closures, what stays open where shut
    speaker    (own…) net, target and film against the mouth that really spoke, at lag 0 and at the clip's lag
    pictures   flicker of the skin, sharpness of the lips, gradient where the mouth fades into the face, motion of the
               lower face: film / source through the same encoder; changes outside the lower face (must be 0)

Our own tracker is the ruler. `--ruler-python PY --ruler PROGRAM` measures with a program from outside as well, see
`measure/rulers.py`. In `--out`: a folder of films, sheets and figures for every clip, CLIP.json and CLIP.png with all
of its drives, and table.md.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
from measure.curves import agreement
from measure.drives import Drive, NotHereError, drive_of
from measure.figures import against_real, against_wanted, of_pictures, openings, rounded
from measure.film import make
from measure.material import Material, load, sharp_still
from measure.rulers import OutsideRuler, Reading, in_our_measure, tracked
from measure.sheet import draw, save
from measure.table import markdown

from heygemd.errors import HeygemdError
from heygemd.render.faces import topology

Tree = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="Clips and stills.")
    parser.add_argument("--drives", nargs="+", default=["own", "held", "shifted", "silence"])
    parser.add_argument("--stills", action="store_true", help="Measure the first sharp frame of every clip instead.")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="More clips that `cross:` may name.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Only the first seconds of everything.")
    parser.add_argument("--idle-motion", action="store_true", help="Let stills blink and sway; much changes then.")
    parser.add_argument("--ruler-python", type=Path)
    parser.add_argument("--ruler", type=Path)
    parser.add_argument("--ruler-cache", type=Path, help="Where the outside ruler's curves of sources are kept.")
    parser.add_argument("--no-films", action="store_true", help="Delete each film when it is measured.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if (args.ruler is None) != (args.ruler_python is None):
        parser.error("--ruler and --ruler-python go together")
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        return measure(args, Path(folder))


def measure(args: argparse.Namespace, scratch: Path) -> int:
    ruler = OutsideRuler(python=args.ruler_python, program=args.ruler, cache=args.ruler_cache) if args.ruler else None
    others = {
        path.stem: load(path, seconds=args.seconds, scratch=scratch)
        for path in {*args.clips, *args.others}
        if f"cross:{path.stem}" in args.drives
    }
    runs: list[Tree] = []
    for clip in args.clips:
        material = others.get(clip.stem) or load(clip, seconds=args.seconds, scratch=scratch)
        if args.stills and not material.info.is_still:
            material = load(sharp_still(material, scratch), seconds=args.seconds, scratch=scratch)
        runs += of_clip(material, others, args, ruler)
        for raw in scratch.glob(f"{material.name}.i420"):
            if material.name not in others:
                raw.unlink()
        measured = all_runs(args.out)
        (args.out / "table.md").write_text(markdown(measured), encoding="utf-8")
    print((args.out / "table.md").read_text(encoding="utf-8"))
    return 0 if runs else 1


def all_runs(out: Path) -> list[Tree]:
    """Collect what lies in the folder, of this call and of others before it."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/*.json"))]


def of_clip(
    material: Material, others: dict[str, Material], args: argparse.Namespace, ruler: OutsideRuler | None
) -> list[Tree]:
    """Measure one clip with all drives."""
    folder = args.out / material.name
    folder.mkdir(parents=True, exist_ok=True)
    source = ruler.of_source(material.path) if ruler else None
    runs = []
    for word in args.drives:
        try:
            drive = drive_of(word, material, others, seconds=args.seconds)
            tree = of_drive(drive, folder, ruler, source, args)
        except (NotHereError, HeygemdError) as error:
            print(f"{material.name} {word}: left out: {error}", file=sys.stderr, flush=True)
            continue
        runs.append(tree)
        print(f"{material.name} {word}: {json.dumps(tree)}", flush=True)
    facts = {"clip": material.name, "runs": [run for run in all_runs(args.out) if run["clip"] == material.name]}
    if source is not None:
        facts["rulers_agree"] = rounded(_rulers_agree(material, source))
    (args.out / f"{material.name}.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    sheets = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]
    if sheets:
        save(args.out / f"{material.name}.png", np.vstack(sheets))
    return runs


def of_drive(
    drive: Drive, folder: Path, ruler: OutsideRuler | None, source: Reading | None, args: argparse.Namespace
) -> Tree:
    """Make one film and measure it."""
    film = make(drive, folder, idle=args.idle_motion)
    track, seen = tracked(film.path)
    info = drive.material.info
    eye_px = topology.eye_distance(drive.material.track.points)
    tree: Tree = {
        "clip": drive.material.name,
        "drive": drive.name,
        "frames": len(drive.frames),
        "fps": float(info.fps),
        "size_px": [info.width_px, info.height_px],
        "eye_px": float(np.nanmedian(eye_px)),
        "touched_frames": film.touched_frames,
        "tracker": against_wanted(film, seen, drive.fps),
        "pictures": of_pictures(drive, film, track),
        "render_ms": film.render_ms,
        "settle_s": film.settle_s,
    }
    found = {"tracker": seen.opening}
    if drive.name == "silence":
        tree["silence"] = {
            "energy": tree["pictures"]["energy"],
            "opening": float(np.nanpercentile(seen.opening, 95)),
            "opening_spread": float(np.nanstd(seen.opening)),
        }
    if drive.real is not None:
        tree["tracker"]["real"] = against_real(film, seen, drive.real, drive.fps)
    if ruler is not None and source is not None:
        outside = ruler.of_film(film.path)
        matched = in_our_measure(outside, source, drive.material.mouth)
        tree["ruler"] = against_wanted(film, outside, drive.fps)
        tree["ruler"]["opening_matched"] = None if matched is None else openings(film, matched)
        if drive.real_frames is not None:
            tree["ruler"]["real"] = against_real(film, outside, source.of(drive.real_frames), drive.fps)
        found["ruler"] = outside.opening if matched is None else matched
    tree = rounded(tree)
    title = f"{tree['clip']}  {tree['drive']}  r {tree['tracker']['opening']['r']}"
    draw(folder / f"{film.path.stem}.png", drive, film, found, title)
    film.path.with_suffix(".json").write_text(json.dumps(tree, indent=1), encoding="utf-8")
    for path in (film.source, film.path) if args.no_films else (film.source,):
        path.unlink()
    return tree


def _rulers_agree(material: Material, source: Reading) -> Tree:
    """Compare our tracker with the outside ruler on the source itself: no film can agree better."""
    count = min(len(source.opening), len(material.mouth.opening))
    rows = np.ones(count, np.bool_)
    return {
        name: agreement(getattr(source, name)[:count], getattr(material.mouth, name)[:count], rows)
        for name in ("opening", "width")
    }


if __name__ == "__main__":
    sys.exit(main())
