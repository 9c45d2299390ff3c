"""Which mouth a phoneme asks for: 15 mouth classes, a table from IPA letters to them, and espeak's events as segments.

Openings are 0 (shut) .. 1 (widest vowel), widths -1 (rounded) .. 0 (neutral) .. 1 (spread). A dominance says how much
a phone insists on its mouth against its neighbours (Cohen & Massaro 1993). The numbers are rules of thumb from the
articulation charts of phonetics (close to open vowels, rounded or not); `calibrate.py` corrects them per class.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class MouthClass(IntEnum):
    """What a mouth does, in the order in which the net answers."""

    SIL = 0
    PBM = 1
    """Lips together."""
    FV = 2
    """Lower lip at the teeth."""
    TH = 3
    TDNL = 4
    SZ = 5
    SH = 6
    KGH = 7
    R = 8
    W_U = 9
    """Narrowly rounded."""
    O = 10  # noqa: E741
    A = 11
    E = 12
    I = 13  # noqa: E741
    SCHWA = 14


CLASS_NAMES = ("sil", *(one.name for one in MouthClass if one is not MouthClass.SIL))
"""As they stand in the weights file."""

SILENCE = "sil"
GAP = "gap"
"""A pause too short to close the mouth."""
LONGEST_GAP_S = 0.09
SHORTEST_SEGMENT_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """The mouth that a phone asks for."""

    opening: float
    width: float
    mouth_class: MouthClass
    opening_dominance: float
    width_dominance: float
    is_vowel: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A phone in time; `symbol` is an IPA letter, SILENCE or GAP."""

    start_s: float
    stop_s: float
    symbol: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.stop_s - self.start_s


_VOWELS: dict[str, tuple[float, float, MouthClass]] = {
    "i": (0.26, 0.6, MouthClass.I),
    "ɪ": (0.34, 0.4, MouthClass.I),
    "ɨ": (0.26, 0.25, MouthClass.I),
    "ᵻ": (0.3, 0.25, MouthClass.I),
    "ɯ": (0.28, 0.1, MouthClass.I),
    "e": (0.42, 0.5, MouthClass.E),
    "ɛ": (0.58, 0.4, MouthClass.E),
    "æ": (0.75, 0.4, MouthClass.A),
    "a": (0.85, 0.15, MouthClass.A),
    "ɑ": (0.85, 0.0, MouthClass.A),
    "ɐ": (0.6, 0.0, MouthClass.A),
    "ʌ": (0.6, 0.05, MouthClass.A),
    "ɶ": (0.7, 0.0, MouthClass.A),
    "ɒ": (0.7, -0.3, MouthClass.O),
    "ɔ": (0.58, -0.45, MouthClass.O),
    "o": (0.42, -0.7, MouthClass.O),
    "ø": (0.35, -0.6, MouthClass.O),
    "œ": (0.5, -0.4, MouthClass.O),
    "ɵ": (0.32, -0.5, MouthClass.O),
    "ʊ": (0.28, -0.6, MouthClass.W_U),
    "u": (0.18, -0.9, MouthClass.W_U),
    "ʉ": (0.2, -0.8, MouthClass.W_U),
    "y": (0.2, -0.8, MouthClass.W_U),
    "ʏ": (0.26, -0.6, MouthClass.W_U),
    "ə": (0.36, 0.0, MouthClass.SCHWA),
    "ɜ": (0.42, -0.1, MouthClass.SCHWA),
    "ɞ": (0.45, -0.1, MouthClass.SCHWA),
    "ɚ": (0.34, -0.25, MouthClass.SCHWA),
    "ɝ": (0.36, -0.25, MouthClass.SCHWA),
    "ɘ": (0.36, 0.1, MouthClass.SCHWA),
    "ɤ": (0.42, 0.1, MouthClass.SCHWA),
}
"""Opening, width and class; vowels have dominance 1, short ones less (see coarticulation.py)."""

