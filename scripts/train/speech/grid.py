"""The 11 clips of the GRID corpus that the weights learn from, what is said in them, and their measured mouths.

M. Cooke, J. Barker, S. Cunningham, X. Shao: "An audio-visual corpus for speech perception and automatic speech
recognition", JASA 120(5), 2421-2424, 2006. CC BY 4.0. The file name encodes the sentence.
"""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.features import SAMPLE_RATE_HZ, speech_features
from scripts.train.speech.texts import GRID_WORDS

SHA256 = {
    "bbaf2n": "e468120039e208b5ff9b9e269f8dc96bbddc45701f8dddcf2c0ae21abc0df546",
    "brbk7n": "2122707c6dd3b59a32b5272870afb37397dc6b20cf52241cf8ff7cfda7b3efa3",
    "lbax4n": "8f80c8ced6a8cb47d55c5c01704d4669b410369af653f6be7fbda9003337dedf",
    "lbbc2a": "9447e5e0732eeaf4444b5ba1e3412c8a9e194975ba7c814fa64c4c41c83d4e4c",
    "lrwp9a": "1a6c86fc5e7d4e9ee66a891f188f9a648c9b8be3bdc2431d73ac7e533aa70b3f",
    "lwbsza": "09090d1f7a8a946233a015a1b4258fafcb790ed6dbbd884ed88ae51fe36841a0",
    "pwij3p": "a610d98c101dde3587cc66d70cb569d3b1d0111cfad90bd0037e47e21316beda",
    "sbia1a": "768e49272122f1577839db576ea00146d08e83d778c7fe8b9ca1b194dff57c7d",
    "sbwe5n": "6707e709f1d713a6ff6673c85605e2fa721cfe59749c56b9f34e6d159c5fdf55",
    "swiz3n": "080f3e1511879a3baa41cdc31aa7029981f29c71434a570de3d52ee78f9e5dd0",
    "swwp2s": "3bb8cffd51399caaf0c97abcd32bcab3493b2878ffda73bd648490ea47c75cc0",
}
"""Sentence code -> digest of the clip, as found in rizkiarm/LipNet, evaluation/samples."""

_COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
_COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
_PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
_DIGITS = dict(zip("z123456789", GRID_WORDS[4], strict=True))
_ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GridClip:
    """A clip: features float32[t, 80] of its sound, and opening and width in eye distances at times of its frames."""

    code: str
    features: NDArray[np.float32]
    time_s: NDArray[np.float64]
    opening: NDArray[np.float64]
    width: NDArray[np.float64]


def sentence_of(code: str) -> str:
    """Spell out what a clip says, for instance bbaf2n: bin blue at F two now."""
    command, colour, preposition, letter, digit, adverb = tuple(code)
    words = (_COMMANDS[command], _COLOURS[colour], _PREPOSITIONS[preposition], letter.upper(), _DIGITS[digit])
    return " ".join((*words, _ADVERBS[adverb]))


def find_clips(folder: Path) -> dict[str, Path]:
    """Find the clips, named <code>.mpg or grid_<code>.mpg; raises ValueError where one is missing or another one."""
    found = {}
    for code, digest in SHA256.items():
        names = (folder / f"{code}.mpg", folder / f"grid_{code}.mpg")
        path = next((name for name in names if name.exists()), None)
        if path is None:
            raise ValueError(f"{folder} lacks the GRID clip {code}.mpg")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{path} is not the GRID clip that the weights are made from (other bytes)")
        found[code] = path
    return found


def load_clips(folder: Path, curves: Path) -> list[GridClip]:
    """Read the clips in the order of their codes; `curves` holds <clip's name>.npz as measure_mouths.py writes them."""
    clips = []
    for code, path in sorted(find_clips(folder).items()):
        with np.load(curves / f"{path.stem}.npz") as stored:
            time_s = stored["time_s"]
            clip = GridClip(
                code=code,
                features=speech_features(read_sound(path)),
                time_s=time_s,
                opening=_without_holes(time_s, stored["opening"]),
                width=_without_holes(time_s, stored["width"]),
            )
        clips.append(clip)
    return clips


def read_sound(path: Path) -> NDArray[np.float32]:
    """Read the sound of a file, float32[n], mono, 16 kHz."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def _without_holes(time_s: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    return np.interp(time_s, time_s[known], values[known])
