"""Does the mouth in the finished film do what was wanted? Wanted against re-measured opening and width.

    python scripts/bench_mouth.py [--clip face.mp4 --voice voice.wav --film film.mp4] [--wanted wanted.npz]

Without arguments a film of the demo's presenter is made first. A film that is given must have been made by
`heygemd render --engine atlas` from this clip and voice. The curve that atlas wanted is computed again and compared
with what our own tracker sees in the encoded film: Pearson r, RMS (in eye distances) and the mean opening where the
mouth was to be shut. `--wanted` saves the wanted curve (time_s, opening, width, gap) for an independent ruler.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from heygemd.jobs.job import LengthPolicy, RenderOptions
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.sound import decode_speech
from heygemd.planning.timeline import plan_timeline
from heygemd.render.atlas.engine import Atlas
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip
from heygemd.render.faces import topology
from heygemd.render.faces.track import FaceTrack
from heygemd.render.faces.tracker import track_clip

LIMITS = Limits()
SHUT = 0.005


def tracked(path: Path) -> FaceTrack:
    video = SourceVideo(path, probe_video(path, LIMITS), LIMITS)
    return track_clip((frame.pts_s, frame.planes) for frame in video.decode())


def wanted_curves(clip: Path, voice: Path) -> tuple[dict[str, np.ndarray], Fraction]:
    info, audio, atlas = probe_video(clip, LIMITS), probe_audio(voice, LIMITS), Atlas()
    track = tracked(clip)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "sound.f32"
        decode_speech(voice, audio, raw, LIMITS)
        speech = atlas.listen(np.fromfile(raw, np.float32))
    ticks = ticks_of(track.pts_s, info.fps)
    timeline = plan_timeline(fps=info.fps, tick_count=len(ticks), sound_s=audio.duration_s, policy=LengthPolicy.AUTO)
    frames = np.array([ticks[timeline.tick_of(i)] for i in range(timeline.frame_count)])
    performance = atlas.prepare(
        Clip(timeline=timeline, source_frames=frames, track=track, speech=speech, video=info, options=RenderOptions())
    )
    targets = performance.targets
    curves = {"opening": targets.opening, "width": targets.width, "gap": targets.opening, "effect": targets.effect}
    curves["time_s"] = np.arange(timeline.frame_count) / float(info.fps)
    return curves, info.fps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("clip", "voice", "film", "wanted"):
        parser.add_argument(f"--{name}", type=Path)
    args = parser.parse_args()
    given = [args.clip, args.voice, args.film]
    if any(given) and not all(given):
        parser.error("--clip, --voice and --film go together")
    with tempfile.TemporaryDirectory() as folder:
        clip, voice, film = given if all(given) else demo_film(Path(folder))
        return compare(clip, voice, film, args.wanted)


def demo_film(folder: Path) -> tuple[Path, Path, Path]:
    demo = Path(__file__).parent / "demo"
    clip, voice, film = folder / "presenter.mp4", demo / "voice_en.flac", folder / "film.mp4"
    subprocess.run([sys.executable, str(demo / "make_presenter.py"), str(clip)], check=True)
    files = ["--video", str(clip), "--audio", str(voice), "--output", str(film)]
    subprocess.run([sys.executable, "-m", "heygemd", "render", *files, "--engine", "atlas"], check=True)
    return clip, voice, film


def compare(clip: Path, voice: Path, film: Path, save_wanted: Path | None) -> int:
    wanted, fps = wanted_curves(clip, voice)
    if save_wanted:
        np.savez(save_wanted, **wanted)
    seen = tracked(film)
    count = min(len(seen.pts_s), len(wanted["time_s"]))
    fully = seen.present[:count] & (wanted["effect"][:count] == 1)
    opening, width = topology.opening(seen.points[:count]), topology.width(seen.points[:count])
    result = {"film": film.name, "fps": str(fps), "frames": count, "compared": int(fully.sum())}
    for name, found in (("opening", opening), ("width", width)):
        target = wanted[name][:count]
        result[f"{name}_r"] = round(float(np.corrcoef(found[fully], target[fully])[0, 1]), 3)
        result[f"{name}_rms"] = round(float(np.sqrt(np.mean((found - target)[fully] ** 2))), 4)
    shut = fully & (wanted["opening"][:count] < SHUT)
    result["opening_where_shut"] = round(float(opening[shut].mean()), 4) if shut.any() else None
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
