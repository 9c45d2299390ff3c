"""Voices that were made from recordings of people: flite and Festival, with the times of their phones.

espeak's voices are formulas; these are people of Carnegie Mellon's ARCTIC and diphone recordings, as statistical models
(rms, slt, awb, slt-hts) and as joined diphones (kal, ked). All of them are under licences of the BSD kind (Debian:
`flite`, `festvox-kdlpc16k`, `festvox-us-slt-hts`; see their copyright files). They speak English; their phones are
those of the "radio" set of Festival (the Boston University Radio News corpus), close to ARPAbet.
"""

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.train.speech.espeak import Speech, UnknownVoiceError

FLITE_VOICES = ("rms", "slt", "awb", "kal16")
FESTIVAL_VOICES = ("ked_diphone", "cmu_us_slt_arctic_hts")
VOICES = (*FLITE_VOICES, *FESTIVAL_VOICES)

IPA = {
    **{"aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "b": "b"},
    **{"ch": "tʃ", "d": "d", "dh": "ð", "dx": "ɾ", "eh": "ɛ", "el": "əl", "em": "m", "en": "n", "er": "ɝ"},
    **{"ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "hv": "ɦ", "ih": "ɪ", "iy": "i", "jh": "dʒ", "k": "k", "l": "l"},
    **{"m": "m", "n": "n", "nx": "n", "ng": "ŋ", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ"},
    **{"t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ"},
    **{"pau": "", "h#": "", "brth": ""},
}
"""Phone of the radio set -> IPA as espeak writes it; a pause is empty."""

_FLITE_WAIT_S, _FESTIVAL_WAIT_S = 60, 120
_FULL_SCALE = 32_768


def say(text: str, voice: str, *, slower: float = 1.0, pitch_hz: float | None = None) -> Speech:
    """Speak English text, letters and plain punctuation; `slower` stretches every phone.

    The same words give the same samples. Raises UnknownVoiceError for a voice that is none of VOICES, OSError where a
    program is missing or says nothing.
    """
    if voice not in VOICES:
        raise UnknownVoiceError(voice)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if voice in FLITE_VOICES:
            ends = _by_flite(text, voice, slower, pitch_hz, place)
        else:
            ends = _by_festival(text, voice, slower, place)
        sound, rate_hz = _read(place / "speech.wav")
    starts_s = (0.0, *(end_s for end_s, _ in ends))
    phonemes = [(start_s, IPA[name]) for start_s, (_, name) in zip(starts_s, ends, strict=False)]
    return Speech(sound=sound, rate_hz=rate_hz, phonemes=phonemes)


Ends = Sequence[tuple[float, str]]
"""End in seconds and name of each phone."""


def _by_flite(text: str, voice: str, slower: float, pitch_hz: float | None, place: Path) -> Ends:
    options = ["--setf", f"duration_stretch={slower:.3f}"]
    if pitch_hz is not None:
        options += ["--setf", f"int_f0_target_mean={pitch_hz:.1f}"]
    command = [_program("flite"), "-voice", voice, *options, "-psdur", "-t", text, "-o", str(place / "speech.wav")]
    said = subprocess.run(command, capture_output=True, check=True, timeout=_FLITE_WAIT_S, text=True).stdout
    pairs = (part.rsplit(":", 1) for part in said.split())
    return [(float(end_s), name) for name, end_s in pairs]


def _by_festival(text: str, voice: str, slower: float, place: Path) -> Ends:
    program = place / "say.scm"
    program.write_text(
        f"(voice_{voice})\n"
        f"(Parameter.set 'Duration_Stretch {slower:.3f})\n"
        f'(set! said (utt.synth (Utterance Text "{_plain(text)}")))\n'
        f'(utt.save.wave said "{place}/speech.wav" \'riff)\n'
        f'(utt.save.segs said "{place}/phones.lab")\n'
    )
    command = [_program("festival"), "--batch", str(program)]
    subprocess.run(command, capture_output=True, check=True, timeout=_FESTIVAL_WAIT_S)
    rows = [line.split() for line in (place / "phones.lab").read_text().splitlines()[1:]]
    return [(float(row[0]), row[-1]) for row in rows]


def _plain(text: str) -> str:
    """Nothing that Scheme reads as the end of a string."""
    return "".join(letter for letter in text if letter not in '"\\')


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise OSError(f"{name} is not installed")
    return path


def _read(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as stream:
        rate_hz, content = stream.getframerate(), stream.readframes(stream.getnframes())
    return np.frombuffer(content, np.int16).astype(np.float32) / _FULL_SCALE, rate_hz
