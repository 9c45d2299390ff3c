"""Different faces, one voice, and the manifest that makes a film of every face several times over."""

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
VOICE = SCRIPTS / "demo" / "voice_en.flac"
FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
CLIP_ENDINGS = {".mp4", ".mov", ".mkv", ".webm"}
STEP_MS = 10
"""The films of one face differ in how much later the mouth follows the sound: equal ones would be copied, not made."""


def make_faces(folder: Path, count: int, size: str, length_s: float) -> list[Path]:
    """Make `count` clips that differ in light, colour, distance and side from the demo's presenter."""
    presenter = folder / "presenter.mp4"
    subprocess.run([sys.executable, SCRIPTS / "demo" / "make_presenter.py", presenter], check=True)
    width_px, height_px = map(int, size.split("x"))
    faces = []
    for number in range(count):
        zoom = 1 - 0.03 * (number % 5)
        look = [
            f"scale=-2:{2 * round(height_px * zoom / 2)}:flags=lanczos",
            *(["hflip"] if number % 2 else []),
            f"hue=h={3 * (number % 7) - 9}:s={0.8 + 0.05 * (number % 9):.2f}",
            f"eq=brightness={0.015 * (number % 6) - 0.04:.3f}:contrast={1 - 0.02 * (number % 4):.2f}",
            f"crop='min(iw,{width_px})':ih",
            f"pad={width_px}:{height_px}:(ow-iw)/2:oh-ih:0x{40 + 7 * (number % 20):02x}5060,setsar=1",
        ]
        face = folder / f"face-{number + 1:02d}.mp4"
        encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-an"]
        source = ["-stream_loop", "-1", "-i", presenter, "-t", str(length_s)]
        subprocess.run([*FFMPEG, *source, "-vf", ",".join(look), *encode, face], check=True)
        faces.append(face)
    return faces


def find_faces(folder: Path, count: int) -> list[Path]:
    """Return the first clips of a folder, by name."""
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in CLIP_ENDINGS)
    if len(clips) < count:
        sys.exit(f"{folder} has {len(clips)} clips; {count} are wanted")
    return clips[:count]


def make_voice(folder: Path, length_s: float, voice: Path = VOICE) -> Path:
    """Make a sound of this length of a voice, which speaks again and again."""
    sound = folder / "voice.wav"
    source = ["-stream_loop", "-1", "-i", voice, "-t", str(length_s)]
    subprocess.run([*FFMPEG, *source, "-map", "0:a:0", "-c:a", "pcm_s16le", sound], check=True)
    return sound


def drop(inbox: Path, faces: list[Path], voice: Path, films: int) -> None:
    """Put everything into the inbox, the manifest last: `films` rows that go round and round the faces."""
    for path in (*faces, voice):
        part = inbox / f".{path.name}.part"
        shutil.copyfile(path, part)
        part.rename(inbox / path.name)
    rows = [
        f"{number:03d},{faces[number % len(faces)].name},{voice.name},film-{number:03d}.mp4,"
        f"{STEP_MS * (number // len(faces))}"
        for number in range(films)
    ]
    part = inbox / ".films.part"
    part.write_text("\n".join(["id,video,audio,output,audio_offset_ms", *rows]) + "\n", encoding="utf-8")
    part.rename(inbox / "films.heygem.csv")
