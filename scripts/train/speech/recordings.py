"""Recordings of real people as utterances: LibriSpeech, with the phones that `label_recordings.py` has heard in it.

V. Panayotov, G. Chen, D. Povey, S. Khudanpur: "Librispeech: an ASR corpus based on public domain audio books", ICASSP
2015. CC BY 4.0. Taken are 251 recordings of `train-clean-100`, one of each speaker, as they stand in
resemble-ai/Resemblyzer, `audio_data/librispeech_train-clean-100`. They tell the net how much people's voices differ,
which no synthesizer does; nobody's mouth is seen in them, so its motion follows the rules and GRID's calibration.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import signal

from heygemd.render.speech.features import SAMPLE_RATE_HZ
from scripts.train.speech.corpus import Sound, Spoken, heard, path_of
from scripts.train.speech.grid import read_sound
from scripts.train.speech.phonemes import segments_of
from scripts.train.speech.revoice import revoiced

Random = np.random.Generator

SHA256_OF_ALL = "c0506cc14802d4994518e5ab1b3b0ab943c37fc50fd06c23a98add7d66b51fb0"
"""Digest of the digests (hexadecimal, a line each) of the recordings in the order of their names."""

VERSIONS = 3
"""Of each recording: as it is, and by two other people of another size and tempo."""
SPEEDS, REVOICED_SHARE = (0.86, 1.16), 0.5
LEVELS_DB = (-25.0, -1.0)
RECORDINGS_STREAM = 11
SHORT_SCHWA_S = 0.07
"""ARPAbet writes ʌ and ə alike; the short one is the schwa."""

IPA: Mapping[str, str] = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð"},
    **{"EH": "ɛ", "ER": "ɚ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k"},
    **{"L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ"},
    **{"T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
"""ARPAbet -> IPA as espeak writes it; whatever else PocketSphinx names (SIL, noises) is a pause."""

Phones = Sequence[tuple[float, float, str]]


def find_recordings(folder: Path) -> list[Path]:
    """List the recordings; ValueError where they are others than those that the weights learned from."""
    found = sorted(folder.glob("*.flac"))
    digests = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in found)
    if hashlib.sha256(digests.encode()).hexdigest() != SHA256_OF_ALL:
        raise ValueError(f"{folder} does not hold the 251 recordings of LibriSpeech that the weights learned from")
    return found


def make_recorded_corpus(
    folder: Path, recordings: Sequence[Path], labels: Path, babble: Sequence[Sound], seed: int
) -> int:
    """Write VERSIONS utterances of every recording that has phones; returns how many there are. Existing ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = [(path, _phones(labels / f"{path.stem}.json")) for path in recordings]
    spoken = [(path, phones) for path, phones in spoken if phones]
    for number, (path, phones) in enumerate(spoken):
        missing = [version for version in range(VERSIONS) if not path_of(folder, number * VERSIONS + version).exists()]
        sound = read_sound(path)[: int(phones[-1][1] * SAMPLE_RATE_HZ)] if missing else np.zeros(0, np.float32)
        for version in missing:
            random = np.random.default_rng((seed, RECORDINGS_STREAM, number, version))
            said = _said(sound, phones, is_changed=version > 0, random=random)
            heard(said, babble, random).save(path_of(folder, number * VERSIONS + version))
    return len(spoken) * VERSIONS


def _phones(path: Path) -> Phones:
    return [(start_s, stop_s, name) for start_s, stop_s, name in json.loads(path.read_text(encoding="utf-8"))]


def _said(sound: Sound, phones: Phones, *, is_changed: bool, random: Random) -> Spoken:
    speed = random.uniform(*SPEEDS) if is_changed else 1.0
    played = signal.resample(sound, int(len(sound) / speed)).astype(np.float32)
    if is_changed and random.random() < REVOICED_SHARE:
        played = revoiced(played, random)
    events = [(start_s / speed, _ipa(name, stop_s - start_s)) for start_s, stop_s, name in phones]
    level = 10 ** (random.uniform(*LEVELS_DB) / 20) / max(float(np.abs(played).max()), 1e-6)
    segments = segments_of(events, len(played) / SAMPLE_RATE_HZ)
    return Spoken(sound=(played * level).astype(np.float32), segments=segments, voice="LibriSpeech")


def _ipa(name: str, duration_s: float) -> str:
    return "ə" if name == "AH" and duration_s < SHORT_SCHWA_S else IPA.get(name, "")