_CONSONANTS: tuple[tuple[str, float, float, MouthClass, float, float], ...] = (
    ("pbmʙɓ", 0.0, 0.0, MouthClass.PBM, 6.0, 0.3),
    ("fvɸβʋɱ", 0.05, 0.1, MouthClass.FV, 4.0, 0.6),
    ("wʍɥ", 0.12, -0.9, MouthClass.W_U, 1.5, 1.5),
    ("ɹrɻʁʀɽ", 0.22, -0.3, MouthClass.R, 0.6, 0.5),
    ("lɫʎɭɬɮ", 0.32, 0.1, MouthClass.TDNL, 0.4, 0.15),
    ("nɲɳ", 0.22, 0.1, MouthClass.TDNL, 0.5, 0.15),
    ("tdʈɖɗ", 0.2, 0.12, MouthClass.TDNL, 0.6, 0.2),
    ("ɾ", 0.28, 0.1, MouthClass.TDNL, 0.4, 0.15),
    ("sz", 0.12, 0.3, MouthClass.SZ, 0.9, 0.4),
    ("ɕʑʂʐç", 0.16, 0.05, MouthClass.SH, 0.8, 0.4),
    ("ʃʒ", 0.18, -0.45, MouthClass.SH, 0.8, 0.8),
    ("θð", 0.2, 0.1, MouthClass.TH, 0.7, 0.2),
    ("kgɡqcɟɢ", 0.3, 0.05, MouthClass.KGH, 0.3, 0.1),
    ("ŋɴ", 0.28, 0.05, MouthClass.KGH, 0.35, 0.1),
    ("xχɣħʕɦhʔ", 0.35, 0.0, MouthClass.KGH, 0.08, 0.05),
    ("jʝ", 0.22, 0.4, MouthClass.I, 0.7, 0.7),
)
"""Letters, opening, width, class, dominance of the opening and of the width: lips that must meet insist most, sounds
made behind the tongue hardly at all."""


def _poses() -> dict[str, Pose]:
    poses = {
        letter: Pose(
            opening=opening,
            width=width,
            mouth_class=mouth_class,
            opening_dominance=1.0,
            width_dominance=1.0,
            is_vowel=True,
        )
        for letter, (opening, width, mouth_class) in _VOWELS.items()
    }
    for letters, opening, width, mouth_class, opening_dominance, width_dominance in _CONSONANTS:
        for letter in letters:
            poses[letter] = Pose(
                opening=opening,
                width=width,
                mouth_class=mouth_class,
                opening_dominance=opening_dominance,
                width_dominance=width_dominance,
                is_vowel=False,
            )
    return poses


POSES = _poses()
"""IPA letter -> its mouth."""


def letters_of(phoneme: str) -> list[str]:
    """Take the letters of an espeak phoneme that have a mouth; '(en)' and the like, which switch voices, have none."""
    return [] if phoneme.startswith("(") else [letter for letter in _parts(phoneme) if letter in POSES]


def unknown_letters(phoneme: str) -> set[str]:
    """Find the letters of a phoneme that the table lacks; marks of tone, length, stress and colour are no letters."""
    if phoneme.startswith("("):
        return set()
    return {part for part in _parts(phoneme) if unicodedata.category(part) in _LETTERS and part not in POSES}


_LETTERS = ("Ll", "Lu", "Lo")
"""Not Lm: those modify the letter before them."""


def _parts(phoneme: str) -> str:
    """Split letters from their accents."""
    return unicodedata.normalize("NFD", phoneme)


def class_of(symbol: str) -> MouthClass:
    """Mouth class of a segment's symbol; a gap is held like a t."""
    if symbol == SILENCE:
        return MouthClass.SIL
    return MouthClass.TDNL if symbol == GAP else POSES[symbol].mouth_class


def segments_of(events: Sequence[tuple[float, str]], total_s: float) -> list[Segment]:
    """Cut (start in seconds, IPA) events to segments; an empty phoneme is a pause, diphthongs share their time.

    What has no letter of its own (a length mark) lengthens the segment before it.
    """
    spoken = [(start_s, phoneme) for start_s, phoneme in events if not phoneme.startswith("(")]
    ends_s = [start_s for start_s, _ in spoken[1:]] + [total_s]
    segments: list[Segment] = []
    for (start_s, phoneme), stop_s in zip(spoken, ends_s, strict=True):
        is_inside = start_s > 0 and stop_s < total_s
        if stop_s - start_s < SHORTEST_SEGMENT_S:
            continue
        letters = letters_of(phoneme)
        if letters:
            segments += _shared(letters, start_s, stop_s)
        elif phoneme == "":
            symbol = GAP if is_inside and stop_s - start_s < LONGEST_GAP_S else SILENCE
            segments.append(Segment(start_s, stop_s, symbol))
        elif segments:
            segments[-1] = Segment(segments[-1].start_s, stop_s, segments[-1].symbol)
    return segments


def _shared(letters: Sequence[str], start_s: float, stop_s: float) -> list[Segment]:
    part_s = (stop_s - start_s) / len(letters)
    return [Segment(start_s + k * part_s, start_s + (k + 1) * part_s, letter) for k, letter in enumerate(letters)]
