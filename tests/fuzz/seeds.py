"""The good files that are mutated: one of every container and codec that the front door lets in, as small as can be."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import boxes, chunks, elements, frames
from tests.fuzz.parts import Part

TakeApart = Callable[[bytes], list[Part]]

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=48x32:r=25:d=0.4")
ODD = ("-f", "lavfi", "-i", "testsrc2=s=49x33:r=30000/1001:d=0.4")
LARGE = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=0.4", "-pix_fmt", "yuv420p")
"""The least that some encoders take."""
TONE = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(440*PI*t):s=16000:d=0.5")
WIDE = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(440*PI*t)|0.2*sin(330*PI*t):s=44100:d=0.5")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime")
AAC = ("-c:a", "aac", "-b:a", "48k")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """How a good file is made, and taken apart."""

    name: str
    """With the suffix that it is dropped under."""
    words: tuple[str, ...]
    """For ffmpeg; the name of the file follows."""
    take_apart: TakeApart

    @property
    def suffix(self) -> str:
        """With its dot."""
        return Path(self.name).suffix


def _seed(name: str, take_apart: TakeApart, *words: str) -> Seed:
    return Seed(name=name, words=words, take_apart=take_apart)


PICTURES = (
    _seed("plain.mp4", boxes.take_apart, *PICTURE, *TONE, *X264, *AAC, "-movflags", "+faststart"),
    _seed("late.mp4", boxes.take_apart, *PICTURE, *TONE, "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", *AAC),
    _seed("pieces.mp4", boxes.take_apart, *PICTURE, *X264, "-movflags", "frag_keyframe+empty_moov", "-g", "4"),
    _seed("hevc.mp4", boxes.take_apart, *LARGE, "-c:v", "libx265", "-x265-params", "log-level=0:pools=1"),
    _seed("av1.mp4", boxes.take_apart, *LARGE, "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1"),
    _seed("mjpeg.mov", boxes.take_apart, *ODD, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    _seed("prores.mov", boxes.take_apart, *PICTURE, "-c:v", "prores_ks", "-profile:v", "0"),
    _seed("png.mov", boxes.take_apart, *PICTURE, "-c:v", "png"),
    _seed("h264.mkv", elements.take_apart, *PICTURE, *TONE, *X264, "-c:a", "flac"),
    _seed("vp8.webm", elements.take_apart, *PICTURE, *TONE, "-c:v", "libvpx", "-c:a", "libvorbis"),
    _seed(
        "vp9.webm", elements.take_apart, *ODD, *TONE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"
    ),
    _seed("mpeg4.avi", chunks.take_riff_apart, *PICTURE, *TONE, "-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    _seed("h264.ts", frames.take_packets_apart, *PICTURE, *TONE, *X264, *AAC),
    _seed("mpeg2.mpg", frames.take_start_codes_apart, *PICTURE, *WIDE, "-c:v", "mpeg2video", "-c:a", "mp2"),
    _seed("flash.flv", chunks.take_flv_apart, *PICTURE, *WIDE, "-c:v", "flv", "-c:a", "libmp3lame"),
    _seed("windows.wmv", chunks.take_guids_apart, *PICTURE, *WIDE, "-c:v", "wmv2", "-c:a", "wmav2"),
    _seed("theora.ogv", frames.take_ogg_apart, *PICTURE, "-c:v", "libtheora"),
    _seed("still.png", chunks.take_png_apart, *PICTURE, "-frames:v", "1"),
    _seed("still.jpg", frames.take_jpeg_apart, *ODD, "-frames:v", "1"),
    _seed("still.webp", chunks.take_riff_apart, *PICTURE, "-frames:v", "1", "-c:v", "libwebp"),
    _seed("still.bmp", frames.take_start_codes_apart, *PICTURE, "-frames:v", "1"),
)
SOUNDS = (
    _seed("plain.wav", chunks.take_riff_apart, *TONE, "-c:a", "pcm_s16le"),
    _seed("float.wav", chunks.take_riff_apart, *WIDE, "-c:a", "pcm_f32le", "-metadata", "title=tone"),
    _seed("adpcm.wav", chunks.take_riff_apart, *TONE, "-c:a", "adpcm_ms"),
    _seed("large.w64", chunks.take_w64_apart, *TONE),
    _seed("apple.aiff", chunks.take_riff_apart, *TONE),
    _seed("apple.caf", chunks.take_caf_apart, *TONE, "-c:a", "alac"),
    _seed("voice.flac", frames.take_flac_apart, *TONE, "-metadata", "title=tone"),
    _seed("voice.mp3", frames.take_mp3_apart, *WIDE, "-c:a", "libmp3lame", "-metadata", "title=tone"),
    _seed("voice.aac", frames.take_adts_apart, *WIDE, *AAC),
    _seed("voice.m4a", boxes.take_apart, *WIDE, *AAC, "-movflags", "+faststart"),
    _seed("alac.m4a", boxes.take_apart, *TONE, "-c:a", "alac"),
    _seed("vorbis.ogg", frames.take_ogg_apart, *WIDE, "-c:a", "libvorbis"),
    _seed("voice.opus", frames.take_ogg_apart, *TONE, "-c:a", "libopus"),
    _seed("voice.mka", elements.take_apart, *TONE, "-c:a", "pcm_s16le"),
    _seed("voice.wma", chunks.take_guids_apart, *WIDE, "-c:a", "wmav2"),
)


def make(seed: Seed, folder: Path) -> Path:
    """Make the file once; raises CalledProcessError where this ffmpeg lacks an encoder."""
    path = folder / seed.name
    if not path.exists():
        draft = path.with_name(f"draft-{os.getpid()}-{seed.name}")
        exact = ("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
        argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", *seed.words, *exact, str(draft)]
        subprocess.run(argv, check=True, capture_output=True)
        draft.rename(path)
    return path


def make_all(seeds: tuple[Seed, ...], folder: Path) -> dict[Seed, bytes]:
    """Contents of the seeds that this ffmpeg can make."""
    made = {}
    for seed in seeds:
        try:
            made[seed] = make(seed, folder).read_bytes()
        except subprocess.CalledProcessError:  # built without that encoder
            continue
    return made
