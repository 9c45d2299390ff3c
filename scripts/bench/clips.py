"""What the render benches work on: clips and voices of exact lengths, and weights that know nothing."""

import json
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bench.goods import FFMPEG, SCRIPTS, VOICE

ENCODE = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-an")
SAFETENSORS, PUBLISHED = "wav2lip_gan.safetensors", "wav2lip_gan.pth"
"""Names of the catalogue: ours reads the first, the public reference the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file turned out to be."""

    frames: int
    seconds: float
    size_bytes: int
    width_px: int
    height_px: int


def facts_of(file: Path) -> Facts:
    """Ask ffprobe; frames are the packets of the picture."""
    shown = "stream=nb_read_packets,width,height:format=duration,size"
    questions = ("-select_streams", "v:0", "-count_packets", "-show_entries", shown, "-of", "json")
    answer = subprocess.run(["ffprobe", "-v", "error", *questions, file], check=True, capture_output=True).stdout
    told = json.loads(answer)
    (stream,) = told["streams"]
    return Facts(
        frames=int(stream["nb_read_packets"]),
        seconds=float(told["format"]["duration"]),
        size_bytes=int(told["format"]["size"]),
        width_px=stream["width"],
        height_px=stream["height"],
    )


def rate_of(file: Path) -> Fraction:
    """Nominal frames a second of the picture."""
    questions = ("-select_streams", "v:0", "-show_entries", "stream=r_frame_rate", "-of", "csv=p=0")
    answer = subprocess.run(["ffprobe", "-v", "error", *questions, file], check=True, capture_output=True, text=True)
    return Fraction(answer.stdout.strip().rstrip(","))


def make_clip(folder: Path, size: str) -> Path:
    """Film the demo's presenter, six seconds, before a blurred and noisy background that leaves no part flat."""
    width, height = map(int, size.split("x"))
    clip = folder / f"presenter-{size}.mp4"
    if clip.exists():
        return clip
    presenter = folder / "presenter.mp4"
    if not presenter.exists():
        subprocess.run([sys.executable, SCRIPTS / "demo" / "make_presenter.py", presenter], check=True)
    cover = f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height}"
    fit = f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=lanczos"
    graph = (
        f"split[near][far];[far]{cover},gblur=sigma={width // 40},noise=alls=5:allf=t[back];"
        f"[near]{fit}[front];[back][front]overlay=(W-w)/2:H-h,setsar=1"
    )
    subprocess.run([*FFMPEG, "-i", presenter, "-filter_complex", graph, *ENCODE, clip], check=True)
    return clip


def cut_clip(folder: Path, clip: Path, frames: int) -> Path:
    """Return a clip of exactly so many frames, made anew from `clip`, which begins again where it is too short."""
    if facts_of(clip).frames == frames:
        return clip
    cut = folder / f"{clip.stem}-{frames}.mp4"
    if not cut.exists():
        source = ["-stream_loop", "-1", "-i", clip, "-map", "0:v:0", "-frames:v", str(frames)]
        subprocess.run([*FFMPEG, *source, *ENCODE, cut], check=True)
    return cut


def cut_voice(folder: Path, seconds: float, voice: Path = VOICE) -> Path:
    """Return a sound of this length of a voice, which speaks again and again."""
    sound = folder / f"{voice.stem}-{seconds:g}.wav"
    if not sound.exists():
        source = ["-stream_loop", "-1", "-i", voice, "-t", f"{seconds:.6f}"]
        subprocess.run([*FFMPEG, *source, "-map", "0:a:0", "-c:a", "pcm_s16le", sound], check=True)
    return sound


def make_weights(folder: Path) -> Path:
    """Leave untrained weights in both published forms in a folder, unless there are some; return ours.

    They cost exactly what trained ones cost, and paint noise.
    """
    ours, theirs = folder / SAFETENSORS, folder / PUBLISHED
    if not ours.exists() or not theirs.exists():
        from heygemd.render.wav2lip.untrained import save_published, save_stripped, untrained_network  # noqa: PLC0415

        state = untrained_network().state_dict()
        save_stripped(state, ours)
        save_published(state, theirs)
    return ours
