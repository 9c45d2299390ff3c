"""Make a film of every clip with every voice and check each as a stranger would, with ffprobe and ffmpeg alone.

    python scripts/bench_films.py [--clips clips/*.mp4] [--voices voices/*.flac] [--out films/] [--engine atlas]

Without arguments: the demo's presenter with both of its voices.

Prints one line a film: frames found and wanted (ceil of the decoded sound's exact length times the rate), spread of
the time stamps' steps, how far the sound's decoded length is from the source's, and the time it took. Exits 1 when a
film is missing or a count is wrong.
"""

import argparse
import itertools
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

DEMO = Path(__file__).parent / "demo"


def probe(path: Path, *questions: str) -> dict:
    argv = ["ffprobe", "-v", "error", "-of", "json", *questions, str(path)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


def decoded_sound_s(path: Path) -> tuple[Fraction, int]:
    """Exact length of the decoded sound, and its rate."""
    stream = probe(path, "-select_streams", "a:0", "-show_streams")["streams"][0]
    rate, channels = int(stream["sample_rate"]), int(stream["channels"])
    argv = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-f", "s16le", "-"]
    count = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as decoder:
        assert decoder.stdout is not None
        while block := decoder.stdout.read(1 << 20):
            count += len(block)
    return Fraction(count // (2 * channels), rate), rate


def pts_steps(path: Path) -> tuple[int, set[int]]:
    packets = probe(path, "-select_streams", "v:0", "-show_entries", "packet=pts")["packets"]
    stamps = sorted(int(packet["pts"]) for packet in packets)
    return len(stamps), {b - a for a, b in itertools.pairwise(stamps)}


def check(film: Path, voice: Path) -> tuple[bool, str]:
    sound_s, rate = decoded_sound_s(voice)
    video = probe(film, "-select_streams", "v:0", "-count_frames", "-show_streams")["streams"][0]
    fps = Fraction(video["r_frame_rate"])
    wanted, found = math.ceil(sound_s * fps), int(video["nb_read_frames"])
    stamps, steps = pts_steps(film)
    heard_s, _ = decoded_sound_s(film)
    late_ms = float(heard_s - sound_s) * 1000
    codec_frame_ms = 1152 / rate * 1000
    good = found == wanted == stamps and len(steps) == 1 and abs(late_ms) <= codec_frame_ms
    text = f"{found}/{wanted} frames at {fps}, steps {sorted(steps)}, sound {late_ms:+.2f} ms"
    return good, f"{video['width']}x{video['height']}, {text}"


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+")
    parser.add_argument("--voices", type=Path, nargs="+", default=sorted(DEMO.glob("*.flac")))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--engine", default="atlas")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = args.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        return make_films(args.clips or [presenter(Path(folder))], args.voices, out, args.engine)


def presenter(folder: Path) -> Path:
    clip = folder / "presenter.mp4"
    subprocess.run([sys.executable, str(DEMO / "make_presenter.py"), str(clip)], check=True)
    return clip


def make_films(clips: list[Path], voices: list[Path], out: Path, engine: str) -> int:
    bad = 0
    for clip in clips:
        for voice in voices:
            film = out / f"{clip.stem}-{voice.stem}.mp4"
            files = ["--video", str(clip), "--audio", str(voice), "--output", str(film), "--overwrite"]
            argv = [sys.executable, "-m", "heygemd", "render", *files, "--engine", engine, "--json"]
            began, began_cpu = time.perf_counter(), cpu_s()
            run = subprocess.run(argv, capture_output=True, text=True, check=False)
            took, took_cpu = time.perf_counter() - began, cpu_s() - began_cpu
            if run.returncode:
                bad += 1
                print(f"FAILED {film.name}: {run.stdout.strip()}", flush=True)
                continue
            report = json.loads(run.stdout)
            good, text = check(film, voice)
            bad += not good
            share = f"mouth in {report['touched_frames']}"
            speed = f"{took / report['film_s']:.2f} s wall and {took_cpu / report['film_s']:.2f} CPU s per s of film"
            print(f"{'ok    ' if good else 'WRONG '} {film.name}: {text}, {share}, {speed}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
