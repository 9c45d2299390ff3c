"""What the soak drops: tiny pairs, no two files of which are the same, and the films that must come of them."""

import hashlib
import json
import random
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PATTERNS = ("testsrc2", "smptebars", "rgbtestsrc")
TONES_HZ = (220, 330, 440)
FRAMES, RATE_FPS, SIZE_PX = 10, 25, 64
PLACES = ("", "", "lessons", "客户 A/第 1 课")
"""Folders of the inbox that pairs are dropped into."""
DEFAULTS, BATCH, ROWS = 5, 2, 10
"""Films of a `_default` folder, of a job folder, of a manifest."""


@dataclass(frozen=True, slots=True)
class Clips:
    """The pictures and sounds that all files are made of."""

    pictures: tuple[bytes, ...]
    sounds: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Files that belong together, and what must come of them."""

    files: dict[str, bytes]
    """Path below the inbox → contents, in the order in which they are written."""
    films: dict[str, frozenset[str]]
    """Path below the outbox → sha256 of the inputs that its report must name."""
    stays: frozenset[str] = frozenset()
    """Files that nobody takes out of the inbox."""
    batch: str | None = None
    """Path below the outbox of the reports of a batch, without ending."""


@dataclass(slots=True)
class Goods:
    """Everything one shard drops."""

    lots: list[Lot] = field(default_factory=list)

    @property
    def films(self) -> dict[str, frozenset[str]]:
        """Every film that must come out."""
        return {film: inputs for lot in self.lots for film, inputs in lot.films.items()}

    @property
    def films_of(self) -> dict[str, list[str]]:
        """Films by the sha256 of each file they are made from."""
        found: dict[str, list[str]] = {}
        for film, inputs in self.films.items():
            for digest in inputs:
                found.setdefault(digest, []).append(film)
        return found

    @property
    def originals(self) -> dict[str, str]:
        """Path below the inbox → sha256 of every file that must lie in `done/` at the end."""
        return {
            path: sha256(data) for lot in self.lots for path, data in lot.files.items() if path not in lot.stays
        }  # fmt: skip

    @property
    def batches(self) -> frozenset[str]:
        """Where the reports of all batches lie."""
        return frozenset(lot.batch for lot in self.lots if lot.batch)

    @property
    def stays(self) -> frozenset[str]:
        """Files that must still lie in the inbox at the end."""
        return frozenset(path for lot in self.lots for path in lot.stays)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_clips(folder: Path) -> Clips:
    """Ask ffmpeg for three pictures of 10 frames and three sounds of 0.4 s."""
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]
    length_s = FRAMES / RATE_FPS
    pictures, sounds = [], []
    for number, (pattern, tone_hz) in enumerate(zip(PATTERNS, TONES_HZ, strict=True)):
        picture, sound = folder / f"{number}.mp4", folder / f"{number}.wav"
        source = f"{pattern}=size={SIZE_PX}x{SIZE_PX}:rate={RATE_FPS}:duration={length_s}"
        x264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
        subprocess.run([*make, source, *x264, str(picture)], check=True)
        source = f"sine=frequency={tone_hz}:duration={length_s}:sample_rate=16000"
        subprocess.run([*make, source, str(sound)], check=True)
        pictures.append(picture.read_bytes())
        sounds.append(sound.read_bytes())
    return Clips(tuple(pictures), tuple(sounds))


def marked_picture(clip: bytes, mark: bytes) -> bytes:
    """Add a `free` box (ISO 14496-12, 8.1.2): other bytes, the same picture."""
    return clip + struct.pack(">I4s", 8 + len(mark), b"free") + mark


def marked_sound(clip: bytes, mark: bytes) -> bytes:
    """Add a `junk` chunk of even length, and say so in the RIFF header: other bytes, the same sound."""
    chunk = b"junk" + struct.pack("<I", len(mark)) + mark
    return clip[:4] + struct.pack("<I", len(clip) + len(chunk) - 8) + clip[8:] + chunk


def make_goods(clips: Clips, count: int, seed: int, *, mix: bool) -> Goods:
    """Make `count` films' worth of lots: pairs, and with `mix` one of every other way to submit, when there is room."""
    maker = Maker(clips, random.Random(seed))
    lots: list[Lot] = []
    left = count
    if mix and left >= DEFAULTS + BATCH + 1 + ROWS:
        lots += [maker.default_folder(), maker.job_folder(BATCH), maker.job_folder(1), maker.manifest()]
        left -= DEFAULTS + BATCH + 1 + ROWS
    lots += [maker.pair(number) for number in range(left)]
    maker.random.shuffle(lots)
    return Goods(lots)


class Maker:
    """Makes single lots; no two files are the same."""

    def __init__(self, clips: Clips, generator: random.Random) -> None:
        self._clips, self.random = clips, generator

    def picture(self) -> bytes:
        """A clip of its own."""
        return marked_picture(self.random.choice(self._clips.pictures), self.random.randbytes(16))

    def sound(self) -> bytes:
        """A sound of its own."""
        return marked_sound(self.random.choice(self._clips.sounds), self.random.randbytes(16))

    def pair(self, number: int) -> Lot:
        """Two files in one of the usual folders."""
        folder = self.random.choice(PLACES)
        stem = f"{folder}/第{number:04d} scene" if folder else f"{number:04d} scene"
        picture, sound = self.picture(), self.sound()
        members = [(f"{stem}.mp4", picture), (f"{stem}.wav", sound)]
        self.random.shuffle(members)
        return Lot(files=dict(members), films={f"{stem}.mp4": frozenset({sha256(picture), sha256(sound)})})

    def default_folder(self) -> Lot:
        """One presenter, many speeches."""
        picture = self.picture()
        sounds = {f"presenter/talk {number}": self.sound() for number in range(DEFAULTS)}
        return Lot(
            files={"presenter/_default.mp4": picture, **{f"{stem}.wav": data for stem, data in sounds.items()}},
            films={f"{stem}.mp4": frozenset({sha256(picture), sha256(data)}) for stem, data in sounds.items()},
            stays=frozenset({"presenter/_default.mp4"}),
        )

    def job_folder(self, count: int) -> Lot:
        """One picture and `count` sounds in a folder that is claimed whole."""
        name, picture = f"unit of {count}", self.picture()
        sounds = {f"voice {number}": self.sound() for number in range(count)}
        films = {f"{name}.mp4" if count == 1 else f"{name}/{stem}.mp4": data for stem, data in sounds.items()}
        files = {f"{name}.job/face.mp4": picture, **{f"{name}.job/{stem}.wav": data for stem, data in sounds.items()}}
        orders = {film: frozenset({sha256(picture), sha256(data)}) for film, data in films.items()}
        return Lot(files=files, films=orders, batch=name)

    def manifest(self) -> Lot:
        """Rows with one picture in common; the manifest comes last."""
        picture = self.picture()
        sounds = {f"line {number}.wav": self.sound() for number in range(ROWS)}
        rows = [{"id": f"ep{number:02d}", "audio": name} for number, name in enumerate(sounds)]
        text = json.dumps({"heygem": 1, "defaults": {"video": "host.mp4"}, "jobs": rows}).encode()
        films = {f"show/ep{number:02d}.mp4": data for number, data in enumerate(sounds.values())}
        return Lot(
            files={"host.mp4": picture, **sounds, "show.heygem.json": text},
            films={film: frozenset({sha256(picture), sha256(data)}) for film, data in films.items()},
            batch="show",
        )  # fmt: skip
